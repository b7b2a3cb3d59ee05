"""benchopt: minimise a loss over vectors with at most k non-zeros.

    pip install 'sparsopt[benchopt]'
    benchopt run benchmarks/benchopt -d simulated -o "*[k=10]" -r 3
    benchopt test benchmarks/benchopt -- --skip-install     # the tests of installation create conda environments

The value is |y - X w|^2 / (2 n) + ridge/2 |w|^2, or the mean logistic loss of labels -1 and 1 + ridge/2 |w|^2, without
intercept, at the k largest coefficients of what a solver returns: what has too many non-zeros is cut, not refused.
"""

# The framework wants plain class attributes and sets others itself.
# ruff: noqa: RUF012
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

import numpy as np
from benchopt import BaseObjective


class Objective(BaseObjective):
    """f(w) over |w|_0 <= k."""

    name = "l0-constrained regression"
    url = "https://github.com/benchopt"
    requirements = ["numpy"]
    min_benchopt_version = "1.7"
    parameters = {"k": [10], "ridge": [1e-4]}
    sampling_strategy = "run_once"

    def set_data(self, X, y, loss="squares", truth=None):
        """X (n, p); y (n,), labels -1 and 1 for the logistic loss; truth (p,): planted coefficients, if any."""
        self.X, self.y, self.loss, self.truth = X, y, loss, truth

    def get_objective(self):
        """What a solver is given."""
        return {"X": self.X, "y": self.y, "loss": self.loss, "k": min(self.k, self.X.shape[1]), "ridge": self.ridge}

    def get_one_result(self):
        """The zero vector."""
        return {"beta": np.zeros(self.X.shape[1])}

    def evaluate_result(self, beta):
        """The value, how many non-zeros there were, and which share of the planted ones was found."""
        found = {"n_nonzeros": float(np.count_nonzero(beta))}
        largest = np.argsort(-np.abs(beta), kind="stable")[: self.k]
        beta = np.where(np.isin(np.arange(beta.size), largest), beta, 0.0)
        if self.truth is not None:
            support = self.truth != 0
            found["recovered"] = float(np.mean(beta[support] != 0))
        product = self.X @ beta
        if self.loss == "squares":
            loss = 0.5 * np.mean((self.y - product) ** 2)
        else:
            loss = np.mean(np.logaddexp(0.0, -self.y * product))
        return {"value": float(loss + 0.5 * self.ridge * beta @ beta), **found}
