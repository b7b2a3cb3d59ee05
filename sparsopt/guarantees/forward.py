"""Forward selection: fully corrective (two rates) and Frank-Wolfe.

Notation: D = f(x) - f(w) for a target w with s units (coordinates or groups), m of them outside S; beta the
smoothness along one unit, lambda the strong convexity on the union of S and the target; tau = 1 unless the oracle
is weak.

>>> theorem = FullyCorrectiveRate()
>>> theorem.about(catalogue.omp(5)), theorem.about(catalogue.iht(5))
(True, False)
>>> theorem.instance(seed=0).holds
True
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np

from sparsopt import catalogue
from sparsopt.fits import Exact, FrankWolfeStep
from sparsopt.guarantees import draws
from sparsopt.guarantees.base import ROUNDING, Observed, Setting, Theorem, Verdict, observe
from sparsopt.method import Method
from sparsopt.moves import Add, Gain, Gradient
from sparsopt.state import Array

__all__ = ["FrankWolfeRate", "FullyCorrectiveL1", "FullyCorrectiveRate"]


class _FullyCorrective(Theorem):
    """What the two theorems on fully corrective selection share."""

    def method(self, k: int, setting: Setting = Setting()) -> Method:
        """k steps of it, one unit at a time, after the preselected ones."""
        method = catalogue.fully_corrective(k, by=setting.into, structure=setting.structure)
        return Method(method.name, (*setting.start(), *method.stages), method.source)

    def about(self, method: Any) -> bool:
        """One coordinate at a time by |g_j| or by gain (which gains no less), refitted."""
        phases = [phase for stage in getattr(method, "stages", ()) for phase in stage.phases]
        return bool(phases) and all(
            isinstance(phase.move, Add)
            and phase.move.m == 1
            and phase.move.structure == Setting().structure
            and isinstance(phase.move.by, (Gradient, Gain))
            and isinstance(phase.fit, Exact)
            for phase in phases
        )

    def instance(self, seed: int) -> Verdict | None:
        random = np.random.default_rng([2, seed])
        f, setting = draws.problem(random), draws.setting(random)
        steps = 3 if setting.labels is None else 2
        observed = observe(f, self.method(steps, setting), 0, setting)
        verdicts = [self.check(observed, w) for w in self.competitors(random, observed)]
        return min((v for v in verdicts if v), key=lambda v: v.slack / (v.promised + v.rounding + 1e-300), default=None)

    def competitors(self, random: np.random.Generator, observed: Observed) -> Sequence[Array]:
        return draws.targets(observed.problem, observed.setting)

    def check(self, observed: Observed, target: Array) -> Verdict | None:
        """Every step of the run against its promise by comparison with this target (p,)."""
        raise NotImplementedError

    def greedy(self, observed: Observed) -> list[tuple[Any, float]]:
        """(state, f) from where greedy steps begin."""
        skip = 1 if observed.setting.preselected else 0
        return list(zip(observed.states, observed.values, strict=True))[skip:]


@dataclass(frozen=True)
class FullyCorrectiveRate(_FullyCorrective):
    """D+ <= (1 - tau^2 lambda / (beta m)) D; so k >= s (beta / lambda) log(D_0 / eps) steps reach f(w) + eps.

    Proof. Smoothness along the chosen unit gives f - f+ >= tau^2 max_j g_j^2 / (2 beta). With g_S = 0 and A = the
    target without S, strong convexity gives f(w) >= f + g_A'w_A + (lambda/2) |w_A|^2 >= f - |g_A|^2 / (2 lambda),
    hence D <= |g_A|^2 / (2 lambda) <= m max_j g_j^2 / (2 lambda). Groups: |g_G| for |g_j|. Preselected units are
    part of S.
    """

    name: ClassVar[str] = "T2"
    statement: ClassVar[str] = "fully corrective selection: f - f(w) shrinks by 1 - tau^2 lambda/(beta m) a step"
    source: ClassVar[str] = "Shalev-Shwartz, Srebro, Zhang (2010), Algorithm 2; constants derived here"

    def check(self, observed: Observed, target: Array) -> Verdict | None:
        f, setting, constants = observed.problem, observed.setting, observed.constants
        wanted, least = target != 0, float(f.value(target))
        rate = self.claim * setting.tau**2 / constants.smoothness(1)
        steps = []
        for (before, high), (_, low) in pairwise(self.greedy(observed)):
            m, gap = setting.units(wanted & ~before.support), high - least
            if m and gap > 0:
                left = 1 - min(rate * constants.strong_convexity(before.support | wanted) / m, 1.0)
                steps.append((left * gap, max(low - least, 0.0), ROUNDING * observed.scale))
        return self.closest(steps)

    def promise(self, observed: Observed, targets: Sequence[Array]) -> Verdict | None:
        """f(x_k) <= f(w) + D_0 exp(-k lambda_{k+s} / (s beta)) for the target that promises most."""
        f, k = observed.problem, len(observed.states) - 1
        found = []
        for w in targets:
            s, least = int(np.count_nonzero(w)), float(f.value(w))
            lam, beta = float(f.strong_convexity(min(k + s, f.layout.n))), observed.constants.smoothness(1)
            if s and beta > 0 and observed.values[0] > least:
                found.append(least + (observed.values[0] - least) * math.exp(-self.claim * k * lam / (s * beta)))
        if not found:
            return None
        return self.verdict(min(found), float(f.value(observed.result.x)), ROUNDING * observed.scale)


@dataclass(frozen=True)
class FullyCorrectiveL1(_FullyCorrective):
    """1/D_k >= 1/D_0 + k tau^2 / (2 beta |w|_1^2) for every w, so D_k <= 2 beta |w|_1^2 / (tau^2 k).

    Proof. As before f - f+ >= tau^2 max_j g_j^2 / (2 beta), and by convexity and g_S = 0, D <= -g'w <= max_j |g_j|
    |w|_1: D - D+ >= tau^2 D^2 / (2 beta |w|_1^2); divide by D D+ <= D^2. Groups: |w|_1 is the sum of |w_G|.
    """

    name: ClassVar[str] = "T3"
    statement: ClassVar[str] = "fully corrective selection: 1/(f - f(w)) grows by tau^2/(2 beta |w|_1^2) a step"
    source: ClassVar[str] = "Shalev-Shwartz, Srebro, Zhang (2010), Algorithm 2; constants derived here"

    def competitors(self, random: np.random.Generator, observed: Observed) -> Sequence[Array]:
        p = observed.problem.layout.n
        full = observed.problem.minimise_on(np.ones(p, dtype=bool), None)[0]
        return [
            full,
            full * random.random(p),
            0.1 * random.standard_normal(p),
            *draws.targets(observed.problem, observed.setting, 1),
        ]

    def check(self, observed: Observed, target: Array) -> Verdict | None:
        least = float(observed.problem.value(target))
        rate = self._rate(observed, target)
        path = self.greedy(observed)
        first, steps = path[0][1] - least, []
        if rate == math.inf or first <= 0:
            return None
        for k, (_, value) in enumerate(path[1:], start=1):
            steps.append((1 / (1 / first + k * rate), max(value - least, 0.0), ROUNDING * observed.scale))
        return self.closest(steps)

    def promise(self, observed: Observed, targets: Sequence[Array]) -> Verdict | None:
        f, k, found = observed.problem, len(observed.states) - 1, []
        for w in targets:
            first, rate = observed.values[0] - float(f.value(w)), self._rate(observed, w)
            if first > 0 and rate < math.inf:
                found.append(float(f.value(w)) + 1 / (1 / first + k * rate))
        if not found:
            return None
        return self.verdict(min(found), float(f.value(observed.result.x)), ROUNDING * observed.scale)

    def _rate(self, observed: Observed, w: Array) -> float:
        setting, length = observed.setting, float(observed.setting.norms(w).sum())
        if length == 0:
            return math.inf
        return self.claim * setting.tau**2 / (2 * observed.constants.smoothness(1) * length**2)


@dataclass(frozen=True)
class FrankWolfeRate(Theorem):
    """D_k <= 8 beta B^2 / (k + 2) for every |w|_1 <= B, beta = max_j h_j, with the step min(1, G / (4 beta B^2)).

    Proof. G = g'(x - v) >= D by convexity; the step u = v - x has |u|_1 <= 2B, so u'Hu <= beta |u|_1^2 <= C = 4
    beta B^2. If G <= C the step gains at least G^2/(2C) >= D^2/(2C); else it is full and D+ <= D - G + C/2 <=
    min(C/2, D - C/2). So D_1 <= C/2 <= 2C/3, and from D_k <= 2C/(k+2) follows D_{k+1} <= 2C (k+1)/(k+2)^2 <=
    2C/(k+3) in the first case and, as (k+2)(k+3) >= 4, D_{k+1} <= 2C/(k+2) - C/2 <= 2C/(k+3) in the second.
    """

    name: ClassVar[str] = "T4"
    statement: ClassVar[str] = "Frank-Wolfe on the l1 ball of radius B: f - f(w) <= 8 beta B^2/(k + 2)"
    source: ClassVar[str] = "order as Shalev-Shwartz, Srebro, Zhang (2010), Algorithm 1, and Jaggi (2013); derived here"

    def instance(self, seed: int) -> Verdict | None:
        random = np.random.default_rng([4, seed])
        f, radius = draws.problem(random, most=1e3), float(np.exp(random.uniform(-2, 2)))
        full = f.minimise_on(np.ones(f.layout.n, dtype=bool), None)[0]
        inside = [w * min(1.0, radius / np.abs(w).sum()) for w in (full, *random.standard_normal((3, f.layout.n)))]
        observed = observe(f, catalogue.frank_wolfe(20, radius))
        verdicts = [self.check(observed, w) for w in inside]
        return min((v for v in verdicts if v), key=lambda v: v.slack / v.promised)

    def about(self, method: Any) -> bool:
        return any(isinstance(fit, FrankWolfeStep) for fit in _fits(method))

    def check(self, observed: Observed, target: Array) -> Verdict | None:
        """Every round against the promise by comparison with a target (p,) inside the ball."""
        fit = next(fit for fit in _fits(observed.method) if isinstance(fit, FrankWolfeStep))
        bend, least = 8 * observed.constants.smoothness(1) * fit.radius**2, float(observed.problem.value(target))
        if np.abs(target).sum() > fit.radius * (1 + 1e-12):
            return None
        values = enumerate(observed.values[1:], start=1)
        steps = [(bend / (k + 2) / self.claim, value - least, ROUNDING * observed.scale) for k, value in values]
        return self.closest(steps)

    def promise(self, observed: Observed, targets: Sequence[Array]) -> Verdict | None:
        """For the last round, and the target inside the ball that promises most."""
        fit = next(fit for fit in _fits(observed.method) if isinstance(fit, FrankWolfeStep))
        inside = [w for w in targets if np.abs(w).sum() <= fit.radius * (1 + 1e-12)]
        if not inside:
            return None
        f, k = observed.problem, len(observed.states) - 1
        bound = 8 * observed.constants.smoothness(1) * fit.radius**2 / (k + 2) / self.claim
        promised = min(float(f.value(w)) for w in inside) + bound
        return self.verdict(promised, float(f.value(observed.result.x)), ROUNDING * observed.scale)


def _fits(method: Any) -> list[Any]:
    return [phase.fit for stage in getattr(method, "stages", ()) for phase in stage.phases]
