"""One lower bound for every convex f, every node of a tree and every point, and a point where it is good.

Let D > 0 be a diagonal with q(w) = f(w) - w'Dw/2 convex. q lies above its tangent at any u, so with g = grad q(u), over
the w that contain the coordinates I, avoid the coordinates O, and have at most k non-zeros in all,

    f(w) >= q(u) - g'u - sum_{i in I} g_i^2 / (2 D_i) - (the k - |I| largest g_j^2 / (2 D_j) of the free j)

(derived here: minimise g'w + w'Dw/2 over those w). One gradient; u only decides how good the bound is. The best u is
the minimiser of q(w) + sum_j D_j w_j^2 / (2 z_j) over 0 <= z <= 1, sum z = k: the perspective relaxation (Frangioni
and Gentile 2006), here by a primal-dual interior point.

>>> from sparsopt.problems import Quadratic
>>> problem = Quadratic(np.array([[2.0, 1.0], [1.0, 2.0]]), np.array([3.0, 3.1]))
>>> exact = problem.minimise_on(np.array([False, True]))[1]
>>> 0 <= exact - root_bound(problem, 1, exact) < 0.9
True
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsopt.branch_and_bound.interior import LossModel, QuadraticModel, relaxed_minimiser
from sparsopt.branch_and_bound.splitting import ENTIRE, Flags, splitting
from sparsopt.errors import MissingCapability
from sparsopt.state import Array

__all__ = ["Bound", "Relaxation", "root_bound"]

WHOLE = 120  # up to this many free coordinates the interior point takes all of them
ROUNDS = 12  # of the working set
MOST_NEW = 40  # coordinates that a round adds
EPS = float(np.finfo(float).eps)


@dataclass(frozen=True)
class Bound:
    """A lower bound on f at a node, the point u it was taken at, and t_j = g_j^2 / D_j, enlarged by rounding, (p,)."""

    value: float
    u: Array
    t: Array


class Relaxation:
    """Bounds for f over vectors with at most k non-zeros, at any node of a tree. One run, one thread.

    problem: with value, gradient, rounding and strong_convexity, and either hessian_block (quadratics) or restricted
    and hessian. `D` is None where f is not strongly convex, or does not know its rounding errors: then there is no such
    bound.
    """

    def __init__(self, problem: Any, k: int) -> None:
        self.problem, self.k, self.p = problem.open(), k, problem.layout.n
        self.quadratic = hasattr(problem, "hessian_block")
        everything = self.quadratic and self.p <= ENTIRE
        self.H = np.asarray(problem.hessian_block(np.arange(self.p)), np.float64) if everything else None
        zero = np.zeros(self.p, problem.dtype)
        self.D = splitting(problem, self.H) if math.isfinite(problem.rounding(zero)[0]) else None
        self.at_zero = float(problem.value(zero))
        self.slope = np.asarray(problem.gradient(zero), np.float64)

    @property
    def curvature(self) -> Array:
        """D, where there is one."""
        if self.D is None:
            raise MissingCapability(
                f"{self.problem!r} is not strongly convex, or does not say how it rounds, so there is no relaxation to "
                "bound it with; give it a ridge, and a loss of your own rounding(x)"
            )
        return self.D

    def bound(self, u: Array, inside: Flags, outside: Flags) -> Bound:
        """The bound of the module at u, less what rounding may have added to it."""
        u = np.where(outside, 0.0, u).astype(self.problem.dtype)
        value, gradient = float(self.problem.value(u)), np.asarray(self.problem.gradient(u), np.float64)
        value_error, error = self.problem.rounding(u)
        if not (math.isfinite(value_error) and np.isfinite(error).all()):
            return Bound(-math.inf, u, np.full(self.p, math.inf))
        u, D, k = u.astype(np.float64), self.curvature, self.k - int(np.count_nonzero(inside))
        g = gradient - D * u
        error = error + 2 * EPS * (np.abs(gradient) + D * np.abs(u))
        t = (np.abs(g) + error) ** 2 / D * (1 + 4 * EPS)
        among = t[~(inside | outside)]
        most = float(t[inside].sum()) + (float(np.partition(among, -k)[-k:].sum()) if 0 < k < among.size else 0.0)
        most += float(among.sum()) if k >= among.size else 0.0
        square, along, across = float(u @ (D * u)), float(g @ u), float(np.abs(g) @ np.abs(u))
        size = abs(value) + square / 2 + across + most / 2
        doubt = value_error + float(error @ np.abs(u)) + 4 * EPS * (self.p + 10) * size
        found = value - square / 2 - along - most / 2 - doubt
        return Bound(found if math.isfinite(found) else -math.inf, u, t)

    def solve(self, inside: Flags, outside: Flags, target: float, near: Bound | None = None) -> Bound:
        """A good bound at a node: as good as the relaxation allows, or good enough to reach `target`.

        near: a bound of the parent, which says where to look among many coordinates.
        """
        free = ~(inside | outside)
        k = self.k - int(np.count_nonzero(inside))
        if k <= 0 or np.count_nonzero(free) <= k:
            u, _ = self.problem.minimise_on(inside | free if k > 0 else inside, None if near is None else near.u)
            return self.bound(u, inside, outside)
        t = self.slope**2 / self.curvature if near is None else near.t
        chosen = inside | _top(np.where(free, t, -1.0), free, self._width(k, free))
        best: Bound | None = None
        for _ in range(ROUNDS):
            found, local = self._on(np.flatnonzero(chosen), inside, outside, k, target, near)
            best = found if best is None or found.value > best.value else best
            missing = free & ~chosen
            level = np.partition(found.t[free & chosen], -k)[-k]
            wanted = missing & (found.t > level)
            enough = local - best.value <= 0.01 * max(target - best.value, 0.0)
            if best.value >= target or enough or not wanted.any():
                break
            chosen |= _top(np.where(wanted, found.t, -1.0), wanted, MOST_NEW)
        assert best is not None
        return best

    def _width(self, k: int, free: Flags) -> int:
        size = int(np.count_nonzero(free))
        return size if size <= WHOLE else min(size, max(2 * k + 20, 40))

    def _on(
        self, C: Array, inside: Flags, outside: Flags, k: int, target: float, near: Bound | None
    ) -> tuple[Bound, float]:
        """The bound at the relaxed minimiser on the coordinates C, and what it would be if there were no others."""
        start = np.zeros(C.size) if near is None or self.quadratic else near.u[C]
        w, local = relaxed_minimiser(self._model(C), self.curvature[C], inside[C], k, target, start)
        u = np.zeros(self.p)
        u[C] = w
        return self.bound(u, inside, outside), local

    def _model(self, C: Array) -> QuadraticModel | LossModel:
        """f on the coordinates C, cheap to evaluate many times."""
        if not self.quadratic:
            return LossModel(self.problem.restricted(C).open())
        H = self.problem.hessian_block(C) if self.H is None else self.H[np.ix_(C, C)]
        return QuadraticModel(np.asarray(H, np.float64), -self.slope[C], self.at_zero)

    def screened(self, bound: Bound, inside: Flags, outside: Flags, target: float) -> tuple[Flags, Flags]:
        """What every w of the node with f(w) < target must contain, and what it cannot contain.

        With j out (in) the same u gives a bound that is larger by half of t_j - t_(k+1) (t_(k) - t_j), t sorted.
        """
        free = ~(inside | outside)
        k = self.k - int(np.count_nonzero(inside))
        room = 2 * (target - bound.value)
        if not (0 < k < np.count_nonzero(free)) or room <= 0 or not math.isfinite(room):
            return inside, outside
        order = np.sort(bound.t[free])[::-1]
        room *= 1 + 8 * EPS
        room += 8 * EPS * (abs(bound.value) + abs(target) + float(order[0]))
        return inside | (free & (bound.t - order[k] >= room)), outside | (free & (order[k - 1] - bound.t >= room))


def _top(score: Array, among: Flags, count: int) -> Flags:
    """The `count` largest scores of a set."""
    size = int(np.count_nonzero(among))
    if count >= size:
        return among.copy()
    mask = np.zeros(score.size, dtype=bool)
    mask[np.argpartition(score, score.size - count)[score.size - count :]] = True
    return mask & among


def root_bound(problem: Any, k: int, incumbent_value: float = math.inf) -> float:
    """A lower bound on f over the vectors with at most k non-zeros, from the perspective relaxation.

    incumbent_value: a value of f that is attained; the search for a better bound ends once this one is reached. Where f
    is not strongly convex only `floor()` is left.
    """
    floor = float(problem.floor()) if hasattr(problem, "floor") else -math.inf
    p = problem.layout.n
    if not capable(problem) or k >= p:
        return floor
    relaxation = Relaxation(problem, k)
    if relaxation.D is None:
        return floor
    none = np.zeros(p, dtype=bool)
    return max(floor, relaxation.solve(none, none, incumbent_value).value)


def capable(problem: Any) -> bool:
    """Whether a problem has what the relaxation asks for."""
    methods = ("value", "gradient", "minimise_on", "strong_convexity", "rounding")
    model = hasattr(problem, "hessian_block") or (hasattr(problem, "restricted") and hasattr(problem, "hessian"))
    return model and all(hasattr(problem, name) for name in methods)
