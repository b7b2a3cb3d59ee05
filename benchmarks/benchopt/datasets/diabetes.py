"""scikit-learn's diabetes data with all monomials of a degree, standardised."""

# The framework wants plain class attributes and sets others itself.
# ruff: noqa: RUF012
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

import itertools

import numpy as np
from benchopt import BaseDataset
from sklearn.datasets import load_diabetes


class Dataset(BaseDataset):
    """n = 442; p = 65 for degree 2, 285 for degree 3."""

    name = "diabetes"
    parameters = {"degree": [2, 3]}
    requirements = ["numpy", "scikit-learn"]

    def get_data(self):
        base, target = load_diabetes(return_X_y=True)
        base = (base - base.mean(axis=0)) / base.std(axis=0)
        columns = [
            base[:, list(some)].prod(axis=1)
            for degree in range(1, self.degree + 1)
            for some in itertools.combinations_with_replacement(range(base.shape[1]), degree)
        ]
        X = np.column_stack(columns)
        X = X - X.mean(axis=0)
        X = X[:, X.std(axis=0) > 1e-9]
        return {"X": X / X.std(axis=0), "y": (target - target.mean()) / target.std(), "loss": "squares"}
