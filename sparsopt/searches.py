"""Searches around `run`: several supports at once, many local searches in a row, a target that is searched for.

Each is a frozen dataclass with .solve(problem, k, seed), so `sparsopt.solve(problem, k, method=BeamSearch(20))` works.

>>> from sparsopt.problems import Quadratic
>>> BeamSearch(2).solve(Quadratic(np.eye(3), np.array([1.0, 3.0, 2.0])), 2, 0).x
array([0., 3., 2.])
"""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sparsopt import catalogue
from sparsopt import support as sp
from sparsopt.errors import InvalidInput
from sparsopt.fits import Exact
from sparsopt.judges import WhileDecreasing
from sparsopt.method import Method, Phase, Stage, check, run
from sparsopt.moves import Add, Around, Drop, Entry, Exchange, Noisy, Random, Stay
from sparsopt.regularised import Regularised
from sparsopt.result import Result, Status, Trace
from sparsopt.state import State

__all__ = ["Arht", "BeamSearch", "IteratedLocalSearch", "Search"]

REFIT = Method("refit", (Stage((Phase(Stay(), Exact()),)),))
LOWER = 1e-12  # relative to |f|: a smaller difference is rounding


@dataclass(frozen=True)
class Search:
    """What searches share: a name, the time they took. A search gives `search(problem, k, seed)`."""

    name: ClassVar[str] = "search"

    @property
    def describes(self) -> type:
        return type(self)

    def solve(self, problem: Any, k: int, seed: int) -> Result:
        began = time.perf_counter()
        result = self.search(problem, k, seed)
        return dataclasses.replace(result, method=self, seconds=time.perf_counter() - began)

    def search(self, problem: Any, k: int, seed: int) -> Result:
        raise NotImplementedError


@dataclass(frozen=True)
class BeamSearch(Search):
    """Beam search: `width` supports grow side by side, and of all their best extensions the best `width` go on.

    B = {empty};  k times:  B = the `width` lowest of  {S + {j} : S in B, j one of the `width` best entries of S}

    Width 1 is orthogonal least squares. Entry gains are exact for quadratics, of second order otherwise; every support
    that is kept is refitted. Cost: k width refits and gain tables. Heuristic of OKRidge (Liu et al. 2023).
    """

    width: int = 10
    name: ClassVar[str] = "beam-search"

    def __post_init__(self) -> None:
        _positive(self, "width")

    def search(self, problem: Any, k: int, seed: int) -> Result:
        start = problem.start(seed)
        check(catalogue.ols(k), problem, start)
        f = problem.open()
        beam = [start.but(value=float(f.value(start.x)))]
        for _ in range(min(k, problem.layout.n)):
            beam = self._grown(f, beam)
        return Result(min(beam, key=lambda state: state.value), Status.FINISHED, Trace(), self, 0.0)

    def _grown(self, f: Any, beam: list[State]) -> list[State]:
        found: dict[bytes, tuple[float, State]] = {}
        for state in beam:
            gains = np.where(state.support, -1.0, Around(f.at(state), state).entries())
            for j in np.argsort(-gains, kind="stable")[: self.width]:
                if not state.support[j]:
                    support = state.support.copy()
                    support[j] = True
                    found.setdefault(support.tobytes(), (state.value - float(gains[j]), state.but(support=support)))
        best = sorted(found.values(), key=lambda pair: pair[0])[: self.width]
        return [_refitted(f, state) for _, state in best]


def _refitted(f: Any, state: State) -> State:
    x, value = f.minimise_on(state.support, state.x)
    return state.but(x=x, value=value)


@dataclass(frozen=True)
class IteratedLocalSearch(Search):
    """Iterated local search: best swaps to a local optimum, a kick, best swaps again; the better one stays.

    S = best swaps from OMP
    `kicks` times:  m = 1, 2, ..., strength, 1, ... random members leave; m come in by (entry gain) x Exp(1);
                    best swaps;  S = the result if f fell

    A function of the seed. Never worse than `best_swap`.
    """

    kicks: int = 30
    strength: int = 3
    name: ClassVar[str] = "iterated-local-search"

    def __post_init__(self) -> None:
        _positive(self, "strength")

    def search(self, problem: Any, k: int, seed: int) -> Result:
        best = run(catalogue.best_swap(k), problem, problem.start(seed))
        for number in range(self.kicks):
            state = best.state.but(stage=0, round=0, phase=0, before=None)
            new = run(self._kick(1 + number % min(self.strength, k), number), problem, state, trace=best.trace)
            if new.state.value < best.state.value - LOWER * abs(best.state.value):
                best = new
        return dataclasses.replace(best, status=Status.BEST_OF_SEVERAL)

    def _kick(self, m: int, number: int) -> Method:
        """Random numbers are told apart by the kick's number."""
        out = Phase(Drop(m, Random(2 * number)), Exact())
        into = Phase(Add(m, Noisy(Entry(), 2 * number + 1)), Exact())
        swaps = Stage((Phase(Exchange(), Exact()),), 1000, WhileDecreasing())
        return Method("kick", (Stage((out, into)), swaps))


@dataclass(frozen=True)
class Arht(Search):
    """Adaptively regularised hard thresholding, with a search over the target that it needs to know.

    low = min f without restriction, high = f at OMP
    `searches` times:  target = (low + high) / 2;  x = arht(k, target), refitted without the regulariser
                       high = f(x) if f(x) <= target else low = target
    the best x of all is returned

    rho: the regulariser, by default max_j h_j. The bisection stands for the source's search over the optimal value;
    each run of ARHT is randomised, a function of the seed.
    """

    searches: int = 12
    rho: float | None = None
    rounds: int = 1000
    name: ClassVar[str] = "arht"

    def search(self, problem: Any, k: int, seed: int) -> Result:
        best = run(catalogue.omp(k), problem, problem.start(seed))
        everywhere = sp.everything(best.x)
        low, high = float(problem.minimise_on(everywhere, None)[1]), best.state.value
        rho = float(problem.at(best.state).curvature().max()) if self.rho is None else self.rho
        oracle = Regularised(problem, rho)
        for _ in range(self.searches):
            target = (low + high) / 2
            found = run(catalogue.arht(k, target, rounds=self.rounds), oracle, oracle.start(seed))
            state = found.state.but(stage=0, round=0, phase=0, slots={}, before=None)
            new = run(REFIT, problem, state, trace=found.trace)
            if new.state.value < best.state.value:
                best = new
            low, high = (low, min(high, target)) if new.state.value <= target else (target, high)
        return dataclasses.replace(best, status=Status.BEST_OF_SEVERAL)


def _positive(search: Any, field: str) -> None:
    value = getattr(search, field)
    if value < 1:
        raise InvalidInput(f"{type(search).__name__}: {field} = {value}; give an integer >= 1")
