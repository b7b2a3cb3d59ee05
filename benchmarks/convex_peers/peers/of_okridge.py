"""OKRidge: beam search, and branch and bound that begins with it."""

from __future__ import annotations

# pyright: reportMissingImports=false
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.convex_peers.peers.peer import SQUARES, Peer, Solve


def _within(seconds: float) -> Solve:
    def solve(X: Any, y: Any, k: int, loss: str, ridge: float) -> NDArray[Any]:
        from okridge.node import Node
        from okridge.tree import BNBTree

        if not hasattr(Node, "lower_solve"):  # 0.1.1 calls it by a name that is gone
            Node.lower_solve = Node.lower_solve_fast
        tree: Any = BNBTree(X, y, lambda2=max(ridge * len(y), 1e-8))
        found = tree.solve(k=k, gap_tol=1e-4, verbose=False, time_limit=seconds)
        return np.asarray(found[1]).ravel()

    return solve


PEERS = (
    Peer("okridge-beam", "okridge", SQUARES, "BNBTree's first solution, by beam search", _within(-1.0), 2_000_000),
    Peer("okridge", "okridge", SQUARES, "BNBTree, at most 10 s, ridge at least 1e-8/n", _within(10.0), 2_000_000),
)
