"""Items and targets as integers on a grid of a power of two.

Sums of int64 are exact, sort fast, and leave low bits free for the subset itself, so every solver here works on
`a_i ~ q k_i` with q a power of two chosen per instance as small as the bits allow. What rounding to the grid can
cost is not guessed but summed up: with r = |z - q k_z| + sum_i |a_i - q k_i|, the least error on the grid and the
true least error differ by at most r, and the subset found is within `resolution` = 2 r of the best. Integers,
and anything else that already lies on a coarse enough grid, have resolution 0: the answer is then exact.

>>> import numpy as np
>>> grid = to_grid(np.array([[3.0, -1.5, 0.25]]), np.array([1.0]), bits=50)
>>> grid.resolution, grid.items[0] * grid.step[0]
(array([0.]), array([ 3.  , -1.5 ,  0.25]))
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sparsopt.subset_sum.libraries import Library, NumPy


@dataclass(frozen=True)
class Grid:
    """Integers `items` (B, n) and `targets` (B,), the `step` q (B,) of their grid, and `resolution` 2 r (B,)."""

    items: Any
    targets: Any
    step: Any
    resolution: Any

    def tolerance(self, tolerance: Any, lib: Library) -> Any:
        """The largest grid error that is surely within `tolerance` (B,) in truth; at least 0."""
        steps = (tolerance - self.resolution / 2) / self.step
        return lib.integers(steps.clip(0.0, 2.0**61))


def to_grid(items: Any, targets: Any, bits: int, lib: Library | None = None) -> Grid:
    """Round items (B, n) and targets (B,) to a grid on which every |z| + sum |a_i| is below 2^(bits + 1) steps."""
    lib = lib or NumPy()
    reach = abs(items).sum(-1) + abs(targets)
    exponent = lib.exponent(reach).clip(-900, None)
    scale = lib.power_of_two(bits - exponent)
    step = lib.power_of_two(exponent - bits)
    a, z = (items * scale[:, None]).round(), (targets * scale).round()
    lost = abs(items - a * step[:, None]).sum(-1) + abs(targets - z * step)
    return Grid(lib.integers(a), lib.integers(z), step, 2 * lost)
