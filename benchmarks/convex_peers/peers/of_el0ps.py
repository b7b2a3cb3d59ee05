"""El0ps: branch and bound with an l0 penalty, along a path of penalties to k non-zeros."""

from __future__ import annotations

# pyright: reportMissingImports=false
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.convex_peers.peers.peer import BOTH, Peer, labels, largest


def _path(X: Any, y: Any, k: int, loss: str, ridge: float) -> NDArray[Any]:
    from el0ps.datafit import Leastsquares, Logistic
    from el0ps.path import Path as Ladder
    from el0ps.penalty import L2norm
    from el0ps.solver import BnbSolver

    squares, n = loss == "squares", len(y)
    datafit = Leastsquares(y) if squares else Logistic(labels(y))
    gains = (X.T @ (y if squares else y - 0.5)) ** 2 / (2 * (X**2).sum(axis=0) * (1 if squares else 0.25))
    ladder: Any = Ladder(
        lmbds=list(gains.max() * np.geomspace(1, 1e-3, 20)), lmbd_normalized=False, max_nnz=k,
        stop_if_not_optimal=False, verbose=False,
    )  # fmt: skip
    results = ladder.fit(BnbSolver(time_limit=0.5), datafit, L2norm(max(ridge, 0.01) * n / 2), X)
    return largest([np.asarray(result.x) for result in results.values()], k)


PEERS = (Peer("el0ps", "el0ps", BOTH, "penalised path of 20, 0.5 s each, to k; ridge at least .01", _path, 2_000_000),)
