"""Logistic regression and the softmax model with at most k features.

>>> X = np.random.default_rng(0).standard_normal((80, 6))
>>> model = SparseClassifier(k=1).fit(X, np.where(X[:, 2] > 0, "high", "low"))
>>> np.flatnonzero(model.support_), model.classes_.tolist()
(array([2]), ['high', 'low'])
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from sparsopt.errors import InvalidInput
from sparsopt.estimators.base import FORMATS, TYPES, Linear
from sparsopt.problems import Logistic, Softmax
from sparsopt.state import Array

__all__ = ["SparseClassifier"]

FEW = 3  # rows a class: fewer on average, of floats, are more likely measurements


class SparseClassifier(ClassifierMixin, Linear):
    """Logistic regression with at most k features; with three classes or more the softmax model, features shared.

    minimise  the mean negative log-likelihood + ridge/2 |w|^2   over coefficients of at most k features

    Parameters as for `SparseRegressor`. ridge is 1e-3 unless given: without one, classes that few features separate
    have no best coefficients.

    class_weight   None, "balanced" (n / (classes * rows of the class)), or {label: weight}: multiplies sample_weight

    Attributes: classes_, coef_ (1, p) or (classes, p), intercept_, support_ (p,), k_, status_, value_.
    """

    def __init__(
        self,
        k: int | None = None,
        *,
        method: Any = "auto",
        ridge: float = 1e-3,
        fit_intercept: bool = True,
        class_weight: Any = None,
        criterion: Any = "ebic",
        seed: int = 0,
    ) -> None:
        self.k, self.method, self.ridge, self.class_weight = k, method, ridge, class_weight
        self.fit_intercept, self.criterion, self.seed = fit_intercept, criterion, seed

    def _checked(self, X: Any, y: Any) -> tuple[Any, Any]:
        X, y = validate_data(self, X, y, accept_sparse=FORMATS, dtype=TYPES, ensure_min_samples=2)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if y.dtype.kind == "f" and y.size < FEW * self.classes_.size:
            warnings.warn(
                f"y has {self.classes_.size} distinct numbers in {y.size} rows, each of which becomes a class; "
                "SparseRegressor models numbers, y.astype(int) says that they are classes",
                stacklevel=3,
            )
        if self.classes_.size < 2:
            raise InvalidInput(f"y has one class only ({self.classes_[0]}); a classifier needs at least two classes")
        return X, codes

    def _weight(self, X: Any, y: Any, sample_weight: Any) -> Array:
        weight = super()._weight(X, y, sample_weight)
        return weight * compute_sample_weight(self.class_weight, self.classes_[y])

    def _problem(self, X: Any, y: Any, weight: Any) -> Any:
        present = np.unique(y[weight > 0])
        if present.size < self.classes_.size:
            missing = self.classes_[np.setdiff1d(np.arange(self.classes_.size), present)]
            raise InvalidInput(f"every sample of class {missing[0]} has weight 0; each class needs a weighted sample")
        loss = Logistic if self.classes_.size == 2 else Softmax
        return loss(X, y, self.ridge, self.fit_intercept, weight)

    def _keep(self, x: Array, b: Any) -> None:
        super()._keep(x, b)
        self.coef_, self.intercept_ = np.atleast_2d(self.coef_), np.atleast_1d(b)

    def decision_function(self, X: Any) -> Array:
        """The log-odds of the second class, (n,); with more classes the scores of each, (n, classes)."""
        return self._decisions(self._scores(X))

    def predict(self, X: Any) -> Array:
        """The most probable class, (n,)."""
        scores = self.decision_function(X)
        return self.classes_[(scores > 0).astype(int) if scores.ndim == 1 else scores.argmax(axis=1)]

    def predict_log_proba(self, X: Any) -> Array:
        """Logarithms of the classes' probabilities, (n, classes)."""
        return log_probabilities(self.decision_function(X))

    def predict_proba(self, X: Any) -> Array:
        """The classes' probabilities, (n, classes)."""
        return np.exp(self.predict_log_proba(X))

    def _decisions(self, scores: Array) -> Array:
        return scores.ravel() if self.classes_.size == 2 else scores


def log_probabilities(scores: Array) -> Array:
    """Of log-odds (n,) or scores (n, classes): (n, classes)."""
    if scores.ndim == 1:
        return -np.logaddexp(0.0, np.stack([scores, -scores], axis=1))
    scores = scores - scores.max(axis=1, keepdims=True)
    return scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
