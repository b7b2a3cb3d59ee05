"""What the linear estimators share: data are checked, a problem is made, k is given or chosen, coefficients are kept.

A model of another loss names its problem, and what of its data has to be checked:

    class SparseCounts(RegressorMixin, Linear):
        def _checked(self, X, y): return validate_data(self, X, y, accept_sparse=FORMATS, dtype=TYPES)
        def _problem(self, X, y, weight): return Poisson(X, y, self.ridge, self.fit_intercept, weight)
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from sparsopt.certificates import Certificates
from sparsopt.choosing import choose
from sparsopt.errors import InvalidInput
from sparsopt.solvers import solve
from sparsopt.state import Array

__all__ = ["ALONG", "FORMATS", "TYPES", "Linear"]

FORMATS: Any = ("csc", "csr")
TYPES: Any = (np.float64, np.float32)
ALONG = "replacement"  # where k is to be chosen: a path with warm starts, a few refits for each k


class Linear(BaseEstimator):
    """A linear model with at most k features."""

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

    def _weight(self, X: Any, y: Any, sample_weight: Any) -> Array:
        return _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)

    def _size(self, problem: Any, X: Any, y: Any, weight: Array) -> int:
        """k: as given, or as the criterion chooses it on all rows, of which `problem` is made."""
        if self.k is not None:
            return self.k
        return choose(problem, None, self.criterion, ALONG, self.seed, samples=float(weight.sum())).k

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Fit to X (n, p), dense, sparse or a data frame, and y (n,); sample_weight (n,) >= 0."""
        X, y = self._checked(X, y)
        weight = self._weight(X, y, sample_weight)
        problem = self._problem(X, y, weight)
        k = self._size(problem, X, y, weight)
        result = solve(problem, k, self.method, self.seed)
        self.k_ = min(int(k), self.n_features_in_)
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

    def certificates(self, X: Any, y: Any, sample_weight: Any = None) -> Certificates:
        """What is shown about the coefficients on these data, those of `fit`, of which a model keeps no copy.

        Among others lower_bound, gap, optimal and standing, each computed when asked for. Raises `InvalidInput` for
        data with other features or classes.
        """
        check_is_fitted(self)
        twin: Any = clone(self)
        X, y = twin._checked(X, y)
        problem, x = twin._problem(X, y, twin._weight(X, y, sample_weight)), self.coef_.T.ravel()
        if x.size != problem.p:
            raise InvalidInput(
                f"the model has {x.size} coefficients, {problem!r} has {problem.p}: give the data of fit"
            )
        outputs = x.size // self.n_features_in_
        return Certificates(problem, x, np.repeat(self.support_, outputs), self.k_ * outputs)

    def _scores(self, X: Any) -> Array:
        check_is_fitted(self)
        return self._linear(validate_data(self, X, accept_sparse=FORMATS, dtype=TYPES, reset=False))

    def _linear(self, X: Any) -> Array:
        return X @ self.coef_.T + self.intercept_

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.target_tags.required = True
        return tags
