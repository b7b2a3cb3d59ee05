"""Counting failures honestly: intervals for a probability, thresholds in n, and the rate of the tail.

The unit is one draw of a source (or one whole network), never a weight: the weights of a network share their source.
Every miss counts, nothing is drawn again. Within a draw, n grows by taking longer prefixes of the same items, so
success is monotone in n and one number a draw says it all: how many items it needed.

>>> [round(p, 3) for p in clopper_pearson(0, 299, 0.9)]  # no failure in 299 draws: success >= .99, one-sided 95 %
[0.0, 0.01]
>>> needed([[0.3, 0.1, 0.02], [0.4, 0.2, 0.2]], (8, 9, 10), 0.1)
array([ 9., inf])
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sparsopt.errors import InvalidInput

Floats = NDArray[np.float64]


def clopper_pearson(failures: int, draws: int, confidence: float = 0.95) -> tuple[float, float]:
    """The exact two-sided interval for a probability from `failures` of `draws` (Clopper and Pearson 1934)."""
    from scipy.special import betaincinv

    if not 0 <= failures <= draws:
        raise InvalidInput(f"{failures} failures in {draws} draws cannot be")
    side = (1 - confidence) / 2
    low = 0.0 if failures == 0 else float(betaincinv(failures, draws - failures + 1, side))
    high = 1.0 if failures == draws else float(betaincinv(failures + 1, draws - failures, 1 - side))
    return low, high


def needed(errors: ArrayLike, sizes: Sequence[int], tolerance: float) -> Floats:
    """The first n at which each draw is within the tolerance, from errors (draws, len(sizes)); inf where never.

    The errors of nested prefixes never grow, which is taken for granted: pass best errors or covering radii.
    """
    within = np.asarray(errors) <= tolerance
    first = np.asarray(sizes, dtype=np.float64)[within.argmax(axis=1)]
    return np.where(within.any(axis=1), first, np.inf)


def threshold(needs: ArrayLike, level: float = 0.5) -> float:
    """The n at which a share `level` of the draws succeeds, interpolated between integers; inf beyond the data."""
    x = np.sort(np.asarray(needs, dtype=np.float64))
    below = int(np.ceil(level * len(x))) - 1
    n = x[below]
    if not np.isfinite(n):
        return float("inf")
    before, upto = (x < n).mean(), (x <= n).mean()
    return float(n - 1 + (level - before) / (upto - before))


def bootstrap_threshold(needs: ArrayLike, level: float = 0.5, times: int = 400, seed: int = 0) -> tuple[float, float]:
    """A 95 % percentile interval of the threshold, resampling draws."""
    x = np.asarray(needs, dtype=np.float64)
    rng = np.random.default_rng([seed, len(x)])
    values = [threshold(x[rng.integers(0, len(x), len(x))], level) for _ in range(times)]
    return float(np.quantile(values, 0.025, method="lower")), float(np.quantile(values, 0.975, method="higher"))


@dataclass(frozen=True)
class Line:
    """y = slope x + intercept, with the standard error of the slope."""

    slope: float
    intercept: float
    error: float


def fitted_line(x: ArrayLike, y: ArrayLike, weight: ArrayLike | None = None) -> Line:
    """Weighted least squares; non-finite points are left out. Needs two points."""
    u, v = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    w = np.ones_like(u) if weight is None else np.asarray(weight, dtype=np.float64)
    keep = np.isfinite(u) & np.isfinite(v) & (w > 0)
    u, v, w = u[keep], v[keep], w[keep]
    if len(u) < 2:
        raise InvalidInput(f"a line needs two finite points, got {len(u)}")
    centre = (w * u).sum() / w.sum()
    spread = (w * (u - centre) ** 2).sum()
    slope = float((w * (u - centre) * v).sum() / spread)
    intercept = float((w * v).sum() / w.sum() - slope * centre)
    misfit = (w * (v - slope * u - intercept) ** 2).sum() / max(1, len(u) - 2)
    return Line(slope, intercept, float(np.sqrt(misfit / spread)))


def tail_rate(sizes: Sequence[int], failures: Sequence[int], draws: int) -> Line:
    """ln P_fail against n; each point weighs its failures (the variance of ln p is about 1 / failures)."""
    f = np.asarray(failures, dtype=np.float64)
    with np.errstate(divide="ignore"):
        return fitted_line(sizes, np.log(f / draws), f)
