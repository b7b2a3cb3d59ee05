"""The solvers of sparsopt, by name."""

# The framework wants plain class attributes and sets others itself.
# ruff: noqa: RUF012
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

from benchopt import BaseSolver

import sparsopt


class Solver(BaseSolver):
    """`auto` is a portfolio; the others are single methods."""

    name = "sparsopt"
    parameters = {"method": ["auto", "omp", "replacement", "htp"]}
    requirements = ["pip::sparsopt"]
    sampling_strategy = "run_once"

    def set_objective(self, X, y, loss, k, ridge):
        self.X, self.y, self.loss, self.k, self.ridge = X, y, loss, k, ridge

    def run(self, _):
        if self.loss == "squares":
            problem = sparsopt.LeastSquares(self.X, self.y, ridge=self.ridge)
        else:
            problem = sparsopt.Logistic(self.X, self.y, ridge=self.ridge, intercept=False)
        self.beta = sparsopt.solve(problem, self.k, self.method).x

    def get_result(self):
        return {"beta": self.beta}
