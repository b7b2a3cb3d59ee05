"""Exact equality: integers, and quantised numbers on a grid.

On the grid step * {..., -1, 0, 1, ...} a subset sum either equals the target or it does not; no tolerance, no
rounding. Two searches: a table of bits, one addition and one OR of a big integer an item, for reach R = sum |a_i|
up to some 10^7 (time n R / 64, any n); and meeting in the middle beyond. Quantised strong tickets need nothing else
(Kumar and Natale 2025: a weight on a grid of step d is a sum of products of two numbers on a grid of step sqrt(d)).

>>> equals = solve_integers([3, -5, 9, 2], 4)
>>> equals.masks.tolist(), bool(equals.success)
([False, True, True, False], True)
>>> on_grid([0.75, -0.5], 0.25)
array([ 3, -2])
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sparsopt.errors import InvalidInput
from sparsopt.subset_sum.answer import CODE, Answer, Status
from sparsopt.subset_sum.hard import search
from sparsopt.subset_sum.solve import solve

Integers = NDArray[np.int64]
TABLE_REACH = 1 << 22


def on_grid(values: ArrayLike, step: float) -> Integers:
    """values / step as int64. Raises InvalidInput for the first value that is no exact multiple of the step."""
    x = np.asarray(values, dtype=np.float64)
    k = np.rint(x / step)
    off = (k * step != x) | ~np.isfinite(x)
    if off.any():
        raise InvalidInput(f"{x[off].flat[0]!r} is not a multiple of {step!r}: quantise it first, or use solve()")
    return k.astype(np.int64)


def solve_integers(items: ArrayLike, targets: ArrayLike, mode: str = "any") -> Answer:
    """Subsets with sum exactly equal to the target, for integer items (n,) or (B, n) and targets () or (B,).

    `mode` is one of "any", "smallest" and "best"; success means equality. One set of more than 34 items goes through
    the table of bits if its reach allows. Raises InvalidInput where sums may exceed 2^53 (float64 would not be exact),
    or 2^36 for "smallest".
    """
    a, z = _integers(items), _integers(targets)
    reach = np.abs(a).sum(-1, dtype=np.float64)
    bits = 36 if mode == "smallest" else 53
    if max(reach.max(initial=0.0), np.abs(z).max(initial=0)) >= 2.0**bits:
        raise InvalidInput(f"integers must sum to less than 2^{bits} in absolute value to stay exact in mode {mode!r}")
    if mode == "any" and a.ndim == 1 and z.ndim == 0 and len(a) > 34 and reach <= TABLE_REACH:
        return _from_table(a, int(z))
    answer = solve(a.astype(np.float64), z.astype(np.float64), mode, 0.0)
    return _exact(a, z, answer)


def _exact(a: Integers, z: Integers, answer: Answer) -> Answer:
    """Solve again, on 60 bits, what a coarser grid of the batch did not settle."""
    doubtful = np.flatnonzero(~answer.success & (answer.resolution > 0) & (answer.codes == CODE[Status.MISSED]))
    if not len(doubtful):
        return answer
    items, targets, masks = np.atleast_2d(a), np.atleast_1d(z), np.atleast_2d(answer.masks).copy()
    for row in doubtful:
        masks[row] = search(items[row].astype(np.float64), float(targets[row])).masks
    errors = np.abs(targets - (items * masks).sum(1)).astype(np.float64)
    codes = np.where(errors == 0, CODE[Status.WITHIN], np.atleast_1d(answer.codes))
    shape = answer.errors.shape
    return Answer(masks.reshape(answer.masks.shape), errors.reshape(shape), (errors == 0).reshape(shape),
                  codes.reshape(shape), np.zeros(shape))  # fmt: skip


def reachable(items: ArrayLike) -> tuple[int, NDArray[np.bool_]]:
    """All subset sums of integers (n,): the lowest sum L and a boolean r with r[s - L] = (some subset sums to s)."""
    a = _integers(items)
    lowest, highest = int(a[a < 0].sum()), int(a[a > 0].sum())
    bits = _tables(a)[-1]
    width = highest - lowest + 1
    raw = np.frombuffer(bits.to_bytes(width // 8 + 1, "little"), dtype=np.uint8)
    return lowest, np.unpackbits(raw, bitorder="little")[:width].astype(bool)


def _from_table(a: Integers, z: int) -> Answer:
    """Walk the tables of bits backwards: item i is left out wherever the sum is reachable without it."""
    tables = _tables(a)
    at = z - int(a[a < 0].sum())
    hit = at >= 0 and (tables[-1] >> at) & 1 == 1
    mask = np.zeros(len(a), dtype=bool)
    for i in range(len(a) - 1, -1, -1) if hit else ():
        if not (tables[i] >> at) & 1:
            at -= abs(int(a[i]))
            mask[i] = True
    mask ^= (a < 0) & hit  # the tables hold |a_i|: a negative item counts when it is left out
    error = float(abs(z - int(a[mask].sum())))
    one: Any = np.asarray
    return Answer(mask, one(error), one(hit), one(CODE[Status.WITHIN if hit else Status.MISSED]), one(0.0))


def _tables(a: Integers) -> list[int]:
    """Bit s of table i: some subset of the first i numbers |a| sums to s (s counted from the sum of the negatives)."""
    tables = [1]
    for x in a:
        tables.append(tables[-1] | (tables[-1] << abs(int(x))))
    return tables


def _integers(values: ArrayLike) -> Integers:
    x = np.asarray(values)
    if x.dtype.kind not in "iu" and x.size:
        raise InvalidInput(
            f"integers expected, not {x.dtype}: on_grid(values, step) makes them from multiples of a step"
        )
    return x.astype(np.int64)
