"""Exact recovery: data without noise, w with s units and gradient zero, and forward selection that finds them.

delta: the isometry constant, all eigenvalues of the Hessian on a set are between (1 - delta) c and (1 + delta) c; its
scale c is free, as selection does not depend on the units of f.

>>> verdict = ExactRecovery().tight()
>>> round(verdict.ratio, 6), verdict.holds
(1.0, True)
>>> [round(threshold(K), 3) for K in (1, 2, 3, 4)]
[1.0, 0.667, 0.571, 0.5]
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np

from sparsopt import catalogue
from sparsopt.guarantees import draws
from sparsopt.guarantees.base import Constants, Observed, Proof, Setting, Theorem, Verdict, observe
from sparsopt.guarantees.forward import FullyCorrective
from sparsopt.guarantees.swaps import still
from sparsopt.moves import Gradient
from sparsopt.problems import Quadratic
from sparsopt.state import Array, Mask

__all__ = ["ExactRecovery", "UnitRecovery", "sharpest", "threshold"]

NEIGHBOURS = 2000  # coordinates up to which the isometry constant is looked for on a user's data


@dataclass(frozen=True)
class ExactRecovery(FullyCorrective):
    """Quadratic f, g(w) = 0, S part of the target, m of its s units missing (A): for every unit j outside the target

    |g_j| <= tau max_A |g| - tau (1 - t delta) c |w_A| / sqrt(m),  t = sqrt(m / tau^2 + 1), delta on S + A + {j}.

    So delta_{s+1} < 1 / sqrt(s / tau^2 + 1) recovers w in s steps. Proof. With M the columns of H^(1/2) / sqrt(c)
    outside S projected off those in S, g = -c M'M w on A + {j}, and M has isometry constant delta there. Let a = max_A
    |g| / c, b = |g_j| / c, mu = sqrt(m) / (tau (t + 1)), v = +-mu |w_A| e_j (for groups along M_j'M w). As 2 mu / (1 -
    mu^2) = sqrt(m) / tau and (1 + mu^2) / (1 - mu^2) = t, for the better sign

        (1 - mu^4) (|Mw|^2 - sqrt(m) |w_A| b / tau) = |M (w_A + v)|^2 - |M (mu^2 w_A - v)|^2
            >= (1 - delta) (1 + mu^2) |w_A|^2 - (1 + delta) (mu^4 + mu^2) |w_A|^2 = (1 - mu^4) (1 - t delta) |w_A|^2,

    and |Mw|^2 <= sum_A |w_G| a <= sqrt(m) |w_A| a.
    """

    name: ClassVar[str] = "T8"
    statement: ClassVar[str] = (
        "recovery, g(w) = 0: |g_j| <= tau max_A |g| - tau (1 - sqrt(m/tau^2 + 1) delta) c |w_A|/sqrt(m) off the target"
    )
    source: ClassVar[str] = "Wen, Zhou, Wang, Tang, Mo (2017), delta < 1/sqrt(s + 1); derived here"

    def instance(self, seed: int, setting: Setting | None = None) -> Verdict | None:
        random = np.random.default_rng([8, seed])
        setting = draws.setting(random) if setting is None else setting
        H = draws.quadratic(random, 6, float(random.choice([1.5, 3.0, 10.0]))).H
        group = setting.group_of(6)
        wanted = np.isin(group, random.choice(np.unique(group), 2, replace=False))
        wanted[list(setting.preselected)] = True
        w = np.where(wanted, random.choice([-1.0, 1.0], 6) * random.uniform(0.5, 1, 6), 0.0)
        f = Quadratic(H, H @ w)
        return self.check(observe(f, self.method(2, setting), 0, setting), w)

    def tight(self) -> Verdict | None:
        """The sharpest matrix just below the threshold."""
        f, w = sharpest(4, 1 - 1e-9)
        return self.check(observe(f, self.method(1)), w)

    def check(self, observed: Observed, target: Array) -> Verdict | None:
        """Every step from a part of the target (p,): all units outside it, and the one that was chosen."""
        setting, steps = observed.setting, []
        wanted, group = target != 0, setting.group_of(len(target))
        for (before, _), (after, _) in pairwise(self.greedy(observed)):
            missing = wanted & ~before.support
            if np.any(before.support & ~wanted) or not missing.any():
                break
            others = [group == unit for unit in np.unique(group[~wanted])]
            g = np.asarray(observed.problem.gradient(before.x))
            most = setting.tau * float(setting.norms(np.where(missing, g, 0.0)).max())  # what is chosen has as much
            found = [self._compared(observed, before, wanted, target, g, most, other) for other in others]
            steps += found
            chosen = after.support & ~before.support
            astray = chosen.any() and not np.any(chosen & wanted)
            if astray and all(promised + rounding < most for promised, _, rounding in found):
                steps.append((0.0, 1.0, 0.0))  # a unit outside was taken, although none has as large a gradient
        return self.closest(steps)

    def _compared(
        self, observed: Observed, before: Any, wanted: Mask, w: Array, g: Array, most: float, other: Mask
    ) -> tuple[float, float, float]:
        """(what |g_j| is promised to stay below, |g_j|, rounding); most = tau max_A |g|."""
        setting, missing = observed.setting, wanted & ~before.support
        m = setting.units(missing)
        delta, c = observed.constants.isometry(before.support | wanted | other)
        spare = 1 - math.sqrt(m / setting.tau**2 + 1) * delta / self.claim
        length = float(np.linalg.norm(w[missing])) / math.sqrt(m)
        return most - setting.tau * spare * c * length, float(np.linalg.norm(g[other])), 1e-9 * (most + c * length)

    def promise(self, observed: Observed, targets: Sequence[Array]) -> Verdict | None:
        """f(x) <= f(w) for targets with gradient zero, s <= k, and sqrt(s + 1) delta_{s+1} < 1."""
        f, setting, found = observed.problem, observed.setting, []
        k = setting.units(observed.result.support)
        for w in targets if hasattr(f, "hessian_block") and self.speaks(observed) else ():
            s = setting.units(w != 0)
            if 0 < s <= k and still(f, w):
                delta = _worst(self.constants(observed), w != 0)
                if math.sqrt(s + 1) * delta < self.claim:
                    found.append((float(f.value(w)), f"s = {s}, delta = {delta:.3g} on the target and one unit more"))
        return self.value_promise(observed, found)

    def remark(self, observed: Observed) -> str:
        return "it speaks of targets with gradient zero (data without noise) and delta < 1/sqrt(s + 1); none is given"


def _worst(constants: Constants, wanted: Mask) -> float:
    """The largest isometry constant on the target and one unit more; inf where there are too many to look at."""
    group = constants.setting.group_of(len(wanted))
    others = np.unique(group[~wanted])
    if others.size > NEIGHBOURS:
        return math.inf
    return max((constants.isometry(wanted | (group == unit))[0] for unit in others), default=0.0)


@dataclass(frozen=True)
class UnitRecovery(Theorem):
    """Unit columns, g(w) = 0: delta_{K+1} < C_K lets OMP and OLS find every w with K non-zeros in K steps.

    C_K = 1/sqrt(K), but 1/sqrt(K + 1/4) for K = 2 and 1/sqrt(K + 1/16) for K = 3; sharp. Checked as what follows: who
    misses has delta_{K+1} >= C_K, the isometry constant of all supports of K + 1 by enumeration.
    """

    name: ClassVar[str] = "T8b"
    statement: ClassVar[str] = "recovery, unit columns, g(w) = 0: OMP or OLS that misses w has delta_{K+1} >= C_K"
    source: ClassVar[str] = "Kim, Wang, Shim (2019), abstract, arXiv 1910.10976"
    proof: ClassVar[Proof] = Proof.READ

    def instance(self, seed: int, setting: Setting | None = None) -> Verdict | None:
        """Near the matrix that is sharp for K >= 4, so that many runs miss."""
        random = np.random.default_rng([28, seed])
        K = int(random.integers(2, 6))
        H = _blended(K, float(random.uniform(0.97, 1.3))) + float(random.choice([0.0, 0.03])) * _noise(random, K + 1)
        w = np.append(random.choice([-1.0, 1.0], K) if random.random() < 0.2 else random.uniform(0.9, 1.1, K), 0.0)
        if np.linalg.eigvalsh(H)[0] <= 0:
            return None
        entries = (catalogue.omp(K, by=Gradient()), catalogue.omp(K), catalogue.ols(K))
        return self.check(observe(Quadratic(H, H @ w), entries[int(random.integers(3))]), w)

    def tight(self) -> Verdict | None:
        H, w = _blended(4, 1 + 1e-6), np.append(np.ones(4), 0.0)
        return self.check(observe(Quadratic(H, H @ w), catalogue.omp(4)), w)

    def about(self, method: Any) -> bool:
        return ExactRecovery().about(method)

    def check(self, observed: Observed, target: Array) -> Verdict | None:
        """A run that did not end on the support of w (p,)."""
        K, p = int(np.count_nonzero(target)), len(target)
        if np.array_equal(observed.result.support, target != 0):
            return None
        supports = (np.isin(np.arange(p), chosen) for chosen in itertools.combinations(range(p), K + 1))
        delta = max(abs(value - 1) for S in supports for value in observed.constants.spectrum(S))
        return self.verdict(delta, threshold(K) * self.claim, 1e-9)

    def remark(self, observed: Observed) -> str:
        return "delta_{k+1} of all supports is not known here, so nothing is promised (see T8)"


def threshold(K: int) -> float:
    """C_K."""
    return 1 / math.sqrt(K + {2: 1 / 4, 3: 1 / 16}.get(K, 0.0))


def sharpest(K: int, share: float) -> tuple[Quadratic, Array]:
    """(f, w): isometry constant share / sqrt(K + 1), and the last column comes first exactly where share > 1.

    H = I + delta (z z' - u u'), u along w + v and z along mu^2 w - v as in the proof of `ExactRecovery`, w = (1, .., 1,
    0): all its inequalities are equalities.
    """
    delta, w = share / math.sqrt(K + 1), np.append(np.ones(K), 0.0)
    mu = math.sqrt(K) / (math.sqrt(K + 1) + 1)
    v = np.append(np.zeros(K), -mu * math.sqrt(K))
    u, z = w + v, mu**2 * w - v
    H = np.eye(K + 1) + delta * (np.outer(z, z) / (z @ z) - np.outer(u, u) / (u @ u))
    return Quadratic(H, H @ w), w


def _blended(K: int, share: float) -> Array:
    """Unit columns, the last one with share / K of each of the others: delta = share / sqrt(K)."""
    H = np.eye(K + 1)
    H[-1, :-1] = H[:-1, -1] = share / K
    return H


def _noise(random: np.random.Generator, p: int) -> Array:
    """Symmetric, zero on the diagonal."""
    upper = np.triu(random.standard_normal((p, p)), 1)
    return upper + upper.T
