"""What can be shown about a point from (problem, x, support, k) alone, whoever found it.

A lower bound holds for every vector with at most k non-zeros; the gap is what could still be gained. Nothing is
computed before it is asked for.

>>> from sparsopt.problems import Quadratic
>>> problem = Quadratic(np.eye(3), np.array([3.0, 2.0, 1.0]))
>>> proof = Certificates(problem, np.array([3.0, 2.0, 0.0]), np.array([True, True, False]), 2)
>>> proof.value, proof.optimal, proof.gap < 1e-12
(-6.5, True, True)
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from sparsopt.state import Array, Mask

__all__ = ["Certificates", "Standing", "lower_bound", "swap_gain", "tightened_bound"]

TOLERANCE = 1e-10  # of the gap, relative to the larger of |f(x)| and |f(0)|: smaller is optimal
STATIONARY = 1e-7  # of a gradient, relative to that at 0
MOST_STEPS = 200  # towards a better lower bound
MOST_WORK = 2e9  # operations that looking at every swap may take
ROOT_WORK = 2e10  # operations that the bound of the relaxation may take: about a second
NEAR = 0.1  # of the fall from f(0): what is called within a gap
MOST_REFITS = 20_000
DEPENDENT = 1e-7  # of its curvature: with less left, a gain has lost its digits and is found by refitting


class Standing(enum.Enum):
    """What is shown about a point, the strongest first. The value is a sentence for the user."""

    OPTIMAL = "Optimal: proved that no vector with at most k non-zeros has a lower value, beyond rounding."
    WITHIN_GAP = "Within a gap: proved that at most a tenth of the fall from f(0) to f(x) could be gained beside it."
    ONE_SWAP_OPTIMAL = (
        "One-swap optimal: no exchange of one coordinate lowers the value; what larger exchanges do is not known."
    )
    FEASIBLE = "Feasible: at most k non-zeros; nothing more is shown."
    INFEASIBLE = "Not feasible: more than k coordinates, a weight off the support, or one that is not finite."

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Certificates:
    """Facts about x with the given support as a solution of: minimise f over vectors with at most k non-zeros.

    problem: anything with value and gradient; lower bounds need `strong_convexity`, `floor` and `rounding`, and swaps
    `hessian_columns` (where these are missing: -inf, None). x (p,), support (p,) boolean.
    """

    problem: Any
    x: Array
    support: Mask
    k: int

    @cached_property
    def value(self) -> float:
        """f(x), recomputed."""
        return float(self.problem.value(self.x))

    @cached_property
    def feasible(self) -> bool:
        """Whether |S| <= k and x is finite, and exactly zero off S."""
        inside = int(np.count_nonzero(self.support)) <= self.k and not np.any(self.x[~self.support])
        return bool(inside and np.isfinite(self.x).all())

    @cached_property
    def lower_bound(self) -> float:
        """No vector with at most k non-zeros has a smaller f than this; -inf where no bound is known.

        The larger of two: `lower_bound` at x itself, and unless that is f(x), the perspective relaxation with a
        diagonal splitting (`branch_and_bound.relaxation.root_bound`), or `tightened_bound` where that costs too much.
        """
        from sparsopt.branch_and_bound.relaxation import capable, root_bound

        best = lower_bound(self.problem, self.x, self.k)
        if self._closes(best) or not np.isfinite(self.x).all():
            return best
        if capable(self.problem) and _root_work(self.problem) <= ROOT_WORK:
            return max(best, root_bound(self.problem, self.k, self.value))
        steps = min(MOST_STEPS, int(MOST_WORK / 2 / (_rows(self.problem) * self.x.shape[0])))
        return max(best, tightened_bound(self.problem, self.x, self.k, steps))

    @cached_property
    def gap(self) -> float:
        """value - lower_bound >= 0: the most that could still be gained."""
        return max(self.value - self.lower_bound, 0.0)

    @cached_property
    def optimal(self) -> bool:
        """Whether it is proved that no feasible vector is better by more than 1e-10 max(|f(x)|, |f(0)|).

        False says that there is no proof, not that there is a better vector.
        """
        return self.feasible and math.isfinite(self.value) and self._closes(self.lower_bound)

    def _closes(self, bound: float) -> bool:
        """Whether nothing but rounding is between this bound and f(x)."""
        return bool(self.value - bound <= TOLERANCE * max(abs(self.value), abs(self._value_at_zero)))

    @cached_property
    def standing(self) -> Standing:
        """The strongest of: optimal, within a tenth, one-swap optimal, feasible."""
        if not self.feasible:
            return Standing.INFEASIBLE
        if self.optimal:
            return Standing.OPTIMAL
        if self.gap <= NEAR * (self._value_at_zero - self.value):
            return Standing.WITHIN_GAP
        return Standing.ONE_SWAP_OPTIMAL if self.one_swap_optimal else Standing.FEASIBLE

    @cached_property
    def l_stationary(self) -> bool | None:
        """Whether x is among the k-sparse vectors nearest to x - g/L, L = smoothness(): a fixed point of IHT.

        That is g_S = 0 and |g_j| <= L * (the k-th largest |x_i|) off S, up to 1e-7 of the gradient at 0 (Beck, Eldar
        2013). Every optimal x is; few others are. None where f has no smoothness.
        """
        if not (self._plain and hasattr(self.problem, "smoothness")):
            return None
        g, L = np.abs(self.problem.gradient(self.x)).astype(np.float64), float(self.problem.smoothness())
        slack = STATIONARY * float(np.abs(self.problem.gradient(np.zeros_like(self.x))).max())
        moved = self.x != 0
        smallest = 0.0
        if 0 < self.k <= np.count_nonzero(moved):
            smallest = float(np.sort(np.abs(self.x))[-self.k])
        still = bool(np.all(g[moved] <= slack)) and self.feasible
        return still and (self.k == 0 or bool(np.all(g[~moved] <= L * smallest + slack)))

    @cached_property
    def one_swap_optimal(self) -> bool | None:
        """Whether no refit gives a smaller f: on S, after any swap of one coordinate, or any addition while |S| < k.

        Exact for quadratics and least squares, up to 1e-9 of f(0) - f(x) and what `minimise_on` resolves. None where f
        is neither, or where looking at all swaps would take more than 2e9 operations.
        """
        size, p = int(np.count_nonzero(self.support)), self.x.shape[0]
        if not (self._plain and hasattr(self.problem, "hessian_columns")):
            return None
        if _rows(self.problem) * p * (size + 1) > MOST_WORK:
            return None
        slack = 1e-9 * max(self._value_at_zero - self.value, 0.0) + 1e-13 * abs(self.value)
        if not self.feasible:
            return False
        most = self._most_to_gain()
        return None if math.isnan(most) else most <= slack

    def _most_to_gain(self) -> float:
        """f(x) less the best value of a refit on S, after a swap, or after an addition."""
        refit, value = self.problem.minimise_on(self.support, self.x)
        gain = swap_gain(self.problem, refit, self.support, additions=int(np.count_nonzero(self.support)) < self.k)
        return self.value - value + (gain if math.isnan(gain) else max(gain, 0.0))

    @property
    def _plain(self) -> bool:
        """Whether any k coordinates may have any values: else fewer points compete than these tests see."""
        return bool(getattr(self.problem, "plain", True))

    @cached_property
    def _value_at_zero(self) -> float:
        return float(self.problem.value(np.zeros_like(self.x)))


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


def _root_work(problem: Any) -> float:
    """About how many operations the relaxation at the root takes: a Hessian, a spectrum, passes over the data."""
    from sparsopt.branch_and_bound.relaxation import ROUNDS, WHOLE
    from sparsopt.branch_and_bound.splitting import ENTIRE

    n, p = float(_rows(problem)), float(problem.layout.n)
    passes, width = 2 * n * p * ROUNDS, min(p, WHOLE)
    if not hasattr(problem, "hessian_block"):
        return passes + 20 * ROUNDS * n * width**2
    return passes + (n * p**2 + (10 * p**3 if n >= p else 0.0) if p <= ENTIRE else ROUNDS * n * width**2)


def _rows(problem: Any) -> int:
    """How many numbers a coordinate costs in a gradient."""
    return getattr(getattr(problem, "design", None), "n", problem.layout.n)


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
