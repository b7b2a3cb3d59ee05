"""Subsets of a fixed size: Natale, Ferre, Giambartolomei, Giroire, Mallmann-Trenn 2024 (NeurIPS, arXiv 2410.14754).

C(n, k) subsets cover like 2^n of them do: the error is about 1 / C(n, k), and n ~ log2(1/epsilon) / H2(k/n).
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass
from functools import cache
from typing import ClassVar, cast

import numpy as np

from sparsopt.subset_sum.predict import failure_probability, log_intensity
from sparsopt.subset_sum.solve import solve
from sparsopt.subset_sum.theorems.base import Check, Floats, Theorem
from sparsopt.subset_sum.theorems.scalar import uniform_sources

SIZES = (8, 12, 16, 20, 24, 28)


@cache
def fixed_size_errors(draws: int, seed: int, share: float) -> Floats:
    """Best error with exactly share * n items, for every draw and size; one target a draw."""
    sources, targets = uniform_sources(draws, seed, SIZES[-1]), targets_for(draws, seed)
    found = [solve(sources[:, :n], targets, "size", size=round(share * n)).errors for n in SIZES]
    return np.stack(found, axis=1)


@cache
def targets_for(draws: int, seed: int) -> Floats:
    return np.random.default_rng([seed, 1 << 22]).uniform(-0.5, 0.5, draws)


@dataclass(frozen=True)
class FixedSize(Theorem):
    """One constant for all shares k/n and all epsilon: a case is (k/n, epsilon)."""

    name: ClassVar[str] = "Natale et al. 2024"
    claim: ClassVar[str] = "n >= C log2(1/epsilon) / H2(k/n) uniform numbers have a k-subset near the target"
    convention: ClassVar[str] = "one z uniform on [-1/2, 1/2] a draw, error <= epsilon, |S| = k exactly"
    dense: ClassVar[int] = 16

    def cases(self) -> tuple[Hashable, ...]:
        return ((0.5, 0.03), (0.25, 0.03), (0.5, 0.003), (0.25, 0.003))

    def sizes(self, case: Hashable) -> tuple[int, ...]:
        return SIZES

    def scale(self, case: Hashable) -> float:
        share, epsilon = cast(tuple[float, float], case)
        return math.log2(1 / epsilon) / -(share * math.log2(share) + (1 - share) * math.log2(1 - share))

    def errors(self, case: Hashable) -> Floats:
        return fixed_size_errors(self.draws, self.seed, cast(tuple[float, float], case)[0])

    def tolerance(self, case: Hashable) -> float:
        return cast(tuple[float, float], case)[1]

    def predicted(self, case: Hashable, n: int) -> float:
        share, epsilon = cast(tuple[float, float], case)
        sources, targets = uniform_sources(self.draws, self.seed, SIZES[-1])[:, :n], targets_for(self.draws, self.seed)
        return float(failure_probability(sources, targets, epsilon, round(share * n)).mean())

    def label(self, case: Hashable) -> str:
        return "k/n = {}, epsilon = {}".format(*cast(tuple[float, float], case))

    def checks(self) -> tuple[Check, ...]:
        """Error times twice the intensity of k-subsets is exponential with mean 1: its median is ln 2."""
        medians = []
        targets = targets_for(self.draws, self.seed)
        for share in (0.25, 0.5):
            errors = fixed_size_errors(self.draws, self.seed, share)
            for j, n in list(enumerate(SIZES))[2:]:
                sources = uniform_sources(self.draws, self.seed, SIZES[-1])[:, :n]
                intensity = np.exp(log_intensity(sources, targets, round(share * n)))
                medians.append(float(np.median(2 * intensity * errors[:, j])))
        return (
            Check("the median error is ln 2 / (2 lambda_k), within 40 %",
                  all(0.6 * math.log(2) <= m <= 1.4 * math.log(2) for m in medians),
                  "medians of 2 lambda error: " + ", ".join(f"{m:.2f}" for m in medians)),
        )  # fmt: skip
