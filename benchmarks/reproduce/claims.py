"""Claims: what a paper says, as an interval that a measured quantity has to lie in.

A quantity is a combination of arms, taken seed by seed: an accuracy, a difference, a difference of differences. The
claim is *reproduced* if the quantity's 95 % interval over seeds lies inside, *not reproduced* if it lies outside, and
else *not separable*: more seeds would tell. So a claim of equality needs evidence, too.

>>> above("imp", "imp+reinit").says
'imp is above imp+reinit'
>>> Claim("a and b agree", ((1.0, "a"), (-1.0, "b")), -0.3, 0.3).verdict(Interval(0.1, -0.1, 0.2, 5))
'reproduced'
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.statistics import FEWEST, Interval, interval

REPRODUCED, FAILED, OPEN = "reproduced", "not reproduced", "not separable"
UNITS = {"accuracy": 100.0, "collapsed": 1.0}  # accuracies are spoken of in %
Records = Mapping[str, Mapping[int, Mapping[str, Any]]]  # arm -> seed -> record


@dataclass(frozen=True)
class Claim:
    """`low` <= sum of coefficient * arm <= `high`, in % of accuracy (or in another field of the records, `of`)."""

    says: str
    terms: tuple[tuple[float, str], ...]
    low: float = -math.inf
    high: float = math.inf
    of: str = "accuracy"

    @property
    def arms(self) -> tuple[str, ...]:
        return tuple(arm for _, arm in self.terms)

    @property
    def absolute(self) -> bool:
        """Whether it speaks of a level, which a shorter training cannot be held to, and not of an order."""
        return self.of == "accuracy" and abs(sum(c for c, _ in self.terms)) > 1e-12

    def measure(self, records: Records) -> Interval:
        """The quantity's interval over the seeds that all its arms have."""
        seeds = sorted(set.intersection(*(set(records.get(arm, {})) for arm in self.arms)))
        values = [sum(c * self._value(records[arm][seed]) for c, arm in self.terms) for seed in seeds]
        return interval(values, self._resolution(records, seeds))

    def verdict(self, measured: Interval) -> str:
        if measured.count < FEWEST:
            return OPEN
        if self.low <= measured.low and measured.high <= self.high:
            return REPRODUCED
        return FAILED if measured.high < self.low or measured.low > self.high else OPEN

    def _value(self, record: Mapping[str, Any]) -> float:
        return UNITS[self.of] * float(record[self.of])

    def _resolution(self, records: Records, seeds: list[int]) -> float:
        """Of the quantity: accuracies are multiples of 1 / samples, and each term rounds on its own."""
        if self.of != "accuracy" or not seeds:
            return 0.0
        step = 100.0 / records[self.arms[0]][seeds[0]]["samples"]
        return step * math.sqrt(sum(c * c for c, _ in self.terms))


def above(ours: str, theirs: str, by: float = 0.0) -> Claim:
    """ours > theirs + by."""
    margin = f" by {by:g} or more" if by else ""
    return Claim(f"{ours} is above {theirs}{margin}", ((1.0, ours), (-1.0, theirs)), low=by)


def agree(ours: str, theirs: str, within: float) -> Claim:
    """|ours - theirs| <= within."""
    return Claim(f"{ours} is within {within:g} of {theirs}", ((1.0, ours), (-1.0, theirs)), -within, within)


def not_below(ours: str, theirs: str, by: float) -> Claim:
    """ours >= theirs - by."""
    return Claim(f"{ours} is at most {by:g} below {theirs}", ((1.0, ours), (-1.0, theirs)), low=-by)


def near(arm: str, value: float, within: float) -> Claim:
    """|arm - value| <= within."""
    return Claim(f"{arm} is {value:g} ± {within:g} %", ((1.0, arm),), value - within, value + within)


def collapses(arm: str) -> Claim:
    """A layer of the arm has no weight left, for every seed."""
    return Claim(f"{arm} loses a whole layer", ((1.0, arm),), low=1.0, of="collapsed")


def survives(arm: str) -> Claim:
    """Every layer of the arm keeps a weight, for every seed."""
    return Claim(f"{arm} loses no layer", ((1.0, arm),), high=0.0, of="collapsed")
