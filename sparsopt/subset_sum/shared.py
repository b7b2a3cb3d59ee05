"""Many targets, one set of items: sort all 2^n sums once, then look every target up.

Where the number of targets T is large next to 2^(n/2), this beats a meeting in the middle for each of them:
2^n n once, then n steps a target. Memory is 16 bytes a subset, 400 MB at the largest n = 24.

>>> from sparsopt.subset_sum.libraries import NumPy
>>> masks, _ = nearest_of_one_set(np.array([1.0, 2.0, 4.0]), np.array([5.1, 2.9]), NumPy())
>>> masks
array([[ True, False,  True],
       [ True,  True, False]])
"""

from __future__ import annotations

from typing import Any

from sparsopt.subset_sum.fixed_point import Grid, to_grid
from sparsopt.subset_sum.libraries import Library

LARGEST = 24


def worthwhile(n: int, targets: int) -> bool:
    """Whether the table of all sums costs less than `targets` meetings in the middle."""
    return n <= LARGEST and targets > 2 ** ((n + 1) // 2)


def nearest_of_one_set(items: Any, targets: Any, lib: Library) -> tuple[Any, Any]:
    """Masks (T, n) of the subset of items (n,) nearest to each of the targets (T,), and the resolution (T,)."""
    n = len(items)
    grid = _common_grid(items, targets, lib)
    sums = lib.empty((1 << n,), "int64")
    sums[0] = 0
    for k in range(n):
        sums[1 << k : 2 << k] = sums[: 1 << k] + grid.items[0, k]
    order = lib.argsort(sums)
    ordered = sums[order]
    above = lib.searchsorted(ordered, grid.targets).clip(1, len(ordered) - 1) if n else lib.arange(1)[grid.targets * 0]
    if n:
        nearer_below = grid.targets - ordered[above - 1] <= ordered[above] - grid.targets
        above = above - lib.integers(nearer_below)
    return (order[above][:, None] >> lib.arange(n)) & 1 == 1, grid.resolution


def _common_grid(items: Any, targets: Any, lib: Library) -> Grid:
    """One grid for the items and all their targets: that of the farthest target."""
    far = abs(targets).max()
    grid = to_grid(items[None], far[None], 60, lib)
    z = (targets / grid.step).round()
    lost = abs(targets - z * grid.step) + (grid.resolution / 2 - abs(far - grid.targets * grid.step))
    return Grid(grid.items, lib.integers(z), grid.step, 2 * lost)
