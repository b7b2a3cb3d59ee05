"""Single coordinates: the structure of everything that says nothing else.

>>> Elements()(np.array([1.0, 3.0, 2.0]), 2, Layout.single(3))
array([False,  True,  True])
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sparsopt.errors import InvalidInput
from sparsopt.state import Array, Layout, Mask
from sparsopt.support.arrays import nothing
from sparsopt.support.largest import top
from sparsopt.support.structures.base import Counts

__all__ = ["Elements"]


@dataclass(frozen=True)
class Elements:
    """Single coordinates. `counts` is one integer (globally) or one a block."""

    def __call__(self, score: Array, counts: Counts, layout: Layout, within: Mask | None = None) -> Mask:
        if isinstance(counts, (int, np.integer)):
            return top(score, int(counts), within)
        if len(counts) != len(layout.names):
            raise InvalidInput(f"Elements: {len(counts)} counts for {len(layout.names)} blocks {layout.names}")
        chosen = nothing(score)
        for k, block in zip(counts, layout.slices, strict=True):
            chosen[block] = top(score[block], int(k), None if within is None else within[block])
        return chosen
