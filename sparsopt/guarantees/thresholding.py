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
from sparsopt.guarantees.base import ROUNDING, Observed, Setting, Theorem, Verdict, observe
from sparsopt.moves import Everything, Keep, Magnitude, Removal
from sparsopt.problems import Quadratic
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

    def instance(self, seed: int, setting: Setting | None = None) -> Verdict | None:
        random = np.random.default_rng([7, seed])
        d = int(random.integers(2, 9))
        k = int(random.integers(1, d))
        K = int(random.integers(1, k + 1))
        b, x = random.standard_normal(d), np.zeros(d)
        if random.random() < 0.5:  # nearly equal weights, and x where b is not selected: close to tight
            b = random.choice([-1.0, 1.0], d) * random.uniform(0.97, 1.0, d)
        order = np.argsort(np.abs(b))
        place = (order[:K], order[:K], order[d - K :], random.permutation(d)[:K])[int(random.integers(4))]
        x[place] = b[place] * random.choice([1.0, 1.618, 2.0]) + 0.01 * random.standard_normal(K)
        return self.check(b, x, k)

    def tight(self) -> Verdict | None:
        """b = (1, 1), x = (0, golden ratio)."""
        return self.check(np.ones(2), np.array([0.0, (1 + math.sqrt(5)) / 2]), 1)

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

    def instance(self, seed: int, setting: Setting | None = None) -> Verdict | None:
        random = np.random.default_rng([self.stream, seed])
        f = draws.problem(random, most=1e3)
        rule, k = InverseSmoothness(float(random.uniform(0.1, 0.99))), int(random.integers(1, 6))
        plain = self.entry(k, rule, rounds=20)
        scaled = self.entry(k, PerCurvature(rule), rounds=20, by=Removal())
        return self.check(observe(f, (plain, scaled)[int(random.integers(2))]))

    def tight(self) -> Verdict | None:
        """From x = (1, 0) with g_2 / L = -1: both coordinates tie, the second comes in, f bends by l on the way."""
        L, l = 1.01, 1.0
        f = Quadratic(l * np.eye(2), np.array([l, L * (1 + 1e-9)]))
        start = f.start(0).but(x=np.array([1.0, 0.0]), support=np.array([True, False]))
        return self.check(observe(f, self.entry(1, 1 / L, rounds=1, by=Magnitude()), start=start))

    def check(self, observed: Observed) -> Verdict | None:
        """Every round of the run."""
        return self.closest(self._rounds(observed))

    def remark(self, observed: Observed) -> str:
        return (
            "its step is not known to be below 1/l, l the smoothness along 2k coordinates: f may rise, supports cycle"
        )

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
            found.append((high - low, moved, observed.rounding))
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


@dataclass(frozen=True)
class ThresholdingRate(_Iterated):
    """k >= 3 (3 kappa + 1)^2 s and step 2/(3l): D+ <= (1 - kappa / (3 kappa + 1)^2) D in every round.

    l: smoothness along 2k coordinates; lambda: strong convexity along k + s; kappa = l / lambda; s: non-zeros of the
    target w. Proof. L = 3l/2, G = g/L, z = x - G, T the
    target's support, S+ the new one, J = S+ + T, I = J + S, r = s/k, a = |G_I|, u = |w - x|, d = x+ - x.

    Smoothness: f+ <= f + (L/2) (|x+ - z|_I^2 - |G_I|^2) - (l/4) |d|^2. Off J only S has entries of I; they are at most
    as many as S+ without S, and no larger than any |z| there, which is |G| = |d|: |x+ - z|_(I-J)^2 <= |G|_(S+ - S)^2,
    and |d|^2 >= |G|_(S+ - S)^2. On J only T - S+ counts, and those are the smallest: |x+ - z|_J^2 <= r |w - z|_J^2.
    As l/4 = L/6,

        f+ - f <= (L/2) (r |w - x + G|_J^2 - |G|_(I - (S+ - S))^2 - |G|_(S+ - S)^2 / 3)
               <= (L/2) (r u^2 + 2 r a u + r a^2 - a^2 / 3) = (L/2) (r (a + u)^2 - a^2 / 3).

    Strong convexity: D/L + lambda u^2/(2L) <= a u, so with q = 2L/lambda = 3 kappa u <= q a, u^2 <= q^2 (a^2 - D
    lambda/L^2) and a^2 >= D lambda/L^2. Hence r (a + u)^2 <= r (q + 1)^2 a^2 - r q^2 D lambda/L^2, and for r <= 1 / (3
    (q + 1)^2) the bracket is largest for the largest r and then -q^2 / (3 (q + 1)^2) D lambda/L^2 or less: that is
    D+ <= D (1 - lambda q^2 / (6 L (q + 1)^2)) = D (1 - kappa / (3 kappa + 1)^2).
    """

    name: ClassVar[str] = "T12"
    statement: ClassVar[str] = (
        "iterative hard thresholding, k >= 3 (3 kappa + 1)^2 s, step 2/(3l): 1 - kappa/(3 kappa + 1)^2 a round"
    )
    source: ClassVar[str] = "order as Jain, Tewari, Kar (2014); constants derived here"

    def instance(self, seed: int, setting: Setting | None = None) -> Verdict | None:
        random = np.random.default_rng([12, seed])
        h = random.uniform(1.0, random.uniform(1.0, 1.05), 70)
        few = random.random(70) < random.choice([0.05, 1.0])
        f = Quadratic(np.diag(h), np.where(few | (np.arange(70) == 0), random.standard_normal(70), 0.0))
        k = int(random.integers(56, 68))
        observed = observe(f, catalogue.iht(k, InverseSmoothness(2 / 3), rounds=20, by=Magnitude()))
        return self.check(observed, f.minimise_on(sp.top(np.abs(f.c), 1), None)[0])

    def tight(self) -> Verdict | None:
        """Not met with equality: H = I and one weight, the closest that is known (D falls by 8/9, not by 1/16)."""
        f = Quadratic(np.eye(50), np.append(1.0, np.zeros(49)))
        return self.check(observe(f, catalogue.iht(49, InverseSmoothness(2 / 3), rounds=1, by=Magnitude())), f.c)

    def check(self, observed: Observed, target: Array) -> Verdict | None:
        """Every round in which the condition holds against a target (p,) that is sparse enough."""
        rate = self._rate(observed, target)
        if rate is None:
            return None
        least, steps = float(observed.problem.value(target)), []
        for high, low in pairwise(observed.values):
            if high > least:
                steps.append(((1 - rate) * (high - least), max(low - least, 0.0), observed.rounding))
        return self.closest(steps)

    def _rate(self, observed: Observed, target: Array) -> float | None:
        """kappa / (3 kappa + 1)^2 in the units of the method; None where k or the step is another."""
        k, s, p = self.size(observed), int(np.count_nonzero(target)), len(target)
        if k < 48 * s * (1 - 1e-9):  # kappa = 1
            return None
        f, root = self.units(observed)
        bend = 2 / 3 / self.step(observed)  # l, or more
        lam = float(observed.problem.strong_convexity(min(k + s, p))) / float(np.max(root)) ** 2
        if (
            lam <= 0
            or bend < float(f.smoothness(min(2 * k, p))) * (1 - 1e-9)
            or k < 3 * (3 * bend / lam + 1) ** 2 * s * (1 - 1e-9)
        ):
            return None
        return self.claim * (bend / lam) / (3 * bend / lam + 1) ** 2

    def promise(self, observed: Observed, targets: Sequence[Array]) -> Verdict | None:
        """f(x) <= f(w) + D_0 (1 - kappa / (3 kappa + 1)^2)^rounds."""
        f, rounds, found = observed.problem, len(observed.states) - 1, []
        for w in targets:
            rate, least = self._rate(observed, w), float(f.value(w))
            if rate is not None and observed.values[0] > least:
                note = f"{rounds} rounds, s = {np.count_nonzero(w)}, a factor {1 - rate:.4g} in each"
                found.append((least + (observed.values[0] - least) * (1 - rate) ** rounds, note))
        return self.value_promise(observed, found)

    def remark(self, observed: Observed) -> str:
        return "it asks for k >= 48 kappa^2 s at least, kappa on any 2k coordinates, and a step of 2/(3l): not so here"
