"""fastsparsegams, whose least squares are those of L0Learn: coordinate descent and swaps along a path."""

from __future__ import annotations

# pyright: reportMissingImports=false
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.convex_peers.peers.peer import BOTH, Peer, labels


def _path(X: Any, y: Any, k: int, loss: str, ridge: float, **penalty: Any) -> NDArray[Any]:
    import fastsparsegams

    X = np.array(X, order="F")  # it refuses large matrices that are not in column order
    fit = fastsparsegams.fit(
        X, y if loss == "squares" else labels(y), loss="SquaredError" if loss == "squares" else "Logistic",
        algorithm="CDPSI", num_lambda=100, max_support_size=k, intercept=False, **penalty,
    )  # fmt: skip
    path = np.asarray(fit.coeffs[0].todense()).T
    return path[int(np.argmax((path != 0).sum(axis=1)))]


def _plain(X: Any, y: Any, k: int, loss: str, ridge: float) -> NDArray[Any]:
    return _path(X, y, k, loss, ridge, penalty="L0")


def _ridge(X: Any, y: Any, k: int, loss: str, ridge: float) -> NDArray[Any]:
    """gamma multiplies |w|^2 beside the sum of the losses."""
    gamma = max(ridge, 1e-6) * len(y) / 2
    return _path(X, y, k, loss, ridge, penalty="L0L2", gamma_max=gamma, gamma_min=gamma)


PEERS = (
    Peer("fastsparse", "fastsparsegams", BOTH, "CDPSI, L0, 100 penalties, max_support_size = k", _plain),
    Peer("fastsparse-l2", "fastsparsegams", ("logistic",), "L0L2 with gamma = n ridge/2", _ridge),
)
