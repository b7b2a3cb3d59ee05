"""Logistic regression, mean log(1 + exp(-t (x'w + b))) + ridge/2 |w|^2, with the intercept b profiled out.

>>> problem = Logistic(np.array([[-2.0], [-1.0], [1.0], [2.0]]), np.array([0, 1, 0, 1]), ridge=0.1)
>>> round(problem.value(np.zeros(1)), 6)
0.693147

Centring the columns only moves b, so everything is computed on the centred matrix A: z = A w + b.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsopt.problems.base import Last, Problem
from sparsopt.problems.designs import design
from sparsopt.problems.factor import Factor
from sparsopt.problems.inputs import check_labels, check_matrix, check_ridge, check_support, check_weights
from sparsopt.problems.least_squares import LeastSquares
from sparsopt.state import Array, Layout, Mask

__all__ = ["Logistic"]

NEWTON_STEPS = 100
HALVINGS = 30
TOLERANCE = 1e-12  # of a restricted gradient, in units of the columns' standard deviations


@dataclass(frozen=True)
class Point:
    """The loss at one x: A x, the intercept b, probabilities of the label 1, residuals w (p - y), and the mean loss."""

    product: Array
    b: float
    chance: Array
    residual: Array
    loss: float


class Memory:
    """What one run keeps: columns, and the last point and gradient."""

    def __init__(self, problem: Logistic) -> None:
        self.columns = problem.design.columns()
        self.point, self.gradient = Last(), Last()


class Logistic(Problem):
    """f(w) = min_b sum_i s_i log(1 + exp(-t_i (x_i'w + b))) / sum_i s_i + ridge/2 |w|^2; b = 0 without an intercept.

    X: (n, p) NumPy array (float64 or float32, not copied) or scipy.sparse matrix, which is never made dense. y: (n,) in
    {0, 1} or {-1, 1}, t = -1 or 1. sample_weight: (n,) s_i >= 0. Do not change X while the problem is in use. Raises
    `InvalidInput`, also where only one label occurs.

    Where the labels are separable on a support and ridge = 0, the infimum is not attained: `minimise_on` then stops at
    the first point whose gradient, in units of the columns' standard deviations, is at most 1e-12 (weights of about
    28 over the margin), or after 100 Newton steps. The point is finite and its value close to the infimum, 0.
    """

    portfolio = "logistic"  # the search that `method="auto"` uses

    def __init__(self, X: Any, y: Any, ridge: float = 0.0, intercept: bool = True, sample_weight: Any = None) -> None:
        X = check_matrix(X)
        n, p = X.shape
        super().__init__(p, X.dtype)
        labels, weight = check_labels(y, n), check_weights(sample_weight, n)
        share = np.broadcast_to(weight, (n,))
        check_labels(labels[share > 0], int(np.count_nonzero(share)))
        self.sign, self.one = labels, labels > 0
        self.ridge = check_ridge(ridge)
        self.design = design(X, weight, bool(intercept))
        self.balance = float(share[self.one].sum())

    def __repr__(self) -> str:
        n, p = self.design.X.shape
        return f"Logistic(n={n}, p={p}, ridge={self.ridge:g}, intercept={self.design.centred})"

    def memory(self) -> Memory:
        return Memory(self)

    # ---- the function ----------------------------------------------------------------------------------------------

    def value(self, x: Array) -> float:
        return self._value(self._point(x), x)

    def gradient(self, x: Array) -> Array:
        """A'r + ridge x with r_i = w_i (p_i - y_i), by the envelope theorem: one product with all of X."""
        return self._gradient(x) if self._memo is None else self._memo.gradient.once(x, self._gradient)

    def hessian_product(self, x: Array, v: Array) -> Array:
        """(A'(D - d d'/sum d)A + ridge I) v, D = diag(d), d_i = w_i p_i (1 - p_i); without intercept A'DA + ridge I."""
        bend = self._bend(self._point(x))
        u = self.design.dot(v)
        if self.design.centred:
            u = u - _mean(u, bend)
        return (self.design.tdot(bend * u) + self.ridge * v).astype(self.dtype, copy=False)

    def hessian(self, x: Array) -> Array:
        """The matrix of `hessian_product` at x, (p, p) float64: for problems of few coordinates."""
        bend, memo = self._bend(self._point(x)), self.memory() if self._memo is None else self._memo
        slots = memo.columns.slots(np.arange(self.p))
        H = memo.columns.weighted_gram(slots, np.broadcast_to(bend, (self.design.n,)))
        if self.design.centred and bend.sum() > 0:
            along = memo.columns.tdot(slots, bend)
            H = H - np.outer(along, along) / bend.sum()
        H[np.diag_indices_from(H)] += self.ridge
        return H

    @property
    def samples(self) -> int:
        """n, the number of rows of X."""
        return self.design.n

    def restricted(self, indices: Array) -> Logistic:
        """f as a function of these coordinates only, the others zero."""
        new = copy.copy(self)
        new.design = self.design.restricted(indices)
        new.layout, new._memo = Layout.single(new.design.p), None
        return new

    def expansion(self, product: Array) -> tuple[float, Array, Array]:
        """The loss l at z = A x = product, without the ridge, and its derivatives there: l, r (n,), d (n,).

        grad l = r and, b following z, Hess l = diag(d) - d d'/sum d (without intercept diag(d)).
        """
        point = self._evaluate(product)
        return point.loss, point.residual, self._bend(point)

    def curvature(self) -> Array:
        """h_j = variance_j / 4 + ridge >= the curvature along coordinate j at every x, (p,)."""
        return self.design.variance / 4 + self.ridge

    def intercept(self, x: Array) -> float:
        return self._point(x).b - float(self.design.mean @ x)

    def floor(self) -> float:
        """0: log(1 + exp(.)) is positive."""
        return 0.0

    def _gradient(self, x: Array) -> Array:
        return (self.design.tdot(self._point(x).residual) + self.ridge * x).astype(self.dtype, copy=False)

    def _value(self, point: Point, x: Array) -> float:
        x = x.astype(np.float64, copy=False)
        return point.loss + 0.5 * self.ridge * float(x @ x)

    def _point(self, x: Array) -> Point:
        if self._memo is None:
            return self._evaluate(self.design.dot(x))
        known = self._memo.point.get(x)
        return self._memo.point.put(x, self._evaluate(self.design.dot(x))) if known is None else known

    def _evaluate(self, product: Array) -> Point:
        """Everything at one product A x, the intercept included."""
        b = self._best_intercept(product) if self.design.centred else 0.0
        z = product + b
        small = np.exp(-np.abs(z))
        chance = np.where(z >= 0, 1.0, small) / (1.0 + small)
        wrong = np.where(self.one, -np.where(z >= 0, small, 1.0) / (1.0 + small), chance)  # p - y without cancellation
        losses = np.log1p(small) + np.maximum(-self.sign * z, 0.0)
        return Point(product, b, chance, self.design.weight * wrong, float((self.design.shares * losses).sum()))

    def _best_intercept(self, product: Array) -> float:
        """The root b of sum_i w_i (p_i - y_i): Newton steps, kept in a bracket that holds it."""
        share, target = self.design.shares, self.balance
        centre = math.log(target / (1 - target))
        low, high = centre - float(product.max()), centre - float(product.min())
        b = min(max(centre - float(share @ product), low), high)
        for _ in range(200):
            chance = _sigmoid(product + b)
            slope = float(share @ chance) - target
            low, high = (low, b) if slope > 0 else (b, high)
            bend = float(share @ (chance * (1 - chance)))
            step = -slope / bend if bend > 0 else math.inf
            new = b + step if low < b + step < high else (low + high) / 2
            if abs(new - b) <= 4e-16 * (1 + abs(b)):
                return new
            b = new
        return b

    def _bend(self, point: Point) -> Array:
        """d_i = w_i p_i (1 - p_i), without cancellation for p near 1."""
        small = np.exp(-np.abs(point.product + point.b))
        return self.design.weight * small / (1.0 + small) ** 2

    # ---- constants -------------------------------------------------------------------------------------------------

    def smoothness(self, s: int | None = None) -> float:
        """A quarter of that of least squares on the same design, plus the ridge (which the quarter leaves out)."""
        return self._squares().smoothness(s) / 4 + self.ridge

    def strong_convexity(self, s: int | None = None) -> float:
        """The ridge: far from the origin the loss is as good as flat."""
        return self.ridge

    def _squares(self) -> LeastSquares:
        """Least squares with the same design: its Hessian is 4 times the largest of this loss."""
        squares = object.__new__(LeastSquares)
        squares.layout, squares.dtype, squares.design, squares.ridge = self.layout, self.dtype, self.design, 0.0
        return squares

    def rounding(self, x: Array) -> tuple[float, Array]:
        """The error of z is eps (2 n + 2 k + 20) sum_l |x_l| |a_l|; the loss has slope at most 1 in it, p slope 1/4."""
        size = np.sqrt(self.design.second)
        unit = float(np.finfo(self.dtype).eps) * (2 * self.design.n + 2 * np.count_nonzero(x) + 20)
        reach = 2.0 + float(np.abs(x) @ size) + abs(self._point(x).b)
        value = unit * (reach + self.ridge * float(x @ x))
        return value, unit * reach * size + 4 * float(np.finfo(self.dtype).eps) * self.ridge * np.abs(x)

    # ---- the restricted minimiser ----------------------------------------------------------------------------------

    def minimise_on(self, support: Mask, x: Array | None = None) -> tuple[Array, float]:
        """The minimiser among vectors supported there, (p,), and its value, by Newton's method from x (or 0)."""
        memo = self.memory() if self._memo is None else self._memo
        order = memo.columns.arrange(np.flatnonzero(check_support(support, self.p)))
        search = _Newton(self, memo.columns, order)
        weights = search.run(np.zeros(order.size) if x is None else x[order].astype(np.float64))
        found = np.zeros(self.p, self.dtype)
        found[order] = weights
        product = memo.columns.dot(search.slots, found[order])
        return found, self._value(memo.point.put(found, self._evaluate(product)), found)


class _Newton:
    """Newton's method with a line search on the profiled loss over the columns `order`."""

    def __init__(self, problem: Logistic, columns: Any, order: Array) -> None:
        self.problem, self.columns, self.ridge = problem, columns, problem.ridge
        self.slots = columns.slots(order)
        variance = problem.design.variance[order]
        self.unit = np.sqrt(np.where(variance > 0, variance, 1.0))
        self.moving = (variance > 0) | (self.ridge > 0)

    def run(self, w: Array) -> Array:
        """From w to a stationary point, or to where rounding or the number of steps ends the descent."""
        if not w.size:
            return w
        w = np.where(self.moving, w, 0.0)
        now = self._at(w)
        for _ in range(NEWTON_STEPS):
            if now.size <= TOLERANCE:
                break
            d = self._direction(now.gradient, now.point)
            better = self._descend(now, d, -float(now.gradient @ d))
            if better is None:
                break
            now = better
        return now.w

    def _at(self, w: Array, product: Array | None = None) -> _Place:
        point = self.problem._evaluate(self.columns.dot(self.slots, w) if product is None else product)
        g = self.columns.tdot(self.slots, point.residual) + self.ridge * w
        g = np.where(self.moving, g, 0.0)
        value = point.loss + 0.5 * self.ridge * float(w @ w)
        return _Place(w, point, value, g, float(np.abs(g / self.unit).max()))

    def _direction(self, g: Array, point: Point) -> Array:
        """-H^-1 g in units of the columns; least norm where H is singular."""
        bend = self.problem._bend(point)
        H = self.columns.weighted_gram(self.slots, bend)
        if self.problem.design.centred and bend.sum() > 0:
            along = self.columns.tdot(self.slots, bend)
            H = H - np.outer(along, along) / bend.sum()
        H[np.diag_indices_from(H)] += self.ridge
        H = H / self.unit / self.unit[:, None]
        factor = Factor()
        step = factor.solve(np.arange(g.size), H, -g / self.unit)
        return (_least_norm(H, -g / self.unit) if step is None else step) / self.unit

    def _descend(self, now: _Place, d: Array, decrease: float) -> _Place | None:
        """The first of the steps 1, 1/2, 1/4, ... that lowers f enough, or, where f no longer tells, the gradient."""
        if not (np.isfinite(decrease) and decrease > 0):
            return None
        along = self.columns.dot(self.slots, d)
        step = 1.0
        for _ in range(HALVINGS):
            new = self._at(now.w + step * d, now.point.product + step * along)
            if new.value <= now.value - 1e-4 * step * decrease:
                return new
            if decrease <= 1e-10 * abs(now.value) and new.size < 0.5 * now.size:
                return new
            step /= 2
        return None


@dataclass(frozen=True)
class _Place:
    """Where Newton's method stands; size: the largest |g_j| over the column's standard deviation."""

    w: Array
    point: Point
    value: float
    gradient: Array
    size: float


def _least_norm(H: Array, b: Array) -> Array:
    values, Q = np.linalg.eigh(H)
    used = values > max(float(values[-1]), 0.0) * 1e-13 * len(b)
    return Q[:, used] @ ((Q[:, used].T @ b) / values[used])


def _sigmoid(z: Array) -> Array:
    small = np.exp(-np.abs(z))
    return np.where(z >= 0, 1.0, small) / (1.0 + small)


def _mean(u: Array, weight: Array) -> float:
    total = float(weight.sum())
    return float(weight @ u) / total if total > 0 else 0.0
