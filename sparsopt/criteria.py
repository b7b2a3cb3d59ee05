"""Information criteria: what a support costs, so that values at different k can be compared. Smaller is better.

A criterion is fit + penalty. The fit is minus twice the log-likelihood up to a constant: with f = loss + ridge/2 |x|^2,

    n log(2 loss)      where the loss is half a mean square with unknown variance (least squares)
    2 n loss           where the loss is a mean negative log-likelihood, half the mean deviance (logistic, Poisson)

and for any other mean loss (Huber, squared hinge) the second as if it were one. k counts the non-zeros of x; the
intercept and the variance are in every model and left out.

>>> BIC().penalty(k=3, n=100, p=1000).__round__(3)
13.816
>>> EBIC().penalty(k=3, n=100, p=1000) > BIC().penalty(k=3, n=100, p=1000)
True
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsopt.errors import InvalidInput, MissingCapability
from sparsopt.names import lookup
from sparsopt.state import Array

__all__ = ["AIC", "BIC", "CRITERIA", "EBIC", "GIC", "Criterion", "fit_term", "named"]

FLAT = 1e-14  # share of the null loss below which a fit counts as interpolation: less is rounding


@dataclass(frozen=True)
class Criterion:
    """fit + penalty(k, n, p); a criterion of your own gives `penalty`."""

    def penalty(self, k: int, n: int, p: int) -> float:
        """What k of p coordinates cost with n rows."""
        raise NotImplementedError

    def __call__(self, problem: Any, x: Array) -> float:
        return fit_term(problem, x) + self.penalty(int(np.count_nonzero(x)), problem.samples, problem.layout.n)


@dataclass(frozen=True)
class AIC(Criterion):
    """2 k. Akaike (1974)."""

    def penalty(self, k: int, n: int, p: int) -> float:
        return 2.0 * k


@dataclass(frozen=True)
class BIC(Criterion):
    """k log n. Schwarz (1978)."""

    def penalty(self, k: int, n: int, p: int) -> float:
        return k * math.log(n)


@dataclass(frozen=True)
class EBIC(Criterion):
    """k log n + 2 gamma log C(p, k): all supports of one size share a prior weight C(p, k)^-gamma.

    Chen, Chen (2008); consistent for gamma > 1 - log n / (2 log p). gamma = 0 is BIC.
    """

    gamma: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.gamma <= 1:
            raise InvalidInput(f"EBIC: gamma = {self.gamma}; a number from 0 (BIC) to 1 is needed")

    def penalty(self, k: int, n: int, p: int) -> float:
        choose = math.lgamma(p + 1) - math.lgamma(k + 1) - math.lgamma(p - k + 1)
        return k * math.log(n) + 2 * self.gamma * choose


@dataclass(frozen=True)
class GIC(Criterion):
    """scale k log(p) log(log n). Fan, Tang (2013); with scale 1 what abess calls SIC (Zhu et al. 2020)."""

    scale: float = 1.0

    def penalty(self, k: int, n: int, p: int) -> float:
        return self.scale * k * math.log(p) * math.log(max(math.log(n), 1.0))


CRITERIA: dict[str, Criterion] = {"aic": AIC(), "bic": BIC(), "ebic": EBIC(), "gic": GIC()}


def named(criterion: str | Criterion) -> Criterion:
    """The criterion of a name, or the one that was given."""
    return lookup(CRITERIA, criterion, "criterion") if isinstance(criterion, str) else criterion


def fit_term(problem: Any, x: Array) -> float:
    """Minus twice the log-likelihood at x, up to a constant of the problem. x (p,)."""
    if not (hasattr(problem, "samples") and hasattr(problem, "ridge")):
        raise MissingCapability(
            f"information criteria need the number of samples, which {type(problem).__name__} does not have; "
            "LeastSquares(X, y), Logistic(X, y) and the other losses of data do"
        )
    loss, null = (max(problem.value(v) - problem.ridge / 2 * float(v @ v), 0.0) for v in (x, np.zeros_like(x)))
    if not getattr(problem, "unknown_scale", False):
        return 2 * problem.samples * loss
    return problem.samples * math.log(2 * max(loss, FLAT * null, np.finfo(float).tiny))
