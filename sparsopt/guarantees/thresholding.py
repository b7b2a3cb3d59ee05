"""Hard thresholding: how far it is from a projection, and what iterating it promises.

>>> round(HardThresholding().bound(k=1, K=1, d=2), 3)
2.618
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np

from sparsopt import catalogue
from sparsopt import support as sp
from sparsopt.fits import Exact, GradientSteps, InverseSmoothness, PerCurvature, Restrict, View
from sparsopt.guarantees import draws
from sparsopt.guarantees.base import ROUNDING, Observed, Proof, Theorem, Verdict, observe
from sparsopt.moves import Everything, Keep, Magnitude, Removal
from sparsopt.state import Array, State

__all__ = ["HardThresholding", "PursuitDescent", "ThresholdingDescent", "ThresholdingRate"]


@dataclass(frozen=True)
class HardThresholding(Theorem):
    """|H_k(b) - x|^2 <= nu |b - x|^2 for every x with K <= k non-zeros among d:

    nu = 1 + (rho + sqrt((4 + rho) rho))/2, rho = r / (k - K + r), r = min(K, d - k); tight.

    Proof. S = the k largest of b; A = the support of x (padded to K) without S, a = |A| <= r; B = S without that
    support, |B| = k - K + a. Parts of b - x elsewhere only help: the ratio is at most (|b_B|^2 + |x_A|^2) /
    (|b_B|^2 + |(b-x)_A|^2). No |b_j| in A exceeds one in B, so |b_A|^2 <= (a / (k - K + a)) |b_B|^2 <= rho |b_B|^2.
    With u = |b_B| and t = |x_A| the ratio is at most (u^2 + t^2) / (u^2 + (t - sqrt(rho) u)^2): the inverse of the
    smaller eigenvalue of [[1 + rho, -sqrt(rho)], [-sqrt(rho), 1]], whose determinant is 1 and trace 2 + rho. That
    is nu.
    """

    name: ClassVar[str] = "T7"
    statement: ClassVar[str] = "hard thresholding: |H_k(b) - x|^2 <= nu |b - x|^2"
    source: ClassVar[str] = "Shen, Li (2018), A tight bound of hard thresholding; derived here"

    def bound(self, k: int, K: int, d: int) -> float:
        """nu."""
        r = min(K, d - k)
        rho = r / (k - K + r) if r else 0.0
        return 1 + (rho + math.sqrt((4 + rho) * rho)) / 2

    def instance(self, seed: int) -> Verdict | None:
        random = np.random.default_rng([7, seed])
        d = int(random.integers(2, 9))
        k = int(random.integers(1, d))
        K = int(random.integers(1, k + 1))
        b, x = random.standard_normal(d), np.zeros(d)
        if random.random() < 0.5:  # nearly equal weights, and x where b is not selected: close to tight
            b = random.choice([-1.0, 1.0], d) * random.uniform(0.97, 1.0, d)
        order = np.argsort(np.abs(b))
        place = order[:K] if random.random() < 0.7 else random.choice(d, K, replace=False)
        x[place] = b[place] * random.choice([1.0, 1.618, 2.0]) + 0.01 * random.standard_normal(K)
        return self.check(b, x, k)

    def check(self, b: Array, x: Array, k: int) -> Verdict:
        """For one b (d,) and one k-sparse x (d,)."""
        kept = sp.restrict(b, sp.top(np.abs(b), k))
        nu = 1 + (self.bound(k, int(np.count_nonzero(x)), len(b)) - 1) / self.claim
        far = sp.square_norm(b - x)
        return self.verdict(nu * far, sp.square_norm(kept - x), ROUNDING * (far + sp.square_norm(b)))


class _Iterated(Theorem):
    """What the theorems on iterative hard thresholding share.

    They hold as they are in u_j = x_j sqrt(h_j), where methods by name take their steps and compare weights.
    """

    closing: ClassVar[type] = Restrict  # the fit after hard thresholding

    def about(self, method: Any) -> bool:
        stages = getattr(method, "stages", ())
        phases = stages[0].phases if len(stages) == 1 else ()
        return (
            len(phases) == 2
            and isinstance(phases[0].move, Everything)
            and isinstance(phases[0].fit, GradientSteps)
            and phases[0].fit.steps == 1
            and isinstance(_rule(phases[0].fit), (float, InverseSmoothness))
            and isinstance(phases[1].move, Keep)
            and isinstance(phases[1].move.k, int)
            and phases[1].move.by == (Removal() if _scaled(phases[0].fit) else Magnitude())
            and isinstance(phases[1].fit, self.closing)
        )

    def units(self, observed: Observed) -> tuple[Any, Array]:
        """f with its smoothness in the units of the method, and sqrt(h), or 1 where those are the coordinates'."""
        if not _scaled(observed.method.stages[0].phases[0].fit):
            return observed.problem, np.ones(())
        root = np.sqrt(observed.problem.curvature())
        return View(observed.problem, root), root

    def step(self, observed: Observed) -> float:
        rule = _rule(observed.method.stages[0].phases[0].fit)
        return rule.factor / self.units(observed)[0].smoothness() if isinstance(rule, InverseSmoothness) else rule

    def _excess(self, observed: Observed) -> tuple[float, Array]:
        """L - l, and the units."""
        f, root = self.units(observed)
        size = min(2 * self.size(observed), observed.problem.layout.n)
        return 1 / self.step(observed) - float(f.smoothness(size)), root

    def size(self, observed: Observed) -> int:
        return int(observed.method.stages[0].phases[1].move.k)  # type: ignore[union-attr]


def _scaled(fit: Any) -> bool:
    return isinstance(fit.step_size, PerCurvature)


def _rule(fit: Any) -> Any:
    """The rule for the length of a step, whatever the units."""
    return fit.step_size.rule if _scaled(fit) else fit.step_size


class _Descent(_Iterated):
    """f falls by (L - l)/2 |y - x|^2 or more in every round, y = H_k(x - g/L)."""

    entry: ClassVar[Any]  # of the catalogue
    stream: ClassVar[int]  # of random numbers

    def proposed(self, observed: Observed, before: State, after: State) -> Array:
        """y."""
        raise NotImplementedError

    def instance(self, seed: int) -> Verdict | None:
        random = np.random.default_rng([self.stream, seed])
        f = draws.problem(random, most=1e3)
        rule, k = InverseSmoothness(float(random.uniform(0.1, 0.99))), int(random.integers(1, 6))
        plain = self.entry(k, rule, rounds=20)
        scaled = self.entry(k, PerCurvature(rule), rounds=20, by=Removal())
        return self.check(observe(f, (plain, scaled)[int(random.integers(2))]))

    def check(self, observed: Observed) -> Verdict | None:
        """Every round of the run."""
        return self.closest(self._rounds(observed))

    def promise(self, observed: Observed, targets: Sequence[Array]) -> Verdict | None:
        """All rounds together: (L - l)/2 sum of |y - x|^2 <= f_0 - f."""
        rounds = self._rounds(observed)
        if not rounds:
            return None
        fall, moved, rounding = (sum(column) for column in zip(*rounds, strict=True))
        return self.verdict(fall, moved, rounding)

    def _rounds(self, observed: Observed) -> list[tuple[float, float, float]]:
        """(fall of f, what is promised of it, rounding) of each."""
        excess, root = self._excess(observed)
        if excess <= 0:
            return []
        found = []
        for (before, high), (after, low) in pairwise(zip(observed.states, observed.values, strict=True)):
            y = self.proposed(observed, before, after)
            moved = excess / 2 * sp.square_norm(root * (y - before.x)) * self.claim
            found.append((high - low, moved, ROUNDING * observed.scale))
        return found


@dataclass(frozen=True)
class ThresholdingDescent(_Descent):
    """Step 1/L with L > l, l the smoothness along 2k coordinates: |dx|^2 <= 2 (f - f+) / (L - l) in every round.

    So M rounds contain one with |dx|^2 <= 2 (f_0 - min f) / (M (L - l)). Proof. x+ minimises g'd + (L/2) |d|^2 among
    d = y - x with k-sparse y, and d = 0 is one of them: g'dx <= -(L/2) |dx|^2. dx has at most 2k non-zeros, so
    f+ <= f + g'dx + (l/2) |dx|^2 <= f - ((L - l)/2) |dx|^2.
    """

    name: ClassVar[str] = "T6a"
    statement: ClassVar[str] = "iterative hard thresholding, step 1/L: f falls by (L - l)/2 |dx|^2 a round"
    source: ClassVar[str] = "Blumensath, Davies (2008); Bertsimas, King, Mazumder (2016); derived here"
    entry: ClassVar[Any] = staticmethod(catalogue.iht)
    stream: ClassVar[int] = 6

    def proposed(self, observed: Observed, before: State, after: State) -> Array:
        return after.x


@dataclass(frozen=True)
class PursuitDescent(_Descent):
    """Step 1/L with L > l, l the smoothness along 2k coordinates: a round of HTP that goes from x to the minimiser on
    the support of y = H_k(x - g/L) has |y - x|^2 <= 2 (f - f+) / (L - l).

    So f falls until a round changes nothing, and supports, being finitely many, do not cycle. Proof. f(y) <= f - ((L -
    l)/2) |y - x|^2 as for iterative hard thresholding, and f+ <= f(y), as y is among what x+ is the best of.
    """

    closing: ClassVar[type] = Exact
    name: ClassVar[str] = "T6b"
    statement: ClassVar[str] = "hard thresholding pursuit, step 1/L: f falls by (L - l)/2 |H_k(x - g/L) - x|^2 a round"
    source: ClassVar[str] = "Foucart (2011) for least squares; derived here"
    entry: ClassVar[Any] = staticmethod(catalogue.htp)
    stream: ClassVar[int] = 26

    def proposed(self, observed: Observed, before: State, after: State) -> Array:
        step = self.step(observed) / self.units(observed)[1] ** 2
        return np.where(after.support, before.x - step * observed.problem.gradient(before.x), 0.0)

    def remark(self, observed: Observed) -> str:
        return "its step is longer than 1/l, l the smoothness along 2k coordinates, so f may rise and supports cycle"


@dataclass(frozen=True)
class ThresholdingRate(_Iterated):
    """k >= 32 kappa^2 s, step 2/(3L): f <= f(w) + eps after O(kappa log(D_0 / eps)) rounds.

    The constant of the O is not known here: what is checked is f <= f(w) once rounds stop changing anything.
    """

    name: ClassVar[str] = "T12"
    statement: ClassVar[str] = "iterative hard thresholding, k >= 32 kappa^2 s, step 2/(3L): f reaches f(w)"
    source: ClassVar[str] = "Jain, Tewari, Kar (2014), recalled"
    proof: ClassVar[Proof] = Proof.RECALLED

    def about(self, method: Any) -> bool:
        return super().about(method) and not _scaled(method.stages[0].phases[0].fit)

    def instance(self, seed: int) -> Verdict | None:
        random = np.random.default_rng([12, seed])
        f = draws.quadratic(random, 40, float(random.uniform(1.0, 1.03)))
        observed = observe(f, catalogue.iht(36, InverseSmoothness(2 / 3), rounds=60))
        w = f.minimise_on(sp.top(np.abs(f.c), 1), None)[0]
        return self.check(observed, w)

    def check(self, observed: Observed, target: Array) -> Verdict | None:
        """The last round against a target (p,) that is sparse enough."""
        f, k, s = observed.problem, self.size(observed), int(np.count_nonzero(target))
        L, lam = float(f.smoothness(min(2 * k + s, f.layout.n))), float(f.strong_convexity(min(2 * k + s, f.layout.n)))
        long = not math.isclose(self.step(observed) * L, 2 / 3, rel_tol=1e-6)
        if lam <= 0 or long or k < 32 * (L / lam) ** 2 * s / self.claim**2:
            return None
        return self.verdict(float(f.value(target)), observed.values[-1], ROUNDING * observed.scale)

    def promise(self, observed: Observed, targets: Sequence[Array]) -> Verdict | None:
        found = [verdict for w in targets if (verdict := self.check(observed, w))]
        return min(found, key=lambda verdict: verdict.promised, default=None)
