"""How much curvature can be taken off f along the coordinates: a diagonal D > 0 with f - w'Dw/2 convex.

The larger D, the better the bounds. For a quadratic with Hessian H, D_j = s / (H^-1)_jj with s the smallest eigenvalue
of V^1/2 H V^1/2, V = diag(H^-1), does not depend on the scale of the coordinates, and each D_j is at most
1 / (H^-1)_jj, the curvature that coordinate j keeps when all others are free. Whatever is proposed, it is believed only
after a Cholesky factorisation of H - D - delta I, with delta above all rounding errors (Rump 2006).

>>> from sparsopt.problems import Quadratic
>>> H = np.diag([1.0, 4.0])
>>> splitting(Quadratic(H, np.ones(2)), H).round(6)
array([1., 4.])
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsopt.state import Array

Flags = NDArray[np.bool_]

__all__ = ["ENTIRE", "Flags", "certain", "convex_after", "splitting"]

ENTIRE = 2000  # up to this order whole Hessians are formed
SHRINK = (1e-9, 1e-6, 1e-3)
EPS = float(np.finfo(float).eps)


def splitting(problem: Any, H: Array | None) -> Array | None:
    """D (p,), or None where f is not (known to be) strongly convex. H: the Hessian of a quadratic, where at hand."""
    p, d = problem.layout.n, float(problem.strong_convexity())
    if not 0 < d < math.inf:
        return None
    plain = np.full(p, d)
    if H is None or getattr(problem, "samples", math.inf) < p:
        return plain  # more coordinates than rows: hardly any has more curvature of its own than the ridge
    proposed = _balanced(H)
    proven = None if proposed is None else certain(problem, H, proposed)
    return plain if proven is None else proven


def certain(problem: Any, H: Array, D: Array) -> Array | None:
    """D, a little shrunk, such that H - D is certainly positive semi-definite; None where that cannot be shown."""
    error = float((problem.hessian_rounding() ** 2).sum())
    for shrink in SHRINK:
        if convex_after(H, (1 - shrink) * D, error):
            return (1 - shrink) * D
    return None


def convex_after(H: Array, D: Array, error: float) -> bool:
    """Whether H - diag(D) is certainly positive semi-definite, H known up to a matrix of norm `error`."""
    p = D.size
    delta = 1.1 * (p + 3) * EPS * float(np.trace(H)) + error
    shifted = H.copy()
    shifted[np.diag_indices(p)] -= D + delta
    try:
        np.linalg.cholesky(shifted)
    except np.linalg.LinAlgError:
        return False
    return True


def _balanced(H: Array) -> Array | None:
    try:
        half = np.linalg.inv(np.linalg.cholesky(H))
    except np.linalg.LinAlgError:
        return None
    v = np.einsum("ij,ij->j", half, half)
    root = np.sqrt(v)
    s = float(np.linalg.eigvalsh(H * root * root[:, None])[0])
    return s / v if s > 0 else None
