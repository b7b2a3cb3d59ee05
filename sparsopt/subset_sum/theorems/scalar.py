"""Numbers in [-1, 1] and all targets of [-1/2, 1/2] at once: Lueker 1998, and da Cunha et al. 2022.

Both are statements about the covering radius rho of n uniform numbers, measured exactly for every prefix of every
draw, so one table of radii serves all epsilon.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass
from functools import cache
from typing import ClassVar, cast

import numpy as np

from sparsopt.subset_sum import statistics
from sparsopt.subset_sum.predict import covering_probability
from sparsopt.subset_sum.radius import covering_radius
from sparsopt.subset_sum.solve import solve
from sparsopt.subset_sum.theorems.base import Check, Floats, Theorem

SIZES = tuple(range(4, 19))
EPSILONS = (0.1, 0.03, 0.01)
BITS = (3, 4, 5, 6, 7, 8)  # n50 is fitted against log2(1 / epsilon) here
TAIL = (10, 12, 14, 16, 18, 20)


@cache
def uniform_sources(draws: int, seed: int, n: int) -> Floats:
    """One source of n numbers, uniform on [-1, 1], for every draw; (draws, n)."""
    return np.array([np.random.default_rng([seed, k]).uniform(-1, 1, n) for k in range(draws)])


@cache
def uniform_radii(draws: int, seed: int) -> Floats:
    """Covering radii of the nested prefixes of every draw, (draws, len(SIZES))."""
    sources = uniform_sources(draws, seed, SIZES[-1])
    return np.stack([covering_radius(sources[:, :n]) for n in SIZES], axis=1)


@dataclass(frozen=True)
class Lueker(Theorem):
    """Lueker 1998 (Random Structures and Algorithms 12), in the form used by Pensia et al. 2020."""

    name: ClassVar[str] = "Lueker 1998"
    claim: ClassVar[str] = "n >= C log2(2 / min(epsilon, delta)) uniform numbers reach every target, prob. 1 - delta"
    convention: ClassVar[str] = "all z in [-1/2, 1/2], error <= epsilon, items uniform on [-1, 1]"

    def cases(self) -> tuple[Hashable, ...]:
        return EPSILONS

    def sizes(self, case: Hashable) -> tuple[int, ...]:
        return SIZES

    def scale(self, case: Hashable) -> float:
        return math.log2(2 / min(self.tolerance(case), self.delta))

    def errors(self, case: Hashable) -> Floats:
        return uniform_radii(self.draws, self.seed)

    def tolerance(self, case: Hashable) -> float:
        return cast(float, case)

    def predicted(self, case: Hashable, n: int) -> float:
        sources = uniform_sources(self.draws, self.seed, SIZES[-1])[:, :n]
        return float(1 - covering_probability(sources, self.tolerance(case)).mean())

    def checks(self) -> tuple[Check, ...]:
        radii = uniform_radii(self.draws, self.seed)
        least = (radii * 2.0 ** (np.array(SIZES) + 1)).min()
        n50 = [statistics.threshold(statistics.needed(radii, SIZES, 2.0**-b)) for b in BITS]
        slope = statistics.fitted_line(BITS, n50).slope
        return (
            Check("rho >= 2^-(n+1) in every draw (counting)", bool(least >= 1), f"least rho 2^(n+1) = {least:.2f}"),
            Check("between 1 and 1.4 items a bit at success 1/2", 1 <= slope <= 1.4, f"{slope:.3f} items a bit"),
        )


@dataclass(frozen=True)
class DaCunha(Lueker):
    """da Cunha, d'Amore, Giroire, Lesfari, Natale, Viennot 2022 (arXiv 2204.13929), the main theorem.

    Here the bound itself is explicit but for C, so C is the least with which it covers the upper confidence limits
    of the fitting draws at all n and epsilon, and the testing draws must not refute it anywhere.
    """

    name: ClassVar[str] = "da Cunha et al. 2022"
    claim: ClassVar[str] = "P[every z within 2 epsilon] >= 1 - exp(-(n - C log2(1/epsilon))^2 / (4 n))"
    convention: ClassVar[str] = "all z in [-1/2, 1/2], error <= 2 epsilon, items uniform on [-1, 1]"

    def scale(self, case: Hashable) -> float:
        return math.log2(1 / cast(float, case))

    def tolerance(self, case: Hashable) -> float:
        return 2 * cast(float, case)

    def checks(self) -> tuple[Check, ...]:
        half = self.draws // 2
        constant, refuted, tried = 0.0, [], 0
        for case in self.cases():
            for n in self.sizes(case):
                high = statistics.clopper_pearson(int(self.failed(case, n)[:half].sum()), half)[1]
                constant = max(constant, (n - math.sqrt(4 * n * -math.log(min(high, 1.0)))) / self.scale(case))
        for case in self.cases():
            for n in [n for n in self.sizes(case) if n > constant * self.scale(case)]:
                test = self.failed(case, n)[half:]
                allowed = math.exp(-((n - constant * self.scale(case)) ** 2) / (4 * n))
                tried += 1
                if statistics.clopper_pearson(int(test.sum()), len(test), 0.999)[0] > allowed:
                    refuted.append(f"{self.label(case)} n = {n}")
        rate = -self._tail().slope
        return (
            Check(
                "the bound is nowhere refuted", not refuted, f"C = {constant:.2f}, {tried} sizes " + ", ".join(refuted)
            ),
            Check("failures fall by e^(1/4) an item or faster", rate >= 0.25, f"rate {rate:.2f} an item at z = 1/2"),
        )

    def _tail(self) -> statistics.Line:
        """ln P_fail against n at the hardest target, z = 1/2, epsilon = .01, with 50 sources a draw of the theorem."""
        batch = 50 * self.draws
        sources = np.random.default_rng([self.seed, 1 << 20]).uniform(-1, 1, (batch, TAIL[-1]))
        misses = [int((~solve(sources[:, :n], np.full(batch, 0.5), "any", 0.01).success).sum()) for n in TAIL]
        return statistics.tail_rate(TAIL, misses, batch)
