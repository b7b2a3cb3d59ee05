"""Integers that are in proportion, fit, and sum exactly: seats for parties.

>>> largest_remainder(np.array([1.5, 1.5, 1.0]), np.array([4.0, 4.0, 4.0]), 4)
(2, 1, 1)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sparsopt.errors import InvalidInput
from sparsopt.schedules.over_rounds import Counts
from sparsopt.state import Layout


def apportion(total: Counts, weight: np.ndarray, layout: Layout) -> tuple[int, ...]:
    """Integers proportional to weight * size, none above its size, summing to min(total, n) exactly."""
    if not isinstance(total, int):
        raise InvalidInput(f"a total is divided over blocks, but it is already one count a block: {total}")
    sizes = np.array(layout.sizes, dtype=float)
    total = min(total, layout.n)
    share = np.zeros_like(sizes)
    open_ = np.ones(len(sizes), dtype=bool)  # blocks that are not full yet
    while open_.any():
        left = total - sizes[~open_].sum()
        share[open_] = left * (weight * sizes)[open_] / (weight * sizes)[open_].sum()
        full = open_ & (share > sizes)
        if not full.any():
            break
        share[full] = sizes[full]
        open_ &= ~full
    return largest_remainder(share, sizes, total)


def largest_remainder(share: np.ndarray, sizes: np.ndarray, total: int) -> tuple[int, ...]:
    counts = np.floor(share)
    order: Sequence[int] = np.argsort(-(share - counts), kind="stable").tolist()
    missing = total - int(counts.sum())
    while missing > 0:
        for block in order:
            if missing and counts[block] < sizes[block]:
                counts[block] += 1
                missing -= 1
    return tuple(int(c) for c in counts)
