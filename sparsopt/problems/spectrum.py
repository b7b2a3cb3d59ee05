"""Eigenvalue bounds that are bounds: what step sizes and certificates rest on.

The Hessian of a linear model is A'WA up to factors. If n or p is at most 2000 its extreme eigenvalues are computed from
the smaller of A'WA and AA' and moved outwards by the rounding error of doing so. Beyond that the largest is bounded by
the smallest of trace, norm product and a Lanczos estimate inflated as Kuczynski and Wozniakowski (1992, "Estimating
the largest eigenvalue by the power and Lanczos algorithms with a random start") prove for a random start; that last
bound fails for one start in 10^12. The smallest is then bounded by 0, which is always true.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from sparsopt.state import Array

__all__ = [
    "EXACT",
    "above",
    "below",
    "error",
    "extremes",
    "lanczos_bound",
    "outer_norm",
    "restricted_extremes",
    "symmetric_extremes",
]

EXACT = 2000  # up to this order eigenvalues are computed
MOST_SUBSETS = 20_000  # up to this many supports are enumerated
STEPS = 48  # of Lanczos
EPS = float(np.finfo(float).eps)
HUGE = 1e140
TINY = float(np.finfo(float).tiny)  # below it errors are not relative any more


def error(units: int, size: float) -> float:
    """So many units of rounding in a number of this size; none in a zero."""
    return units * (EPS * size + TINY) if size else 0.0


def above(bound: float, ridge: float) -> float:
    """bound + ridge, not rounded down."""
    return math.nextafter(bound + ridge, math.inf) if bound and ridge else bound + ridge


def below(bound: float, ridge: float) -> float:
    """bound + ridge, not rounded up."""
    return math.nextafter(bound + ridge, -math.inf) if bound and ridge else bound + ridge


def extremes(design: Any) -> tuple[float, float]:
    """Lower and upper bounds on the eigenvalues of A'WA (with p > n the smallest is 0)."""
    n, p = design.n, design.p
    trace = float(design.variance.sum())
    if min(n, p) > EXACT:
        ceiling = min(trace + error(n + p, trace), design.outer_bound())
        product = _product(design)
        sane = 1 / HUGE < trace < HUGE  # else norms of products under- or overflow
        return 0.0, min(ceiling, lanczos_bound(product, min(n, p))) if sane else ceiling
    values = np.linalg.eigvalsh(design.gram() if p <= n else design.outer())
    slack = error(n + 10 * p + 20, float(design.second.sum()))
    low = max(float(values[0]) - slack, 0.0) if p <= n else 0.0
    return low, min(max(float(values[-1]), 0.0) + slack, trace + error(n + p, trace))


def _product(design: Any) -> Callable[[Array], Array]:
    """v -> A'WA v or v -> W^1/2 A A' W^1/2 v, whichever is shorter."""
    if design.p <= design.n:
        return lambda v: design.tdot(design.shares * design.dot(v))
    root = np.sqrt(design.shares)
    return lambda v: root * design.dot(design.tdot(root * v))


def outer_norm(design: Any) -> float:
    """max_j sum_i w_i |x_ij| sum_l |x_il|, a bound on the eigenvalues of X'WX, and so on those of the centred A'WA."""
    size, slack = design.absolute(), (design.n + design.p + 20) * float(np.finfo(design.dtype).eps)
    return float(np.max(size.tdot(size.shares * size.dot(np.ones(design.p))))) * (1 + 1e-5 + slack)


def lanczos_bound(product: Callable[[Array], Array], n: int, steps: int = STEPS) -> float:
    """An upper bound on the largest eigenvalue of a positive semi-definite matrix of order n, from `steps` products.

    The largest Ritz value is at least (1 - e) times the largest eigenvalue except with probability
    1.648 sqrt(n) exp(-sqrt(e) (2 steps - 1)) over the start; e makes that 10^-12. Full reorthogonalisation.
    """
    basis = np.zeros((steps, n))
    v = np.random.default_rng(0).standard_normal(n)
    diagonal, beside = [], []
    for step in range(steps):
        basis[step] = v / np.linalg.norm(v)
        v = np.asarray(product(basis[step]), dtype=np.float64)
        diagonal.append(float(v @ basis[step]))
        for _ in range(2):
            v -= basis[: step + 1].T @ (basis[: step + 1] @ v)
        beside.append(float(np.linalg.norm(v)))
        if beside[-1] <= 1e-12 * max(diagonal):
            break
    used, off = len(diagonal), beside[: len(diagonal) - 1]
    estimate = float(np.linalg.eigvalsh(np.diag(diagonal) + np.diag(off, 1) + np.diag(off, -1))[-1]) * (1 + 1e-5)
    if used < steps:  # an invariant subspace: a random start has a share of every eigenvector
        return estimate
    error = (math.log(1.648 * math.sqrt(n) * 1e12) / (2 * used - 1)) ** 2
    return estimate / (1 - error) if error < 1 else math.inf


def symmetric_extremes(H: Array) -> tuple[float, float]:
    """Bounds on the eigenvalues of a symmetric matrix: computed up to order `EXACT`, else from row sums.

    The slack is that of the computation, n eps |H|; the lower bound is not cut off at zero.
    """
    if H.shape[0] > EXACT:
        size = float(np.max(np.abs(H).sum(axis=1)))
        beside = np.abs(H).sum(axis=1) - np.abs(np.diagonal(H))
        slack = error(2 * H.shape[0], size)
        return float(np.min(np.diagonal(H) - beside)) - slack, size + slack
    values = np.linalg.eigvalsh(H)
    slack = error(4 * H.shape[0], float(np.max(np.abs(values), initial=0.0)))
    return float(values[0]) - slack, float(values[-1]) + slack


def restricted_extremes(H: Array, s: int) -> tuple[float, float]:
    """Bounds on the eigenvalues of all principal submatrices of order at most s.

    Exact (up to rounding) when there are at most `MOST_SUBSETS` of order s: those contain the smaller ones, and
    eigenvalues interlace. Else Gershgorin discs with the s - 1 largest entries beside the diagonal.
    """
    p = H.shape[0]
    s = min(s, p)
    if math.comb(p, s) > MOST_SUBSETS:
        beside = np.abs(H) - np.diag(np.abs(np.diagonal(H)))
        radius = np.sort(beside, axis=1)[:, p - (s - 1) :].sum(axis=1) if s > 1 else np.zeros(p)
        low, high = float(np.min(np.diagonal(H) - radius)), float(np.max(np.diagonal(H) + radius))
        slack = error(2 * s, max(abs(low), abs(high)))
        return low - slack, high + slack
    low, high = math.inf, -math.inf
    supports = itertools.combinations(range(p), s)
    while chunk := list(itertools.islice(supports, max(1, 2_000_000 // (s * s)))):
        rows = np.array(chunk)
        values = np.linalg.eigvalsh(H[rows[:, :, None], rows[:, None, :]])
        low, high = min(low, float(values[:, 0].min())), max(high, float(values[:, -1].max()))
    slack = error(4 * s, max(abs(low), abs(high)))
    return low - slack, high + slack
