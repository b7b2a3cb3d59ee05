"""Truth by enumeration: the best support of size k, found by looking at all of them. For tests and tiny problems.

>>> from sparsopt.problems import Quadratic
>>> enumerate_supports(Quadratic(np.eye(3), np.array([1.0, 3.0, 2.0])), 2)
(array([0., 3., 2.]), -6.5)
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from sparsopt.errors import InvalidInput
from sparsopt.state import Array

__all__ = ["enumerate_supports"]

MOST = 2_000_000
CHUNK = 4_000_000  # numbers in one batch of matrices
CLOSE = 1e-7  # supports this close to the best, relative to what they gain, are solved again with care
SINGULAR = 1e-8


def enumerate_supports(problem: Any, k: int, most: int = MOST) -> tuple[Array, float]:
    """A minimiser of f over vectors with at most k non-zeros, and its value: `minimise_on` on every support of size k.

    (Smaller supports are contained in these.) Quadratics and least squares are solved in batches, and the close
    contenders again one by one. Raises `InvalidInput` for more than `most` supports.
    """
    p = problem.layout.n
    if k < 0:
        raise InvalidInput(f"k = {k} is negative; choose 0 <= k <= {p}")
    k = min(k, p)
    number = math.comb(p, k)
    if number > most:
        raise InvalidInput(
            f"enumeration of k = {k} of p = {p} would look at {number:,} supports, more than the limit of {most:,}; "
            "choose fewer columns or a smaller k, or pass a larger `most`"
        )
    batched = k > 0 and hasattr(problem, "hessian_columns")
    candidates = _contenders(problem, p, k) if batched else _all(p, k)
    best = min((_minimised(problem, chosen) for chosen in candidates), key=lambda pair: pair[1])
    return best[0], float(best[1])


def _minimised(problem: Any, chosen: Any) -> tuple[Array, float]:
    support = np.zeros(problem.layout.n, dtype=bool)
    support[list(chosen)] = True
    return problem.minimise_on(support, None)


def _all(p: int, k: int) -> Iterator[Any]:
    return itertools.combinations(range(p), k)


def _contenders(problem: Any, p: int, k: int) -> Array:
    """The supports of a quadratic f whose gain c_S' H_SS^-1 c_S / 2 is close to the largest, and all singular ones."""
    H, c = problem.hessian_columns(np.arange(p)), -np.asarray(problem.gradient(np.zeros(p)), dtype=np.float64)
    supports, kept = _all(p, k), np.empty((0, k), dtype=np.intp)
    gains = np.empty(0)
    while chunk := list(itertools.islice(supports, max(1, CHUNK // (k * k)))):
        rows = np.array(chunk)
        new = _gains(H[rows[:, :, None], rows[:, None, :]], c[rows])
        gains, kept = np.concatenate([gains, new]), np.concatenate([kept, rows])
        finite = gains[np.isfinite(gains)]
        near = ~(gains < (1 - CLOSE) * finite.max(initial=0.0))
        gains, kept = gains[near], kept[near]
    return kept


def _gains(G: Array, c: Array) -> Array:
    """c'G^-1 c / 2 for a batch; NaN (to be looked at) where G is singular or not positive."""
    scale = np.sqrt(np.maximum(np.diagonal(G, axis1=1, axis2=2), 0.0))
    scale = np.where(scale > 0, scale, 1.0)
    G, c = G / scale[:, :, None] / scale[:, None, :], c / scale
    values, Q = np.linalg.eigh(G)
    along = np.einsum("bij,bi->bj", Q, c)
    good = values[:, 0] > SINGULAR
    gains = np.full(len(G), np.nan)
    gains[good] = np.einsum("bj,bj->b", along[good] ** 2, 1 / values[good]) / 2
    return gains
