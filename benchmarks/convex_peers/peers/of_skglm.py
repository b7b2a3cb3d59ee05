"""skglm: warm paths of l1 and of MCP to k non-zeros."""

from __future__ import annotations

# pyright: reportMissingImports=false
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.convex_peers.peers.peer import BOTH, Peer, Solve, first_with, labels


def _along(penalty: str) -> Solve:
    def solve(X: Any, y: Any, k: int, loss: str, ridge: float) -> NDArray[Any]:
        from skglm import GeneralizedLinearEstimator, datafits, penalties
        from skglm.solvers import AndersonCD

        squares = loss == "squares"
        target = y if squares else labels(y)
        top = np.abs(X.T @ target).max() / (len(y) * (1 if squares else 2))
        model: Any = GeneralizedLinearEstimator(
            datafits.Quadratic() if squares else datafits.Logistic(),
            penalties.L1(top) if penalty == "l1" else penalties.MCPenalty(top, 3.0),
            AndersonCD(tol=1e-5, warm_start=True, fit_intercept=False),
        )
        return first_with(k, (_refit(model, X, target, top * share) for share in np.geomspace(0.95, 1e-3, 60)))

    return solve


def _refit(model: Any, X: Any, y: Any, alpha: float) -> NDArray[Any]:
    model.penalty.alpha = alpha
    return np.ravel(model.fit(X, y).coef_).copy()


PEERS = (
    Peer("skglm-l1", "skglm", BOTH, "AndersonCD, warm path of L1 to k", _along("l1")),
    Peer("skglm-mcp", "skglm", BOTH, "AndersonCD, warm path of MCP(3) to k", _along("mcp")),
)
