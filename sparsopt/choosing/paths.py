"""Paths: solutions for several k, each helped by the ones before where the method can be.

>>> rng = np.random.default_rng(0)
>>> X = rng.standard_normal((100, 30))
>>> y = X[:, 2] - X[:, 5] + 0.3 * rng.standard_normal(100)
>>> path = sparsopt.path(sparsopt.LeastSquares(X, y), range(1, 6), method="omp")
>>> path.ks, path.nested
((1, 2, 3, 4, 5), True)
"""

from __future__ import annotations

import dataclasses
import itertools
import operator
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from sparsopt import support as sp
from sparsopt.catalogue import METHODS
from sparsopt.choosing.criteria import Criterion, named
from sparsopt.errors import InvalidInput, MissingCapability
from sparsopt.fits import Exact
from sparsopt.machine.threads import one_pool
from sparsopt.method import Method, Phase, Stage, adapted, check, run
from sparsopt.moves import Add, Drop, Exit, Gain
from sparsopt.result import Result
from sparsopt.solvers import Solver, solve
from sparsopt.state import Array, State
from sparsopt.support import Elements, units

__all__ = ["Path", "path", "sizes"]

FORWARD = ("omp", "ols", "fully-corrective", "gradient-pursuit")  # one run passes through every size
BACKWARD = ("backward-elimination",)
GROWN = (  # the support before, grown, in the place of their own start
    "replacement",
    "best-swap",
    "local-search",
    "splicing",
    "oscillation",
    "partial-hard-thresholding",
    "subspace-pursuit",
)
CONTINUED = ("iht", "niht", "htp", "aiht", "momentum-iht", "cosamp")  # from the weights before


@dataclass(frozen=True)
class Path:
    """One result for each k, in the order of growing k."""

    problem: Any
    ks: tuple[int, ...]
    results: tuple[Result, ...]

    def __iter__(self) -> Iterator[Result]:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.ks)

    def __getitem__(self, k: int) -> Result:
        """The result for k (not the k-th one)."""
        if k not in self.ks:
            raise InvalidInput(f"k = {k} is not on this path; its sizes are {self.ks}")
        return self.results[self.ks.index(k)]

    def __str__(self) -> str:
        rows = [f"{'k':<6} {'value':<14} support"]
        for k, result in zip(self.ks, self.results, strict=True):
            chosen = np.flatnonzero(result.support).astype(str).tolist()
            shown = " ".join(chosen[:12] + ["..."] * (len(chosen) > 12))
            rows.append(f"{k:<6} {result.value:<14.8g} {shown}".rstrip())
        return "\n".join(rows)

    @cached_property
    def values(self) -> Array:
        """f at each result, (len,)."""
        return np.array([result.value for result in self.results])

    @cached_property
    def weights(self) -> Array:
        """x of each result, (len, p)."""
        return np.stack([result.x for result in self.results])

    @property
    def nested(self) -> bool:
        """Whether every support contains those before it."""
        return all((a.support <= b.support).all() for a, b in zip(self.results, self.results[1:], strict=False))

    def scores(self, criterion: str | Criterion, samples: float | None = None) -> Array:
        """An information criterion at each result, (len,); samples: how many rows count, default all."""
        measure = named(criterion)
        return np.array([measure(self.problem, result.x, samples) for result in self.results])


@one_pool()
def path(problem: Any, ks: Iterable[int], method: str | Solver = "auto", seed: int = 0) -> Path:
    """Solutions for several k, each helped by the ones before where the method can be.

    ks       sizes, in any order
    method   a name out of `methods()` or an object with .solve(problem, k, seed), which then solves for each k afresh

    Greedy methods (omp, ols, fully-corrective, gradient-pursuit, backward-elimination) run once and pass every size:
    their paths are nested. Exchanging and thresholding ones start from the result before. "auto" solves for every k
    and also tries the neighbours' supports, grown or shrunk and swapped: f never rises with k. Others solve afresh.
    """
    if hasattr(problem, "working"):  # the same problem in other units
        found = path(problem.working, ks, method, seed)
        return Path(problem, found.ks, tuple(problem.restored(result) for result in found))
    wanted = sizes(ks)
    inner = [k for k in wanted if 0 < k < units(problem)]
    known = _strategy(method)(problem, inner, method, seed) if inner else {}
    results = tuple(solve(problem, k, _Known(known[k], method) if k in known else "omp", seed) for k in wanted)
    return Path(problem, tuple(wanted), results)


def sizes(ks: Iterable[int]) -> list[int]:
    """Each k once, in growing order."""
    try:
        found = sorted({operator.index(k) for k in ks})
    except TypeError:
        found = []
    if not found or found[0] < 0:
        raise InvalidInput(f"ks = {ks!r}; one or more sizes k >= 0 are needed, for example range(1, 11)")
    return found


@dataclass(frozen=True)
class _Known:
    """A solver that has the answer already: `solve` then checks and certifies it."""

    result: Result
    method: Any
    structured = True

    def solve(self, problem: Any, k: int, seed: int) -> Result:
        return self.result


# ---- strategies: (problem, ks, method, seed) -> {k: result} --------------------------------------------------------

Found = dict[int, Result]


def _strategy(method: Any) -> Any:
    if method == "auto":
        return _neighbours
    for names, strategy in ((FORWARD, _forward), (BACKWARD, _backward), (GROWN, _grown), (CONTINUED, _continued)):
        if isinstance(method, str) and method in names:
            return strategy
    return _afresh


def _afresh(problem: Any, ks: list[int], method: Any, seed: int) -> Found:
    return {k: solve(problem, k, method, seed) for k in ks}


def _forward(problem: Any, ks: list[int], method: str, seed: int) -> Found:
    return _passing(problem, ks, METHODS[method](ks[-1], problem), seed)


def _backward(problem: Any, ks: list[int], method: str, seed: int) -> Found:
    return _passing(problem, ks, METHODS[method](ks[0], problem), seed)


def _passing(problem: Any, ks: list[int], method: Method, seed: int) -> Found:
    """The states of the given sizes that one run passes."""
    states: dict[int, State] = {}

    def keep(state: State, trace: Any) -> None:
        size = _size(problem, state)
        if size in ks:
            states.setdefault(size, state.but(before=None))

    result = run(adapted(method, problem), problem, problem.start(seed), save=keep)
    return {k: dataclasses.replace(result, state=states[k]) for k in ks if k in states}


def _size(problem: Any, state: State) -> int:
    return sp.size(getattr(problem, "structure", Elements()), state.support)


def _grown(problem: Any, ks: list[int], method: str, seed: int) -> Found:
    """The method's own start at the first k; then its main stages from the support before, grown by gain."""
    found = {ks[0]: solve(problem, ks[0], method, seed)}
    for before, k in itertools.pairwise(ks):
        grow = Stage((Phase(Add(k - before, Gain()), Exact()),))
        warm = Method(method, (grow, *METHODS[method](k, problem).stages[1:]))
        found[k] = run(adapted(warm, problem), problem, _restarted(found[before], seed))
    return found


def _continued(problem: Any, ks: list[int], method: str, seed: int) -> Found:
    """The method from the weights before."""
    found = {ks[0]: solve(problem, ks[0], method, seed)}
    for before, k in itertools.pairwise(ks):
        warm = adapted(METHODS[method](k, problem), problem)
        found[k] = run(warm, problem, _restarted(found[before], seed))
    return found


def _restarted(result: Result, seed: int) -> State:
    return State(result.x, result.support, seed, value=result.value)


def _neighbours(problem: Any, ks: list[int], method: str, seed: int) -> Found:
    """Every k afresh; then up and down the path, each support grown or shrunk to the next k and swapped."""
    found = _afresh(problem, ks, method, seed)
    swaps = METHODS["best-swap"](1, problem).stages[1:]
    plain = getattr(problem, "structure", Elements()) == Elements()
    try:
        check(Method("swaps", swaps), problem, problem.start(seed))
    except MissingCapability:
        return found
    if not plain:
        return found
    for order, change in ((ks, lambda m: Add(m, Gain())), (ks[::-1], lambda m: Drop(m, Exit()))):
        for before, k in itertools.pairwise(order):
            step = Stage((Phase(change(abs(k - before)), Exact()),))
            new = run(Method("neighbour", (step, *swaps)), problem, _restarted(found[before], seed))
            if new.state.value < found[k].value:
                found[k] = dataclasses.replace(new, method=found[k].method)
    return found
