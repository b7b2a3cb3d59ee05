"""What stands side by side: our solvers and the installed peers, all as Case -> support.

Ours are timed as a user calls them, problem object included; the peers from the same arrays to their coefficients.

>>> from benchmarks.convex_peers.problems import PROBLEMS
>>> int(solver("auto")(PROBLEMS["P8"].draw(0)).sum())
6
"""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.convex_peers.peers import PEERS
from benchmarks.convex_peers.problems import Case
from sparsopt.branch_and_bound.solver import BranchAndBound
from sparsopt.names import lookup
from sparsopt.portfolio.auto import Auto

Solve = Callable[[Case], NDArray[np.bool_]]

OURS: dict[str, Any] = {
    "auto": "auto",
    "auto-0": Auto(effort=0),
    "auto-2": Auto(effort=2),
    "omp": "omp",
    "replacement": "replacement",
    "htp": "htp",
    "branch-and-bound": BranchAndBound(seconds=10.0),
}
EXACT = ("P2", "P8", "communities")  # where branch and bound is meant to end within its seconds
FLOOR = "floor"


def names(problem: str, case: Case, modules: Container[str]) -> tuple[str, ...]:
    """Every method that is asked for a problem, where the modules of these names can be imported."""
    ours = [name for name in OURS if name != "branch-and-bound" or problem in EXACT]
    fitting = [peer for peer in PEERS if case.loss in peer.losses and case.X.size <= peer.most]
    return (*ours, *(peer.name for peer in fitting if peer.module in modules))


def solver(name: str) -> Solve:
    """A method by name. Raises `InvalidInput`."""
    if name in OURS:
        return lambda case: _ours(case, OURS[name])
    if name == FLOOR:
        return _floor
    peer = lookup({peer.name: peer for peer in PEERS}, name, "method")
    return lambda case: support(peer.solve(case.X, case.y, case.k, case.loss, case.ridge), case)


def _ours(case: Case, method: Any) -> NDArray[np.bool_]:
    from sparsopt.solvers import solve

    return solve(case.problem(), case.k, method).support


def _floor(case: Case) -> NDArray[np.bool_]:
    """k products with all of X': what forward selection by the gradient needs at least."""
    for _ in range(case.k):
        _ = case.X.T @ case.y
    return np.zeros(case.X.shape[1], dtype=bool)


def support(x: NDArray[Any], case: Case) -> NDArray[np.bool_]:
    """The k largest coefficients. Ties go to the lower index."""
    x = np.ravel(np.asarray(x, dtype=float))
    largest = np.argsort(-np.abs(x), kind="stable")[: case.k]
    mask = np.zeros(x.size, dtype=bool)
    mask[largest] = True
    return mask & (x != 0)
