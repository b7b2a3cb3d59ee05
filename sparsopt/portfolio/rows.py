"""Rows of a Hessian that is too large to be formed, and the places of what is largest.

>>> largest(np.array([3.0, 1.0, 4.0, 1.0]), 2)
array([0, 2])
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from sparsopt.portfolio.swept import BLOCK, Indices
from sparsopt.portfolio.tableau import Matrix, Vector

WIDE = 1 << 22  # numbers that are kept


class Rows:
    """Rows of the Hessian, computed when first asked for and kept as long as there is room."""

    def __init__(self, problem: Any, k: int) -> None:
        self.problem, self.p = problem, problem.layout.n
        self.slot = np.full(self.p, -1)
        self.room, self.used, self.kept = max(2 * k + 8, WIDE // self.p), 0, np.empty((0, self.p))

    def __call__(self, which: Any) -> Matrix:
        """Of one coordinate (p,), or of several (k, p)."""
        one = isinstance(which, int)
        if one and self.slot[which] >= 0:
            return self.kept[self.slot[which]]
        wanted = np.array([which]) if one else which
        new = wanted[self.slot[wanted] < 0]
        if new.size:
            if self.used + new.size > self.room:
                self.slot[:], self.used, new = -1, 0, wanted
            if self.used + new.size > len(self.kept):
                self.kept = np.vstack([self.kept[: self.used], np.empty((self.used + new.size, self.p))])
            self.kept[self.used : self.used + new.size] = self.passing(new)
            self.slot[new] = np.arange(self.used, self.used + new.size)
            self.used += new.size
        return self.kept[self.slot[which]]

    def passing(self, which: Indices) -> Matrix:
        """Rows that are not kept."""
        return np.asarray(self.problem.hessian_columns(which), dtype=float).T


def largest(score: Vector, size: int) -> Indices:
    """The positions of the largest scores, sorted."""
    if size >= score.size:
        return np.arange(score.size)
    return np.sort(np.argpartition(score, score.size - size)[score.size - size :])


def passing(rows: Any, C: Indices, p: int) -> Iterator[tuple[Indices, Matrix]]:
    """Parts of C with their rows of the Hessian: computed many at a time, handed out few at a time."""
    rows = getattr(rows, "passing", rows)
    for many in np.array_split(C, -(-C.size * p // (16 * BLOCK))) if C.size else ():
        H = rows(many)
        for few in np.array_split(np.arange(many.size), -(-many.size * p // BLOCK)):
            yield many[few], H[few]
