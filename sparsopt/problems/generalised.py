"""Generalised linear models: a loss is a sum over rows, given by l(z), l'(z) and l''(z) and its best intercept.

`Bounded` losses have an l'' with an upper bound, hence smoothness and curvature; for the others (`Unbounded`) only the
curvature at a point is known: rules that rank coordinates use it, methods with fixed steps refuse.

>>> from sparsopt.problems import Huber
>>> Huber(np.eye(2), np.array([3.0, 0.5]), threshold=1.0).value(np.zeros(2))  # (3 - 1/2 + 1/8) / 2
1.3125
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsopt.problems.least_squares import LeastSquares
from sparsopt.problems.linear import LinearModel
from sparsopt.problems.spectrum import above
from sparsopt.state import Array

__all__ = ["Bounded", "GeneralisedLinear", "Unbounded", "root"]


@dataclass(frozen=True)
class Sum:
    """A `Point` whose Hessian in z is diag(bend), less bend bend'/sum bend where an intercept follows."""

    product: Array
    b: float
    loss: float
    residual: Array
    bend: Array
    following: bool

    def times(self, u: Array) -> Array:
        return self.bend * (u - float(self.bend @ u) / float(self.bend.sum())) if self._moves else self.bend * u

    def gram(self, columns: Any, slots: Array) -> Array:
        H = columns.weighted_gram(slots, self.bend)
        if self._moves:
            along = columns.tdot(slots, self.bend)
            H = H - np.outer(along, along) / self.bend.sum()
        return H

    @property
    def _moves(self) -> bool:
        return self.following and float(self.bend.sum()) > 0


class GeneralisedLinear(LinearModel):
    """f(x) = min_b sum_i w_i l(a_i'x + b) + ridge/2 |x|^2, w the rows' shares; l >= 0 may depend on the row."""

    portfolio = "logistic"  # the search that `method="auto"` uses: swaps on quadratic models of the loss

    def _losses(self, z: Array) -> tuple[Array, Array, Array]:
        """l(z), l'(z), l''(z), each (n,)."""
        raise NotImplementedError

    def _best_intercept(self, product: Array) -> float:
        """The minimiser over b of the mean loss at product + b."""
        raise NotImplementedError

    def _evaluate(self, product: Array) -> Sum:
        with np.errstate(over="ignore", invalid="ignore"):  # far away a loss is infinite
            b = self._best_intercept(product) if self.design.centred else 0.0
            loss, slope, bend = self._losses(product + b)
            weight = self.design.weight
            total = float((self.design.shares * loss).sum())
            return Sum(product, b, total, weight * slope, weight * bend, self.design.centred)

    def expansion(self, product: Array) -> tuple[float, Array, Array]:
        """The loss l at z = A x = product, without the ridge, and its derivatives there: l, r (n,), d (n,).

        grad l = r and, b following z, Hess l = diag(d) - d d'/sum d (without intercept diag(d)).
        """
        point = self._evaluate(product)
        return point.loss, point.residual, point.bend

    def rounding(self, x: Array) -> tuple[float, Array]:
        """The error of z is dz = eps (2 n + 2 k + 20) (1 + |b| + sum_l |x_l| |a_l|) in the norm sum_i w_i z_i^2.

        With slopes l' of that norm |l'|, and l'' <= h near z: value to |l'| dz + h dz^2 + eps (n + 10) f, gradient
        to |a_j| (h dz + eps (2 n + 10) |l'|). Infinite where h is not known within dz.
        """
        size, point = np.sqrt(self.design.second), self._point(x)
        share, eps, n = self.design.shares, float(np.finfo(self.dtype).eps), self.design.n
        seen = share > 0
        slip = eps * (2 * n + 2 * np.count_nonzero(x) + 20) * (1.0 + abs(point.b) + float(np.abs(x) @ size))
        near = slip < 0.5 * math.sqrt(float(share[seen].min()))  # then no row is off by more than 1/2
        bend = min(self.steepest, 2 * float((point.bend[seen] / share[seen]).max()) if near else math.inf)
        slope = math.sqrt(float((point.residual[seen] ** 2 / share[seen]).sum()))
        value = 2 * slope * slip + 2 * bend * slip**2 + eps * (n + 10) * self._size(point)
        gradient = size * (2 * bend * slip + eps * (2 * n + 10) * slope)
        return value + eps * self.p * self.ridge * float(x @ x), gradient + 4 * eps * self.ridge * np.abs(x)

    def _size(self, point: Sum) -> float:
        """A bound on the terms that the loss is computed from; the loss itself where nothing cancels."""
        return 1.0 + point.loss


class Bounded(GeneralisedLinear):
    """l'' <= `steepest` everywhere."""

    def curvature(self) -> Array:
        """h_j = steepest * variance_j + ridge >= the curvature along coordinate j at every x, (p,)."""
        return self.steepest * self.design.variance + self.ridge

    def smoothness(self, s: int | None = None) -> float:
        """`steepest` times that of least squares on the same design, plus the ridge."""
        return above(self.steepest * self._squares().smoothness(s), self.ridge)

    def relative_smoothness(self) -> float:
        """L with v'H(x) v <= L sum_j h_j v_j^2: that of least squares on the same design."""
        return self.design.unit_smoothness

    def _squares(self) -> LeastSquares:
        """Least squares with the same design and no ridge."""
        squares = object.__new__(LeastSquares)
        squares.layout, squares.dtype, squares.design, squares.ridge = self.layout, self.dtype, self.design, 0.0
        return squares


class Unbounded(GeneralisedLinear):
    """l'' grows without bound: no smoothness, so IHT, HTP and coordinate steps refuse; greedy and swaps run."""

    def curvature_at(self, x: Array) -> Array:
        """The diagonal of the Hessian at x, (p,): a pass over X."""
        bend = np.broadcast_to(self._point(x).bend, (self.design.n,))
        h = self.design.squares(bend)
        if self.design.centred and bend.sum() > 0:
            along = self.design.tdot(bend) + self.design.mean * bend.sum()
            h = h - along**2 / bend.sum()
        return np.where(h > 1e-12 * bend.sum() * self.design.second, h, 0.0) + self.ridge


def root(slope: Callable[[float], tuple[float, float]], low: float, high: float, start: float) -> float:
    """The zero in [low, high] of an increasing function, from its value and derivative: Newton steps in a bracket."""
    b = min(max(start, low), high)
    for _ in range(200):
        here, bend = slope(b)
        if here == 0.0:
            return b
        low, high = (low, b) if here > 0 else (b, high)
        step = -here / bend if bend > 0 else math.inf
        if abs(step) <= 1e-15 * (1 + abs(b)):  # rounding; a bisection now would go far away
            return b
        new = b + step if low < b + step < high else (low + high) / 2
        if abs(new - b) <= 4e-16 * (1 + abs(b)):
            return new
        b = new
    return b
