"""A design whose X is a NumPy matrix: blocked passes in the order in which X lies in memory.

>>> A = Dense(np.array([[1.0, 5.0], [3.0, 5.0]]), np.float64(1 / 2), centred=True)
>>> A.gram()
array([[1., 0.],
       [0., 0.]])
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np

from sparsopt.problems.any_design import BLOCK, Design
from sparsopt.problems.columns import DenseColumns
from sparsopt.state import Array

__all__ = ["Dense"]

NEAR = 1 << 18  # numbers of a block that is copied: of this size, the copy stays in the cache


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

    def normal(self, target: Array) -> tuple[Array, Array]:
        if self.centred or self.dtype != np.float64 or np.ndim(self.weight):
            return super().normal(target)
        G, c = self.X.T @ self.X, target @ self.X  # at half the price: a matrix by itself
        G *= self.weight
        c *= self.weight
        return G, c

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


def _slices(size: int, step: int) -> Iterator[slice]:
    """0, 1, ..., size - 1 in pieces."""
    step = max(1, step)
    return (slice(start, start + step) for start in range(0, size, step))
