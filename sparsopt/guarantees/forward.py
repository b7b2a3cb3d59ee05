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
from sparsopt.guarantees.base import Constants, Observed, Setting, Theorem, Verdict, observe, rule
from sparsopt.method import Method
from sparsopt.moves import Add, Entry, Gain, Gradient
from sparsopt.problems import Quadratic
from sparsopt.state import Array
from sparsopt.support import Elements, Groups, Rows

__all__ = ["FrankWolfeRate", "FullyCorrectiveL1", "FullyCorrectiveRate"]


class FullyCorrective(Theorem):
    """What the two theorems on fully corrective selection share."""

    def method(self, k: int, setting: Setting = Setting()) -> Method:
        """k steps of it, one unit at a time, after the preselected ones."""
        method = catalogue.fully_corrective(k, by=setting.into, structure=setting.structure)
        return Method(method.name, (*setting.start(), *method.stages), method.source)

    def about(self, method: Any) -> bool:
        """One coordinate or group at a time by |g_j|, or by a gain, which gains no less; refitted."""
        phases = [phase for stage in getattr(method, "stages", ()) for phase in stage.phases]
        return bool(phases) and all(
            isinstance(phase.move, Add)
            and phase.move.m == 1
            and isinstance(phase.move.structure, (Elements, Groups, Rows))
            and isinstance(rule(phase.move.by), (Gradient, Gain, Entry))
            and isinstance(phase.fit, Exact)
            for phase in phases
        )

    def constants(self, observed: Observed) -> Constants:
        """In the units in which the rule compares gradients: what it gains is no less than by |g| there."""
        if isinstance(_rule(observed.method), Gradient):
            return observed.constants
        return Constants.unit_curvature(observed.problem, observed.setting)

    def speaks(self, observed: Observed) -> bool:
        """A gain after the refit is exact for single coordinates of quadratics only."""
        exact = hasattr(observed.problem, "hessian_block") and observed.setting.labels is None
        return exact or not isinstance(_rule(observed.method), Entry)

    def instance(self, seed: int, setting: Setting | None = None) -> Verdict | None:
        random = np.random.default_rng([2, seed])
        f = draws.problem(random)
        setting = draws.setting(random) if setting is None else setting
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
class FullyCorrectiveRate(FullyCorrective):
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
                steps.append((left * gap, max(low - least, 0.0), observed.rounding))
        return self.closest(steps)

    def tight(self) -> Verdict | None:
        """H = I and equal weights: D falls by 1/m of itself."""
        f = Quadratic(np.eye(4), np.ones(4))
        return self.check(observe(f, self.method(1)), np.ones(4))

    def promise(self, observed: Observed, targets: Sequence[Array]) -> Verdict | None:
        """f(x_k) <= f(w) + D_0 exp(-k lambda / (s beta)), lambda on S_k and the target, which holds all S_t."""
        f, setting, k, found = observed.problem, observed.setting, len(observed.states) - 1, []
        constants = self.constants(observed)
        beta, last = constants.smoothness(1), observed.result.support
        for w in targets if self.speaks(observed) and beta > 0 else ():
            s, least = setting.units(w != 0), float(f.value(w))
            if s and observed.values[0] > least:
                lam = constants.strong_convexity(last | (w != 0))
                left = math.exp(-self.claim * k * lam / (s * beta))
                note = f"k = {k} steps, s = {s}, lambda = {lam:.3g}, beta = {beta:.3g}"
                found.append((least + (observed.values[0] - least) * left, note))
        return self.value_promise(observed, found)


@dataclass(frozen=True)
class FullyCorrectiveL1(FullyCorrective):
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
        rate = self._rate(observed.constants, target)
        path = self.greedy(observed)
        first, steps = path[0][1] - least, []
        if rate == math.inf or first <= 0:
            return None
        for k, (_, value) in enumerate(path[1:], start=1):
            steps.append((1 / (1 / first + k * rate), max(value - least, 0.0), observed.rounding))
        return self.closest(steps)

    def tight(self) -> Verdict | None:
        """Along w = (W, W)/2 this f is nearly a line, so D is W and a step gains 1/2 = D^2/(2 W^2)."""
        W = 20.0
        f = Quadratic(np.array([[1.0, 1e-9 - 1.0], [1e-9 - 1.0, 1.0]]), np.ones(2))
        return self.check(observe(f, self.method(1)), np.full(2, W / 2))

    def promise(self, observed: Observed, targets: Sequence[Array]) -> Verdict | None:
        f, k, found = observed.problem, len(observed.states) - 1, []
        constants = self.constants(observed)
        for w in targets if self.speaks(observed) else ():
            first, rate = observed.values[0] - float(f.value(w)), self._rate(constants, w)
            if first > 0 and rate < math.inf:
                note = f"k = {k} steps, |w|_1 = {self._length(constants, w):.3g}, beta = {constants.smoothness(1):.3g}"
                found.append((float(f.value(w)) + 1 / (1 / first + k * rate), note))
        return self.value_promise(observed, found)

    def _length(self, constants: Constants, w: Array) -> float:
        return float(constants.setting.norms(w * constants.root).sum())

    def _rate(self, constants: Constants, w: Array) -> float:
        beta, length = constants.smoothness(1), self._length(constants, w)
        return self.claim * constants.setting.tau**2 / (2 * beta * length**2) if beta > 0 and length > 0 else math.inf


@dataclass(frozen=True)
class FrankWolfeRate(Theorem):
    """D_k <= 8 beta B^2 / (k + 2) for every |w|_1 <= B, beta = max_j h_j, with the step min(1, G / (4 beta B^2)).

    Proof. G = g'(x - v) >= D by convexity; the step u = v - x has |u|_1 <= 2B, so u'Hu <= beta |u|_1^2 <= C = 4
    beta B^2. If G <= C the step gains at least G^2/(2C) >= D^2/(2C); else it is full and D+ <= D - G + C/2 <=
    min(C/2, D - C/2). So D_1 <= C/2 <= 2C/3, and from D_k <= 2C/(k+2) follows D_{k+1} <= 2C (k+1)/(k+2)^2 <=
    2C/(k+3) in the first case and, as (k+2)(k+3) >= 4, D_{k+1} <= 2C/(k+2) - C/2 <= 2C/(k+3) in the second.
    """

    name: ClassVar[str] = "T4"
    statement: ClassVar[str] = (
        "Frank-Wolfe, l1 ball of radius B: f - f(w) <= 8 beta B^2/(k + 2), a round gains G^2/(8 beta B^2)"
    )
    source: ClassVar[str] = "order as Shalev-Shwartz, Srebro, Zhang (2010), Algorithm 1, and Jaggi (2013); derived here"

    def instance(self, seed: int, setting: Setting | None = None) -> Verdict | None:
        random = np.random.default_rng([4, seed])
        f, radius = draws.problem(random, most=1e3), float(np.exp(random.uniform(-2, 2)))
        full = f.minimise_on(np.ones(f.layout.n, dtype=bool), None)[0]
        inside = [w * min(1.0, radius / np.abs(w).sum()) for w in (full, *random.standard_normal((3, f.layout.n)))]
        observed = observe(f, catalogue.frank_wolfe(20, radius))
        verdicts = [self.check(observed, w) for w in inside]
        return min((v for v in verdicts if v), key=lambda v: v.slack / v.promised)

    def about(self, method: Any) -> bool:
        return any(isinstance(fit, FrankWolfeStep) for fit in _fits(method))

    def tight(self) -> Verdict | None:
        """From x = B e_1 the step goes towards -B e_2, and f = (x_1 + x_2)^2/2 bends by 4 B^2 on the way."""
        f = Quadratic(np.ones((2, 2)), np.array([4.0, -3.99]))
        return self.gains(observe(f, catalogue.frank_wolfe(2, 1.0)))

    def check(self, observed: Observed, target: Array) -> Verdict | None:
        """Every round against the promise by comparison with a target (p,) inside the ball, or its gain if closer."""
        radius, least = self._radius(observed), float(observed.problem.value(target))
        if np.abs(target).sum() > radius * (1 + 1e-12):
            return None
        bend, values = 8 * observed.constants.smoothness(1) * radius**2, enumerate(observed.values[1:], start=1)
        steps = [(bend / (k + 2) / self.claim, value - least, observed.rounding) for k, value in values]
        return self.closest([*steps, *self._steps(observed)])

    def gains(self, observed: Observed) -> Verdict | None:
        """Every round's fall of f against the one that the proof promises: G^2/(2C), or G - C/2 where G > C."""
        return self.closest(self._steps(observed))

    def _steps(self, observed: Observed) -> list[tuple[float, float, float]]:
        radius, steps = self._radius(observed), []
        bend = 4 * observed.constants.smoothness(1) * radius**2
        for before, (high, low) in zip(observed.states, pairwise(observed.values), strict=False):
            g = np.asarray(observed.problem.gradient(before.x), dtype=float)
            G = float(g @ before.x) + radius * float(np.abs(g).max())
            gain = G * G / (2 * bend) if bend >= G else G - bend / 2
            steps.append((high - low, self.claim * gain, observed.rounding))
        return steps

    def _radius(self, observed: Observed) -> float:
        return next(fit for fit in _fits(observed.method) if isinstance(fit, FrankWolfeStep)).radius

    def promise(self, observed: Observed, targets: Sequence[Array]) -> Verdict | None:
        """For the last round, and the target inside the ball that promises most."""
        f, k, radius = observed.problem, len(observed.states) - 1, self._radius(observed)
        beta = observed.constants.smoothness(1)
        bound = 8 * beta * radius**2 / (k + 2) / self.claim
        inside = [float(f.value(w)) for w in targets if np.abs(w).sum() <= radius * (1 + 1e-12)]
        note = f"k = {k} rounds, B = {radius:.3g}, beta = {beta:.3g}"
        return self.value_promise(observed, [(least + bound, note) for least in inside])


def _rule(method: Any) -> Any:
    """What the first move ranks by."""
    return rule(getattr(method.stages[0].phases[0].move, "by", None))


def _fits(method: Any) -> list[Any]:
    return [phase.fit for stage in getattr(method, "stages", ()) for phase in stage.phases]
