"""abess: splicing at a support size."""

from __future__ import annotations

# pyright: reportMissingImports=false
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.convex_peers.peers.peer import BOTH, SQUARES, Peer


def _abess(X: Any, y: Any, k: int, loss: str, ridge: float, **settings: Any) -> NDArray[Any]:
    """alpha multiplies |w|^2 beside the sum of the logistic losses: without it separable data run away."""
    from abess import LinearRegression, LogisticRegression

    alpha = 0.0 if loss == "squares" else ridge * len(y) / 2
    model = (LinearRegression if loss == "squares" else LogisticRegression)(
        support_size=k, alpha=alpha, thread=1, fit_intercept=False, **settings
    )
    return np.asarray(model.fit(X, y).coef_).ravel()


def _full(X: Any, y: Any, k: int, loss: str, ridge: float, **settings: Any) -> NDArray[Any]:
    return _abess(X, y, k, loss, ridge, important_search=0, exchange_num=k, **settings)


PEERS = (
    Peer("abess", "abess", BOTH, "support_size = k; logistic: alpha = n ridge/2", _abess),
    Peer("abess-full", "abess", BOTH, "important_search = 0, exchange_num = k besides", _full),
    Peer("abess-taper", "abess", SQUARES, "splicing_type = 1 besides", partial(_full, splicing_type=1)),
    Peer("abess-newton", "abess", ("logistic",), "full, approximate_Newton", partial(_full, approximate_Newton=True)),
)
