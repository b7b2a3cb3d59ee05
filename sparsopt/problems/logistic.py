"""Logistic regression, mean log(1 + exp(-t (x'w + b))) + ridge/2 |w|^2, with the intercept b profiled out.

>>> problem = Logistic(np.array([[-2.0], [-1.0], [1.0], [2.0]]), np.array([0, 1, 0, 1]), ridge=0.1)
>>> round(problem.value(np.zeros(1)), 6)
0.693147
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sparsopt.problems.generalised import Bounded, root
from sparsopt.problems.inputs import check_matrix, check_weighted_labels
from sparsopt.state import Array

__all__ = ["Logistic"]


class Logistic(Bounded):
    """f(w) = min_b sum_i s_i log(1 + exp(-t_i (x_i'w + b))) / sum_i s_i + ridge/2 |w|^2; b = 0 without an intercept.

    X: (n, p) NumPy array (float64 or float32, not copied) or scipy.sparse matrix, which is never made dense. y: (n,) in
    {0, 1} or {-1, 1}, t = -1 or 1. sample_weight: (n,) s_i >= 0. Do not change X while the problem is in use. Raises
    `InvalidInput`, also where only one label occurs.

    Where the labels are separable on a support and ridge = 0, the infimum is not attained: `minimise_on` then stops at
    the first point whose gradient, in units of the columns' standard deviations and the residuals at 0, is at most
    1e-12 (weights of about 28 over the margin), or after 100 Newton steps. The point is finite and its value close to
    the infimum, 0.
    """

    steepest = 0.25

    def __init__(self, X: Any, y: Any, ridge: float = 0.0, intercept: bool = True, sample_weight: Any = None) -> None:
        X = check_matrix(X)
        super().__init__(X, ridge, intercept, sample_weight)
        self.sign = check_weighted_labels(y, self.design.shares)
        self.one = self.sign > 0
        self.balance = float(self.design.shares[self.one].sum())

    def _losses(self, z: Array) -> tuple[Array, Array, Array]:
        """p - y and p (1 - p) without cancellation."""
        small = np.exp(-np.abs(z))
        wrong = -self.sign * np.where((z >= 0) == self.one, small, 1.0) / (1.0 + small)
        return np.log1p(small) + np.maximum(-self.sign * z, 0.0), wrong, small / (1.0 + small) ** 2

    def _best_intercept(self, product: Array) -> float:
        """The root b of sum_i w_i (p_i - y_i)."""
        share, centre = self.design.shares, math.log(self.balance / (1 - self.balance))

        def slope(b: float) -> tuple[float, float]:
            chance = _sigmoid(product + b)
            return float(share @ chance) - self.balance, float(share @ (chance * (1 - chance)))

        ends = centre - float(product.max()), centre - float(product.min())
        return root(slope, *ends, centre - float(share @ product))


def _sigmoid(z: Array) -> Array:
    small = np.exp(-np.abs(z))
    return np.where(z >= 0, 1.0, small) / (1.0 + small)
