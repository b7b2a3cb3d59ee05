"""A transformer that keeps the features of a sparse model.

>>> X = np.random.default_rng(0).standard_normal((50, 8))
>>> SparseSelector(2).fit(X, X[:, 4] - X[:, 5]).get_support(indices=True)
array([4, 5])
"""

from __future__ import annotations

from typing import Any

from sklearn.base import BaseEstimator, clone
from sklearn.feature_selection import SelectorMixin
from sklearn.utils.validation import check_is_fitted

from sparsopt.estimators.regression import SparseRegressor
from sparsopt.state import Array

__all__ = ["SparseSelector"]


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
