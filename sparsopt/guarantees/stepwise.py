"""Forward selection by refits (orthogonal least squares, forward stepwise): a weakly submodular gain.

>>> verdict = StepwiseRatio().tight()
>>> round(verdict.ratio, 9), verdict.holds
(1.0, True)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np

from sparsopt.fits import Exact
from sparsopt.guarantees.base import Observed, Setting, Verdict, observe, rule
from sparsopt.guarantees.forward import FullyCorrective
from sparsopt.method import Method, Phase, Stage
from sparsopt.moves import Entry
from sparsopt.problems import Quadratic
from sparsopt.state import Array, Mask, State

__all__ = ["BestRefit", "StepwiseRatio"]


@dataclass(frozen=True)
class BestRefit:
    """A move: the unit whose refit is lowest comes in, found by refitting with each; weakly, as `Weak` has it."""

    setting: Setting = Setting()

    def __call__(self, f: Any, state: State) -> Mask:
        group, tau = self.setting.group_of(f.layout.n), self.setting.tau
        outside = np.unique(group[~state.support])
        u = np.random.default_rng([self.setting.seed, *state.key]).uniform(tau, 1.0, len(outside))
        falls = [falls_by(f, state.support, group == unit) for unit in outside]
        return state.support | (group == outside[int(np.argmax(np.array(falls) * u))])


def falls_by(f: Any, support: Mask, more: Mask) -> float:
    """How much min f on the support falls when these join it."""
    return float(f.minimise_on(support, None)[1]) - float(f.minimise_on(support | more, None)[1])


@dataclass(frozen=True)
class StepwiseRatio(FullyCorrective):
    """D+ <= (1 - tau gamma / m) D with gamma = sum_A (fall by one unit of A) / (fall by all of A) >= lambda / beta.

    So k steps gain at least (1 - exp(-tau k gamma / s)) of f(0) - f(w), gamma the least that occurs: with k = s the
    fraction 1 - 1/e of the best support where falls add up (gamma = 1). Proof. The best unit is no worse than the mean
    of A: f - f+ >= tau gamma / m (fall by all of A), and that is at least D. One unit of A lets f fall by |g_j|^2 /
    (2 beta) or more, all of A by |g_A|^2 / (2 lambda) or less, lambda of S and the target.
    """

    name: ClassVar[str] = "T11"
    statement: ClassVar[str] = "selection by refits: f - f(w) shrinks by 1 - tau gamma/m a step, gamma >= lambda/beta"
    source: ClassVar[str] = "Das, Kempe (2011); Elenberg et al. (2018), weak submodularity; derived here"

    def method(self, k: int, setting: Setting = Setting()) -> Method:
        stage = Stage((Phase(BestRefit(setting), Exact()),), rounds=k)
        return Method("stepwise", (*setting.start(), stage), "")

    def about(self, method: Any) -> bool:
        """Orthogonal least squares, one coordinate at a time."""
        return super().about(method) and all(
            isinstance(rule(phase.move.by), Entry) for stage in method.stages for phase in stage.phases
        )

    def competitors(self, random: np.random.Generator, observed: Observed) -> Sequence[Array]:
        """A few, as every gamma takes refits."""
        f, group = observed.problem, observed.setting.group_of(observed.problem.layout.n)
        unions = (random.choice(np.unique(group), s, replace=False) for s in (1, 2, 3))
        return [f.minimise_on(np.isin(group, union), None)[0] for union in unions]

    def tight(self) -> Verdict | None:
        """H = I and equal weights: falls add up, and each step takes 1/m of what is left."""
        f = Quadratic(np.eye(4), np.ones(4))
        return self.check(observe(f, self.method(1)), np.ones(4))

    def check(self, observed: Observed, target: Array) -> Verdict | None:
        """Every step against this target (p,), and every gamma against lambda / beta."""
        f, setting, constants = observed.problem, observed.setting, observed.constants
        group, wanted, least, steps = setting.group_of(len(target)), target != 0, float(f.value(target)), []
        for (before, high), (_, low) in pairwise(self.greedy(observed)):
            missing = wanted & ~before.support
            m, gap = setting.units(missing), high - least
            most = falls_by(f, before.support, missing)
            if not m or most <= observed.rounding:
                continue
            gamma = sum(falls_by(f, before.support, group == unit) for unit in np.unique(group[missing])) / most
            floor = constants.strong_convexity(before.support | wanted) / constants.smoothness(1)
            steps.append((gamma, self.claim * floor, 3 * m * observed.rounding / most))
            if gap > 0:
                left = max(1 - self.claim * setting.tau * gamma / m, 0.0)
                steps.append((left * gap, max(low - least, 0.0), 3 * m * observed.rounding))
        return self.closest(steps)

    def promise(self, observed: Observed, targets: Sequence[Array]) -> Verdict | None:
        """f(x_k) <= f(w) + D_0 exp(-k gamma / s) with the least gamma of the steps of this run."""
        f, setting, k, found = observed.problem, observed.setting, len(observed.states) - 1, []
        for w in targets if self.speaks(observed) else ():
            s, least = setting.units(w != 0), float(f.value(w))
            if 0 < s <= MOST and observed.values[0] > least:
                gamma = min(self._ratios(observed, w != 0), default=1.0)
                note = f"k = {k} steps, s = {s}, gamma = {gamma:.3g}"
                found.append((least + (observed.values[0] - least) * math.exp(-self.claim * k * gamma / s), note))
        return self.value_promise(observed, found)

    def _ratios(self, observed: Observed, wanted: Mask) -> list[float]:
        """gamma of every step from which something of the target is missing."""
        f, group, found = observed.problem, observed.setting.group_of(len(wanted)), []
        for state in observed.states[:-1]:
            missing = wanted & ~state.support
            most = falls_by(f, state.support, missing) if missing.any() else 0.0
            if most > observed.rounding:
                units = np.unique(group[missing])
                found.append(sum(falls_by(f, state.support, group == unit) for unit in units) / most)
        return found


MOST = 20  # of a target's units: gamma takes a refit for each of them in each step
