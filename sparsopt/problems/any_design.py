"""What designs have in common, whatever holds the numbers of X: moments, products with A and A', restrictions.

>>> from sparsopt.problems.designs import Dense
>>> A = Dense(np.array([[1.0, 5.0], [3.0, 5.0]]), np.float64(1 / 2), centred=True)
>>> A.mean, A.second, A.tdot(np.array([0.0, 1.0]))
(array([2., 5.]), array([ 5., 25.]), array([1., 0.]))
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from sparsopt.problems.blocks import DenseBlock
from sparsopt.problems.spectrum import extremes, outer_norm
from sparsopt.state import Array

__all__ = ["Design"]

CONSTANT = 1e-24  # a column whose variance is below this share of its second moment is constant up to rounding
BLOCK = 1 << 21  # numbers a block of a blocked pass holds


class Design:
    """A = X - 1 m' (centred) or X, with row shares `weight`: a number or (n,). Immutable, so threads may share it."""

    columns_type: Any

    def __init__(self, X: Any, weight: Array, centred: bool) -> None:
        self.X, self.weight, self.centred = X, weight, centred
        self.n, self.p = X.shape
        self.dtype = X.dtype

    def columns(self) -> Any:
        """An empty collection of columns with their inner products."""
        return self.columns_type(self)

    @property
    def entries(self) -> int:
        """How many numbers X holds."""
        return int(self.X.size)

    @cached_property
    def shares(self) -> Array:
        """The row shares as a vector (n,)."""
        return np.broadcast_to(self.weight, (self.n,))

    @cached_property
    def second(self) -> Array:
        """Second moments sum_i w_i x_ij^2, (p,)."""
        return self._spread + self.mean**2 if self.centred else self._spread

    @cached_property
    def variance(self) -> Array:
        """sum_i w_i a_ij^2, (p,): exactly 0 where a column is constant up to rounding."""
        return np.where(self._spread > CONSTANT * self.second, self._spread, 0.0)

    @cached_property
    def mean(self) -> Array:
        """Weighted means of the columns, zeros if not centred, (p,)."""
        return self._means() if self.centred else np.zeros(self.p)

    @cached_property
    def _spread(self) -> Array:
        raise NotImplementedError

    def _means(self) -> Array:
        raise NotImplementedError

    @cached_property
    def extremes(self) -> tuple[float, float]:
        """A lower and an upper bound on the eigenvalues of A'WA; see `spectrum.extremes`."""
        return extremes(self)

    @cached_property
    def unit_smoothness(self) -> float:
        """A bound on the eigenvalues of A'WA with columns of variance 1; at least 1. Copies X while it is computed."""
        root = np.sqrt(np.where(self.variance > 0, self.variance, 1.0))
        slack = 4 * np.sqrt(min(self.n, self.p)) * float(np.finfo(self.dtype).eps)  # of the entries of a scaled X
        return float(max(extremes(self.scaled(root))[1], 1.0) * (1 + slack))

    def outer_bound(self) -> float:
        """The largest row sum of |A'WA| is at most this: max_j sum_i w_i |a_ij| sum_l |a_il|."""
        return outer_norm(self)

    def dot(self, x: Array) -> Array:
        """A x, (n,) float64, for x (p,), or a matrix for a matrix. Touches only the columns that it needs if few."""
        active = np.flatnonzero(x if x.ndim == 1 else x.any(axis=1))
        if active.size * 8 <= self.p:
            return self.part(active, x[active])
        return self._times(x.astype(self.dtype, copy=False)) - self.mean @ x

    def part(self, indices: Array, x: Array) -> Array:
        """The columns of A with these indices times x, (n,) float64."""
        raise NotImplementedError

    def tdot(self, r: Array) -> Array:
        """A' r, (p,), for r (n,), or a matrix for a matrix: the one full product of a gradient."""
        product = self._transposed(r.astype(self.dtype, copy=False))
        return product - np.multiply.outer(self.mean, r.sum(axis=0)) if self.centred else product

    def _times(self, x: Array) -> Array:
        """X x."""
        return self.X @ x

    def _transposed(self, r: Array) -> Array:
        """X'r."""
        return self.X.T @ r

    def squares(self, weight: Array) -> Array:
        """sum_i weight_i x_ij^2, (p,): the diagonal of X' diag(weight) X."""
        raise NotImplementedError

    def scaled(self, scale: Array) -> Design:
        """The design with column j divided by scale_j. Copies X."""
        return type(self)(self._divided(scale), self.weight, self.centred)

    def _divided(self, scale: Array) -> Any:
        raise NotImplementedError

    def gram(self) -> Array:
        """A'WA, (p, p) float64."""
        raise NotImplementedError

    def normal(self, target: Array) -> tuple[Array, Array]:
        """(A'WA, A'W target), (p, p) and (p,) float64: the normal equations of all columns, where those are few."""
        columns, everyone = self.columns(), np.arange(self.p)
        slots = columns.slots(everyone)
        return columns.gram(slots), columns.tdot(slots, self.weight * target)

    def outer(self) -> Array:
        """W^1/2 A A' W^1/2, (n, n) float64."""
        raise NotImplementedError

    def gram_columns(self, indices: Array) -> Array:
        """A'WA[:, indices], (p, k) float64."""
        raise NotImplementedError

    def least_norm(self, target: Array, ridge: float) -> Array:
        """The x of least norm among the minimisers of |target - A x|_W^2 + ridge |x|^2, (p,) float64."""
        raise NotImplementedError

    def take(self, indices: Array) -> Array:
        """Columns of A, (n, k) float64."""
        raise NotImplementedError

    def block(self, indices: Array) -> Any:
        """These columns for repeated use. Constant ones are zero when centred."""
        return DenseBlock(self.take(indices))

    def touched(self, indices: Array) -> tuple[Array, Array] | None:
        """The rows in which one of these columns has an entry, and X there, (m, k) float64; None: all may have."""
        return None

    def restricted(self, indices: Array) -> Design:
        """The design with these columns only."""
        if np.array_equal(indices, np.arange(self.p)):
            return self
        return type(self)(self.X[:, indices], self.weight, self.centred)

    def absolute(self) -> Design:
        """|X| with the same shares, not centred: what norm bounds need."""
        return type(self)(abs(self.X), self.weight, False)
