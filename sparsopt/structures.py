"""Structures beyond single coordinates, groups and N:M: rows of a coefficient matrix, at most m of a group, and
coordinates that are always in.

A structure says which supports are allowed, and what k counts (see `support`). Beside being called it may have

    size(support)                       how many of what k counts a support holds
    extend(score, m, layout, support)   the support and the m best that may join it, where that depends on what is in
    most(k)                             how many coordinates k of them can hold
    least                               the smallest k that can be chosen

>>> score, layout = np.array([3.0, 2.0, 1.0, 0.5]), Layout.single(4)
>>> PerGroup((0, 0, 1, 1), 1)(score, 2, layout)
array([ True, False,  True, False])
>>> Rows(2)(score, 1, layout)
array([ True,  True, False, False])
>>> Always((3,))(score, 2, layout)
array([ True, False, False,  True])
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsopt import support as sp
from sparsopt.errors import InvalidInput, NotFinite
from sparsopt.state import Array, Layout, Mask
from sparsopt.support import Counts, Elements, Structure

__all__ = ["Always", "PerGroup", "Rows", "allows", "most", "unit_labels", "units"]


@dataclass(frozen=True)
class Rows:
    """`width` consecutive coordinates are one: the row of a feature in a matrix of coefficients, ranked by its norm.

    The same as `Groups` with such labels, at the cost of one pass.
    """

    width: int

    def __post_init__(self) -> None:
        if self.width < 1:
            raise InvalidInput(f"Rows: width = {self.width}; give the number of coefficients in a row, >= 1")

    def size(self, support: Mask) -> int:
        """The number of rows with a coordinate in the support."""
        return int(support.reshape(-1, self.width).any(1).sum())

    def most(self, k: int) -> int:
        return k * self.width

    def units(self, n: int) -> np.ndarray:
        """The row of each coordinate."""
        return np.repeat(np.arange(n // self.width), self.width)

    def __call__(self, score: Array, counts: Counts, layout: Layout, within: Mask | None = None) -> Mask:
        if score.shape[0] % self.width:
            raise InvalidInput(f"{self}: {score.shape[0]} coordinates are not a number of rows")
        norms = (score * score).reshape(-1, self.width).sum(1) ** 0.5
        allowed = None if within is None else within.reshape(-1, self.width).any(1)
        chosen = sp.top(norms, _one(self, counts), allowed)
        return (chosen.reshape(-1, 1) | sp.nothing(score[: self.width]).reshape(1, -1)).reshape(-1)


@dataclass(frozen=True)
class PerGroup:
    """At most m coordinates of each group, of equal scores the first; k counts coordinates.

    labels: one non-negative group number a coordinate. Fewer than k are chosen where the groups have no room for more.
    """

    labels: tuple[int, ...]
    m: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", tuple(int(label) for label in self.labels))
        if self.m < 1 or min(self.labels, default=0) < 0:
            raise InvalidInput(f"PerGroup: at most m = {self.m} of each group; give m >= 1 and labels >= 0")
        object.__setattr__(self, "_labels", np.asarray(self.labels, dtype=np.intp))

    def __call__(self, score: Array, counts: Counts, layout: Layout, within: Mask | None = None) -> Mask:
        return self._best(score, _one(self, counts), within, np.zeros(0, dtype=np.intp))

    def extend(self, score: Array, m: int, layout: Layout, support: Mask) -> Mask:
        """The support and the m best for which their groups have room."""
        inside = self.__dict__["_labels"][sp.to_numpy(support)]
        return support | self._best(score, m, ~support, inside)

    def _best(self, score: Array, k: int, within: Mask | None, inside: np.ndarray) -> Mask:
        """The k best of those that are among the first of their group, as many as it has room for."""
        labels: np.ndarray = self.__dict__["_labels"]
        if labels.shape != (score.shape[0],):
            raise InvalidInput(f"PerGroup: {labels.shape[0]} labels for {score.shape[0]} coordinates")
        host = sp.to_numpy(score)
        free = np.arange(host.size) if within is None else np.flatnonzero(sp.to_numpy(within))
        if np.isnan(host[free]).any():
            raise NotFinite("PerGroup: a score is NaN, so no order exists; look at the gradient or the weights")
        room = self.m - np.bincount(inside, minlength=int(labels.max(initial=0)) + 1)
        order = free[np.lexsort((-host[free], labels[free]))]  # by group, the best first; stable: ties to the lowest
        first = np.searchsorted(labels[order], labels[order])
        allowed = np.zeros(host.size, dtype=bool)
        allowed[order[np.arange(order.size) - first < room[labels[order]]]] = True
        return sp.like(sp.top(host, k, allowed), score)


@dataclass(frozen=True)
class Always:
    """Some coordinates are in every support and count towards k; the others as `inner` says."""

    coordinates: tuple[int, ...]
    inner: Structure = Elements()

    def __post_init__(self) -> None:
        object.__setattr__(self, "coordinates", tuple(sorted({int(j) for j in self.coordinates})))
        if min(self.coordinates, default=0) < 0:
            raise InvalidInput(f"Always: coordinate {min(self.coordinates)} is negative; they count from 0")

    def size(self, support: Mask) -> int:
        return sp.size(self.inner, support)

    def most(self, k: int) -> int:
        return most(self.inner, k)

    def units(self, n: int) -> np.ndarray:
        return unit_labels(self.inner, n)

    @property
    def least(self) -> int:
        """How many of what k counts are always in."""
        return len(self.coordinates) if type(self.inner) is Elements else self.size(self._mask(None))

    def _mask(self, like: Array | None) -> Mask:
        size = max(self.coordinates, default=-1) + 1 if like is None else like.shape[0]
        if like is None:
            size = max(size, len(getattr(self.inner, "labels", ())))
        mask = np.zeros(size, dtype=bool)
        if self.coordinates and self.coordinates[-1] >= size:
            raise InvalidInput(f"Always: coordinate {self.coordinates[-1]} of only {size}; they count from 0")
        mask[list(self.coordinates)] = True
        return mask if like is None else sp.like(mask, like)

    def _raised(self, score: Array) -> tuple[Array, Mask]:
        mask, raised = self._mask(score), sp.copy(score)
        highest = 1e138 if score.dtype.itemsize == 8 else 1e17  # squares are finite, and below what is always in
        raised[raised > highest] = highest
        raised[mask] = np.inf
        return raised, mask

    def __call__(self, score: Array, counts: Counts, layout: Layout, within: Mask | None = None) -> Mask:
        raised, mask = self._raised(score)
        return self.inner(raised, counts, layout, None if within is None else within | mask)

    def extend(self, score: Array, m: int, layout: Layout, support: Mask) -> Mask:
        return sp.extended(self.inner, self._raised(score)[0], m, layout, support)


def most(structure: Structure, k: int) -> int:
    """How many coordinates a support of size k can hold."""
    own = getattr(structure, "most", None)
    return k if own is None else own(k)


def unit_labels(structure: Structure, n: int) -> np.ndarray:
    """For each of n coordinates the number of what it is counted with."""
    own = getattr(structure, "units", None)
    return np.arange(n) if own is None else own(n)


def units(problem: Any) -> int:
    """How many of what k counts there are: coordinates, groups or rows."""
    n = problem.layout.n
    return int(unit_labels(getattr(problem, "structure", Elements()), n).max(initial=-1)) + 1


def allows(structure: Structure, support: Mask, k: int, layout: Layout) -> bool:
    """Whether a support has at most size k and is what the structure would make of it."""
    score = np.ones(support.shape[0])
    return bool((structure(score, k, layout, sp.to_numpy(support)) == sp.to_numpy(support)).all())


def _one(structure: Structure, counts: Counts) -> int:
    if not isinstance(counts, (int, np.integer)):
        raise InvalidInput(f"{type(structure).__name__}: counts one a block are not defined; give one number")
    return int(counts)
