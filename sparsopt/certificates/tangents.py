"""A lower bound from value and gradient at any one point, and the point at which it is best.

Of a strongly convex f the tangent at u, with the curvature that every direction has, stays below f; its minimum over
the sparse vectors is known in closed form.

>>> from sparsopt.problems import Quadratic
>>> problem = Quadratic(np.eye(2), np.array([3.0, 2.0]))
>>> round(lower_bound(problem, np.array([3.0, 0.0]), 1), 9)
-4.5
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sparsopt.state import Array

__all__ = ["TOLERANCE", "lower_bound", "tightened_bound"]

TOLERANCE = 1e-10  # of the gap, relative to the larger of |f(x)| and |f(0)|: smaller is optimal


def lower_bound(problem: Any, u: Array, k: int) -> float:
    """A lower bound on f over the vectors with at most k non-zeros, from value and gradient at any one point u.

    With 0 < d <= strong_convexity(), q(w) = f(w) - d |w|^2 / 2 is convex and lies above its tangent at u, so with
    g = grad q(u)

        f(w) >= q(u) - g'u + min_w (g'w + d |w|^2 / 2) = q(u) - g'u - (sum of the k largest g_j^2) / (2 d).

    d = strong_convexity(); where that is 0 only `floor()` is left. Sound in floating point: every |g_j| is made larger
    by its rounding error, and the errors of the other terms are subtracted. At a restricted minimiser w with
    d min_S |w_i| >= max_{S^c} |g_j| the bound is f(w) itself.
    """
    return tightened_bound(problem, u, k, steps=0)


def tightened_bound(problem: Any, x: Array, k: int, steps: int = 200) -> float:
    """The best `lower_bound` over points u on the way from x to the minimiser of a convex relaxation.

    The best u of all minimises q(u) + d/2 |u|_k^2, |u|_k^2 = min of sum_j u_j^2 / z_j over 0 <= z <= 1, sum z = k (the
    k-support norm, Argyriou, Foygel, Srebro 2012; the perspective relaxation). u takes accelerated proximal gradient
    steps (Beck, Teboulle 2009). Sound wherever it stops: the steps only choose the point at which the bound is taken.
    """
    floor = float(problem.floor()) if hasattr(problem, "floor") else -math.inf
    if not (hasattr(problem, "strong_convexity") and hasattr(problem, "rounding")):
        return floor
    d = float(problem.strong_convexity())
    if not (0 < d < math.inf and np.isfinite(x).all()):
        return floor
    if not math.isfinite(problem.rounding(x)[0]):
        return floor
    problem = problem.open()  # value and gradient at one point share the work
    best, g = _bound(problem, x, d, k)
    if steps <= 0 or k == 0 or not hasattr(problem, "smoothness"):
        return max(floor, best)
    target, L = float(problem.value(x)), max(float(problem.smoothness()) - d, d)
    u, previous, momentum, gains = x.astype(np.float64), x.astype(np.float64), 1.0, [best]
    for _ in range(steps):
        new = _relaxed(u - g / L, d / L, k)
        following = (1 + math.sqrt(1 + 4 * momentum**2)) / 2
        u = (new + (momentum - 1) / following * (new - previous)).astype(problem.dtype)
        previous, momentum = new, following
        bound, g = _bound(problem, u, d, k)
        best = max(best, bound)
        gains.append(best)
        if target - best <= TOLERANCE / 10 * abs(target) or _stalled(gains, target):
            break
    return max(floor, best)


def _stalled(gains: list[float], target: float) -> bool:
    """Whether the last 20 steps closed less than a thousandth of the gap."""
    return len(gains) > 20 and gains[-1] - gains[-21] <= 1e-3 * (target - gains[-1])


def _relaxed(v: Array, ratio: float, k: int) -> Array:
    """argmin_u |u - v|^2 / 2 + ratio/2 |u|_k^2: u_j = v_j z_j / (z_j + ratio) with z_j = clip(t |v_j| - ratio, 0, 1).

    t is where sum z = k, found by bisection: z grows with t.
    """
    size = np.abs(v)
    if np.count_nonzero(size) <= k:
        return v / (1 + ratio)
    low, high = 0.0, (1 + ratio) / float(np.sort(size)[-k])
    for _ in range(60):
        t = (low + high) / 2
        low, high = (t, high) if np.clip(t * size - ratio, 0.0, 1.0).sum() < k else (low, t)
    z = np.clip(high * size - ratio, 0.0, 1.0)
    return v * (z / (z + ratio))


def _bound(problem: Any, u: Array, d: float, k: int) -> tuple[float, Array]:
    """The bound at u with curvature d, less what rounding may have added to it, and the gradient of q at u."""
    value, gradient = float(problem.value(u)), np.asarray(problem.gradient(u), dtype=np.float64)
    value_error, error = problem.rounding(u)
    u, eps = u.astype(np.float64), float(np.finfo(float).eps)
    g = gradient - d * u
    error = error + 2 * eps * (np.abs(gradient) + d * np.abs(u))
    reach = (np.abs(g) + error) ** 2
    most = float(np.sort(reach)[max(reach.size - k, 0) :].sum()) / (2 * d) if k else 0.0
    square, along = float(u @ u) * d / 2, float(g @ u)
    size = abs(value) + square + float(np.abs(g) @ np.abs(u)) + most
    doubt = value_error + float(error @ np.abs(u)) + 4 * eps * (u.size + 10) * size
    bound = value - square - along - most - doubt
    return (bound if math.isfinite(bound) else -math.inf), g
