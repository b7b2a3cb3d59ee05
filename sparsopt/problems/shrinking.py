"""Minimisers on a support that loses a few members at a time: one inverse, then O(|S| t) for the t-th that leaves.

With P = G^-1 on a support and w the minimiser there, taking out i gives

    w - P_.i w_i / P_ii,    f + w_i^2 / (2 P_ii),    P - P_.i P_i. / P_ii

The last is kept as a sum of t rank-one terms and never formed. After `BATCH` members the problem solves afresh, which
clears what rounding has left.

>>> from sparsopt.problems.factor import Factor
>>> G, b, factor = np.diag([1.0, 2.0, 4.0]) + 0.5, np.ones(3), Factor()
>>> order = np.arange(3)
>>> shrinking = Shrinking(least=1)
>>> shrinking.begin(order, factor, weights := factor.solve(order, G, b), -weights @ b / 2)
>>> weights, value = shrinking.follow(np.array([True, False, True]))
>>> np.allclose(weights, np.linalg.solve(G[::2, ::2], b[::2]), atol=1e-15)
True
"""

from __future__ import annotations

import numpy as np

from sparsopt.problems.factor import Factor, lapack
from sparsopt.state import Array, Mask

__all__ = ["Shrinking"]

LEAST = 48  # smaller supports are solved afresh just as fast
AT_ONCE = 8
BATCH = 200
INFLATION = 1e7  # of a variance by the other members: beyond this, rounding would show


class Shrinking:
    """What a run knows about the last support that it solved afresh, and about those that left since."""

    def __init__(self, least: int = LEAST) -> None:
        self.least = least
        self.order = np.empty(0, dtype=np.intp)

    def begin(self, order: Array, factor: Factor, weights: Array, value: float) -> None:
        """Remembers a solution with its factor (nothing, where G was singular and there is none)."""
        fine = order.size >= self.least and factor.order is order
        self.order = order if fine else order[:0]
        self.factor, self.weights, self.value = factor.L, weights, value
        self.ready = False

    def follow(self, support: Mask) -> tuple[Array, float] | None:
        """Weights, in the order of the support's coordinates, and f, if few left the last support and none came."""
        gone = self._gone(support)
        if gone is None or not (self.ready or self._invert()):
            return None
        for i in gone:
            if not self._leave(int(i)):
                self.order = self.order[:0]
                return None
        rank = np.argsort(self.order[self.alive])
        return self.weights[self.alive][rank], self.value

    def _gone(self, support: Mask) -> Array | None:
        """The positions of those that leave now, if this is a case for us."""
        if not self.order.size:
            return None
        inside = support[self.order]
        size = int(np.count_nonzero(inside))
        alive = np.ones(self.order.size, dtype=bool) if not self.ready else self.alive
        gone = np.flatnonzero(alive & ~inside)
        few = gone.size <= AT_ONCE and self.order.size - size <= BATCH and size > 0
        same = size == int(np.count_nonzero(support)) and not np.any(inside & ~alive)
        return gone if few and same else None

    def _invert(self) -> bool:
        m, L = self.order.size, self.factor
        inverse = lapack().dpotri(L, lower=1)[0]
        inverse = np.tril(inverse) + np.tril(inverse, -1).T
        if float(np.max(np.diagonal(inverse) * np.einsum("ij,ij->i", L, L))) > INFLATION:
            self.order = self.order[:0]
            return False
        self.ready, self.inverse, self.terms, self.used = True, inverse, np.empty((m, BATCH), order="F"), 0
        self.alive, self.weights = np.ones(m, dtype=bool), np.array(self.weights, dtype=np.float64)
        return True

    def _leave(self, i: int) -> bool:
        t = self.used
        column = self.inverse[:, i] - self.terms[:, :t] @ self.terms[i, :t]
        pivot = float(column[i])
        if not pivot > 0:
            return False
        self.value += self.weights[i] ** 2 / (2 * pivot)
        self.weights -= column * (self.weights[i] / pivot)
        self.weights[i], self.alive[i] = 0.0, False
        self.terms[:, t] = column / np.sqrt(pivot)
        self.used += 1
        return True
