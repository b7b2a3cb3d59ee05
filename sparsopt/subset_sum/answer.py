"""What a solver returns: for every instance a subset, its error recomputed from that subset alone, and a status.

The error |z - sum of the chosen items| is the correctly rounded one, the number `math.fsum` gives. It comes from a
compensated sum (Ogita, Rump and Oishi 2005, Sum2) with a bound on what that sum may have lost; the few instances
where the bound does not settle the last bit are summed by `math.fsum` itself.

>>> answer = sparsopt.subset_sum.solve(np.array([0.5, 0.3, -0.2]), 0.35, tolerance=0.01)
>>> answer.masks, round(float(answer.errors), 2), bool(answer.success)
(array([False,  True, False]), 0.05, False)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from sparsopt.subset_sum.libraries import Library


class Status(Enum):
    """How one instance ended."""

    WITHIN = "a subset within the tolerance was found"
    MISSED = "every subset was covered and none is within the tolerance: add items or allow a larger tolerance"
    UNSETTLED = "no subset within the tolerance in the part that was searched; the rest was too large to search"


STATUSES = np.array(list(Status), dtype=object)
CODE = {status: position for position, status in enumerate(Status)}


@dataclass(frozen=True)
class Answer:
    """Subsets for a batch of instances; arrays of the library (and device) of the items.

    masks      (..., n) boolean, the chosen items
    errors     (...,) |target - sum of the chosen items|, correctly rounded
    success    (...,) boolean, errors <= tolerance
    codes      (...,) positions in `Status`; `status` spells them out
    resolution (...,) what rounding to a grid may have cost: in modes best, shared and size no subset beats `errors`
               by more; in modes any and smallest, MISSED means no subset within the tolerance less this
    """

    masks: Any
    errors: Any
    success: Any
    codes: Any
    resolution: Any

    @property
    def status(self) -> Any:
        """The `Status` of every instance, as a NumPy array of enum members."""
        return STATUSES[np.asarray(self.codes.cpu() if hasattr(self.codes, "cpu") else self.codes)]

    @property
    def sizes(self) -> Any:
        """The number of chosen items of every instance."""
        return self.masks.sum(-1)


def errors_of(items: Any, targets: Any, masks: Any, lib: Library) -> Any:
    """|z - sum_{i in S} a_i| of items (B, n), targets (B,), masks (B, n), each rounded once."""
    errors = lib.empty(tuple(targets.shape), "float64")
    block = 4096 if lib.name == "numpy" else max(1, targets.shape[0])
    for start in range(0, targets.shape[0], block):
        rows = slice(start, start + block)
        errors[rows] = _block_errors(items[rows], targets[rows], masks[rows], lib)
    return errors


def _block_errors(items: Any, targets: Any, masks: Any, lib: Library) -> Any:
    chosen = lib.where(masks, -items, 0.0 * items)
    columns = chosen.T.copy() if lib.name == "numpy" else chosen.T.contiguous()
    high, low, size = targets + 0.0, 0.0 * targets, abs(targets)
    for x in columns:
        total = high + x
        shift = total - high
        low = low + ((high - (total - shift)) + (x - shift))
        size = size + abs(x)
        high = total
    n = items.shape[1] + 1
    doubt = size * (2.5 * (n * 2.0**-53) ** 2)
    settled = (high + (low - doubt)) == (high + (low + doubt))
    errors = abs(high + low)
    for row in np.flatnonzero(~lib.numpy(settled)):
        errors[row] = abs(math.fsum([float(targets[row]), *lib.numpy(chosen[row]).tolist()]))
    return errors
