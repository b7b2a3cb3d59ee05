"""Choosing k along a path: by an information criterion, or by cross-validation.

>>> rng = np.random.default_rng(0)
>>> X = rng.standard_normal((100, 30))
>>> y = X[:, 2] - X[:, 5] + 0.3 * rng.standard_normal(100)
>>> sparsopt.choose(sparsopt.LeastSquares(X, y), range(6)).k
2
>>> sparsopt.choose(sparsopt.Data(X, y), range(6), criterion="cv").k >= 2
True

`paths` has the solutions for several k, `criteria` and `validation` the scores, `choice` what is made of them.
"""

from __future__ import annotations

from sparsopt.choosing.choice import Choice, choose, default_ks
from sparsopt.choosing.criteria import AIC, BIC, CRITERIA, EBIC, GIC, Criterion
from sparsopt.choosing.paths import Path, path
from sparsopt.choosing.validation import CrossValidation, Data

__all__ = [
    "AIC",
    "BIC",
    "CRITERIA",
    "EBIC",
    "GIC",
    "Choice",
    "Criterion",
    "CrossValidation",
    "Data",
    "Path",
    "choose",
    "default_ks",
    "path",
]
