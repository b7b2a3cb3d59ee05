"""SPAMS' orthogonal matching pursuit, on normalised columns."""

# The framework wants plain class attributes and sets others itself.
# ruff: noqa: RUF012
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

import numpy as np
import spams
from benchopt import BaseSolver


class Solver(BaseSolver):
    """Least squares without ridge."""

    name = "spams-omp"
    requirements = ["pip::spams-bin"]
    sampling_strategy = "run_once"

    def set_objective(self, X, y, loss, k, ridge):
        self.size = np.maximum(np.linalg.norm(X, axis=0), 1e-300)
        self.X, self.y, self.k = np.asfortranarray(X / self.size), np.asfortranarray(y[:, None]), k

    def skip(self, X, y, loss, k, ridge):
        return loss != "squares", "spams.omp is for least squares"

    def run(self, _):
        self.beta = spams.omp(self.y, self.X, L=self.k, numThreads=1).toarray()[:, 0] / self.size

    def get_result(self):
        return {"beta": self.beta}
