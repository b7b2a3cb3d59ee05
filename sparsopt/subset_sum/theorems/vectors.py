"""Vectors: Becchetti et al. 2022 (independent Gaussian vectors) and da Cunha, d'Amore, Natale 2023 (structured).

Both papers ask for about d^3 items. Measured thresholds grow about linearly in d; that is no contradiction (a proof
bound is an upper bound), and it is reported, not expected.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass
from functools import cache
from typing import ClassVar, cast

import numpy as np

from sparsopt.subset_sum import statistics
from sparsopt.subset_sum.predict import failure_probability
from sparsopt.subset_sum.theorems.base import Check, Floats, Theorem
from sparsopt.subset_sum.vectors import solve_vectors

SIZES = tuple(range(4, 21, 2))
TARGETS = 3
DEPTHS = (1, 2, 3, 4)  # dimensions in which the threshold is fitted, at error WIDE
WIDE = 0.25


@cache
def gaussian_sources(draws: int, seed: int, n: int, d: int) -> Floats:
    """n standard Gaussian vectors for every draw, (draws, n, d)."""
    return np.array([np.random.default_rng([seed, d, k]).standard_normal((n, d)) for k in range(draws)])


@cache
def targets_for(draws: int, seed: int, d: int) -> Floats:
    """A random corner of [-1, 1]^d and TARGETS - 1 random points of it for every draw, (draws, TARGETS, d)."""
    rng = np.random.default_rng([seed, d, 1 << 20])
    points = rng.uniform(-1, 1, (draws, TARGETS, d))
    points[:, 0] = np.sign(points[:, 0])
    return points


@cache
def gaussian_errors(draws: int, seed: int, d: int, enough: float) -> Floats:
    """The largest error over the targets of every draw and size; after an error <= `enough`, that error stays."""
    sources, targets = gaussian_sources(draws, seed, SIZES[-1], d), targets_for(draws, seed, d)
    errors = np.full((draws, len(SIZES)), np.inf)
    for k, n in enumerate(SIZES):
        errors[:, k] = errors[:, k - 1] if k else np.inf
        rows = np.flatnonzero(errors[:, k] > enough)  # a longer prefix is never worse
        for j in range(TARGETS) if len(rows) else ():
            found = solve_vectors(sources[rows, :n], targets[rows, j]).errors
            errors[rows, k] = found if j == 0 else np.maximum(errors[rows, k], found)
    return errors


@dataclass(frozen=True)
class Becchetti(Theorem):
    """Becchetti, da Cunha, Clementi, d'Amore, Lesfari, Natale, Trevisan 2022 (arXiv 2207.13944)."""

    draws: int = 160
    delta: float = 0.2

    name: ClassVar[str] = "Becchetti et al. 2022"
    claim: ClassVar[str] = (
        "n >= C d^3 log2(1/epsilon) (log2(1/epsilon) + log2 d) Gaussian vectors reach all of [-1, 1]^d"
    )
    convention: ClassVar[str] = f"a corner and {TARGETS - 1} random points of [-1, 1]^d, sup-norm error <= epsilon"
    dense: ClassVar[int] = 4

    def cases(self) -> tuple[Hashable, ...]:
        return ((1, 0.05), (2, 0.1), (3, 0.25))

    def sizes(self, case: Hashable) -> tuple[int, ...]:
        return SIZES

    def scale(self, case: Hashable) -> float:
        d, epsilon = cast(tuple[int, float], case)
        return d**3 * math.log2(1 / epsilon) * (math.log2(1 / epsilon) + math.log2(d))

    def errors(self, case: Hashable) -> Floats:
        d, epsilon = cast(tuple[int, float], case)
        return gaussian_errors(self.draws, self.seed, d, epsilon)

    def tolerance(self, case: Hashable) -> float:
        return cast(tuple[int, float], case)[1]

    def predicted(self, case: Hashable, n: int) -> float:
        d, epsilon = cast(tuple[int, float], case)
        sources, targets = (
            gaussian_sources(self.draws, self.seed, SIZES[-1], d)[:, :n],
            targets_for(self.draws, self.seed, d),
        )
        hits = [1 - failure_probability(sources, targets[:, j], epsilon) for j in range(TARGETS)]
        return float(1 - np.prod(hits, axis=0).mean()) if n >= 4 * d else math.nan  # too few items to have a density

    def label(self, case: Hashable) -> str:
        return "d = {}, epsilon = {}".format(*cast(tuple[int, float], case))

    def checks(self) -> tuple[Check, ...]:
        errors = [gaussian_errors(self.draws, self.seed, d, WIDE) for d in DEPTHS]
        n50 = [statistics.threshold(statistics.needed(e, SIZES, WIDE)) for e in errors]
        line = statistics.fitted_line(np.log(DEPTHS), np.log(n50))
        n50s = ", ".join(f"{n:.1f}" for n in n50)
        return (
            Check("the threshold grows no faster than d^3", line.slope - 2 * line.error <= 3,
                  f"n50 = {n50s} for d = 1..4 at error {WIDE}: exponent {line.slope:.2f}"),
        )  # fmt: skip


@dataclass(frozen=True)
class Structured(Theorem):
    """da Cunha, d'Amore, Natale 2023 (NeurIPS, arXiv 2311.09858): subsets of k of n = k^2 normally-scaled vectors.

    A normally-scaled normal vector is (Z Z_1, ..., Z Z_d), all Z standard Gaussian: what removing a whole filter
    removes. "Size" below is k. The claim is success with constant probability, taken here as 1/2.
    """

    draws: int = 120
    delta: float = 0.5

    name: ClassVar[str] = "da Cunha, d'Amore, Natale 2023"
    claim: ClassVar[str] = (
        "k of n = k^2 scaled normal vectors, k >= C d^3 log(d / epsilon): constant success probability"
    )
    convention: ClassVar[str] = "one random z with |z|_1 = sqrt(k), sup-norm error <= epsilon, |S| = k, success 1/2"
    dense: ClassVar[int] = 4

    def cases(self) -> tuple[Hashable, ...]:
        return ((1, 0.02), (2, 0.2))

    def sizes(self, case: Hashable) -> tuple[int, ...]:
        return (2, 3, 4, 5)

    def scale(self, case: Hashable) -> float:
        d, epsilon = cast(tuple[int, float], case)
        return d**3 * math.log(d / epsilon)

    def errors(self, case: Hashable) -> Floats:
        d = cast(tuple[int, float], case)[0]
        return _structured_errors(self.draws, self.seed, d, self.sizes(case))

    def tolerance(self, case: Hashable) -> float:
        return cast(tuple[int, float], case)[1]

    def predicted(self, case: Hashable, n: int) -> float:
        d, epsilon = cast(tuple[int, float], case)
        sources, targets = (
            _structured_sources(self.draws, self.seed, d, 25)[:, : n * n],
            _on_sphere(self.draws, self.seed, d),
        )
        return float(failure_probability(sources, targets * math.sqrt(n), epsilon, n).mean())

    def label(self, case: Hashable) -> str:
        return "d = {}, epsilon = {} (n is k)".format(*cast(tuple[int, float], case))


@cache
def _structured_sources(draws: int, seed: int, d: int, n: int) -> Floats:
    return gaussian_sources(draws, seed, n, d) * gaussian_sources(draws, seed + 1, n, d + 1)[..., :1]


@cache
def _on_sphere(draws: int, seed: int, d: int) -> Floats:
    """One target of |z|_1 = 1 for every draw, (draws, d)."""
    points = np.random.default_rng([seed, d, 1 << 21]).standard_normal((draws, d))
    return points / np.abs(points).sum(1, keepdims=True)


@cache
def _structured_errors(draws: int, seed: int, d: int, sizes: tuple[int, ...]) -> Floats:
    sources, targets = _structured_sources(draws, seed, d, sizes[-1] ** 2), _on_sphere(draws, seed, d)
    found = [solve_vectors(sources[:, : k * k], targets * math.sqrt(k), size=k).errors for k in sizes]
    return np.stack(found, axis=1)
