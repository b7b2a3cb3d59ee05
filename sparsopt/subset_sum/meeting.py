"""Meet in the middle for whole batches: one row of keys an instance, one sort of all rows.

Split the items in two halves. Every subset sum of the left half, and target minus every subset sum of the right
half, becomes one int64 key

    class | value | subset of that half | side

and a row of 2^(n/2) + 2^(n/2) keys is sorted. The best pair stands next to each other in it, on different sides,
so the least difference of neighbours of unlike side is the least error, and the two keys spell out the subset.
The class (top bits) is 0 for the plain problem. For exactly s items it is |S| on the left and s - |S| on the right:
keys of unlike classes are farther apart than any sums, and one sort serves all splits of s at once.
An item's key carries its value, its bit and its class together, so that one addition updates all three.

Time 2^(n/2) n and memory 2^(n/2) an instance (Horowitz and Sahni 1974, with their two pointers replaced by a sort,
which NumPy and Torch do for many rows at once).
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np

from .fixed_point import Grid, to_grid
from .libraries import Library

FAR = 1 << 62


def nearest(items: Any, targets: Any, size: int | None, lib: Library) -> tuple[Any, Grid]:
    """The subset of least error for items (B, n), targets (B,), among all or among those of `size` items.

    Returns masks (B, n) and the grid that was searched (its resolution bounds what rounding may have cost).
    """
    batch, n = items.shape
    half = (n + 1) // 2
    low = half + 1
    classes = 0 if size is None else (2 * n + 2).bit_length()
    bits = 63 - low - 3 - classes
    grid = to_grid(items, targets, bits, lib)
    unit = 0 if size is None else 1 << (low + bits + 2)
    masks = lib.empty((batch, n), "bool")
    rows = rows_at_once(n, size, lib)
    for start in range(0, batch, rows):
        block = slice(start, start + rows)
        row = _keys(grid.items[block], grid.targets[block], half, low, unit, size, lib)
        masks[block] = _closest_pair(row, n, half, low, lib)
    return masks, grid


def keys_per_row(n: int, size: int | None) -> int:
    """How many keys one instance needs: all subsets of both halves, or those of at most `size` items."""
    half = (n + 1) // 2
    most = n if size is None else size
    return sum(math.comb(h, k) for h in (half, n - half) for k in range(min(h, most) + 1))


def rows_at_once(n: int, size: int | None, lib: Library) -> int:
    """Instances whose keys are sorted together."""
    return max(1, lib.key_bytes // (8 * keys_per_row(n, size)))


def _keys(a: Any, z: Any, half: int, low: int, unit: int, size: int | None, lib: Library) -> Any:
    """The unsorted row of keys of every instance, (B, keys_per_row)."""
    n = a.shape[1]
    most, start = (n, 0) if size is None else (size, size)
    growth, middle = _growth(half, most)
    row = lib.empty((a.shape[0], keys_per_row(n, size)), "int64")
    row[:, 0] = 0
    _grow(row[:, :middle], [(a[:, k] << low) + (unit + (2 << k)) for k in range(half)], growth)
    row[:, middle] = (z << low) + (unit * start + 1)
    steps = [(2 << k) - unit - (a[:, half + k] << low) for k in range(n - half)]
    _grow(row[:, middle:], steps, _growth(n - half, most)[0])
    return row


def _grow(sums: Any, steps: list[Any], growth: list[tuple[int, Any]]) -> None:
    """Fill `sums` from its first column: at every step, append the extendable sums so far plus that step."""
    for step, (filled, extendable) in zip(steps, growth, strict=True):
        more = sums[:, extendable] + step[:, None]
        sums[:, filled : filled + more.shape[1]] = more


@cache
def _growth(h: int, most: int) -> tuple[list[tuple[int, Any]], int]:
    """For every one of h items, how many sums exist and which may still grow without exceeding `most` items."""
    sizes = np.zeros(1, dtype=np.int64)
    growth: list[tuple[int, Any]] = []
    for _ in range(h):
        may = np.flatnonzero(sizes < most)
        growth.append((len(sizes), slice(0, len(sizes)) if len(may) == len(sizes) else may))
        sizes = np.concatenate([sizes, sizes[may] + 1])
    return growth, len(sizes)


def _closest_pair(row: Any, n: int, half: int, low: int, lib: Library) -> Any:
    """Sort the keys and read the subset off the closest neighbours of unlike side; masks (B, n)."""
    row = lib.sort(row)
    value = row >> low
    apart = value[:, 1:] - value[:, :-1]
    same = row[:, 1:] ^ row[:, :-1]
    same &= 1
    same -= 1  # 0 between neighbours of unlike side, all ones otherwise
    same &= FAR
    apart |= same
    at = apart.argmin(-1)
    one, two = lib.take(row, at), lib.take(row, at + 1)
    swap = (one & 1) == 1
    left, right = lib.where(swap, two, one), lib.where(swap, one, two)
    bits = ((left >> 1) & ((1 << half) - 1)) | (((right >> 1) & ((1 << (n - half)) - 1)) << half)
    return (bits[:, None] >> lib.arange(n)) & 1 == 1
