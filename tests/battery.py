"""What the batteries of the convex catalogue run on: data, a problem of each loss, methods by name, their promises."""

from __future__ import annotations

import functools
import re
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
PROMISES = {  # a row a method; `method_named` says what rounds are for
    "forward-greedy": "descends, scale-free",
    "frank-wolfe": "descends",
    "gradient-pursuit": "exact size, descends on quadratics, scale-free",
    "fully-corrective": "exact size, descends, refitted, scale-free",
    "omp": "exact size, descends, refitted, scale-free",
    "ols": "exact size, descends, refitted, scale-free",
    "replacement": "exact size, descends, refitted, scale-free",
    "foba": "exact size, refitted, scale-free",
    "best-swap": "exact size, descends, refitted, scale-free",
    "local-search": "exact size, descends, refitted, scale-free",
    "splicing": "exact size, descends, refitted, scale-free",
    "oscillation": "exact size, descends, refitted, scale-free",
    "backward-elimination": "exact size, refitted, scale-free",
    "iht": "exact size, descends, scale-free, 100 rounds",
    "niht": "exact size, descends on quadratics, scale-free, 50 rounds",
    "momentum-iht": "exact size, scale-free, 60 rounds",
    "aiht": "exact size, descends on quadratics, scale-free, 40 rounds",
    "iht-with-feedback": "exact size, scale-free, 50 rounds",
    "htp": "exact size, refitted, scale-free",  # its step by name is longer than 1/L: f may rise
    "partial-hard-thresholding": "exact size, descends, refitted, scale-free",
    "cosamp": "exact size, descends, refitted, scale-free",
    "subspace-pursuit": "exact size, descends, refitted, scale-free",
    "regularised-iht": "exact size, refitted, 60 rounds",  # a penalty on |x_j|^2 is in the units of the columns
    "randomised": "",  # so are draws by |x_j|, and the l1 norm of frank-wolfe
}


def promising(*words):
    """The methods whose row has one of the words."""
    return {name for name, row in PROMISES.items() if set(words) & set(row.split(", "))}


EXACT_SIZE, REFITTED, SCALE_FREE = promising("exact size"), promising("refitted"), promising("scale-free")
DESCENDS, DESCENDS_ON_QUADRATICS = promising("descends"), promising("descends on quadratics")
every_method = pytest.mark.parametrize("name", METHODS)
every_loss = pytest.mark.parametrize("loss", LOSSES)


def method_named(name, k, problem):
    """The method by name, shortened where its row gives rounds: more would be more of the same, and take minutes."""
    made = METHODS[name](k, problem)
    for most in re.findall(r"(\d+) rounds", PROMISES[name]):
        made = replace(made, stages=tuple(replace(s, rounds=min(s.rounds, int(most))) for s in made.stages))
    return made


def solved(name, problem, k=K, seed=0):
    return run(method_named(name, k, problem), problem, problem.start(seed))


def started(problem, seed=0):
    return problem, problem.start(seed)
