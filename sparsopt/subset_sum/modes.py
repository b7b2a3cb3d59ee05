"""The questions one can ask of a batch, each a few lines over `meeting.nearest`.

A mode maps (items (B, n), targets (B,), tolerance (B,), size, library) to `Found`: masks, which rows were covered
(every subset the mode allows was looked at), and the resolution. Whether a subset is within the tolerance is never
the mode's word: `solve` sums the chosen items again.

>>> from sparsopt.subset_sum.libraries import NumPy
>>> items, targets, exact = np.array([[0.5, 0.3, -0.2, 0.9]]), np.array([0.35]), np.zeros(1)
>>> best(items, targets, exact, None, NumPy()).masks
array([[False,  True, False, False]])
>>> exactly(items, targets, exact, 2, NumPy()).masks
array([[ True, False,  True, False]])
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsopt.errors import InvalidInput
from sparsopt.subset_sum import hard
from sparsopt.subset_sum.answer import errors_of
from sparsopt.subset_sum.libraries import Library
from sparsopt.subset_sum.meeting import keys_per_row, nearest

BATCHED = 30  # items; beyond, one row of keys is a megabyte, and instances are solved one by one (on the CPU)
MOST_KEYS = 1 << 20  # a row of 8 MB
PATIENCE = 44  # items up to which `any` searches what is left of a batch exhaustively (0.3 s an instance)
STAGES = (10, 14, 18, 22, 26)  # items that `any` looks at before it takes more


@dataclass(frozen=True)
class Found:
    masks: Any
    covered: Any
    resolution: Any


Mode = Callable[[Any, Any, Any, "int | None", Library], Found]


def best(items: Any, targets: Any, tolerance: Any, size: int | None, lib: Library) -> Found:
    """Least error: all 2^n subsets, met in the middle; from 31 items on one instance after the other (`hard`)."""
    if items.shape[1] <= BATCHED:
        return _met(items, targets, None, lib)
    return _one_by_one(items, targets, np.zeros(len(targets)), hard.LARGEST, lib)


def exactly(items: Any, targets: Any, tolerance: Any, size: int | None, lib: Library) -> Found:
    """Least error among the subsets of exactly `size` items."""
    n = items.shape[1]
    if size is None or not 0 <= size <= n:
        raise InvalidInput(f"mode 'size' needs size between 0 and the {n} items, not {size!r}")
    small, flipped = min(size, n - size), size > n - size
    if keys_per_row(n, small) > MOST_KEYS:
        raise InvalidInput(
            f"size={size} of {n} items needs {keys_per_row(n, small)} keys a row, more than {MOST_KEYS}: "
            "use fewer items, or mode 'best' or 'smallest'"
        )
    if not flipped:
        return _met(items, targets, small, lib)
    found = _met(items, items.sum(-1) - targets, small, lib)  # err(S, z) = err(complement, sum a - z)
    return Found(~found.masks, found.covered, found.resolution + n * 2.0**-51 * abs(items).sum(-1))


def any_within(items: Any, targets: Any, tolerance: Any, size: int | None, lib: Library) -> Found:
    """Some subset within the tolerance: the best of the first few items, then of more of them, until one fits."""
    n = items.shape[1]
    found = _start(items, lib)
    open_rows = lib.arange(len(targets))
    if 0 < lib.looked_at <= n:
        found.masks[:] = lib.first_look(items, targets, tolerance)
        open_rows = open_rows[errors_of(items, targets, found.masks, lib) > tolerance]
    open_rows = _reachable(open_rows, items, targets, tolerance, found)
    for k in [k for k in STAGES if lib.looked_at < k < n] + [min(n, BATCHED)]:
        if not len(open_rows):
            break
        a, z = items[open_rows], targets[open_rows]
        met, grid = nearest(a[:, :k], z, None, lib)
        found.masks[open_rows, :k], found.resolution[open_rows] = met, grid.resolution
        missed = errors_of(a[:, :k], z, met, lib) > tolerance[open_rows]
        open_rows = open_rows[missed]
    if n > BATCHED and len(open_rows):
        rest = _one_by_one(items[open_rows], targets[open_rows], lib.numpy(tolerance[open_rows]), PATIENCE, lib)
        found.masks[open_rows], found.covered[open_rows] = rest.masks, rest.covered
        found.resolution[open_rows] = rest.resolution
    return found


def smallest(items: Any, targets: Any, tolerance: Any, size: int | None, lib: Library) -> Found:
    """As few items as possible within the tolerance: sizes 0, 1, 2, ... for the rows that are still open."""
    n = items.shape[1]
    found = _start(items, lib)
    if lib.few:
        found.masks[:] = lib.few_items(items, targets, tolerance)
    closest = errors_of(items, targets, found.masks, lib)
    open_rows = _reachable(lib.arange(len(targets))[closest > tolerance], items, targets, tolerance, found)
    for k in range(lib.few + 1, n + 1):
        if not len(open_rows):
            break
        if keys_per_row(n, k) > MOST_KEYS:
            found.covered[open_rows] = False
            break
        a, z = items[open_rows], targets[open_rows]
        met, grid = nearest(a, z, k, lib)
        found.resolution[open_rows] = grid.resolution
        errors = errors_of(a, z, met, lib)
        better = errors < closest[open_rows]
        found.masks[open_rows[better]], closest[open_rows[better]] = met[better], errors[better]
        open_rows = open_rows[errors > tolerance[open_rows]]
    return found


MODES: dict[str, Mode] = {"best": best, "any": any_within, "smallest": smallest, "size": exactly}


def _met(items: Any, targets: Any, size: int | None, lib: Library) -> Found:
    masks, grid = nearest(items, targets, size, lib)
    return Found(masks, targets == targets, grid.resolution)


def _start(items: Any, lib: Library) -> Found:
    masks = lib.empty(tuple(items.shape), "bool")
    masks[:] = False
    return Found(masks, masks.sum(-1) == 0, 0.0 * items.sum(-1))


def _reachable(rows: Any, items: Any, targets: Any, tolerance: Any, found: Found) -> Any:
    """The rows whose target lies between the sums of all negative and of all positive items; the others are settled.

    Beyond those sums (by more than the tolerance and rounding) all positive, or all negative, items come nearest.
    """
    a, z = items[rows], targets[rows]
    slack = tolerance[rows] + a.shape[1] * 2.0**-50 * (abs(a).sum(-1) + abs(z))
    above, below = z > a.clip(0.0, None).sum(-1) + slack, z < a.clip(None, 0.0).sum(-1) - slack
    found.masks[rows[above]], found.masks[rows[below]] = a[above] > 0, a[below] < 0
    return rows[~(above | below)]


def _one_by_one(items: Any, targets: Any, tolerance: Any, limit: int, lib: Library) -> Found:
    answers = [
        hard.search(a, float(z), float(t), limit=limit)
        for a, z, t in zip(lib.numpy(items), lib.numpy(targets), tolerance, strict=True)
    ]
    start = _start(items, lib)
    for row, answer in enumerate(answers):
        start.masks[row] = lib.same(answer.masks)
        start.covered[row] = answer.covered
        start.resolution[row] = answer.resolution
    return start
