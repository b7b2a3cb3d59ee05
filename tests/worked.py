"""What the tests of problems share: data, every problem once, and the truth by looking at every support."""

from __future__ import annotations

import itertools

import numpy as np

from sparsopt import problems as p
from sparsopt.support import allows, unit_labels

LABELS = (0, 0, 1, 1, 2, 2, 3)


def data(seed, n=50, columns=7):
    """X with shared variation between columns, and a target of all its columns with noise."""
    draws = np.random.default_rng(seed)
    X = draws.standard_normal((n, columns)) + draws.standard_normal((n, 1))
    eta = 0.5 * X @ (draws.standard_normal(columns) * (draws.random(columns) < 0.6))
    return X, eta, draws


def losses(seed, ridge=0.01, weighted=False):
    """One problem of each loss on n = 50 rows of 7 columns."""
    X, eta, draws = data(seed)
    noisy, n = eta + draws.standard_normal(50), len(eta)
    s = draws.integers(1, 4, n) if weighted else None
    binary, classes = noisy > np.median(noisy), np.digitize(noisy, np.quantile(noisy, [0.3, 0.7]))
    mean = np.exp(np.clip(0.5 * eta, -3, 2))
    return {
        "least squares": p.LeastSquares(X, noisy, ridge, True, s),
        "logistic": p.Logistic(X, binary, ridge, True, s),
        "poisson": p.Poisson(X, draws.poisson(mean) + 0.0, ridge, True, s),
        "gamma": p.Gamma(X, draws.gamma(2.0, mean / 2) + 1e-3, ridge, True, s),
        "huber": p.Huber(X, eta + draws.standard_t(1.5, n), 0.8, ridge, True, s),
        "squared hinge": p.SquaredHinge(X, binary, ridge, True, s),
        "cox": p.Cox(X, draws.exponential(1 / mean).round(1), draws.random(n) < 0.7, ridge, s),
        "softmax": p.Softmax(X, classes, ridge, True, s),
        "multi-output": p.MultiOutput(X, np.column_stack([noisy, eta - X[:, 0]]), ridge, True, s),
    }


def truth(problem, k):
    """The smallest value of f over all supports that the problem allows, by refitting on each of them."""
    labels = unit_labels(problem.structure, problem.layout.n)
    best = np.inf
    for size in range(k + 1):
        for chosen in itertools.combinations(range(labels.max() + 1), size):
            support = np.isin(labels, chosen)
            if allows(problem.structure, support, k, problem.layout):
                best = min(best, problem.minimise_on(support)[1])
    return best


def everything(problem):
    return np.ones(problem.layout.n, dtype=bool)
