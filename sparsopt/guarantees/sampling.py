"""Randomised sparsification: the exact price of rounding a dense vector to k draws from it.

>>> from sparsopt.problems import Quadratic
>>> RandomisedIdentity().bound(Quadratic(np.eye(2), np.zeros(2)), np.array([1.0, 1.0]), k=2)
0.5
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sparsopt.fits import Average
from sparsopt.guarantees import draws
from sparsopt.guarantees.base import ROUNDING, Observed, Setting, Theorem, Verdict
from sparsopt.problems import Quadratic
from sparsopt.state import Array

__all__ = ["RandomisedIdentity"]


@dataclass(frozen=True)
class RandomisedIdentity(Theorem):
    """Quadratic f, x = (|w|_1 / k) sum of k draws sign(w_j) e_j, j ~ |w_j| / |w|_1:

    E f(x) - f(w) = (|w|_1 sum_j |w_j| H_jj - w'Hw) / (2k) <= beta |w|_1^2 / (2k), if the gradient at w is zero (or
    anything: E x = w). Proof. E x = w, so E f(x) - f(w) = E (x - w)'H(x - w) / 2, and one draw z = |w|_1 sign(w_j)
    e_j has E z'Hz = |w|_1 sum |w_j| H_jj; k independent ones divide the variance by k.
    """

    name: ClassVar[str] = "T1"
    statement: ClassVar[str] = "randomised sparsification: E f(x) - f(w) = (|w|_1 sum |w_j| H_jj - w'Hw)/(2k)"
    source: ClassVar[str] = "Shalev-Shwartz, Srebro, Zhang (2010); identity derived here"

    def instance(self, seed: int, setting: Setting | None = None) -> Verdict | None:
        random = np.random.default_rng([1, seed])
        f, k = draws.quadratic(random, 3, float(random.uniform(1.5, 50))), int(random.integers(1, 5))
        w = random.standard_normal(3) if random.random() < 0.5 else f.minimise_on(np.ones(3, dtype=bool), None)[0]
        return self.check(f, w, k)

    def tight(self) -> Verdict | None:
        """Always."""
        return self.check(Quadratic(np.diag([1.0, 2.0]), np.zeros(2)), np.array([1.0, -2.0]), 2)

    def bound(self, f: Any, w: Array, k: int) -> float:
        """The right-hand side: what k draws from w (p,) cost on average."""
        return (float(np.abs(w) @ f.curvature()) * float(np.abs(w).sum()) - float(w @ f.hessian_product(w, w))) / (
            2 * k
        )

    def check(self, f: Any, w: Array, k: int) -> Verdict:
        """The mean over all p^k draws, each computed as the method does, against the formula."""
        share, length = np.abs(w) / np.abs(w).sum(), float(np.abs(w).sum())
        mean = 0.0
        for drawn in itertools.product(range(len(w)), repeat=k):
            hits = np.bincount(drawn, minlength=len(w))
            mean += math.prod(share[list(drawn)]) * float(f.value(np.sign(w) * hits * (length / k)))
        excess, value = mean - float(f.value(w)), float(f.value(w))
        rounding = ROUNDING * (abs(mean) + abs(value))
        return self.verdict(self.bound(f, w, k) / self.claim, excess, rounding, equality=True)

    def about(self, method: Any) -> bool:
        return any(isinstance(phase.fit, Average) for stage in getattr(method, "stages", ()) for phase in stage.phases)

    def remark(self, observed: Observed) -> str:
        """The mean over draws: a single run may be above it."""
        fits = [phase.fit for stage in observed.method.stages for phase in stage.phases]
        f, k = observed.problem, next(fit.k for fit in fits if isinstance(fit, Average))
        if not hasattr(f, "hessian_block"):
            return "f is no quadratic, so nothing is promised"
        w, least = f.minimise_on(np.ones(f.layout.n, dtype=bool), None)
        excess = float(f.value(observed.result.x)) - least
        return f"f - min f is {self.bound(f, w, k):.4g} on average over draws ; this one has {excess:.4g}"
