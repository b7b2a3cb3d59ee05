"""Losses with kinks in the slope: Huber's, for targets with outliers, and the squared hinge, for labels.

>>> problem = Huber(np.ones((5, 1)), np.array([0.0, 0.0, 0.0, 0.0, 100.0]), threshold=1.0)
>>> problem.minimise_on(np.array([True]))[0].round(6)  # an outlier pulls with force 1, not 100
array([0.25])
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sparsopt.errors import InvalidInput
from sparsopt.problems.generalised import Bounded, root
from sparsopt.problems.inputs import check_matrix, check_vector, check_weighted_labels
from sparsopt.state import Array

__all__ = ["Huber", "SquaredHinge"]


class Kinked(Bounded):
    """The best intercept is where the slope along b changes its sign, in a bracket that a loss knows."""

    def _bracket(self, product: Array) -> tuple[float, float]:
        raise NotImplementedError

    def _best_intercept(self, product: Array) -> float:
        share = self.design.shares

        def slope(b: float) -> tuple[float, float]:
            _, first, second = self._losses(product + b)
            return float(share @ first), float(share @ second)

        low, high = self._bracket(product)
        return root(slope, low, high, (low + high) / 2)


class Huber(Kinked):
    """f(w) = min_b sum_i s_i h(y_i - x_i'w - b) / sum_i s_i + ridge/2 |w|^2, with h(r) = r^2/2 up to |r| = threshold,
    beyond it threshold (|r| - threshold/2); b = 0 unless intercept.

    X as for `Logistic`; y: (n,); threshold > 0 in units of y; sample_weight: (n,) s_i >= 0. Raises `InvalidInput`.
    Source: Huber (1964), Robust estimation of a location parameter.
    """

    steepest = 1.0

    def __init__(
        self,
        X: Any,
        y: Any,
        threshold: float = 1.35,
        ridge: float = 0.0,
        intercept: bool = False,
        sample_weight: Any = None,
    ) -> None:
        X = check_matrix(X)
        super().__init__(X, ridge, intercept, sample_weight)
        self.target, self.threshold = check_vector(y, X.shape[0]), float(threshold)
        if not 0 < self.threshold < math.inf:
            raise InvalidInput(f"threshold = {threshold} is not a positive number; give one in units of y")

    def _losses(self, z: Array) -> tuple[Array, Array, Array]:
        slope = np.clip(z - self.target, -self.threshold, self.threshold)
        loss = slope * (z - self.target - slope / 2)
        return loss, slope, (np.abs(slope) < self.threshold).astype(np.float64)

    def _bracket(self, product: Array) -> tuple[float, float]:
        left = self.target - product
        return float(left.min()), float(left.max())


class SquaredHinge(Kinked):
    """f(w) = min_b sum_i s_i max(0, 1 - t_i (x_i'w + b))^2 / sum_i s_i + ridge/2 |w|^2; b = 0 without an intercept.

    The loss of a linear support vector machine (L2-SVM). Arguments as for `Logistic`. Raises `InvalidInput`.
    """

    steepest = 2.0

    def __init__(self, X: Any, y: Any, ridge: float = 0.0, intercept: bool = True, sample_weight: Any = None) -> None:
        X = check_matrix(X)
        super().__init__(X, ridge, intercept, sample_weight)
        self.sign = check_weighted_labels(y, self.design.shares)

    def _losses(self, z: Array) -> tuple[Array, Array, Array]:
        short = np.maximum(1.0 - self.sign * z, 0.0)
        return short**2, -2.0 * self.sign * short, 2.0 * (short > 0)

    def _bracket(self, product: Array) -> tuple[float, float]:
        return -1.0 - float(product.max()), 1.0 - float(product.min())
