"""Columns that a run has used, with their inner products: what makes minimising on a support cheap.

A collection grows by the columns that a support asks for and keeps their weighted Gram matrix, so that a greedy step
costs O(n k) here, and everything else in it is the one product A' r. It starts afresh when it would outgrow the
supports it serves.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsopt.state import Array

__all__ = ["DenseColumns", "SparseColumns"]

ROOM = 256  # columns kept although no present support needs them
SPARE = 4  # times as many columns kept as asked for: then these are copied together


class Columns:
    """Slots 0, 1, ... hold columns; `slot[j]` is the slot of column j, or -1. One run, one thread."""

    def __init__(self, design: Any) -> None:
        self.design = design
        self.clear(8)

    def clear(self, room: int) -> None:
        """Forgets everything."""
        self.slot = np.full(self.design.p, -1)
        self.index = np.empty(0, dtype=np.intp)
        self.products = np.empty((room, room))

    def slots(self, indices: Array) -> Array:
        """The slots of these columns, which are fetched if they are not here yet."""
        found = self.slot[indices]
        new = indices[found < 0]
        if new.size == 0:
            return found
        if self.index.size + new.size > 2 * indices.size + ROOM:
            self.clear(2 * indices.size)
            new = indices
        self._append(new)
        return self.slot[indices]

    def arrange(self, indices: Array) -> Array:
        """These columns in the order of their slots, so that they lie side by side where possible."""
        return indices[np.argsort(self.slots(indices))]

    def _append(self, new: Array) -> None:
        before = self.index.size
        total = before + new.size
        self.slot[new] = np.arange(before, total)
        self.index = np.concatenate([self.index, new])
        if total > self.products.shape[0]:
            grown = np.empty((2 * total, 2 * total))
            grown[:before, :before] = self.products[:before, :before]
            self.products = grown
        cross = self._cross(before, total)
        self.products[:total, before:total] = cross
        self.products[before:total, :before] = cross[:before].T

    def gram(self, slots: Array) -> Array:
        """A_S'WA_S, (k, k)."""
        k = slots.size
        if np.array_equal(slots, np.arange(k)):
            return self.products[:k, :k].copy()
        return self.products.take(slots, axis=0).take(slots, axis=1)  # a third of the time of one np.ix_

    def _cross(self, before: int, total: int) -> Array:
        raise NotImplementedError


class DenseColumns(Columns):
    """Columns of a dense design, side by side in memory."""

    def clear(self, room: int) -> None:
        super().clear(room)
        self.block = np.empty((self.design.n, room), order="F")

    def _append(self, new: Array) -> None:
        X, p = self.design.X, self.design.p
        if new.size < p or self.design.centred or X.dtype != np.float64 or not np.array_equal(new, np.arange(p)):
            return super()._append(new)
        self.slot = self.index = new  # all columns at once need no copy
        self.block, self.products = X, self._products(X[:, :0], X)

    def _cross(self, before: int, total: int) -> Array:
        if total > self.block.shape[1]:
            grown = np.empty((self.design.n, 2 * total), order="F")
            grown[:, :before] = self.block[:, :before]
            self.block = grown
        self.block[:, before:total] = self.design.take(self.index[before:total])
        return self._products(self.block[:, :before], self.block[:, before:total])

    def _products(self, old: Array, new: Array) -> Array:
        """Of new columns with the old ones and with each other."""
        weight, before = self.design.weight, old.shape[1]
        weighted = new * weight[:, None] if np.ndim(weight) else new
        cross = np.empty((before + new.shape[1], new.shape[1]))
        np.matmul(old.T, weighted, out=cross[:before])
        np.matmul(new.T, weighted, out=cross[before:])  # without weights half the price: a matrix by itself
        if not np.ndim(weight):
            cross *= weight
        return cross

    def take(self, slots: Array) -> Array:
        """A_S, (n, k); a view where the slots are the first ones in order."""
        if np.array_equal(slots, np.arange(slots.size)):
            return self.block[:, : slots.size]
        return self.block[:, slots]

    def dot(self, slots: Array, x: Array) -> Array:
        """A_S x, (n,). Runs over unused slots rather than copying columns together, unless those are most."""
        if SPARE * slots.size < self.index.size:
            return self.block[:, slots] @ x
        full = np.zeros((self.index.size, *x.shape[1:]))
        full[slots] = x
        return self.block[:, : self.index.size] @ full

    def tdot(self, slots: Array, r: Array) -> Array:
        """A_S' r, (k,)."""
        if SPARE * slots.size < self.index.size:
            return self.block[:, slots].T @ r
        return (self.block[:, : self.index.size].T @ r)[slots]

    def weighted_gram(self, slots: Array, weight: Array) -> Array:
        """A_S' diag(weight) A_S, (k, k)."""
        A = self.take(slots)
        return A.T @ (A * weight[:, None])


class SparseColumns(Columns):
    """Columns of a sparse design: only their names and inner products are kept."""

    def _cross(self, before: int, total: int) -> Array:
        mean = self.design.mean[self.index]
        A = self._raw(self.index)
        new = A[:, before:].multiply(self.design.shares[:, None]).tocsc()
        cross = (A.T @ new).toarray() - np.outer(mean, mean[before:])
        cross[np.arange(before, total), np.arange(total - before)] = self.design.variance[self.index[before:]]
        return cross

    def _raw(self, indices: Array) -> Any:
        return self.design.X[:, indices].astype(np.float64, copy=False)

    def take(self, slots: Array) -> Array:
        """A_S, (n, k), dense: for losses whose Hessian is not diagonal."""
        return self.design.take(self.index[slots])

    def dot(self, slots: Array, x: Array) -> Array:
        return self.design.part(self.index[slots], x)

    def tdot(self, slots: Array, r: Array) -> Array:
        indices = self.index[slots]
        return self._raw(indices).T @ r - np.multiply.outer(self.design.mean[indices], r.sum(axis=0))

    def weighted_gram(self, slots: Array, weight: Array) -> Array:
        indices = self.index[slots]
        A, mean = self._raw(indices), self.design.mean[indices]
        sums = A.T @ weight
        product = (A.T @ A.multiply(weight[:, None]).tocsc()).toarray()
        return product - np.outer(sums, mean) - np.outer(mean, sums) + weight.sum() * np.outer(mean, mean)
