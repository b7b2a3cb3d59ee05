"""Exact equality on a grid: Kumar and Natale 2025 (arXiv 2508.11020), by way of number partitioning.

n integers drawn from {-M..M} without 0, and a target of the same size: an exact solution exists with high
probability when kappa = log2(M) / n < 1 (Borgs, Chayes and Pittel 2001). A weight on a grid of step delta made of
products of two numbers on that grid has M = delta^-2, hence n > 2 log2(1 / delta).
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from functools import cache
from typing import ClassVar, cast

import numpy as np

from sparsopt.subset_sum import statistics
from sparsopt.subset_sum.integers import solve_integers
from sparsopt.subset_sum.theorems.base import Check, Floats, Theorem

SIZES = tuple(range(3, 25))
BITS = (4, 8, 12)


@cache
def quantised_errors(draws: int, seed: int, bits: int) -> Floats:
    """Least |target - sum| in grid steps, for every draw and prefix, (draws, len(SIZES)); 0 is a solution."""
    largest = 2**bits
    items = np.empty((draws, SIZES[-1]), dtype=np.int64)
    targets = np.empty(draws, dtype=np.int64)
    for k in range(draws):
        rng = np.random.default_rng([seed, bits, k])
        drawn = rng.integers(1, 2 * largest + 1, SIZES[-1])
        items[k] = np.where(drawn <= largest, drawn, largest - drawn)
        targets[k] = rng.integers(-largest, largest + 1)
    errors = np.zeros((draws, len(SIZES)))
    for j, n in enumerate(SIZES):
        open_rows = np.flatnonzero(errors[:, j - 1] > 0) if j else np.arange(draws)
        errors[open_rows, j] = solve_integers(items[open_rows, :n], targets[open_rows], "best").errors
    return errors


@dataclass(frozen=True)
class Quantised(Theorem):
    """A case is log2 M."""

    name: ClassVar[str] = "Kumar and Natale 2025"
    claim: ClassVar[str] = "n >= C log2(M) integers of {-M..M} without 0 sum exactly to a target in {-M..M}"
    convention: ClassVar[str] = "one uniform target a draw, exact equality"

    def cases(self) -> tuple[Hashable, ...]:
        return BITS

    def sizes(self, case: Hashable) -> tuple[int, ...]:
        return SIZES

    def scale(self, case: Hashable) -> float:
        return cast(float, case)

    def errors(self, case: Hashable) -> Floats:
        return quantised_errors(self.draws, self.seed, cast(int, case))

    def tolerance(self, case: Hashable) -> float:
        return 0.0

    def label(self, case: Hashable) -> str:
        return f"M = 2^{case}"

    def checks(self) -> tuple[Check, ...]:
        n50 = [statistics.threshold(statistics.needed(self.errors(b), SIZES, 0.0)) for b in BITS]
        slope = statistics.fitted_line(BITS, n50).slope
        beyond = []
        for bits in BITS:
            for j, n in enumerate(SIZES):
                solved = int((self.errors(bits)[:, j] == 0).sum())
                if statistics.clopper_pearson(solved, self.draws, 0.999)[0] > 2.0**n / (2 * 2**bits + 1):
                    beyond.append(f"M = 2^{bits}, n = {n}")
        return (
            Check("one item a bit of M: the transition is at kappa = 1", 0.9 <= slope <= 1.3,
                  f"n50 = {', '.join(f'{n:.1f}' for n in n50)} for log2 M = 4, 8, 12: slope {slope:.2f}"),
            Check("no more solved than 2^n subsets can reach", not beyond, ", ".join(beyond) or "at every M and n"),
        )  # fmt: skip
