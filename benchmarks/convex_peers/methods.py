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

from benchmarks import environment
from benchmarks.convex_peers.peers import FILE, PEERS, Peer
from benchmarks.convex_peers.problems import Case
from benchmarks.convex_peers.process import REFUSED
from sparsopt.branch_and_bound.solver import BranchAndBound
from sparsopt.errors import InvalidInput
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
EXACT = ("P2", "P8", "communities", "prostate-esl")  # where branch and bound is meant to end within its seconds


def names(problem: str, loss: str, modules: Container[str]) -> tuple[str, ...]:
    """Every method that is asked for a problem, where the modules of these names can be imported."""
    ours = [name for name in OURS if name != "branch-and-bound" or problem in EXACT]
    return (*ours, *(peer.name for peer in PEERS if loss in peer.losses and peer.module in modules))


def solver(name: str) -> Solve:
    """A method by name. Raises `InvalidInput`."""
    return (lambda case: _ours(case, OURS[name])) if name in OURS else (lambda case: _theirs(case, peer(name)))


def peer(name: str) -> Peer:
    """A peer by name. Raises `InvalidInput`."""
    return lookup({peer.name: peer for peer in PEERS}, name, "method")


def check(name: str) -> None:
    """Raises `InvalidInput` if there is no such method."""
    if name not in OURS:
        peer(name)


def code(name: str) -> str:
    """A hash of the file that calls a peer."""
    return environment.source_digest((f"benchmarks/convex_peers/peers/{FILE[name]}.py",))


def refuse(name: str, case: Case) -> None:
    """Raises `InvalidInput` if the case is too large for the method."""
    if name in OURS:
        return
    asked = peer(name)
    if case.X.size > asked.most:
        raise InvalidInput(f"{REFUSED}: X has more than {asked.most:,} numbers")
    if case.X.shape[1] > asked.widest:
        raise InvalidInput(f"{REFUSED}: X has more than {asked.widest:,} columns")


def _theirs(case: Case, peer: Peer) -> NDArray[np.bool_]:
    return support(peer.solve(case.X, case.y, case.k, case.loss, case.ridge), case)


def _ours(case: Case, method: Any) -> NDArray[np.bool_]:
    from sparsopt.solvers import solve

    return solve(case.problem(), case.k, method).support


def support(x: NDArray[Any], case: Case) -> NDArray[np.bool_]:
    """The k largest coefficients. Ties go to the lower index."""
    x = np.ravel(np.asarray(x, dtype=float))
    largest = np.argsort(-np.abs(x), kind="stable")[: case.k]
    mask = np.zeros(x.size, dtype=bool)
    mask[largest] = True
    return mask & (x != 0)
