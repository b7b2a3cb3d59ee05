"""Losses of linear predictors, f(x) = min_b l(A x + b) + ridge/2 |x|^2: all that such problems share.

A loss says what it and its derivatives are at a product A x, best intercept included (a `Point`). Value, gradient,
Hessian products and Newton's method on a support follow. Centring the columns only moves b, so everything is computed
on the centred matrix A. With several outputs, x holds a row of `outputs` coefficients for each column of X, row by row.

>>> from sparsopt.problems import Poisson
>>> problem = Poisson(np.array([[0.0], [0.0], [1.0]]), np.array([1.0, 3.0, 4.0]), intercept=True)
>>> problem.minimise_on(np.array([True]))[0].round(6) == np.log(2.0).round(6)
array([ True])
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, Self

import numpy as np

from sparsopt.errors import NotFinite
from sparsopt.problems.base import Last, Problem
from sparsopt.problems.designs import design
from sparsopt.problems.factor import Factor
from sparsopt.problems.inputs import check_intercept, check_ridge, check_support, check_weights
from sparsopt.state import Array, Layout, Mask

__all__ = ["LinearModel", "Point"]

NEWTON_STEPS = 100
HALVINGS = 30
TOLERANCE = 1e-12  # of a restricted gradient, in units of the columns' standard deviations and the residuals at 0
DAMPING = 1e-3  # of the largest Hessian that the loss can have, where its own says nothing


class Point(Protocol):
    """A loss l at one product A x of shape (n,) or (n, outputs), its intercept included.

    residual: dl/dz, as the product. H, the Hessian in z = A x with b following, appears as `times`, u -> H u, and
    `gram`, A_S'H A_S (m, m) of the columns in these slots, m = their number times the outputs.
    """

    product: Array
    b: Any
    loss: float
    residual: Array

    def times(self, u: Array) -> Array: ...
    def gram(self, columns: Any, slots: Array) -> Array: ...


class Memory:
    """What one run keeps: columns, and the last point and gradient."""

    def __init__(self, problem: LinearModel) -> None:
        self.columns = problem.design.columns()
        self.point, self.gradient = Last(), Last()


class LinearModel(Problem):
    """f(x) = min_b l(A x + b) + ridge/2 |x|^2, without b where there is no intercept. A loss gives `_evaluate`.

    X: (n, p) as `check_matrix` returns it. sample_weight: (n,) >= 0; l is a mean with these weights.
    """

    steepest = np.inf  # l'' is at most this times the rows' shares

    def __init__(self, X: Any, ridge: Any, intercept: bool, sample_weight: Any, outputs: int = 1) -> None:
        n, p = X.shape
        super().__init__(p * outputs, X.dtype)
        self.outputs, self.ridge = outputs, check_ridge(ridge)
        self.design = design(X, check_weights(sample_weight, n), check_intercept(intercept))

    def __repr__(self) -> str:
        n, p = self.design.X.shape
        return f"{type(self).__name__}(n={n}, p={p}, ridge={self.ridge:g}, intercept={self.design.centred})"

    def memory(self) -> Memory:
        return Memory(self)

    def _evaluate(self, product: Array) -> Any:
        """The `Point` at a product."""
        raise NotImplementedError

    # ---- the function ----------------------------------------------------------------------------------------------

    def value(self, x: Array) -> float:
        return self._value(self._point(x), x)

    def gradient(self, x: Array) -> Array:
        """A'r + ridge x, r = dl/dz at the best b (envelope theorem): one product with all of X."""
        return self._gradient(x) if self._memo is None else self._memo.gradient.once(x, self._gradient)

    def hessian_product(self, x: Array, v: Array) -> Array:
        """(A'H A + ridge I) v, H the Hessian of l in the product, b following."""
        along = self._point(x).times(self.design.dot(self._matrix(v)))
        return (self.design.tdot(along).ravel() + self.ridge * v).astype(self.dtype, copy=False)

    def hessian(self, x: Array) -> Array:
        """The matrix of `hessian_product` at x, (p, p) float64: for problems of few coordinates."""
        memo = self.memory() if self._memo is None else self._memo
        H = self._point(x).gram(memo.columns, memo.columns.slots(np.arange(self.design.p)))
        H[np.diag_indices_from(H)] += self.ridge
        return H

    @property
    def samples(self) -> int:
        """n, the number of rows of X."""
        return self.design.n

    def restricted(self, indices: Array) -> Any:
        """f as a function of these coordinates only, the others zero."""
        return super().restricted(indices) if self.outputs > 1 else self._with(self.design.restricted(indices))

    def _with(self, part: Any) -> Self:
        """The same loss on another design."""
        new = copy.copy(self)
        new.design, new.layout, new._memo = part, Layout.single(part.p * self.outputs), None
        return new

    def intercept(self, x: Array) -> Any:
        return self._point(x).b - self.design.mean @ self._matrix(x)

    def floor(self) -> float:
        """0: no loss here is ever negative."""
        return 0.0

    def strong_convexity(self, s: int | None = None) -> float:
        """The ridge: the loss itself can be as good as flat."""
        return self.ridge

    def _matrix(self, x: Array) -> Array:
        return x if self.outputs == 1 else x.reshape(-1, self.outputs)

    def _gradient(self, x: Array) -> Array:
        return (self.design.tdot(self._point(x).residual).ravel() + self.ridge * x).astype(self.dtype, copy=False)

    def _value(self, point: Point, x: Array) -> float:
        x = x.astype(np.float64, copy=False)
        return point.loss + 0.5 * self.ridge * float(x @ x)

    def _point(self, x: Array) -> Any:
        if self._memo is None:
            return self._evaluate(self.design.dot(self._matrix(x)))
        known = self._memo.point.get(x)
        return self._memo.point.put(x, self._evaluate(self.design.dot(self._matrix(x)))) if known is None else known

    @cached_property
    def _zero(self) -> tuple[float, float]:
        """At x = 0: f, and the size of a residual, sqrt(sum_i r_i^2 / w_i)."""
        shape = (self.design.n,) if self.outputs == 1 else (self.design.n, self.outputs)
        point = self._evaluate(np.zeros(shape))
        weight = self.design.shares if self.outputs == 1 else self.design.shares[:, None]
        return point.loss, float(np.sqrt((point.residual**2 / np.where(weight > 0, weight, 1.0)).sum()))

    # ---- the restricted minimiser ----------------------------------------------------------------------------------

    def minimise_on(self, support: Mask, x: Array | None = None) -> tuple[Array, float]:
        """The minimiser among vectors supported there, (p,), and its value, by Newton's method from x (or 0)."""
        memo = self.memory() if self._memo is None else self._memo
        support = check_support(support, self.p)
        search = _Newton(self, memo.columns, support)
        found = np.zeros(self.p, self.dtype)
        found[search.order] = search.run(np.zeros(search.order.size) if x is None else x[search.order])
        product = memo.columns.dot(search.slots, search.rows(found[search.order]))
        return found, self._value(memo.point.put(found, self._evaluate(product)), found)


class _Newton:
    """Newton's method with a line search on the loss over the columns that a support touches."""

    def __init__(self, problem: LinearModel, columns: Any, support: Mask) -> None:
        self.problem, self.columns, self.ridge = problem, columns, problem.ridge
        touched = support if problem.outputs == 1 else support.reshape(-1, problem.outputs).any(axis=1)
        features = columns.arrange(np.flatnonzero(touched))
        self.slots = columns.slots(features)
        every = features if problem.outputs == 1 else _expanded(features, problem.outputs)
        self.free = support[every]
        self.order = every[self.free]
        variance = np.repeat(problem.design.variance[features], problem.outputs)[self.free]
        self.unit = np.sqrt(np.where(variance > 0, variance, 1.0))
        self.moving = (variance > 0) | (self.ridge > 0)

    def rows(self, w: Array) -> Array:
        """w as coefficients of the columns, (k,) or (k, outputs)."""
        if self.problem.outputs == 1:
            return w
        full = np.zeros(self.free.size)
        full[self.free] = w
        return full.reshape(-1, self.problem.outputs)

    def run(self, w: Array) -> Array:
        """From w, or 0 if that is lower, to a stationary point, or where rounding or the steps end the descent."""
        if not w.size:
            return w
        value, size = self.problem._zero
        now = self._at(np.where(self.moving, w, 0.0).astype(np.float64))
        if not now.value <= value:
            now = self._at(np.zeros(w.size))
        for _ in range(NEWTON_STEPS):
            better = None if now.size <= TOLERANCE * size else self._next(now)
            if better is None or (better.value == now.value and better.size >= now.size):
                break
            now = better
        if not np.isfinite(now.value):
            raise NotFinite(f"{self.problem!r} is {now.value} at x = 0; rescale X and y")
        return now.w

    def _at(self, w: Array, product: Array | None = None) -> _Place:
        product = self.columns.dot(self.slots, self.rows(w)) if product is None else product
        point = self.problem._evaluate(product)
        g = self.columns.tdot(self.slots, point.residual).ravel()[self.free] + self.ridge * w
        g = np.where(self.moving, g, 0.0)
        value = point.loss + 0.5 * self.ridge * float(w @ w)
        return _Place(w, point, value, g, float(np.abs(g / self.unit).max()))

    def _next(self, now: _Place) -> _Place | None:
        """A lower point, by Newton's direction, else by the damped one; None if there is none."""
        H = self._hessian(now.point)
        better = self._descend(now, self._direction(H, now.gradient))
        if better is None and np.isfinite(self.problem.steepest):
            most = self.columns.gram(self.slots) * (DAMPING * self.problem.steepest)
            most = np.kron(most, np.eye(self.problem.outputs))[np.ix_(self.free, self.free)]
            better = self._descend(now, self._direction(H + most / self.unit / self.unit[:, None], now.gradient))
        return better

    def _hessian(self, point: Point) -> Array:
        """In units of the columns."""
        H = point.gram(self.columns, self.slots)
        if not self.free.all():
            H = H[np.ix_(self.free, self.free)]
        H[np.diag_indices_from(H)] += self.ridge
        return H / self.unit / self.unit[:, None]

    def _direction(self, H: Array, g: Array) -> Array:
        """-H^-1 g; least norm where H is singular."""
        step = Factor().solve(np.arange(g.size), H, -g / self.unit)
        return (_least_norm(H, -g / self.unit) if step is None else step) / self.unit

    def _descend(self, now: _Place, d: Array) -> _Place | None:
        """The first of the steps 1, 1/2, 1/4, ... that lowers f enough, or, where f no longer tells, the gradient."""
        decrease = -float(now.gradient @ d)
        if not (np.isfinite(decrease) and decrease > 0):
            return None
        along = self.columns.dot(self.slots, self.rows(d))
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
    point: Any
    value: float
    gradient: Array
    size: float


def _expanded(features: Array, outputs: int) -> Array:
    """The coordinates of these rows of coefficients."""
    return (features[:, None] * outputs + np.arange(outputs)).ravel()


def _least_norm(H: Array, b: Array) -> Array:
    if not np.isfinite(H).all():
        return np.zeros(len(b))
    values, Q = np.linalg.eigh(H)
    used = values > max(float(values[-1]), 0.0) * 1e-13 * len(b)
    return Q[:, used] @ ((Q[:, used].T @ b) / values[used])
