"""The objective at a support, refitted by plain linear algebra: the same judge for every method, and none of them.

    least squares: (|y - A w|^2 / n + ridge |w|^2) / 2 by LAPACK's least squares, A = X_S
    logistic: mean log(1 + exp(z)) - y z, z = A w, + ridge/2 |w|^2 by Newton's method with halved steps

>>> from benchmarks.convex_peers.problems import PROBLEMS
>>> case = PROBLEMS["P8"].draw(0)
>>> round(value(case, np.isin(np.arange(64), [2, 3, 6, 8, 13, 36])), 6) > 0.23878
True
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.convex_peers.problems import Case

Floats = NDArray[np.float64]
STEPS, HALVINGS, ENOUGH = 200, 60, 1e-15


def value(case: Case, support: NDArray[np.bool_]) -> float:
    """min of the objective over w that is zero off the support, a mask (p,)."""
    A = np.asarray(case.X[:, support], dtype=np.float64)
    return _squares(A, case.y, case.ridge) if case.loss == "squares" else _logistic(A, case.y, case.ridge)


def _squares(A: Floats, y: Floats, ridge: float) -> float:
    n, k = A.shape
    stacked = np.vstack([A, np.sqrt(n * ridge) * np.eye(k)]) if ridge > 0 else A
    target = np.concatenate([y, np.zeros(stacked.shape[0] - n)])
    w = np.linalg.lstsq(stacked, target, rcond=None)[0]
    residual = target - stacked @ w
    return float(residual @ residual) / (2 * n)


def _logistic(A: Floats, y: Floats, ridge: float) -> float:
    n, k = A.shape
    w, best = np.zeros(k), _log_loss(A, y, ridge, np.zeros(k))
    for _ in range(STEPS):
        chance = 0.5 * (1 + np.tanh(0.5 * (A @ w)))
        gradient = A.T @ (chance - y) / n + ridge * w
        hessian = (A.T * (chance * (1 - chance))) @ A / n + ridge * np.eye(k)
        step = np.linalg.lstsq(hessian, gradient, rcond=None)[0]
        if gradient @ step <= ENOUGH * best:
            break
        for halved in range(HALVINGS):
            moved = w - step / 2**halved
            found = _log_loss(A, y, ridge, moved)
            if found < best:
                break
        else:
            break
        w, best = moved, found
    return best


def _log_loss(A: Floats, y: Floats, ridge: float, w: Floats) -> float:
    z = A @ w
    return float(np.mean(np.logaddexp(0.0, z) - y * z) + ridge / 2 * w @ w)
