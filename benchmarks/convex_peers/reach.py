"""How soon `auto` first stands at the support that it returns: its later stages only look for something better.

>>> from benchmarks.convex_peers.problems import PROBLEMS
>>> 0 < reach(PROBLEMS["P8"].draw(0), repetitions=1) < 1
True
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.convex_peers.problems import Case

METHOD, BESIDE = "auto", "sklearn-omp"
EQUAL = 1e-6


def reach(case: Case, repetitions: int = 10) -> float:
    """Seconds of the processor from the arrays to the first support as good as the last; the best of so many."""
    return min(_reach(case) for _ in range(repetitions))


def _reach(case: Case) -> float:
    from sparsopt.portfolio.auto import Auto
    from sparsopt.solvers import solve

    seen: list[tuple[float, NDArray[Any]]] = []
    began = time.process_time()
    result = solve(case.problem(), case.k, Auto(watch=lambda S: seen.append((time.process_time() - began, S.copy()))))
    seen.append((time.process_time() - began, np.flatnonzero(result.support)))
    problem, enough = case.problem(), result.value * (1 + EQUAL)
    return next(t for t, S in seen if problem.minimise_on(np.isin(np.arange(problem.p), S), None)[1] <= enough)
