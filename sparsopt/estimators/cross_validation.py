"""The same models with k by cross-validation.

>>> rng = np.random.default_rng(0)
>>> X = rng.standard_normal((60, 8))
>>> model = SparseRegressorCV(range(4), cv=3).fit(X, 2 * X[:, 1] - X[:, 6] + 0.3 * rng.standard_normal(60))
>>> model.k_ >= 2, model.losses_.shape
(True, (3, 4))
"""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold, check_cv

from sparsopt.choosing import default_ks, path
from sparsopt.choosing.paths import sizes
from sparsopt.errors import InvalidInput
from sparsopt.estimators.base import ALONG, Linear
from sparsopt.estimators.classification import SparseClassifier, log_probabilities
from sparsopt.estimators.regression import SparseRegressor
from sparsopt.state import Array

__all__ = ["SparseClassifierCV", "SparseRegressorCV"]


class _CrossValidated(Linear):
    """k with the lowest mean loss on rows that were held out, then a fit on all rows."""

    ks: Any
    cv: Any

    def fit(self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None) -> Any:
        """As for the model with a given k; groups (n,): rows with one label are held out together."""
        self._groups = groups
        try:
            return super().fit(X, y, sample_weight)
        finally:
            del self._groups

    def _size(self, problem: Any, X: Any, y: Any, weight: Array) -> int:
        folds = list(self._splitter(y, hasattr(self, "classes_")).split(X, y, self._groups))
        most = default_ks(int(weight.sum()), X.shape[1])[-1]
        self.ks_ = np.unique(np.minimum(sizes(range(most + 1) if self.ks is None else self.ks), X.shape[1]))
        rows = [self._fold(X, y, weight, *fold) for fold in folds]
        self.losses_ = np.array([row for row in rows if row is not None])
        if not self.losses_.size:
            raise InvalidInput("no fold has weighted samples on both sides (and of every class); give another cv")
        return int(self.ks_[self.losses_.mean(axis=0).argmin()])

    def _splitter(self, y: Any, classes: bool) -> Any:
        given: Any = self.cv
        if self._groups is None or not (given is None or isinstance(given, Integral)):
            return check_cv(self.cv, y, classifier=classes)
        return (StratifiedGroupKFold if classes else GroupKFold)(5 if given is None else int(given))

    def _fold(self, X: Any, y: Any, weight: Array, train: Array, test: Array) -> list[float] | None:
        """The held-out loss of each k."""
        if not weight[test].any() or not weight[train].any():
            return None
        problem = self._problem(X[train], y[train], weight[train])
        losses = []
        for result in path(problem, self.ks_, ALONG, self.seed):
            self._keep(result.x, problem.intercept(result.x))
            losses.append(float(np.average(self._losses(X[test], y[test]), weights=weight[test])))
        return losses

    def _losses(self, X: Any, y: Any) -> Array:
        raise NotImplementedError


class SparseRegressorCV(_CrossValidated, SparseRegressor):
    """`SparseRegressor` with k by cross-validation of the squared error.

    ks   the sizes that compete; None: 0 to n / (log p log log n)
    cv   folds, a splitter, or an iterable of (train, test), as scikit-learn has it

    Further attributes: ks_, losses_ (folds, len(ks_)).
    """

    def __init__(
        self,
        ks: Any = None,
        *,
        cv: Any = 5,
        method: Any = "auto",
        ridge: float = 0.0,
        fit_intercept: bool = True,
        seed: int = 0,
    ) -> None:
        self.ks, self.cv, self.method, self.ridge = ks, cv, method, ridge
        self.fit_intercept, self.seed = fit_intercept, seed

    def _losses(self, X: Any, y: Any) -> Array:
        error = (y - self._linear(X)) ** 2
        return error if error.ndim == 1 else error.sum(axis=1)


class SparseClassifierCV(_CrossValidated, SparseClassifier):
    """`SparseClassifier` with k by cross-validation of the log-loss. Parameters as for it and `SparseRegressorCV`."""

    def __init__(
        self,
        ks: Any = None,
        *,
        cv: Any = 5,
        method: Any = "auto",
        ridge: float = 1e-3,
        fit_intercept: bool = True,
        class_weight: Any = None,
        seed: int = 0,
    ) -> None:
        self.ks, self.cv, self.method, self.ridge, self.class_weight = ks, cv, method, ridge, class_weight
        self.fit_intercept, self.seed = fit_intercept, seed

    def _losses(self, X: Any, y: Any) -> Array:
        return -log_probabilities(self._decisions(self._linear(X)))[np.arange(len(y)), y]
