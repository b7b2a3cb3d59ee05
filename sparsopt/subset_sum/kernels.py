"""The loops behind `compiled`, by the rules of `sparsopt.machine.compiling`; `solve` can do without them."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsopt.machine.compiling import compiled

TABLE, OUTER = 6, 8  # items whose sums are the sliding table, and items along whose sums it slides
LARGEST_SIZE = 4


@compiled
def _closest(x: Any, length: Any, c: Any) -> Any:
    """The least |x_k - c| over the first `length` entries, without an early stop: it vectorises."""
    least = np.int64(1 << 62)
    for k in range(length):
        least = min(least, abs(x[k] - c))
    return least


@compiled
def _where(x: Any, length: Any, c: Any, enough: Any) -> Any:
    """The first k with |x_k - c| <= enough, or -1."""
    for k in range(length):
        if abs(x[k] - c) <= enough:
            return k
    return -1


@compiled
def first_look(items: Any, targets: Any, enough: Any) -> Any:
    """Integer items (B, >= 14), targets and tolerances (B,): bits of a subset of the first 14 items, or -1; (B,)."""
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


@compiled
def _pair_at(k: Any) -> Any:
    """The two items of pair k, larger first: pairs are (1,0), (2,0), (2,1), (3,0), ..."""
    second = 1
    while second * (second + 1) // 2 <= k:
        second += 1
    return second, k - second * (second - 1) // 2


@compiled
def _fill_pairs(a: Any, pairs: Any) -> Any:
    """All pair sums, those of an item with the items before it together: pairs among the first i are a prefix."""
    filled = 0
    for i in range(1, len(a)):
        for j in range(i):
            pairs[filled + j] = a[i] + a[j]
        filled += i


@compiled
def _third(a: Any, pairs: Any, z: Any, near: Any) -> Any:
    """An item that makes a triple with one of the pairs before it, and that pair; or -1."""
    for i in range(2, len(a)):
        before = i * (i - 1) // 2
        if _closest(pairs, before, z - a[i]) <= near:
            return i, _where(pairs, before, z - a[i], near)
    return -1, -1


@compiled
def _second_pair(pairs: Any, z: Any, near: Any) -> Any:
    """A pair that makes four with one of the pairs before its lower item, and that other pair; or -1."""
    for p in range(3, len(pairs)):
        lower = _pair_at(p)[1]
        before = lower * (lower - 1) // 2
        if _closest(pairs, before, z - pairs[p]) <= near:
            return p, _where(pairs, before, z - pairs[p], near)
    return -1, -1


@compiled
def few_items(items: Any, targets: Any, enough: Any) -> Any:
    """Integer items (B, n), targets, tolerances (B,): positions (B, 4) of the fewest <= 4 items, filled with -1."""
    batch, n = items.shape
    found = np.full((batch, LARGEST_SIZE), -1, np.int64)
    pairs = np.empty(n * (n - 1) // 2, np.int64)
    for row in range(batch):
        a, z, near = items[row], targets[row], enough[row]
        if abs(z) <= near:
            continue
        found[row, 0] = _where(a, n, z, near)
        if found[row, 0] >= 0:
            continue
        _fill_pairs(a, pairs)
        pair = _where(pairs, len(pairs), z, near) if _closest(pairs, len(pairs), z) <= near else -1
        if pair < 0:
            found[row, 2], pair = _third(a, pairs, z, near)
        if pair < 0:
            other, pair = _second_pair(pairs, z, near)
            if pair >= 0:
                found[row, 2], found[row, 3] = _pair_at(other)
        if pair >= 0:
            found[row, 0], found[row, 1] = _pair_at(pair)
    return found
