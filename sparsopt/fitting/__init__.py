"""What `python -m sparsopt fit` does.

models        a model for one k, its gap, its error on rows held out, and the path over k
enumeration   the proof that few supports give
pictures      the picture of a path
writing       all of it as files

>>> import numpy as np
>>> from sparsopt.tables import Table
>>> X = np.random.default_rng(0).standard_normal((60, 4))
>>> list(fit(Table(X, X[:, 1] - 2 * X[:, 3], list("abcd")), 2).coefficients)
['d', 'b']
"""

from sparsopt.fitting.models import LOSSES, Fitted, fit
from sparsopt.fitting.writing import write

__all__ = ["LOSSES", "Fitted", "fit", "write"]
