"""scikit-learn: orthogonal matching pursuit, and l1 paths to k non-zeros."""

from __future__ import annotations

# pyright: reportMissingImports=false
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.convex_peers.peers.peer import BOTH, SQUARES, Peer, first_with


def _omp(X: Any, y: Any, k: int, loss: str, ridge: float) -> NDArray[Any]:
    from sklearn.linear_model import orthogonal_mp

    return np.asarray(orthogonal_mp(X, y, n_nonzero_coefs=k))


def _omp_gram(X: Any, y: Any, k: int, loss: str, ridge: float) -> NDArray[Any]:
    from sklearn.linear_model import orthogonal_mp_gram

    return np.asarray(orthogonal_mp_gram(X.T @ X.copy(), X.T @ y, n_nonzero_coefs=k, copy_Gram=False, copy_Xy=False))


def _l1(X: Any, y: Any, k: int, loss: str, ridge: float) -> NDArray[Any]:
    if loss == "squares":
        from sklearn.linear_model import lars_path

        return first_with(k, lars_path(X, y, method="lasso", max_iter=8 * k)[2].T)
    from sklearn.linear_model import LogisticRegression

    model: Any = LogisticRegression(
        l1_ratio=1.0, solver="liblinear", fit_intercept=False, tol=1e-4, max_iter=300, random_state=0
    )
    top = np.abs(X.T @ (y - 0.5)).max()
    return first_with(k, (model.set_params(C=scale / top).fit(X, y).coef_[0] for scale in np.geomspace(1.2, 1e3, 25)))


PEERS = (
    Peer("sklearn-omp", "sklearn", SQUARES, "orthogonal_mp", _omp),
    Peer("sklearn-omp-gram", "sklearn", SQUARES, "the Gram, then orthogonal_mp_gram", _omp_gram, widest=10_000),
    Peer("sklearn-l1", "sklearn", BOTH, "lars_path to k; logistic: liblinear on 25 penalties to k", _l1),
)
