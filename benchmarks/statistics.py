"""Means, intervals and differences over few seeds, and the words that go with them.

Intervals are Student's t: three to ten seeds are too few for the bootstrap, whose percentile and BCa intervals are too
narrow there, while the t interval is exact for normal errors. Methods are compared on differences *paired by seed*
(same initial weights, same batches), which removes what the seed does to both. One table asks many questions, so that
its p-values are adjusted together (Holm 1979): the chance of any wrong "better" or "worse" in a table is at most 5 %.

An accuracy is a multiple of 1 / (test samples). Where all seeds happen to agree, the deviation is not zero but the
rounding's, 1 / sqrt(12) of that step for each of the two numbers that are subtracted.

>>> paired({0: 0.97, 1: 0.96, 2: 0.98}, {0: 0.95, 1: 0.95, 2: 0.95}, resolution=0.002).mean.__round__(3)
0.02
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95
FEWEST = 3  # seeds, below which nothing is claimed


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % interval over `count` seeds; p: of the mean being 0. nan where there are too few."""

    mean: float
    low: float
    high: float
    count: int
    p: float = math.nan

    @property
    def half(self) -> float:
        """Half the interval's length."""
        return (self.high - self.low) / 2


def interval(values: Sequence[float], resolution: float = 0.0) -> Interval:
    """Student's t interval of the mean of independent values that were rounded to multiples of `resolution`."""
    return _t(np.asarray(values, float), resolution / math.sqrt(12))


def paired(ours: Mapping[int, float], theirs: Mapping[int, float], resolution: float = 0.0) -> Interval:
    """Interval of the mean difference ours - theirs over the seeds; both must have the same ones."""
    if set(ours) != set(theirs):
        raise ValueError(f"seeds {sorted(ours)} and {sorted(theirs)} cannot be paired")
    differences = np.array([ours[seed] - theirs[seed] for seed in sorted(ours)])
    return _t(differences, resolution * math.sqrt(2 / 12))


def _t(values: np.ndarray, least: float) -> Interval:
    """The interval with a standard deviation of at least `least`."""
    from scipy.special import stdtr, stdtrit  # scipy.stats takes half a second to import

    count = values.size
    if count < 2:
        return Interval(float(values.mean()) if count else math.nan, math.nan, math.nan, count)
    mean, error = float(values.mean()), max(float(values.std(ddof=1)), least) / math.sqrt(count)
    half = float(stdtrit(count - 1, (1 + LEVEL) / 2)) * error
    p = 2 * float(stdtr(count - 1, -abs(mean) / error)) if error > 0 else float(mean == 0.0)
    return Interval(mean, mean - half, mean + half, count, p)


def holm(p: Sequence[float]) -> list[float]:
    """p-values adjusted for being looked at together (Holm 1979); nan stays nan and does not count."""
    order = sorted((i for i, value in enumerate(p) if not math.isnan(value)), key=lambda i: p[i])
    adjusted, highest = [math.nan] * len(p), 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * p[i]))
        adjusted[i] = highest
    return adjusted


def verdict(difference: Interval, adjusted: float) -> str:
    """The word for a difference from the reference: better, worse, or not separable.

    Separable are differences over at least three seeds whose adjusted p is below 5 %, so that their own interval,
    which is not adjusted, excludes 0 too.
    """
    if difference.count < FEWEST or math.isnan(adjusted) or adjusted >= 1 - LEVEL:
        return "not separable"
    return "better" if difference.mean > 0 else "worse"
