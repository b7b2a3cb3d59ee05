"""Some columns of a design for repeated use: products and weighted Grams that make no second copy of them.

>>> from sparsopt.problems.designs import design
>>> X = np.array([[1.0, 0.0], [3.0, 5.0]])
>>> block = design(X, np.float64(1 / 2), centred=True).block(np.array([0]))
>>> block.dot(np.array([2.0])), block.cross(block, np.array([1.0, 1.0]))
(array([-2.,  2.]), array([[2.]]))
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np

from sparsopt.state import Array

__all__ = ["DenseBlock", "SparseBlock"]

ROWS = 1 << 18  # numbers of a block that are weighted at a time
KEPT = 1 << 20  # numbers whose squares are kept


class DenseBlock:
    """A (n, m), in memory."""

    def __init__(self, A: Array) -> None:
        self.A = A

    def part(self, S: Array) -> DenseBlock:
        """Columns of it."""
        return DenseBlock(self.A[:, S])

    def dot(self, w: Array) -> Array:
        """A w, (n,)."""
        return self.A @ w

    def tdot(self, r: Array) -> Array:
        """A' r, (m,)."""
        return self.A.T @ r

    def cross(self, other: DenseBlock, weight: Array) -> Array:
        """A' diag(weight) B, weight >= 0; at half the price where B is A, else without a weighted copy of A."""
        total = np.zeros((self.A.shape[1], other.A.shape[1]))
        weight = (np.sqrt(weight) if other is self else weight)[:, None]
        for rows in self._row_blocks():
            right = other.A[rows] * weight[rows]
            total += (right if other is self else self.A[rows]).T @ right
        return total

    def squares(self, weight: Array) -> Array:
        """sum_i weight_i a_ij^2, (m,)."""
        if self.A.size <= KEPT:
            return weight @ self._squares
        return sum(weight[rows] @ self.A[rows] ** 2 for rows in self._row_blocks())

    @cached_property
    def _squares(self) -> Array:
        return self.A * self.A

    def _row_blocks(self) -> Iterator[slice]:
        n, m = self.A.shape
        step = max(1, ROWS // max(m, 1))
        return (slice(start, start + step) for start in range(0, n, step))


class SparseBlock:
    """X - 1 m' with a sparse X (n, m), centred only in what it computes."""

    def __init__(self, X: Any, mean: Array) -> None:
        self.X, self.mean = X, mean

    def part(self, S: Array) -> SparseBlock:
        return SparseBlock(self.X[:, S], self.mean[S])

    def dot(self, w: Array) -> Array:
        return self.X @ w - self.mean @ w

    def tdot(self, r: Array) -> Array:
        return self.X.T @ r - self.mean * r.sum()

    def cross(self, other: SparseBlock, weight: Array) -> Array:
        G = (self.X.T @ other.X.multiply(weight[:, None]).tocsc()).toarray()
        G -= np.outer(self.X.T @ weight, other.mean) + np.outer(self.mean, other.X.T @ weight)
        return G + weight.sum() * np.outer(self.mean, other.mean)

    def squares(self, weight: Array) -> Array:
        return self.X.multiply(self.X).T @ weight - self.mean * (2 * (self.X.T @ weight) - self.mean * weight.sum())
