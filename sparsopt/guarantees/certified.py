"""Lower bounds against enumeration: a certified gap may be loose, never wrong.

>>> verdict = CertifiedGap().instance(0)
>>> verdict.holds
True
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sparsopt.certificates import Certificates
from sparsopt.exact import enumerate_supports
from sparsopt.guarantees import draws
from sparsopt.guarantees.base import ROUNDING, Setting, Theorem, Verdict
from sparsopt.problems import Quadratic
from sparsopt.state import Array, Mask

__all__ = ["CertifiedGap"]


@dataclass(frozen=True)
class CertifiedGap(Theorem):
    """f(x) - min f over k non-zeros <= f(x) - lower_bound, for any x with k non-zeros; 0, up to rounding, if optimal.

    Proof. q(w) = f(w) - w'Dw/2 is convex for some diagonal D > 0, so it lies above its tangent at any u: with g = grad
    q(u), f(w) >= q(u) + g'(w - u) + w'Dw/2 >= q(u) - g'u - (the k largest g_j^2 / (2 D_j)) for w with k non-zeros.

    Instances: quadratics, least squares and logistic regression with p = 7; the points are the best one, the refit of a
    random support, and random weights, so that proofs of optimality, loose gaps and bad points all occur.
    """

    name: ClassVar[str] = "C1"
    statement: ClassVar[str] = "certificates: f(x) - min f over k non-zeros is at most the certified gap"
    source: ClassVar[str] = "derived here; the minimum by enumeration"

    def instance(self, seed: int, setting: Setting | None = None) -> Verdict | None:
        random = np.random.default_rng([20, seed])
        f, k = draws.problem(random, p=7), int(random.integers(1, 5))
        best, truth = enumerate_supports(f, k)
        support = np.isin(np.arange(7), random.permutation(7)[:k])
        kind = int(random.integers(3))
        if kind == 0:
            x, support = best, best != 0
        else:
            x = f.minimise_on(support, None)[0] if kind == 1 else np.where(support, random.standard_normal(7), 0.0)
        return self.check(f, x, support, k, truth)

    def tight(self) -> Verdict | None:
        """H = I: q is linear, so the tangent is q itself."""
        f, x = Quadratic(np.eye(3), np.array([3.0, 2.0, 1.0])), np.array([0.0, 0.0, 1.0])
        return self.check(f, x, x != 0, 1, -4.5)

    def check(self, f: Any, x: Array, support: Mask, k: int, truth: float) -> Verdict:
        """The gap at x (p,) against what could be gained, f(x) - truth."""
        point = Certificates(f, x, support, k)
        rounding = ROUNDING * max(abs(point.value), abs(float(f.value(np.zeros_like(x)))))
        gap = 0.0 if point.optimal else point.value - point.lower_bound
        return self.verdict(gap / self.claim, point.value - truth, rounding)
