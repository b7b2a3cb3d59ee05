"""Coordinates that are in every support, the others as another structure says.

>>> Always((3,))(np.array([3.0, 2.0, 1.0, 0.5]), 2, Layout.single(4))
array([ True, False, False,  True])
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sparsopt.errors import InvalidInput
from sparsopt.state import Array, Layout, Mask
from sparsopt.support.arrays import copy, like
from sparsopt.support.structures.base import Counts, Structure, extended, most, size, unit_labels
from sparsopt.support.structures.elements import Elements

__all__ = ["Always"]


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
        return size(self.inner, support)

    def most(self, k: int) -> int:
        return most(self.inner, k)

    def units(self, n: int) -> np.ndarray:
        return unit_labels(self.inner, n)

    @property
    def least(self) -> int:
        """How many of what k counts are always in."""
        labels = unit_labels(self.inner, 1 + max(self.coordinates, default=-1))
        return len(np.unique(labels[list(self.coordinates)]))

    def _mask(self, n: int) -> np.ndarray:
        if self.coordinates and self.coordinates[-1] >= n:
            raise InvalidInput(f"Always: coordinate {self.coordinates[-1]} of only {n}; they count from 0")
        mask = np.zeros(n, dtype=bool)
        mask[list(self.coordinates)] = True
        return mask

    def _raised(self, score: Array) -> tuple[Array, Mask]:
        mask, raised = like(self._mask(score.shape[0]), score), copy(score)
        highest = 1e138 if score.dtype.itemsize == 8 else 1e17  # squares are finite, and below what is always in
        raised[raised > highest] = highest
        raised[mask] = np.inf
        return raised, mask

    def __call__(self, score: Array, counts: Counts, layout: Layout, within: Mask | None = None) -> Mask:
        raised, mask = self._raised(score)
        return self.inner(raised, counts, layout, None if within is None else within | mask)

    def extend(self, score: Array, m: int, layout: Layout, support: Mask) -> Mask:
        return extended(self.inner, self._raised(score)[0], m, layout, support)
