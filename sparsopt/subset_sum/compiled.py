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

from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from .fixed_point import to_grid
from .libraries import NumPy

BITS = 59
TABLE, OUTER = 6, 8
LARGEST_SIZE = 4


def available() -> bool:
    """Whether numba is installed (the extra `fast`)."""
    return find_spec("numba") is not None


class Compiled(NumPy):
    """NumPy with two compiled first looks."""

    looked_at = TABLE + OUTER
    few = LARGEST_SIZE

    def first_look(self, items: Any, targets: Any, tolerance: Any) -> Any:
        """Masks (B, n) within the tolerance where the first 14 items have such a subset; empty elsewhere."""
        grid = to_grid(items[:, : self.looked_at], targets, BITS)
        bits = _kernels()[0](grid.items, grid.targets, grid.tolerance(tolerance, self))
        masks = np.zeros(items.shape, dtype=bool)
        masks[:, : self.looked_at] = (np.maximum(bits, 0)[:, None] >> np.arange(self.looked_at)) & 1 == 1
        return masks

    def few_items(self, items: Any, targets: Any, tolerance: Any) -> Any:
        """Masks (B, n) of the fewest items within the tolerance, for at most 4 items; empty where they do not do."""
        grid = to_grid(items, targets, BITS)
        positions = _kernels()[1](grid.items, grid.targets, grid.tolerance(tolerance, self))
        masks = np.zeros((len(items), items.shape[1] + 1), dtype=bool)
        np.put_along_axis(masks, positions, True, axis=1)
        return masks[:, :-1]


@cache
def _kernels() -> tuple[Any, Any]:
    jit = import_module("numba").njit(cache=True, nogil=True)

    @jit
    def _closest(x, length, c):  # type: ignore[no-untyped-def]
        least = np.int64(1 << 62)
        for k in range(length):
            least = min(least, abs(x[k] - c))
        return least

    @jit
    def _where(x, length, c, enough):  # type: ignore[no-untyped-def]
        for k in range(length):
            if abs(x[k] - c) <= enough:
                return k
        return -1

    @jit
    def _first_look(items, targets, enough):  # type: ignore[no-untyped-def]
        found = np.full(len(targets), -1, np.int64)
        table = np.zeros(1 << TABLE, np.int64)
        for row in range(len(targets)):
            a = items[row]
            for k in range(TABLE):
                for j in range(1 << k):
                    table[(1 << k) + j] = table[j] + a[k]
            rest = targets[row]
            code = 0
            for step in range(1 << OUTER):
                if _closest(table, 1 << TABLE, rest) <= enough[row]:
                    found[row] = (code << TABLE) | _where(table, 1 << TABLE, rest, enough[row])
                    break
                flip = 0  # the next Gray code flips the lowest zero run's end
                while (step >> flip) & 1:
                    flip += 1
                if flip == OUTER:
                    break
                code ^= 1 << flip
                rest += -a[TABLE + flip] if (code >> flip) & 1 else a[TABLE + flip]
        return found

    @jit
    def _pair_at(k):  # type: ignore[no-untyped-def]
        second = 1
        while second * (second + 1) // 2 <= k:
            second += 1
        return second, k - second * (second - 1) // 2

    @jit
    def _few_items(items, targets, enough):  # type: ignore[no-untyped-def]
        batch, n = items.shape
        found = np.full((batch, LARGEST_SIZE), -1, np.int64)
        pairs = np.empty(n * (n - 1) // 2, np.int64)
        for row in range(batch):
            a, z, near = items[row], targets[row], enough[row]
            if abs(z) <= near:
                continue
            one = _where(a, n, z, near)
            if one >= 0:
                found[row, 0] = one
                continue
            filled = 0
            for i in range(1, n):  # pairs of item i with the items before it: those among the first i are a prefix
                for j in range(i):
                    pairs[filled + j] = a[i] + a[j]
                filled += i
            if _closest(pairs, filled, z) <= near:
                found[row, 0], found[row, 1] = _pair_at(_where(pairs, filled, z, near))
                continue
            done = False
            for i in range(2, n):
                c = z - a[i]
                if _closest(pairs, i * (i - 1) // 2, c) <= near:
                    found[row, 0], found[row, 1] = _pair_at(_where(pairs, i * (i - 1) // 2, c, near))
                    found[row, 2] = i
                    done = True
                    break
            for p in range(3, 0 if done else filled):
                second, first = _pair_at(p)
                length = first * (first - 1) // 2
                if _closest(pairs, length, z - pairs[p]) <= near:
                    found[row, 0], found[row, 1] = _pair_at(_where(pairs, length, z - pairs[p], near))
                    found[row, 2], found[row, 3] = second, first
                    break
        return found

    return _first_look, _few_items
