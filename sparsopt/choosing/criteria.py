"""Information criteria: what a support costs, so that values at different k can be compared. Smaller is better.

A criterion is fit + penalty. The fit is minus twice the log-likelihood up to a constant: with f = loss + ridge/2 |x|^2,

    n log(2 loss)      where the loss is half a mean square with unknown variance (least squares; c outputs: n c)
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

from sparsopt import support as sp
from sparsopt.errors import InvalidInput, MissingCapability
from sparsopt.names import lookup
from sparsopt.state import Array
from sparsopt.support import Elements, units

__all__ = ["AIC", "BIC", "CRITERIA", "EBIC", "GIC", "Criterion", "fit_term", "named", "rows_of"]

FLAT = 1e-14  # share of the null loss below which a fit counts as interpolation: less is rounding


@dataclass(frozen=True)
class Criterion:
    """fit + penalty(k, n, p, weights); a criterion of your own gives `penalty`."""

    def penalty(self, k: int, n: float, p: int, weights: int | None = None) -> float:
        """What k of p features cost with n rows; `weights` coefficients, by default one a feature."""
        raise NotImplementedError

    def __call__(self, problem: Any, x: Array, samples: float | None = None) -> float:
        """samples: how many rows count, by default all."""
        n, weights = rows_of(problem) if samples is None else samples, int(np.count_nonzero(x))
        k = sp.size(getattr(problem, "structure", Elements()), x != 0)
        return fit_term(problem, x, n) + self.penalty(k, n, units(problem), weights)


@dataclass(frozen=True)
class AIC(Criterion):
    """2 k. Akaike (1974)."""

    def penalty(self, k: int, n: float, p: int, weights: int | None = None) -> float:
        return 2.0 * (k if weights is None else weights)


@dataclass(frozen=True)
class BIC(Criterion):
    """k log n. Schwarz (1978)."""

    def penalty(self, k: int, n: float, p: int, weights: int | None = None) -> float:
        return (k if weights is None else weights) * math.log(n)


@dataclass(frozen=True)
class EBIC(Criterion):
    """k log n + 2 gamma log C(p, k): all supports of one size share a prior weight C(p, k)^-gamma.

    Chen, Chen (2008); consistent for gamma > 1 - log n / (2 log p). gamma = 0 is BIC.
    """

    gamma: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.gamma <= 1:
            raise InvalidInput(f"EBIC: gamma = {self.gamma}; a number from 0 (BIC) to 1 is needed")

    def penalty(self, k: int, n: float, p: int, weights: int | None = None) -> float:
        supports = math.lgamma(p + 1) - math.lgamma(k + 1) - math.lgamma(p - k + 1)
        return BIC().penalty(k, n, p, weights) + 2 * self.gamma * supports


@dataclass(frozen=True)
class GIC(Criterion):
    """scale k log(p) log(log n). Fan, Tang (2013); with scale 1 what abess calls SIC (Zhu et al. 2020)."""

    scale: float = 1.0

    def penalty(self, k: int, n: float, p: int, weights: int | None = None) -> float:
        count = k if weights is None else weights
        return self.scale * count * math.log(p) * math.log(max(math.log(n), 1.0))


CRITERIA: dict[str, Criterion] = {"aic": AIC(), "bic": BIC(), "ebic": EBIC(), "gic": GIC()}


def named(criterion: str | Criterion) -> Criterion:
    """The criterion of a name, or the one that was given."""
    return lookup(CRITERIA, criterion, "criterion") if isinstance(criterion, str) else criterion


def rows_of(problem: Any) -> int:
    """The number of rows of the data behind a problem."""
    if not (hasattr(problem, "samples") and hasattr(problem, "ridge")):
        raise MissingCapability(
            f"information criteria need the number of samples, which {type(problem).__name__} does not have; "
            "LeastSquares(X, y), Logistic(X, y) and the other losses of data do"
        )
    return problem.samples


def fit_term(problem: Any, x: Array, samples: float | None = None) -> float:
    """Minus twice the log-likelihood at x (p,), up to a constant of the problem; samples: rows that count."""
    n = rows_of(problem) if samples is None else samples
    loss, null = (max(problem.value(v) - problem.ridge / 2 * float(v @ v), 0.0) for v in (x, np.zeros_like(x)))
    variances = getattr(problem, "unknown_scale", 0)  # how many outputs share one
    if not variances:
        return 2 * n * loss
    return n * variances * math.log(2 * max(loss, FLAT * null, np.finfo(float).tiny))
