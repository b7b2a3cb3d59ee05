"""One hard instance: up to 64 items, in bounded memory, stopping as soon as the tolerance is met.

Three ways, tried in this order by `solve_one`:

1. With a tolerance, a part of the items usually does: log2(reach / tolerance) + 8 of them.
2. Horowitz and Sahni (1974): both lists of 2^(n/2) half sums, sorted; every right sum looks up its partner.
   Time 2^(n/2) n, memory 24 bytes times 2^(n/2): 0.8 GB at n = 50.
3. Schroeppel and Shamir (1981): the half sums are produced in increasing order from four sorted lists of 2^(n/4)
   quarter sums and never stored. Theirs uses heaps, one sum at a time; here a *window* of consecutive left sums
   is produced, sorted and searched at a time, with the right sums that can meet it. Same sums, same 2^(n/2) n time,
   memory as small as the window.

>>> import numpy as np
>>> a = np.random.default_rng(0).uniform(-1, 1, 40)
>>> found = solve_one(a, 0.123, tolerance=1e-9)
>>> bool(found.success), int(found.masks.sum()) > 0
(True, True)
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sparsopt.errors import InvalidInput
from sparsopt.subset_sum.answer import CODE, Answer, Status, errors_of
from sparsopt.subset_sum.fixed_point import to_grid
from sparsopt.subset_sum.libraries import NumPy

Integers = NDArray[np.int64]
BITS = 60
FEW = 30
BLOCK = 1 << 16
LARGEST = 64
SPARE = 8  # items beyond log2(reach / tolerance): about 2^8 subsets are then expected within the tolerance


@dataclass(frozen=True)
class One:
    """The subset found, whether all subsets were covered, and what rounding to the grid may have cost."""

    masks: NDArray[np.bool_]
    covered: bool
    resolution: float


def solve_one(items: ArrayLike, target: float, tolerance: float = 0.0, memory: int = 1 << 30) -> Answer:
    """The subset of items (n,) of least error, or with a positive tolerance the first one found within it.

    `memory` is in bytes; the search takes the fastest way that fits. More than 64 items are searched in part only
    (status UNSETTLED if that does not meet the tolerance).
    Raises InvalidInput for more than 64 items without a tolerance, and where the memory does not suffice.
    """
    a = np.asarray(items, dtype=np.float64)
    if a.ndim != 1 or not np.isfinite(np.abs(a).sum() + target) or not tolerance >= 0:
        raise InvalidInput(f"one set of finite items (n,) and a tolerance >= 0 are needed, not {a.shape}, {tolerance}")
    found = search(a, float(target), tolerance, memory)
    error = errors_of(a[None], np.array([float(target)]), found.masks[None], NumPy())[0]
    status = Status.WITHIN if error <= tolerance else Status.MISSED if found.covered else Status.UNSETTLED
    success, code = np.asarray(error <= tolerance), np.asarray(CODE[status])
    return Answer(found.masks, np.asarray(error), success, code, np.asarray(found.resolution))


def search(
    items: NDArray[np.float64], target: float, tolerance: float = 0.0, memory: int = 1 << 30, limit: int = LARGEST
) -> One:
    """`solve_one` before its error is recomputed; more than `limit` items are searched in part only."""
    n = len(items)
    grid = to_grid(items[None], np.array([target]), BITS)
    a, z, resolution = grid.items[0], int(grid.targets[0]), float(grid.resolution[0])
    enough = int(grid.tolerance(np.array([tolerance]), NumPy())[0]) if tolerance > 0 else 0
    nearest, error = np.zeros(n, dtype=bool), abs(z)
    for part in _parts(n, tolerance, float(np.abs(items).sum() + abs(target)), memory):
        if error <= enough:
            break
        masks, found = _search(a[part], z, enough, memory)
        if found < error:
            nearest, error = _spread(masks, part, n), found
    if error <= enough:
        return One(nearest, True, resolution)
    if n <= limit:
        return One(_search(a, z, enough, memory)[0], True, resolution)
    if tolerance <= 0:
        raise InvalidInput(f"{n} items are more than the {limit} that can be searched exhaustively: set a tolerance")
    return One(nearest, False, resolution)


def horowitz_sahni(items: Integers, target: int, enough: int = 0) -> tuple[NDArray[np.bool_], int]:
    """The subset of least |target - sum| of integer items and that error; stops early at an error <= enough."""
    half = (len(items) + 1) // 2
    left, right = _sums(items[:half]), _sums(items[half:])
    left.sort()
    right.sort()
    error, pair = _scan(left, right, target, enough)
    return np.concatenate([subset_with_sum(items[:half], pair[0]), subset_with_sum(items[half:], pair[1])]), error


def schroeppel_shamir(
    items: Integers, target: int, enough: int = 0, window: int = 1 << 22
) -> tuple[NDArray[np.bool_], int]:
    """The same answer from quarter lists, holding about `window` half sums at a time."""
    half = (len(items) + 1) // 2
    left, right = Half.of(items[:half]), Half.of(items[half:])
    error, pair = abs(target), (0, 0)
    known = horowitz_sahni(items[:FEW], target, enough)[1] if len(items) > FEW else error
    bounds = left.quantiles(max(1, left.count // window))
    windows = (sums for low, high in pairwise(bounds) for sums in left.between(low, high, window))
    while error > enough and (sums := next(windows, None)) is not None:
        sums.sort()
        reach = min(error - 1, known)  # a right sum farther from the window than that cannot be the best
        for block in right.between(target - int(sums[-1]) - reach, target - int(sums[0]) + reach + 1, window):
            block.sort()
            found, where = _scan(sums, block, target, enough)
            if found < error:
                error, pair = found, where
    return np.concatenate([subset_with_sum(items[:half], pair[0]), subset_with_sum(items[half:], pair[1])]), error


def bytes_needed(n: int) -> tuple[int, int]:
    """Memory of Horowitz-Sahni and the least memory of Schroeppel-Shamir for n items."""
    half, quarter = (n + 1) // 2, (n + 3) // 4
    return 24 << half, (64 << quarter) + (48 << 16)


@dataclass(frozen=True)
class Half:
    """All sums of half of the items, as x + y with x and y from two sorted lists of quarter sums."""

    one: Integers
    two: Integers

    @classmethod
    def of(cls, items: Integers) -> Half:
        middle = (len(items) + 1) // 2
        return cls(np.unique(_sums(items[:middle])), np.unique(_sums(items[middle:])))

    @property
    def count(self) -> int:
        return len(self.one) * len(self.two)

    def quantiles(self, parts: int) -> list[int]:
        """Ends of about `parts` windows with about equally many sums, from a fixed random sample of the sums."""
        rng = np.random.default_rng(0)
        size = min(200 * parts, 1 << 20)
        sample = np.sort(rng.choice(self.one, size) + rng.choice(self.two, size))
        inner = sample[(np.arange(1, parts) * size) // parts]
        lowest, highest = int(self.one[0] + self.two[0]), int(self.one[-1] + self.two[-1])
        return [lowest, *sorted({int(x) for x in inner if x > lowest}), highest + 1]

    def between(self, low: int, high: int, most: int) -> Iterator[Integers]:
        """The sums in [low, high), in blocks of at most about `most`; at least one x of `one` a block."""
        first = np.searchsorted(self.two, low - self.one)
        count = np.searchsorted(self.two, high - self.one) - first
        ends = np.cumsum(count)
        start = 0
        while start < len(count):
            before = int(ends[start - 1]) if start else 0
            stop = max(start + 1, int(np.searchsorted(ends, before + most, side="right")))
            if ends[stop - 1] > before:
                yield self._expand(first[start:stop], count[start:stop], start, stop)
            start = stop

    def _expand(self, first: Integers, count: Integers, start: int, stop: int) -> Integers:
        at = np.arange(int(count.sum())) + np.repeat(first - np.cumsum(count) + count, count)
        return self.two[at] + np.repeat(self.one[start:stop], count)


def subset_with_sum(items: Integers, total: int) -> NDArray[np.bool_]:
    """A subset of up to 32 integer items that has exactly this sum (one is known to exist)."""
    if len(items) <= 20:
        index = int(np.flatnonzero(_sums(items) == total)[0])
        return (index >> np.arange(len(items))) & 1 == 1
    head, tail = _sums(items[:16]), _sums(items[16:])
    ordered = np.sort(head)
    at = np.searchsorted(ordered, total - tail).clip(0, len(ordered) - 1)
    index = int(np.flatnonzero(ordered[at] == total - tail)[0])
    rest = (index >> np.arange(len(items) - 16)) & 1 == 1
    return np.concatenate([subset_with_sum(items[:16], total - int(tail[index])), rest])


def _search(a: Integers, z: int, enough: int, memory: int) -> tuple[NDArray[np.bool_], int]:
    plenty, least = bytes_needed(len(a))
    if plenty <= memory:
        return horowitz_sahni(a, z, enough)
    if least > memory:
        fits = max(n for n in range(1, LARGEST + 1) if bytes_needed(n)[1] <= max(memory, bytes_needed(1)[1]))
        raise InvalidInput(
            f"{len(a)} items need at least {least} bytes (Schroeppel-Shamir) and memory is {memory}: "
            f"up to {fits} items fit, or raise memory to {least} ({plenty} for the faster Horowitz-Sahni)"
        )
    return schroeppel_shamir(a, z, enough, window=max(1 << 16, (memory - least) // 64))


def _scan(left: Integers, right: Integers, target: int, enough: int) -> tuple[int, tuple[int, int]]:
    """The closest pair of two sorted lists to the target, block by block of the right one."""
    error, pair = 1 << 62, (0, 0)
    for start in range(0, len(right), BLOCK):
        wanted = target - right[start : start + BLOCK]
        at = np.searchsorted(left, wanted).clip(1, max(1, len(left) - 1))
        below, above = np.abs(wanted - left[at - 1]), np.abs(left[np.minimum(at, len(left) - 1)] - wanted)
        gaps = np.minimum(below, above)
        j = int(gaps.argmin())
        if gaps[j] < error:
            nearer = at[j] - 1 if below[j] <= above[j] else min(int(at[j]), len(left) - 1)
            error, pair = int(gaps[j]), (int(left[nearer]), int(right[start + j]))
            if error <= enough:
                break
    return error, pair


def _parts(n: int, tolerance: float, reach: float, memory: int) -> list[NDArray[np.int64]]:
    """Parts of the items worth trying first: three random ones of log2(reach / tolerance) + 8 items, if they fit."""
    if tolerance <= 0:
        return []
    size = math.ceil(math.log2(max(2.0, reach / tolerance))) + SPARE
    while size > 1 and bytes_needed(size)[0] > memory:
        size -= 1
    return [np.sort(np.random.default_rng(k).permutation(n)[:size]) for k in range(3)] if size < n else []


def _spread(masks: NDArray[np.bool_], part: NDArray[np.int64], n: int) -> NDArray[np.bool_]:
    whole = np.zeros(n, dtype=bool)
    whole[part] = masks
    return whole


def _sums(items: Integers) -> Integers:
    """All subset sums; position = the subset's bits."""
    sums = np.zeros(1 << len(items), dtype=np.int64)
    for k, a in enumerate(items):
        np.add(sums[: 1 << k], a, out=sums[1 << k : 2 << k])
    return sums
