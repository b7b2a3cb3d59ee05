"""Rows of a Hessian A'A + ridge I in single precision: half the time and half the memory, to rank what may come next.

What they recommend is tried in double precision by who asked. Seven digits do not show what is left of columns that
differ in the last ones only, nor of a fit that is nearly exact (`plain`).

>>> rows = Single(np.array([[3.0, 4.0], [0.0, 1.0]], np.float32), ridge=1.0)
>>> rows(0)
array([26.,  4.], dtype=float32)
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsopt.portfolio.swept import Indices, Swept

KEPT = 1 << 23  # numbers of rows that are kept
LARGE, BLOCK = 1 << 24, 1024  # numbers that are copied at most, and columns at a time
LEFT, ALIKE = 1e-6, 1e-2  # of f and of the columns


class Single:
    """Rows of A'A + ridge I, each computed when first asked for; here A is (p, n)."""

    def __init__(self, A: NDArray[np.float32], ridge: float) -> None:
        self.A, self.ridge, self.p = A, np.float32(ridge), len(A)
        self.slot, self.used = np.full(self.p, -1), 0
        self.kept = np.empty((min(self.p, KEPT // self.p), self.p), np.float32)

    def __call__(self, which: Any) -> NDArray[np.float32]:
        """Of one coordinate (p,), or of several (k, p)."""
        if isinstance(which, int):
            return self._row(which)
        return np.array([self._row(j).copy() for j in which.tolist()])  # a later one may take the place of an earlier

    def passing(self, which: Indices) -> NDArray[np.float32]:
        """Rows that are not kept: many at a time cost a third of one at a time."""
        rows = self.A[which] @ self.A.T
        rows[np.arange(which.size), which] += self.ridge
        return rows

    def _row(self, j: int) -> NDArray[np.float32]:
        slot = self.slot.item(j)
        if slot >= 0:
            return self.kept[slot]
        if self.used == len(self.kept):
            self.slot[:], self.used = -1, 0
        row = self.kept[self.used]
        np.matmul(self.A, self.A[j], out=row)
        row[j] += self.ridge
        self.slot[j], self.used = self.used, self.used + 1
        return row


def copied(problem: Any) -> Single | None:
    """The columns of a problem that has a design of moderate size, with the roots of its shares; else None."""
    design = getattr(problem, "design", None)
    if design is None or design.n * design.p > LARGE:
        return None
    A, root = np.empty((design.p, design.n), np.float32), np.sqrt(design.shares)
    for part in np.array_split(np.arange(design.p), -(-design.p // BLOCK)):
        A[part] = (design.take(part) * root[:, None]).T
    return Single(A, problem.ridge)


def plain(problem: Any, t: Swept) -> bool:
    """Whether seven digits show what is left: not of columns that differ in the last ones, nor of a fit that exact."""
    left = float(problem.value(problem.start(0).x)) + t.value
    return left > LEFT * -t.value and float(np.median(t.d[t.h > 0] / t.h[t.h > 0])) > ALIKE
