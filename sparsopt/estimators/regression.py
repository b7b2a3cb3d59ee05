"""Least squares with at most k features.

>>> X = np.random.default_rng(0).standard_normal((50, 8))
>>> model = SparseRegressor(k=1).fit(X, 3 * X[:, 4] + 2)
>>> np.append(model.coef_[4], model.intercept_).round(9), np.flatnonzero(model.support_)
(array([3., 2.]), array([4]))
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils.validation import validate_data

from sparsopt.estimators.base import FORMATS, TYPES, Linear
from sparsopt.problems import LeastSquares, MultiOutput
from sparsopt.state import Array

__all__ = ["SparseRegressor"]


class SparseRegressor(RegressorMixin, Linear):
    """Least squares with at most k non-zero coefficients.

    minimise  sum_i s_i (y_i - w'x_i - b)^2 / (2 sum s) + ridge/2 |w|^2   over w with at most k non-zeros

    k              an integer >= 0 (above p: all features), or None: `criterion` chooses from 0 to n / (log p log log n)
    method         a name out of sparsopt.methods(), or an object with .solve(problem, k, seed)
    ridge          >= 0
    fit_intercept  whether b is free (never penalised), or 0
    criterion      "aic", "bic", "ebic" or "gic", where k is None
    seed           of methods that draw random numbers

    y may have several columns: a feature is then selected for all of them. Attributes: coef_ (p,) or (outputs, p),
    intercept_, support_ (p,), k_ <= p, status_, value_ (of the objective). `certificates` bounds what is left to gain.
    """

    def __init__(
        self,
        k: int | None = None,
        *,
        method: Any = "auto",
        ridge: float = 0.0,
        fit_intercept: bool = True,
        criterion: Any = "ebic",
        seed: int = 0,
    ) -> None:
        self.k, self.method, self.ridge = k, method, ridge
        self.fit_intercept, self.criterion, self.seed = fit_intercept, criterion, seed

    def _checked(self, X: Any, y: Any) -> tuple[Any, Any]:
        rules: Any = {"accept_sparse": FORMATS, "dtype": TYPES, "multi_output": True, "y_numeric": True}
        checked: Any = validate_data(self, X, y, ensure_min_samples=2, **rules)
        return checked

    def _problem(self, X: Any, y: Any, weight: Any) -> Any:
        loss = LeastSquares if y.ndim == 1 else MultiOutput
        return loss(X, y, self.ridge, self.fit_intercept, weight)

    def _keep(self, x: Array, b: Any) -> None:
        super()._keep(x, b)
        if np.ndim(b):  # several outputs, or one of shape (n, 1)
            self.coef_ = np.atleast_2d(self.coef_)

    def predict(self, X: Any) -> Array:
        """X w + b, (n,) or (n, outputs)."""
        return self._scores(X)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
