"""A Cholesky factor that follows a support: when the support grows, so does the factor, in O(k^2) a new coordinate.

>>> factor = Factor()
>>> order = factor.arrange(np.array([True, True]))
>>> factor.solve(order, np.array([[4.0, 2.0], [2.0, 3.0]]), np.array([2.0, 1.0]))
array([0.5, 0. ])
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsopt.state import Array, Mask

__all__ = ["Factor", "lapack"]

TINY = float(np.finfo(float).tiny)
DEPENDENT = 1e-12  # a pivot below this share of its diagonal entry is numerically dependent on those before it


class Factor:
    """L with L L' = G_SS, rows in the order in which coordinates came. Belongs to one run."""

    def __init__(self) -> None:
        self.order = np.empty(0, dtype=np.intp)
        self.L = np.empty((0, 0))

    def arrange(self, support: Mask) -> Array:
        """The coordinates of a support, those that are in the factor first and in its order."""
        kept = self.order[support[self.order]]
        if kept.size == 0:
            return np.flatnonzero(support)
        rest = support.copy()
        rest[kept] = False
        return np.concatenate([kept, np.flatnonzero(rest)])

    def update(self, order: Array, G: Array) -> bool:
        """Factors G, whose rows stand in `order`. False if it is not positive definite beyond rounding."""
        old = _common(self.order, order)
        L, good = _extend(self.L[:old, :old], G)
        self.order, self.L = (order, L) if good else (order[:0], self.L[:0, :0])
        return good

    def apply(self, b: Array) -> Array:
        """G^-1 b for the factored G."""
        return lapack().dpotrs(self.L, b, lower=1)[0] if b.size else b

    def forward(self, B: Array) -> Array:
        """L^-1 B."""
        return lapack().dtrtrs(self.L, B, lower=1)[0]

    def leading(self, B: Array, sizes: Array) -> Array:
        """G_s^-1 b_s in column t, s = sizes_t, with zeros below: the solutions for the first s coordinates alone.

        L^-1 b does not depend on what comes later; without its tail, L'^-1 keeps to the first s.
        """
        early = np.arange(len(B))[:, None] < sizes
        return lapack().dtrtrs(self.L, self.forward(B) * early, lower=1, trans=1)[0]

    def solve(self, order: Array, G: Array, b: Array) -> Array | None:
        """G^-1 b, or None if G is numerically singular."""
        return self.apply(b) if self.update(order, G) else None


def _common(old: Array, new: Array) -> int:
    """The length of the common beginning."""
    size = min(old.size, new.size)
    differ = np.flatnonzero(old[:size] != new[:size])
    return int(differ[0]) if differ.size else size


def _extend(L: Array, G: Array) -> tuple[Array, bool]:
    """From the factor of a leading block of G to that of G."""
    old, size = L.shape[0], G.shape[0]
    if old == size:
        return L, True
    corner = G[old:, old:]
    full = np.zeros((size, size), order="F")
    if old:
        full[:old, :old] = L
        side = lapack().dtrtrs(L, G[:old, old:], lower=1)[0]
        full[old:, :old] = side.T
        corner = corner - side.T @ side
    tail, failed = lapack().dpotrf(corner, lower=1, clean=1)
    full[old:, old:] = tail
    return full, not failed and _independent(full, G)


def _independent(L: Array, G: Array) -> bool:
    """Whether every pivot is more than what rounding leaves behind, which earlier small pivots amplify."""
    share = L.diagonal() ** 2 / np.maximum(G.diagonal(), TINY)
    if float(share.min(initial=1.0)) ** 2 > DEPENDENT:
        return True
    before = np.minimum.accumulate(np.concatenate([[1.0], share[:-1]]))
    return bool(np.all(share * before > DEPENDENT))


def lapack() -> Any:
    """scipy.linalg.lapack."""
    from scipy.linalg import lapack  # 0.1 s that only those who solve should wait for

    return lapack
