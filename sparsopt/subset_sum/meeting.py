"""Meet in the middle for whole batches: one row of keys an instance, one sort of all rows.

Split the items in two halves. Every subset sum of the left half, and target minus every subset sum of the right
half, becomes one int64 key

    class | value | which subset of that half | side

and a row of 2^(n/2) + 2^(n/2) keys is sorted. The best pair stands next to each other in it, on different sides,
so the least difference of neighbours of unlike side is the least error, and the two keys name the subset.
The class (top bits) is 0 for the plain problem. For exactly s items it is |S| on the left and s - |S| on the right:
keys of unlike classes are farther apart than any sums, and one sort serves all splits of s at once; subsets of more
than s items are not made at all, so few of many items are cheap.

Time 2^(n/2) n and memory 2^(n/2) an instance (Horowitz and Sahni 1974, with their two pointers replaced by a sort,
which NumPy and Torch do for many rows at once).

>>> from sparsopt.subset_sum.libraries import NumPy
>>> items, targets = np.array([[0.5, 0.3, -0.2, 0.9]]), np.array([0.35])
>>> nearest(items, targets, None, NumPy())[0]
array([[False,  True, False, False]])
>>> nearest(items, targets, 2, NumPy())[0]                     # of exactly two items
array([[ True, False,  True, False]])
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsopt.subset_sum.fixed_point import Grid, to_grid
from sparsopt.subset_sum.libraries import Library

FAR = 1 << 62


def nearest(items: Any, targets: Any, size: int | None, lib: Library) -> tuple[Any, Grid]:
    """The subset of least error for items (B, n), targets (B,), among all or among those of `size` items.

    Returns masks (B, n) and the grid that was searched (its resolution bounds what rounding may have cost).
    """
    batch, n = items.shape
    halves = _Half.of((n + 1) // 2, size), _Half.of(n // 2, size)
    low = (len(halves[0].subsets) - 1).bit_length() + 1
    bits = 63 - low - 3 - (0 if size is None else (size + 1).bit_length())
    grid = to_grid(items, targets, bits, lib)
    unit = 0 if size is None else 1 << (low + bits + 2)
    masks = lib.empty((batch, n), "bool")
    rows = rows_at_once(n, size, lib)
    for start in range(0, batch, rows):
        block = slice(start, start + rows)
        keys = _keys(grid.items[block], grid.targets[block], halves, low, unit, size or 0, lib)
        left, right = _closest_pair(keys, low, lib)
        chosen = lib.same(halves[0].subsets)[left] | (lib.same(halves[1].subsets)[right] << halves[0].items)
        masks[block] = (chosen[:, None] >> lib.arange(n)) & 1 == 1
    return masks, grid


@dataclass(frozen=True)
class _Half:
    """The subsets of one half: their bits in the order in which the sums are made, and how to make them.

    growth[k] says how many sums exist before item k, and which of them item k extends.
    """

    items: int
    subsets: NDArray[np.int64]
    growth: tuple[tuple[int, Any], ...]

    @classmethod
    @cache
    def of(cls, items: int, size: int | None) -> _Half:
        """All subsets of the half, or those of at most `size` items."""
        most = items if size is None else size
        subsets, sizes = np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64)
        growth: list[tuple[int, Any]] = []
        for k in range(items):
            extends = np.flatnonzero(sizes < most)
            growth.append((len(sizes), slice(0, len(sizes)) if len(extends) == len(sizes) else extends))
            subsets = np.concatenate([subsets, subsets[extends] | (1 << k)])
            sizes = np.concatenate([sizes, sizes[extends] + 1])
        return cls(items, subsets, tuple(growth))

    def fill(self, keys: Any, first: Any, steps: Any, lib: Library) -> None:
        """Write the key of every subset into `keys` (B, subsets), from that of the empty one and a step an item."""
        keys[:, 0] = first
        complete = len(self.subsets) == 1 << self.items
        if complete:  # positions are then the bits, and can be added up along with the values
            steps = steps + (2 << lib.arange(self.items))
        for k, (made, extends) in enumerate(self.growth):
            more = keys[:, extends] + steps[:, k, None]
            keys[:, made : made + more.shape[1]] = more
        if not complete:
            keys += lib.arange(len(self.subsets)) << 1


def keys_per_row(n: int, size: int | None) -> int:
    """How many keys one instance needs: all subsets of both halves, or those of at most `size` items."""
    half = (n + 1) // 2
    most = n if size is None else size
    return sum(math.comb(h, k) for h in (half, n - half) for k in range(min(h, most) + 1))


def rows_at_once(n: int, size: int | None, lib: Library) -> int:
    """Instances whose keys are sorted together."""
    return max(1, lib.key_bytes // (8 * keys_per_row(n, size)))


def _keys(a: Any, z: Any, halves: tuple[_Half, _Half], low: int, unit: int, size: int, lib: Library) -> Any:
    """The unsorted row of keys of every instance, (B, keys_per_row)."""
    left, right = halves
    middle = len(left.subsets)
    keys = lib.empty((a.shape[0], middle + len(right.subsets)), "int64")
    steps = (a << low) + unit
    left.fill(keys[:, :middle], 0, steps[:, : left.items], lib)
    right.fill(keys[:, middle:], (z << low) + (unit * size + 1), -steps[:, left.items :], lib)
    return keys


def _closest_pair(keys: Any, low: int, lib: Library) -> tuple[Any, Any]:
    """Sort the keys; which left and which right subset are the closest neighbours of unlike side, (B,) each."""
    keys = lib.sort(keys)
    value = keys >> low
    apart = value[:, 1:] - value[:, :-1]
    same = keys[:, 1:] ^ keys[:, :-1]
    same &= 1
    same -= 1  # 0 between neighbours of unlike side, all ones otherwise
    same &= FAR
    apart |= same
    at = apart.argmin(-1)
    one, two = lib.take(keys, at), lib.take(keys, at + 1)
    swap = (one & 1) == 1
    left, right = lib.where(swap, two, one), lib.where(swap, one, two)
    name = (1 << low) - 1
    return (left & name) >> 1, (right & name) >> 1
