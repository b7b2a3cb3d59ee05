"""A design whose X is a sparse matrix: moments from the stored entries, centring only in what is computed.

>>> import scipy.sparse
>>> A = Sparse(scipy.sparse.csc_matrix([[1.0, 0.0], [3.0, 5.0]]), np.float64(1 / 2), centred=True)
>>> A.mean, A.variance
(array([2. , 2.5]), array([1.  , 6.25]))
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np

from sparsopt.problems.any_design import BLOCK, Design
from sparsopt.problems.blocks import DenseBlock, SparseBlock
from sparsopt.problems.columns import SparseColumns
from sparsopt.state import Array

__all__ = ["Sparse"]

RANK = 1e-7  # singular values below this share of the largest count as zero
SPARSE = 10  # a block of columns with a smaller share of entries than one in so many stays sparse


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
