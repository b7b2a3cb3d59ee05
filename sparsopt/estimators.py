"""scikit-learn estimators: a regressor, a classifier, a selector, and both predictors with k by cross-validation.

>>> rng = np.random.default_rng(0)
>>> X = rng.standard_normal((100, 30))
>>> y = 2 * X[:, 3] - X[:, 7] + 0.1 * rng.standard_normal(100)
>>> np.flatnonzero(sparsopt.SparseRegressor(k=2).fit(X, y).coef_)
array([3, 7])
>>> sparsopt.SparseSelector().fit_transform(X, y).shape
(100, 2)

k=None, the default, lets a criterion choose k (EBIC, on the sizes that so many rows can tell apart): along the
warm-started path of greedy selection with replacement, a few refits a size; `method` then solves for the k that won.
Sparse X stays sparse; sample weights count as repetitions of rows. This module imports scikit-learn, which
`import sparsopt` does not.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsopt.choosing import choose, default_ks
from sparsopt.errors import InvalidInput, MissingCapability
from sparsopt.paths import path
from sparsopt.problems import LeastSquares, Logistic, MultiOutput, Softmax
from sparsopt.solvers import solve
from sparsopt.state import Array

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.feature_selection import SelectorMixin
    from sklearn.model_selection import check_cv
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data
except ImportError as error:
    raise MissingCapability("the estimators need scikit-learn 1.6 or newer: pip install scikit-learn") from error

__all__ = ["SparseClassifier", "SparseClassifierCV", "SparseRegressor", "SparseRegressorCV", "SparseSelector"]

FORMATS: Any = ("csc", "csr")
TYPES: Any = (np.float64, np.float32)
ALONG = "replacement"  # where k is to be chosen: a path with warm starts, a few refits for each k


class _Linear(BaseEstimator):
    """What all share: data are checked, a problem is made, k is given or chosen, coefficients are kept."""

    k: int | None
    method: Any
    ridge: float
    fit_intercept: bool
    criterion: Any
    seed: int
    n_features_in_: int

    def _problem(self, X: Any, y: Any, weight: Any) -> Any:
        raise NotImplementedError

    def _checked(self, X: Any, y: Any) -> tuple[Any, Any]:
        raise NotImplementedError

    def _search(self, X: Any, y: Any, weight: Array) -> tuple[int, Any]:
        """(k, result) on all rows."""
        problem, k = self._problem(X, y, weight), self.k
        if k is not None:
            return k, solve(problem, k, self.method, self.seed)
        k = choose(problem, None, self.criterion, ALONG, self.seed, samples=float(weight.sum())).k
        return k, solve(problem, k, self.method, self.seed)

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Fit to X (n, p), dense, sparse or a data frame, and y (n,); sample_weight (n,) >= 0."""
        X, y = self._checked(X, y)
        weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        self.k_, result = self._search(X, y, weight)
        problem = self._problem(X, y, weight)
        self._keep(result.x, problem.intercept(result.x))
        self.status_, self.value_ = result.status, result.value
        return self

    def _keep(self, x: Array, b: Any) -> None:
        """coef_ (p,) and intercept_, or (outputs, p) and (outputs,)."""
        p = self.n_features_in_
        self.coef_ = x if x.size == p else np.ascontiguousarray(x.reshape(p, -1).T)
        self.intercept_ = b

    @property
    def support_(self) -> Array:
        """The selected features, a mask (p,)."""
        check_is_fitted(self)
        return np.any(np.atleast_2d(self.coef_) != 0, axis=0)

    def _scores(self, X: Any) -> Array:
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse=FORMATS, dtype=TYPES, reset=False)
        return X @ self.coef_.T + self.intercept_

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.target_tags.required = True
        return tags


# ---- regression ----------------------------------------------------------------------------------------------------


class SparseRegressor(RegressorMixin, _Linear):
    """Least squares with at most k non-zero coefficients.

    minimise  sum_i s_i (y_i - w'x_i - b)^2 / (2 sum s) + ridge/2 |w|^2   over w with at most k non-zeros

    k              an integer, or None: `criterion` chooses among 0 to n / (log p log log n)
    method         a name out of sparsopt.methods(), or an object with .solve(problem, k, seed)
    ridge          >= 0
    fit_intercept  whether b is free (never penalised), or 0
    criterion      "aic", "bic", "ebic" or "gic", where k is None
    seed           of methods that draw random numbers

    y may have several columns: a feature is then selected for all of them. Attributes: coef_ (p,) or (outputs, p),
    intercept_, support_ (p,), k_, status_, value_ (of the objective).
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


# ---- classification ------------------------------------------------------------------------------------------------


class SparseClassifier(ClassifierMixin, _Linear):
    """Logistic regression with at most k features; with three classes or more the softmax model, features shared.

    minimise  the mean negative log-likelihood + ridge/2 |w|^2   over coefficients of at most k features

    Parameters as for `SparseRegressor`. ridge is 1e-3 unless given: without one, classes that few features separate
    have no best coefficients. Attributes: classes_, coef_ (1, p) or (classes, p), intercept_, support_ (p,), k_,
    status_, value_.
    """

    def __init__(
        self,
        k: int | None = None,
        *,
        method: Any = "auto",
        ridge: float = 1e-3,
        fit_intercept: bool = True,
        criterion: Any = "ebic",
        seed: int = 0,
    ) -> None:
        self.k, self.method, self.ridge = k, method, ridge
        self.fit_intercept, self.criterion, self.seed = fit_intercept, criterion, seed

    def _checked(self, X: Any, y: Any) -> tuple[Any, Any]:
        X, y = validate_data(self, X, y, accept_sparse=FORMATS, dtype=TYPES, ensure_min_samples=2)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if self.classes_.size < 2:
            raise InvalidInput(f"y has one class only ({self.classes_[0]}); a classifier needs at least two classes")
        return X, codes

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
        scores = self._scores(X)
        return scores.ravel() if self.classes_.size == 2 else scores

    def predict(self, X: Any) -> Array:
        """The most probable class, (n,)."""
        scores = self.decision_function(X)
        return self.classes_[(scores > 0).astype(int) if scores.ndim == 1 else scores.argmax(axis=1)]

    def predict_log_proba(self, X: Any) -> Array:
        """Logarithms of the classes' probabilities, (n, classes)."""
        scores = self.decision_function(X)
        if scores.ndim == 1:
            return -np.logaddexp(0.0, np.stack([scores, -scores], axis=1))
        scores = scores - scores.max(axis=1, keepdims=True)
        return scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))

    def predict_proba(self, X: Any) -> Array:
        """The classes' probabilities, (n, classes)."""
        return np.exp(self.predict_log_proba(X))


# ---- cross-validation ----------------------------------------------------------------------------------------------


class _CrossValidated(_Linear):
    """k with the lowest mean loss on rows that were held out, then a fit on all rows."""

    ks: Any
    cv: Any

    def _search(self, X: Any, y: Any, weight: Array) -> tuple[int, Any]:
        classes = hasattr(self, "classes_")
        splitter: Any = check_cv(self.cv, y, classifier=classes)
        folds = list(splitter.split(X, y))
        most = default_ks(int(weight.sum()), X.shape[1])[-1]
        self.ks_ = np.unique(np.arange(most + 1) if self.ks is None else np.asarray(self.ks, dtype=int))
        rows = [self._fold(X, y, weight, *fold) for fold in folds]
        self.losses_ = np.array([row for row in rows if row is not None])
        if not self.losses_.size:
            raise InvalidInput("no fold has weighted samples on both sides (and of every class); give another cv")
        k = int(self.ks_[self.losses_.mean(axis=0).argmin()])
        return k, solve(self._problem(X, y, weight), k, self.method, self.seed)

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
        error = (y - (X @ self.coef_.T + self.intercept_)) ** 2
        return error if error.ndim == 1 else error.sum(axis=1)


class SparseClassifierCV(_CrossValidated, SparseClassifier):
    """`SparseClassifier` with k by cross-validation of the log-loss. Parameters as for `SparseRegressorCV`."""

    def __init__(
        self,
        ks: Any = None,
        *,
        cv: Any = 5,
        method: Any = "auto",
        ridge: float = 1e-3,
        fit_intercept: bool = True,
        seed: int = 0,
    ) -> None:
        self.ks, self.cv, self.method, self.ridge = ks, cv, method, ridge
        self.fit_intercept, self.seed = fit_intercept, seed

    def _losses(self, X: Any, y: Any) -> Array:
        return -self.predict_log_proba(X)[np.arange(len(y)), y]


# ---- selection -----------------------------------------------------------------------------------------------------


class SparseSelector(SelectorMixin, BaseEstimator):
    """Keeps the k features of the best sparse linear model: a transformer with get_support and set_output.

    k          an integer, or None: chosen by the estimator's criterion
    estimator  `SparseRegressor()` if None, or another, such as SparseClassifier(ridge=0.1); cloned, its k replaced

    Attributes: estimator_ (fitted).
    """

    def __init__(self, k: int | None = None, estimator: Any = None) -> None:
        self.k, self.estimator = k, estimator

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Select on X (n, p) and y (n,)."""
        from sklearn.base import clone

        estimator: Any = SparseRegressor() if self.estimator is None else clone(self.estimator)
        if self.k is not None:
            estimator.set_params(k=self.k)
        self.estimator_ = estimator.fit(X, y, sample_weight)
        self.n_features_in_ = self.estimator_.n_features_in_
        if hasattr(self.estimator_, "feature_names_in_"):
            self.feature_names_in_ = self.estimator_.feature_names_in_
        return self

    def _get_support_mask(self) -> Array:
        check_is_fitted(self)
        return self.estimator_.support_

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.target_tags.required = True
        return tags
