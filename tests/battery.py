"""What the batteries of the convex catalogue run on: data, a problem of each loss, methods by name, their promises."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import pytest

from sparsopt.catalogue import METHODS
from sparsopt.method import run
from sparsopt.problems import LeastSquares, Logistic, Quadratic

N, P, K = 60, 12, 4


@functools.cache
def data(seed):
    """Correlated columns of different scales, three true coefficients, noise; labels for the logistic loss."""
    rng = np.random.default_rng([5, seed])
    X = rng.standard_normal((N, P)) + 0.5 * rng.standard_normal((N, 1))
    X *= np.geomspace(0.5, 2.0, P)
    signal = X @ np.where(np.arange(P) % 4 == 1, 1.0, 0.0) / 2
    return X, signal + 0.3 * rng.standard_normal(N), (signal + rng.logistic(size=N) / 2 > 0).astype(float)


def least_squares(X, y, labels):
    return LeastSquares(X, y, ridge=0.01, intercept=True)


def logistic(X, y, labels):
    return Logistic(X, labels, ridge=0.02)


def quadratic(X, y, labels):
    return Quadratic(X.T @ X / N, X.T @ y / N, 0.5)


LOSSES = {"squares": least_squares, "logistic": logistic, "quadratic": quadratic}
# What the entries promise, by name:
EXACT_SIZE = set(METHODS) - {"forward-greedy", "frank-wolfe", "randomised"}
EXCHANGING = {"best-swap", "local-search", "splicing", "oscillation"}
PURSUITS = {"cosamp", "subspace-pursuit", "partial-hard-thresholding", "htp"}
DESCENDS = (
    {"forward-greedy", "frank-wolfe", "fully-corrective", "omp", "ols", "replacement", "iht"}
    | EXCHANGING
    | (PURSUITS - {"htp"})  # whose step by name is longer than 1/L
)
DESCENDS_ON_QUADRATICS = {"niht", "aiht", "gradient-pursuit"}
GREEDY = {"fully-corrective", "omp", "ols", "replacement", "foba", "backward-elimination"}
REFITTED = GREEDY | EXCHANGING | PURSUITS | {"regularised-iht"}
# The l1 norm, draws by |x_j|, and a penalty on |x_j|^2 are in the units of the columns:
WITH_UNITS = {"frank-wolfe", "randomised", "arht", "regularised-iht"}
SCALE_FREE = set(METHODS) - WITH_UNITS
every_method = pytest.mark.parametrize("name", METHODS)
every_loss = pytest.mark.parametrize("loss", LOSSES)
# Shortened, or the battery would take minutes; the rounds left out are more of the same.
SHORT = {"iht": 100, "niht": 50, "momentum-iht": 60, "aiht": 40, "regularised-iht": 60, "iht-with-feedback": 50}


def method_named(name, k, problem):
    made = METHODS[name](k, problem)
    if name not in SHORT:
        return made
    stages = [replace(stage, rounds=min(stage.rounds, SHORT[name])) for stage in made.stages]
    return replace(made, stages=tuple(stages))


def solved(name, problem, k=K, seed=0):
    return run(method_named(name, k, problem), problem, problem.start(seed))


def started(problem, seed=0):
    return problem, problem.start(seed)
