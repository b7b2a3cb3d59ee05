"""Gaussian rows with correlation rho^|i - j|, some true coefficients, noise."""

# The framework wants plain class attributes and sets others itself.
# ruff: noqa: RUF012
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

import numpy as np
from benchopt import BaseDataset


class Dataset(BaseDataset):
    """A planted problem. loss: squares or logistic."""

    name = "simulated"
    parameters = {
        "n_samples, n_features": [(1000, 2000), (200, 5000)],
        "n_true": [10],
        "rho": [0.5, 0.9],
        "snr": [10.0],
        "loss": ["squares", "logistic"],
    }
    test_parameters = {
        "n_samples, n_features": [(60, 30)],
        "n_true": [5],
        "rho": [0.5],
        "loss": ["squares", "logistic"],
    }
    requirements = ["numpy"]

    def get_data(self):
        rng = np.random.default_rng([self.get_seed() if hasattr(self, "get_seed") else 0, 1])
        n, p = self.n_samples, self.n_features
        Z = rng.standard_normal((n, p))
        X = Z.copy()
        for j in range(1, p):
            X[:, j] = self.rho * X[:, j - 1] + np.sqrt(1 - self.rho**2) * Z[:, j]
        truth = np.zeros(p)
        chosen = rng.choice(p, self.n_true, replace=False)
        truth[chosen] = rng.choice([-1, 1], self.n_true) * rng.uniform(1, 2, self.n_true)
        signal = X @ truth
        if self.loss == "squares":
            y = signal + rng.standard_normal(n) * np.sqrt(signal.var() / self.snr)
        else:
            y = np.where(rng.random(n) < 1 / (1 + np.exp(-4 * signal / signal.std())), 1.0, -1.0)
        return {"X": X, "y": y, "loss": self.loss, "truth": truth}
