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
Sparse X stays sparse; sample weights count as repetitions of rows. This package imports scikit-learn, which
`import sparsopt` does not.
"""

from sparsopt.errors import MissingCapability

try:
    import sklearn  # noqa: F401
except ImportError as error:
    raise MissingCapability("the estimators need scikit-learn 1.6 or newer: pip install scikit-learn") from error

from sparsopt.estimators.classification import SparseClassifier
from sparsopt.estimators.cross_validation import SparseClassifierCV, SparseRegressorCV
from sparsopt.estimators.regression import SparseRegressor
from sparsopt.estimators.selection import SparseSelector

__all__ = ["SparseClassifier", "SparseClassifierCV", "SparseRegressor", "SparseRegressorCV", "SparseSelector"]
