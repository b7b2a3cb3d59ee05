"""N:M: n of every m consecutive coordinates, the pattern that sparse tensor cores multiply.

>>> NM(2, 4)(np.array([3.0, 1.0, 2.0, 0.0, 5.0, 5.0, 5.0, 5.0]), 0, Layout.single(8))
array([ True, False,  True, False,  True,  True, False, False])
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sparsopt.errors import InvalidInput
from sparsopt.state import Array, Layout, Mask
from sparsopt.support.arrays import copy, everything, like, to_numpy
from sparsopt.support.largest import refuse_nan
from sparsopt.support.structures.base import Counts

__all__ = ["NM"]


@dataclass(frozen=True)
class NM:
    """At most n of every m consecutive coordinates along each block's N:M axis (`layout.axes`).

    The counts follow from the structure, so those passed are ignored, and moves that change a support by a number of
    coordinates (Add, Drop, Swap) refuse it. A block whose axis m does not divide is kept whole, as hardware has no
    such pattern for it.
    """

    n: int
    m: int
    fixed = True  # the counts are

    def __post_init__(self) -> None:
        if not 0 <= self.n <= self.m or self.m < 1:
            raise InvalidInput(f"{self}: n of every m needs 0 <= n <= m and m >= 1, for example NM(2, 4)")

    def __call__(self, score: Array, counts: Counts, layout: Layout, within: Mask | None = None) -> Mask:
        chosen = everything(score) if within is None else copy(within)
        for block, shape, axis in zip(layout.slices, layout.shapes, layout.axes, strict=True):
            if shape[axis] % self.m == 0:
                allowed = None if within is None else within[block]
                chosen[block] = self._block(score[block], shape, axis, allowed)
        return chosen

    def _block(self, score: Array, shape: tuple[int, ...], axis: int, within: Mask | None) -> Mask:
        host = to_numpy(score).reshape(shape)
        allowed = np.ones(shape, dtype=bool) if within is None else to_numpy(within).reshape(shape)
        rows, candidates = (np.moveaxis(array, axis, -1).reshape(-1, self.m) for array in (host, allowed))
        refuse_nan(bool(np.isnan(rows[candidates]).any()))
        order = np.lexsort((-rows, ~candidates))  # candidates first, then by score; stable: ties to the lowest index
        kept = np.zeros(rows.shape, dtype=bool)
        np.put_along_axis(kept, order[:, : self.n], True, axis=1)
        moved = np.moveaxis(host, axis, -1).shape
        kept = np.moveaxis((kept & candidates).reshape(moved), -1, axis)
        return like(np.ascontiguousarray(kept).reshape(-1), score)
