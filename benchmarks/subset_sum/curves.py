"""The data of figures A to D: how success depends on the number of items, the error, the law and the dimension.

Every draw is a function of (seed, position); larger n are longer prefixes of the same draw; a failure is counted once
and never drawn again.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsopt.subset_sum import covering_probability, covering_radius, failure_probability, solve, statistics
from sparsopt.subset_sum.theorems import vectors

Floats = NDArray[np.float64]
Law = Callable[[np.random.Generator, tuple[int, ...]], Floats]
SIZES = tuple(range(4, 19))
EPSILONS = (0.1, 0.03, 0.01, 0.003, 0.001)
BITS = (3, 4, 5, 6, 7, 8, 9, 10)
TAIL = (10, 12, 14, 16, 18, 20, 22, 24)
DIMENSIONS = (1, 2, 3, 4)


def _positive_product(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """u v given u > 0: what a ReLU leaves of the two-layer construction's items."""
    return np.abs(rng.uniform(-1, 1, shape)) * rng.uniform(-1, 1, shape)


LAWS: dict[str, Law] = {
    "uniform": lambda rng, shape: rng.uniform(-1, 1, shape),
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "product": lambda rng, shape: rng.uniform(-1, 1, shape) * rng.uniform(-1, 1, shape),
    "positive times uniform": _positive_product,
}


def sources(law: str, draws: int, seed: int, n: int) -> Floats:
    """One source of n items a draw, (draws, n)."""
    return np.array([LAWS[law](np.random.default_rng([seed, k]), (n,)) for k in range(draws)])


@cache
def radii(law: str, draws: int, seed: int) -> Floats:
    """Covering radii of [-1/2, 1/2] of every prefix of every draw, (draws, len(SIZES))."""
    items = sources(law, draws, seed, SIZES[-1])
    return np.stack([covering_radius(items[:, :n]) for n in SIZES], axis=1)


def all_targets(draws: int, seed: int) -> list[dict[str, Any]]:
    """A: the share of draws that reach every target, with its interval and the predictor, per epsilon and n."""
    items, found = sources("uniform", draws, seed, SIZES[-1]), radii("uniform", draws, seed)
    rows = []
    for epsilon in EPSILONS:
        for j, n in enumerate(SIZES):
            failures = int((found[:, j] > epsilon).sum())
            low, high = statistics.clopper_pearson(failures, draws)
            predicted = float(covering_probability(items[:, :n], epsilon).mean())
            rows.append({"epsilon": epsilon, "n": n, "success": 1 - failures / draws, "low": 1 - high,
                         "high": 1 - low, "predicted": predicted, "draws": draws})  # fmt: skip
    return rows


def thresholds(draws: int, seed: int) -> list[dict[str, Any]]:
    """B: the n at which half and nine tenths of the draws reach every target, per law and bits of precision."""
    rows = []
    for law in LAWS:
        found = radii(law, draws, seed)
        for bits in BITS:
            needs = statistics.needed(found, SIZES, 2.0**-bits)
            for level in (0.5, 0.9):
                low, high = statistics.bootstrap_threshold(needs, level)
                n = statistics.threshold(needs, level)
                rows.append({"law": law, "bits": bits, "level": level, "n": n, "low": low, "high": high,
                             "counting": bits - 1})  # fmt: skip
    return rows


def tails(draws: int, seed: int) -> list[dict[str, Any]]:
    """C: failures at the hardest target z = 1/2, error .01, per law and n, with the fitted rate per item."""
    rows = []
    for law in LAWS:
        items = LAWS[law](np.random.default_rng([seed, 1 << 20]), (draws, TAIL[-1]))
        misses = [int((~solve(items[:, :n], np.full(draws, 0.5), "any", 0.01).success).sum()) for n in TAIL]
        rate = -statistics.tail_rate(TAIL, misses, draws).slope
        for n, failures in zip(TAIL, misses, strict=True):
            low, high = statistics.clopper_pearson(failures, draws)
            rows.append({"law": law, "n": n, "failures": failures, "draws": draws, "low": low, "high": high,
                         "rate": rate})  # fmt: skip
    return rows


def dimensions(draws: int, seed: int, epsilon: float = 0.25) -> list[dict[str, Any]]:
    """D: the n at which half of the draws reach their targets in R^d, the prediction, and the theorems' d^2, d^3."""
    rows = []
    for d in DIMENSIONS:
        needs = statistics.needed(vectors.gaussian_errors(draws, seed, d, epsilon), vectors.SIZES, epsilon)
        low, high = statistics.bootstrap_threshold(needs)
        rows.append({"d": d, "n": statistics.threshold(needs), "low": low, "high": high,
                     "predicted": _predicted_threshold(draws, seed, d, epsilon)})  # fmt: skip
    return rows


def _predicted_threshold(draws: int, seed: int, d: int, epsilon: float) -> float:
    """The n at which the predictor gives half of the same draws success, without looking at a subset."""
    items = vectors.gaussian_sources(draws, seed, vectors.SIZES[-1], d)
    targets = vectors.targets_for(draws, seed, d)
    shares = []
    for n in vectors.SIZES:
        hits = [1 - failure_probability(items[:, :n], targets[:, j], epsilon) for j in range(vectors.TARGETS)]
        shares.append(float(np.prod(hits, axis=0).mean()))
    return float(np.interp(0.5, shares, vectors.SIZES))
