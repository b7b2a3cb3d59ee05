"""Poisson and gamma regression with a logarithmic link, E y = exp(x'w + b): half the mean deviance, ridge/2 |w|^2.

>>> problem = Gamma(np.array([[0.0], [1.0]]), np.array([1.0, 2.0]))
>>> round(float(problem.minimise_on(np.array([True]))[0][0]), 6)  # exact: exp(0) = 1, exp(w) = 2
0.693147
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sparsopt.errors import InvalidInput
from sparsopt.problems.generalised import Sum, Unbounded
from sparsopt.problems.inputs import check_matrix, check_vector
from sparsopt.state import Array

__all__ = ["Gamma", "Poisson"]


class Poisson(Unbounded):
    """f(w) = min_b sum_i s_i (m_i - y_i + y_i log(y_i / m_i)) / sum_i s_i + ridge/2 |w|^2, m_i = exp(x_i'w + b).

    Half the mean deviance, so f >= 0; b = 0 unless intercept. X as for `Logistic`; y: (n,) >= 0, with an intercept not
    all zero; sample_weight: (n,) s_i >= 0 (an exposure e: y / e with weights e). Where only zeros of y have a non-zero
    entry in a column, that coefficient goes to -infinity without a ridge: `minimise_on` then stops where Newton's
    method ends. Raises `InvalidInput`. Without a bound on l'' there is no smoothness: IHT and HTP need a step_size.
    """

    def __init__(self, X: Any, y: Any, ridge: float = 0.0, intercept: bool = True, sample_weight: Any = None) -> None:
        X = check_matrix(X)
        super().__init__(X, ridge, intercept, sample_weight)
        self.target = _not_negative(check_vector(y, X.shape[0]))
        self.total = float(self.design.shares @ self.target)
        if intercept and not self.total > 0:
            raise InvalidInput("y is zero everywhere, so the best intercept is -infinity; give intercept=False")
        self.least = self.target * np.log(np.where(self.target > 0, self.target, 1.0)) - self.target

    def _losses(self, z: Array) -> tuple[Array, Array, Array]:
        mean = np.exp(z)
        return np.maximum(mean - self.target * z + self.least, 0.0), mean - self.target, mean

    def _best_intercept(self, product: Array) -> float:
        """log of sum_i w_i y_i / sum_i w_i exp(z_i)."""
        top = float(product.max())
        return math.log(self.total / float(self.design.shares @ np.exp(product - top))) - top

    def _size(self, point: Sum) -> float:
        terms = self.target * (1 + np.abs(point.product + point.b)) + np.abs(self.least)
        return point.loss + 2 * float(self.design.shares @ terms)


class Gamma(Unbounded):
    """f(w) = min_b sum_i s_i (log(m_i / y_i) + y_i / m_i - 1) / sum_i s_i + ridge/2 |w|^2, m_i = exp(x_i'w + b).

    Half the mean deviance, so f >= 0; b = 0 unless intercept. X as for `Logistic`; y: (n,) > 0; sample_weight: (n,)
    s_i >= 0. Raises `InvalidInput`. Without a bound on l'' there is no smoothness: IHT and HTP need a step_size.
    """

    def __init__(self, X: Any, y: Any, ridge: float = 0.0, intercept: bool = True, sample_weight: Any = None) -> None:
        X = check_matrix(X)
        super().__init__(X, ridge, intercept, sample_weight)
        y = _not_negative(check_vector(y, X.shape[0]), "> 0")
        self.log = np.log(y)

    def _losses(self, z: Array) -> tuple[Array, Array, Array]:
        """In the logarithm d of y / m: exp(d) - d - 1."""
        d = self.log - z
        share = np.exp(d)
        return np.maximum(np.expm1(d) - d, 0.0), -np.expm1(d), share

    def _best_intercept(self, product: Array) -> float:
        """log of sum_i w_i y_i exp(-z_i)."""
        d = self.log - product
        top = float(d.max())
        return top + math.log(float(self.design.shares @ np.exp(d - top)))

    def _size(self, point: Sum) -> float:
        terms = np.abs(self.log) + np.abs(point.product + point.b)
        return 1.0 + point.loss + 2 * float(self.design.shares @ terms)


def _not_negative(y: Array, wanted: str = ">= 0") -> Array:
    wrong = np.flatnonzero((y < 0) | ((y == 0) & (wanted == "> 0")))
    if wrong.size:
        raise InvalidInput(f"y has an entry {y[wrong[0]]:g} at row {wrong[0]}; entries {wanted} are needed")
    return y
