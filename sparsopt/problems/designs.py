"""The matrix of a linear model, dense or sparse, weighted and centred without being changed or copied.

With row shares w (they sum to one) and column means m = sum_i w_i x_i, a design stands for A = X - 1 m' when centred
(which is what profiling out an intercept comes to), else for A = X; centring a sparse matrix stays implicit.

>>> A = Dense(np.array([[1.0, 5.0], [3.0, 5.0]]), np.float64(1 / 2), centred=True)
>>> A.dot(np.array([1.0, 1.0])), A.variance
(array([-1.,  1.]), array([1., 0.]))

Small blocks (columns, means, Grams) are computed in float64 whatever the type of X; full products use the type of X.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np

from sparsopt.problems.blocks import DenseBlock, SparseBlock
from sparsopt.problems.columns import DenseColumns, SparseColumns
from sparsopt.problems.spectrum import extremes, outer_norm
from sparsopt.state import Array
from sparsopt.support import is_tensor

__all__ = ["Dense", "Design", "Sparse", "design"]

CONSTANT = 1e-24  # a column whose variance is below this share of its second moment is constant up to rounding
RANK = 1e-7  # sparse X: singular values below this share of the largest count as zero
SPARSE = 10  # a block of columns with a smaller share of entries than one in so many stays sparse
BLOCK = 1 << 21  # numbers a block of a blocked pass holds
NEAR = 1 << 18  # numbers of a block that is copied: of this size, the copy stays in the cache


def design(X: Any, weight: Array, centred: bool) -> Design:
    """The design of a checked matrix."""
    if is_tensor(X):
        from sparsopt.problems.torch_design import TorchDense

        return TorchDense(X, weight, centred)
    return (Sparse if hasattr(X, "tocsc") else Dense)(X, weight, centred)


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


class Dense(Design):
    """A NumPy matrix, in either order."""

    columns_type = DenseColumns

    def _means(self) -> Array:
        if np.ndim(self.weight):
            return np.asarray(self.weight @ self.X, dtype=np.float64)
        return self.X.mean(axis=0, dtype=np.float64)

    @cached_property
    def _spread(self) -> Array:
        """Centred, of blocks that lie together in memory and stay in the cache, else of X as it is."""
        if not self.centred:
            return self._squared(self.X)
        if self.X.flags.c_contiguous:
            return sum(self._squared(self.X[I] - self.mean, I) for I in _slices(self.n, NEAR // self.p))
        parts = _slices(self.p, NEAR // self.n)
        return np.concatenate([self._squared(self.X[:, J] - self.mean[J]) for J in parts])

    def _squared(self, A: Array, rows: slice = slice(None)) -> Array:
        """sum_i w_i a_ij^2 over rows A, without a copy of them."""
        if np.ndim(self.weight):
            return np.einsum("i,ij,ij->j", self.weight[rows], A, A, dtype=np.float64)
        return np.einsum("ij,ij->j", A, A, dtype=np.float64) * self.weight

    def _row_blocks(self) -> Iterator[slice]:
        return _slices(self.n, BLOCK // self.p)

    def _transposed(self, r: Array) -> Array:
        return (r.T @ self.X).T  # of a matrix: one column after the other in memory

    def squares(self, weight: Array) -> Array:
        parts = _slices(self.n, NEAR // self.p)
        return sum(weight[I] @ (self.X[I].astype(np.float64, copy=False) ** 2) for I in parts)

    def _divided(self, scale: Array) -> Any:
        return self.X / scale.astype(self.dtype, copy=False)

    def take(self, indices: Array) -> Array:
        """Columns of A, (n, k) float64 in column order. Constant ones are exactly zero when centred."""
        block = np.asfortranarray(self.X[:, indices], dtype=np.float64)
        if self.centred:
            block = block - self.mean[indices]
            block[:, self.variance[indices] == 0] = 0.0
        return block

    def part(self, indices: Array, x: Array) -> Array:
        return self.take(indices) @ x.astype(np.float64, copy=False)

    def gram(self) -> Array:
        """Summed over blocks of rows: one large A'A has crashed BLAS libraries."""
        total = np.zeros((self.p, self.p))
        for rows in self._row_blocks():
            block = (self.X[rows] - self.mean) * np.sqrt(self.shares[rows])[:, None]
            total += block.T @ block
        return total

    def outer(self) -> Array:
        total, scale = np.zeros((self.n, self.n)), np.sqrt(self.shares)[:, None]
        for part in _slices(self.p, BLOCK // self.n):
            block = self.take(np.arange(self.p)[part]) * scale
            total += block @ block.T
        return total

    def gram_columns(self, indices: Array) -> Array:
        block = self.take(indices) * self.shares[:, None]
        product = (block.T.astype(self.dtype, copy=False) @ self.X).T
        product = product - np.outer(self.mean, block.sum(axis=0)) if self.centred else product
        return np.asarray(product, dtype=np.float64)

    def least_norm(self, target: Array, ridge: float) -> Array:
        root = np.sqrt(self.shares)
        U, s, Vt = np.linalg.svd(self.take(np.arange(self.p)) * root[:, None], full_matrices=False)
        used = s > s[0] * np.finfo(float).eps * max(self.n, self.p)
        return Vt[used].T @ ((U[:, used].T @ (root * target)) * (s[used] / (s[used] ** 2 + ridge)))


class Sparse(Design):
    """A scipy CSC matrix. It is never made dense, and never centred explicitly."""

    columns_type = SparseColumns

    def _means(self) -> Array:
        return np.asarray(self.X.T @ self.shares, dtype=np.float64)

    @cached_property
    def _spread(self) -> Array:
        """Stored entries about their mean, plus the squared mean for those not stored: no cancellation."""
        total, missing = np.empty(self.p), np.empty(self.p)
        for columns, owner, rows, data in self._column_blocks():
            weight = self.shares[rows]
            deviation = data - self.mean[columns][owner]
            size = columns.stop - columns.start
            total[columns] = np.bincount(owner, weights=weight * deviation**2, minlength=size)
            missing[columns] = 1.0 - np.bincount(owner, weights=weight, minlength=size)
        full = np.diff(self.X.indptr) == self.n
        return total + np.where(full, 0.0, np.maximum(missing, 0.0)) * self.mean**2

    def _column_blocks(self) -> Iterator[tuple[slice, Array, Array, Array]]:
        """Columns, and of their entries the column within the block, the row, the number: little memory beside X."""
        ends = self.X.indptr
        start = 0
        while start < self.p:
            stop = max(int(np.searchsorted(ends, ends[start] + BLOCK // 8, side="right")) - 1, start + 1)
            part, counts = slice(ends[start], ends[stop]), np.diff(ends[start : stop + 1])
            yield (
                slice(start, stop),
                np.repeat(np.arange(stop - start), counts),
                self.X.indices[part],
                self.X.data[part],
            )
            start = stop

    def squares(self, weight: Array) -> Array:
        total = np.empty(self.p)
        for columns, owner, rows, data in self._column_blocks():
            terms = weight[rows] * data.astype(np.float64, copy=False) ** 2
            total[columns] = np.bincount(owner, weights=terms, minlength=columns.stop - columns.start)
        return total

    def _divided(self, scale: Array) -> Any:
        data = self.X.data / np.repeat(scale, np.diff(self.X.indptr)).astype(self.dtype, copy=False)
        return type(self.X)((data, self.X.indices, self.X.indptr), shape=self.X.shape)

    def absolute(self) -> Design:
        data = np.abs(self.X.data)
        return type(self)(type(self.X)((data, self.X.indices, self.X.indptr), shape=self.X.shape), self.weight, False)

    def take(self, indices: Array) -> Array:
        """Columns of A, (n, k) float64, dense: for a few of them. Constant ones are exactly zero when centred."""
        block = self.X[:, indices].toarray(order="F").astype(np.float64, copy=False)
        block -= self.mean[indices]
        block[:, self.variance[indices] == 0] = 0.0
        return block

    def block(self, indices: Array) -> Any:
        X = self.X[:, indices].astype(np.float64, copy=False)
        if X.nnz * SPARSE > self.n * indices.size:
            return DenseBlock(self.take(indices))
        varies = self.variance[indices] > 0
        return SparseBlock(X.multiply(varies).tocsc(), self.mean[indices] * varies)

    def part(self, indices: Array, x: Array) -> Array:
        x = x.astype(np.float64, copy=False)
        return self.X[:, indices] @ x - self.mean[indices] @ x

    def touched(self, indices: Array) -> tuple[Array, Array] | None:
        part = self.X[:, indices]
        rows, place = np.unique(part.indices, return_inverse=True)
        block = np.zeros((rows.size, indices.size))
        block[place, np.repeat(np.arange(indices.size), np.diff(part.indptr))] = part.data
        return rows, block

    def gram(self) -> Array:
        X = self.X.astype(np.float64, copy=False)
        product = (X.T @ X.multiply(self.shares[:, None]).tocsc()).toarray()
        return product - np.outer(self.mean, self.mean)

    def outer(self) -> Array:
        X, scale = self.X.astype(np.float64, copy=False), np.sqrt(self.shares)
        shift = X @ self.mean
        product = (X @ X.T).toarray()
        product += float(self.mean @ self.mean) - shift[:, None] - shift[None, :]
        return product * scale[:, None] * scale[None, :]

    def gram_columns(self, indices: Array) -> Array:
        X = self.X.astype(np.float64, copy=False)
        product = (X.T @ X[:, indices].multiply(self.shares[:, None]).tocsc()).toarray()
        return product - np.outer(self.mean, self.mean[indices])

    def least_norm(self, target: Array, ridge: float) -> Array:
        """From the eigenvalues of the smaller Gram, which sees singular values above `RANK` of the largest."""
        root = np.sqrt(self.shares)
        if self.p <= self.n:
            values, Q = _positive(self.gram())
            return Q @ ((Q.T @ self.tdot(self.shares * target)) / (values + ridge))
        values, Q = _positive(self.outer())
        return self.tdot(root * (Q @ ((Q.T @ (root * target)) / (values + ridge))))


def _positive(gram: Array) -> tuple[Array, Array]:
    """The eigenpairs of a Gram matrix that are positive beyond rounding."""
    values, vectors = np.linalg.eigh(gram)
    used = values > max(values[-1], 0.0) * RANK**2
    return values[used], vectors[:, used]


def _slices(size: int, step: int) -> Iterator[slice]:
    """0, 1, ..., size - 1 in pieces."""
    step = max(1, step)
    return (slice(start, start + step) for start in range(0, size, step))
