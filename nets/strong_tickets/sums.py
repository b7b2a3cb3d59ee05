"""How one target weight is made of source weights: many subset sums at once, and an honest count of the misses.

A rule maps items (B, n) and targets (B,) to masks (B, n). `Subset` is the theorems' rule, by `sparsopt.subset_sum`;
`Nearest` and `Digits` are those of earlier papers, with exponentially or somewhat larger sources. A miss is recorded,
never redrawn.

>>> rule = Subset("any", 0.01)
>>> rule(np.array([[0.5, 0.3, -0.2]]), np.array([0.3]))
array([[False,  True, False]])
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nets.strong_tickets.source import Floats, Mask
from sparsopt.errors import InvalidInput
from sparsopt.subset_sum import solve

BEST = 22  # items of which the best subset replaces a miss


class Each:
    """A rule whose tolerance is the same for every sum of a network."""

    def over(self, target: Any, domain: Any) -> Any:
        """The rule for a target and a domain."""
        return self

    def layer(self, l: int, gain: float) -> Any:
        """The rule for layer l, behind which errors are multiplied by up to `gain`."""
        return self


@dataclass(frozen=True)
class Subset(Each):
    """Subset sums: mode "any" (first within the tolerance), "smallest" (fewest items), "best" (least error).

    most: items searched at a time; more would only cost time. Of the others, one after the other is taken while the
    target is too far for them to overshoot, so that a large target comes within reach.

    Where no subset is within the tolerance, the next `most` items are searched, then the next; after the last, the
    nearest subset that was met is used, and the sum has missed.
    """

    mode: str = "any"
    tolerance: float = 1e-3
    most: int = 28

    def __post_init__(self) -> None:
        _check(self.tolerance)

    def __call__(self, items: Floats, targets: Floats) -> Mask:
        masks = self._look(items, targets)
        errors = np.abs((items * masks).sum(axis=1) - targets)
        for start in range(self.most, items.shape[1], self.most):
            missed = np.flatnonzero(errors > self.tolerance)
            if not len(missed):
                break
            again = np.roll(self._look(np.roll(items[missed], -start, axis=1), targets[missed]), start, axis=1)
            found = np.abs((items[missed] * again).sum(axis=1) - targets[missed])
            closer = found < errors[missed]
            masks[missed[closer]], errors[missed[closer]] = again[closer], found[closer]
        return masks

    def _look(self, items: Floats, targets: Floats) -> Mask:
        """Search the first items; where that misses, take the best subset of a few of them."""
        masks = np.zeros(items.shape, dtype=bool)
        near, far = items[:, : self.most], items[:, self.most :]
        rest = targets
        if far.shape[1]:
            sign = np.sign(targets)[:, None]
            helps = np.maximum(far * sign, 0.0)
            beyond = np.abs(targets) - np.maximum(near * sign, 0.0).sum(axis=1) / 2
            masks[:, self.most :] = (helps > 0) & (helps.cumsum(axis=1) <= beyond[:, None])
            rest = targets - (far * masks[:, self.most :]).sum(axis=1)
        found = solve(near, rest, self.mode, self.tolerance)
        masks[:, : self.most] = found.masks
        missed = np.flatnonzero(~found.success)
        if len(missed):
            best = solve(near[missed, :BEST], rest[missed], "best")
            closer = best.errors < found.errors[missed]
            masks[missed[closer], : self.most] = False
            masks[missed[closer], : near[:, :BEST].shape[1]] = best.masks[closer]
        return masks


@dataclass(frozen=True)
class Nearest(Each):
    """The one item nearest to the target, or none: Malach, Yehudai, Shalev-Shwartz and Shamir (2020), Theorem 2.1.

    Needs some 1 / tolerance items, where subsets need log(1 / tolerance): the baseline.
    """

    tolerance: float = 1e-3

    def __post_init__(self) -> None:
        _check(self.tolerance)

    def __call__(self, items: Floats, targets: Floats) -> Mask:
        gaps = np.abs(np.concatenate([items, np.zeros((len(items), 1))], axis=1) - targets[:, None])
        masks = np.zeros((len(items), items.shape[1] + 1), dtype=bool)
        masks[np.arange(len(items)), gaps.argmin(axis=1)] = True
        return masks[:, :-1]


@dataclass(frozen=True)
class Digits(Each):
    """Greedy digits, after Orseau, Hutter and Rivasplata (2020, NeurIPS, arXiv 2006.12156).

    Verified there: a target weight is split into digits of all scales, one random weight a digit, drawn from a
    "hyperbolic" distribution, so that log(1 / tolerance) neurons a weight are enough (abstract; published summaries).
    Not verified: their base, the exact law, the batch sampling that shares neurons, and the constants. What is proved
    and tested here is only this:

    Items of the target's sign in decreasing size; each is taken that still fits. Where every item is at most the sum
    of the smaller ones plus the tolerance, every target up to their sum is met to the tolerance (Kakeya 1914); one item
    in each [g^-(i+1), g^-i], g the golden ratio, is enough for that, hence one item a scale, hence `Hyperbolic`.
    """

    tolerance: float = 1e-3

    def __post_init__(self) -> None:
        _check(self.tolerance)

    def __call__(self, items: Floats, targets: Floats) -> Mask:
        size = np.maximum(np.sign(targets)[:, None] * items, 0.0)
        order = np.argsort(-size, axis=1, kind="stable")
        masks, rest = np.zeros(items.shape, dtype=bool), np.abs(targets)
        rows = np.arange(len(items))
        for column in order.T:
            x = size[rows, column]
            fits = (x > 0) & (x <= rest)
            masks[rows, column] = fits
            rest = rest - np.where(fits, x, 0.0)
        return masks

    def complete(self, items: Floats) -> NDArray[np.bool_]:
        """Whether Kakeya's condition holds for the positive items of each row: no target up to their sum is missed."""
        size = -np.sort(-np.maximum(items, 0.0), axis=1)
        below = size[:, ::-1].cumsum(axis=1)[:, ::-1] - size
        return np.all(size <= below + self.tolerance, axis=1)


Rule = Any  # Subset, Nearest, Digits, or another of their kind: see `Each`


def _check(tolerance: float) -> None:
    if not 0 <= tolerance < float("inf"):
        raise InvalidInput(f"tolerance = {tolerance} must be a number >= 0")


# ---- counting ------------------------------------------------------------------------------------------------------


@dataclass
class Tally:
    """What happened to the sums of one network: how many, how many missed, the worst error, items at hand and used.

    tolerance: the smallest that was asked for.
    """

    sums: int = 0
    missed: int = 0
    worst: float = 0.0
    items: int = 0
    used: int = 0
    tolerance: float = math.inf

    def add(self, errors: Floats, tolerance: float, masks: Mask) -> None:
        self.sums += len(errors)
        self.items += masks.size
        self.used += int(masks.sum())
        self.count(errors, tolerance)

    def count(self, errors: Floats, tolerance: float) -> None:
        """The errors alone."""
        self.missed += int((errors > tolerance).sum())
        self.worst = max(self.worst, float(errors.max(initial=0.0)))
        self.tolerance = min(self.tolerance, tolerance)


def settle(rule: Rule, items: Floats, targets: Floats, locked: Mask | None, tally: Tally) -> Mask:
    """Masks (B, n) for items (B, n): locked items are in, absent ones (0) out, a zero target takes nothing else.

    The sum over locked items is subtracted from the target first, so that a locked item is an offset.
    """
    wanted, free = targets, items
    if locked is not None and locked.any():
        wanted = targets - (items * locked).sum(axis=1)
        free = np.where(locked, 0.0, items)
    masks = np.zeros(items.shape, dtype=bool)
    asked = np.flatnonzero(wanted != 0)
    for rows in np.array_split(asked, max(1, -(-len(asked) * items.shape[1] // (1 << 22)))):
        if len(rows) and items.shape[1]:
            masks[rows] = rule(free[rows], wanted[rows])
    masks &= free != 0
    errors = np.abs((free * masks).sum(axis=1) - wanted)
    masks = masks if locked is None else masks | locked
    tally.add(errors, rule.tolerance, masks)
    return masks


def grouped(counts: NDArray[Any]) -> Iterable[tuple[int, NDArray[np.int64]]]:
    """(count, rows with that count), so that ragged item sets become rectangles."""
    return ((int(n), np.flatnonzero(counts == n)) for n in np.unique(counts))
