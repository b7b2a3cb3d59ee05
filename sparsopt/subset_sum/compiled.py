"""Optional first looks, compiled by numba: the easy instances of `any` and `smallest`, millions a second.

`Compiled` is NumPy with these two looks. Both go over a small part of the subsets exhaustively and leave what that
does not settle to the array code in `modes`, which gives the same kind of answer without numba. `best` has no
compiled path: NumPy's vectorised integer sort of a whole batch does not need one.

- `first_look`: the sums of the first 6 items are a table of 64 that stays in registers; it slides along the sums of
  the next 8 items until one entry lies within the tolerance.
- `few_items`: sizes 1, 2, 3, 4. All pair sums, ordered by their lowest item from the back, are one array in which
  the pairs behind item i are a prefix: size 3 is n scans of prefixes, size 4 is n(n-1)/2.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsopt.machine.compiling import available
from sparsopt.subset_sum.fixed_point import to_grid
from sparsopt.subset_sum.libraries import NumPy

__all__ = ["Compiled", "available"]

BITS = 59
LOOKED_AT = 14
FEW = 4


class Compiled(NumPy):
    """NumPy with two compiled first looks."""

    looked_at = LOOKED_AT
    few = FEW

    def first_look(self, items: Any, targets: Any, tolerance: Any) -> Any:
        """Masks (B, n) within the tolerance where the first 14 items have such a subset; empty elsewhere."""
        from sparsopt.subset_sum import kernels

        grid = to_grid(items[:, : self.looked_at], targets, BITS)
        bits = kernels.first_look(grid.items, grid.targets, grid.tolerance(tolerance, self))
        masks = np.zeros(items.shape, dtype=bool)
        masks[:, : self.looked_at] = (np.maximum(bits, 0)[:, None] >> np.arange(self.looked_at)) & 1 == 1
        return masks

    def few_items(self, items: Any, targets: Any, tolerance: Any) -> Any:
        """Masks (B, n) of the fewest items within the tolerance, for at most 4 items; empty where they do not do."""
        from sparsopt.subset_sum import kernels

        grid = to_grid(items, targets, BITS)
        positions = kernels.few_items(grid.items, grid.targets, grid.tolerance(tolerance, self))
        masks = np.zeros((len(items), items.shape[1] + 1), dtype=bool)
        np.put_along_axis(masks, positions, True, axis=1)
        return masks[:, :-1]
