"""scikit-learn's orthogonal matching pursuit."""

# The framework wants plain class attributes and sets others itself.
# ruff: noqa: RUF012
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

from benchopt import BaseSolver
from sklearn.linear_model import orthogonal_mp


class Solver(BaseSolver):
    """Least squares without ridge."""

    name = "sklearn-omp"
    requirements = ["scikit-learn"]
    sampling_strategy = "run_once"

    def set_objective(self, X, y, loss, k, ridge):
        self.X, self.y, self.k = X, y, k

    def skip(self, X, y, loss, k, ridge):
        return loss != "squares", "orthogonal_mp is for least squares"

    def run(self, _):
        self.beta = orthogonal_mp(self.X, self.y, n_nonzero_coefs=self.k)

    def get_result(self):
        return {"beta": self.beta}
