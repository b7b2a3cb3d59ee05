"""What the best exchange of one coordinate would gain, everything refitted.

>>> from sparsopt.problems import Quadratic
>>> problem = Quadratic(np.eye(2), np.array([3.0, 2.0]))
>>> swap_gain(problem, np.array([0.0, 2.0]), np.array([False, True]))
2.5
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sparsopt.state import Array, Mask

__all__ = ["swap_gain"]

MOST_REFITS = 20_000
DEPENDENT = 1e-7  # of its curvature: with less left, a gain has lost its digits and is found by refitting


def swap_gain(problem: Any, x: Array, support: Mask, additions: bool = False) -> float:
    """By how much f falls in the best exchange of one coordinate of S for one outside, everything refitted.

    x: the minimiser of the quadratic f on S. With B = H_.S H_SS^-1, gamma_i = (H_SS^-1)_ii, c = -g and
    d_j = h_jj - B_j H_Sj, taking i out and j in changes f by

        x_i^2 / (2 gamma_i) - (c_j + B_ji x_i / gamma_i)^2 / (2 (d_j + B_ji^2 / gamma_i)).

    `additions`: also consider j coming in alone, c_j^2 / (2 d_j). -inf where there is nothing to exchange. Exchanges
    that leave nearly dependent coordinates are refitted, all of them where H_SS is nearly singular; nan if those are
    more than 20,000.
    """
    inside, outside = np.flatnonzero(support), np.flatnonzero(~support)
    if outside.size == 0 or (inside.size == 0 and not additions):
        return -math.inf
    everyone = np.ones((inside.size + additions, outside.size), dtype=bool)
    H = problem.hessian_columns(inside)
    c, h = -np.asarray(problem.gradient(x), dtype=np.float64)[outside], problem.curvature()[outside]
    try:
        inverse = np.linalg.inv(np.linalg.cholesky(H[inside]))
    except np.linalg.LinAlgError:
        return _refitted_gain(problem, x, support, everyone)
    if inside.size and np.min(np.diagonal(inverse) ** -2.0 / np.diagonal(H[inside])) < DEPENDENT:
        return _refitted_gain(problem, x, support, everyone)
    half = H[outside] @ inverse.T
    B, gamma, weights = half @ inverse, np.einsum("ij,ij->j", inverse, inverse), x[inside].astype(np.float64)
    d = h - np.einsum("ij,ij->i", half, half)
    entering, left = (c[:, None] + B * (weights / gamma)).T, (d[:, None] + B * B / gamma).T
    leaving = weights**2 / (2 * gamma)
    if additions:
        entering, left, leaving = np.vstack([entering, c]), np.vstack([left, d]), np.append(leaving, 0.0)
    doubtful = left <= DEPENDENT * h
    gain = entering**2 / (2 * np.where(doubtful, 1.0, left)) - leaving[:, None]
    plain = float(np.where(doubtful, -math.inf, gain).max())
    doubtful &= h > 0
    return max(_refitted_gain(problem, x, support, doubtful), plain) if doubtful.any() else plain


def _refitted_gain(problem: Any, x: Array, support: Mask, exchanges: Array) -> float:
    """The same by minimising: exchanges (|S| or |S| + 1, p - |S|), which out of S (none, in the last row), which in."""
    if np.count_nonzero(exchanges) > MOST_REFITS:
        return math.nan
    inside, outside, best = np.flatnonzero(support), np.flatnonzero(~support), math.inf
    for row, j in zip(*np.nonzero(exchanges), strict=True):
        other = support.copy()
        other[outside[j]] = True
        other[inside[row : row + 1]] = False
        best = min(best, problem.minimise_on(other, x)[1])
    return float(problem.value(x)) - best
