"""celer: the lasso path to k non-zeros."""

from __future__ import annotations

# pyright: reportMissingImports=false
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.convex_peers.peers.peer import BOTH, Peer, first_with, labels


def _path(X: Any, y: Any, k: int, loss: str, ridge: float) -> NDArray[Any]:
    from celer import celer_path

    pb, target = ("lasso", y) if loss == "squares" else ("logreg", labels(y))
    top = np.abs(X.T @ y).max() / len(y) if loss == "squares" else np.abs(X.T @ target).max() / 2
    X = np.asfortranarray(X)
    many, width = 10, 3.0
    while True:
        alphas = top * np.geomspace(1, 1 / width, many)
        path = celer_path(X, target, pb, alphas=alphas, tol=1e-4 if loss == "squares" else 1e-3)[1].T
        if (path != 0).sum(axis=1).max() >= k or width > 1e4:
            return first_with(k, path)
        many, width = 2 * many, width**2


PEERS = (Peer("celer", "celer", BOTH, "celer_path to k, tol 1e-4 (logistic 1e-3)", _path),)
