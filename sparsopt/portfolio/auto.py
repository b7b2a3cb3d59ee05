"""`method="auto"`: the search that fits the problem, or a few methods where there is none.

A problem names its search in the attribute `portfolio`: "quadratic" for least squares and quadratic forms, "logistic"
for losses of linear predictors. For any other f, and where supports have a structure or coefficients bounds, it is
"general": several starts, replacement, exchanges with refits.

>>> Auto(effort=0)
Auto(effort=0)
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsopt.errors import InvalidInput
from sparsopt.portfolio import general
from sparsopt.result import Result, Status, Trace
from sparsopt.state import State

__all__ = ["Auto"]

Indices = NDArray[np.intp]


@dataclass(frozen=True)
class Auto:
    """A portfolio that stops where the answer is clear, and otherwise tries several starts and larger moves.

    effort  0: a good local optimum quickly; 1: further starts, oscillation, exchanges of two, and a walk on from there
            (tabu search; logistic: iterated local search); more: the more of that walk, the longer
    watch   called with every support that a stage on a quadratic ends at, as positions: for clocks (what was reached
            when?) and pictures; it changes nothing
    """

    effort: int = 1
    watch: Callable[[Indices], None] | None = field(default=None, repr=False, compare=False)
    structured = True  # knows the structure of a problem

    def __post_init__(self) -> None:
        if not isinstance(self.effort, int) or self.effort < 0:
            raise InvalidInput(f"Auto: effort = {self.effort!r}; give an integer >= 0")

    @property
    def name(self) -> str:
        return "auto"

    @property
    def describes(self) -> type[Auto]:
        return Auto

    def solve(self, problem: Any, k: int, seed: int) -> Result:
        """The best point that the portfolio finds, refitted on its support. 1 <= k < n."""
        began = time.perf_counter()
        kind = getattr(problem, "portfolio", None) if getattr(problem, "plain", True) else None
        if kind is None:
            found = general.search(problem, k, seed, self.effort)
            state, trace = found.state, found.trace
        else:
            state, trace = self._search(kind, problem, k, seed), Trace()
        return Result(state, Status.BEST_OF_SEVERAL, trace, self, time.perf_counter() - began)

    def _search(self, kind: str, problem: Any, k: int, seed: int) -> State:
        watched = {"watch": self.watch} if kind == "quadratic" else {}
        module = importlib.import_module(f"sparsopt.portfolio.{kind}")
        search = module.Search(problem, k, seed, self.effort, **watched)
        state = problem.start(seed)
        state.support[search.run()] = True
        x, value = search.minimise_on(state.support, state.x)
        return state.but(x=x, value=value)
