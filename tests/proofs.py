"""Small strongly convex problems, parts of their search spaces, and the truth about these, for the tests of proofs."""

from __future__ import annotations

import itertools
import math

import numpy as np
from hypothesis import strategies as st

from sparsopt.problems import LeastSquares, Logistic, Quadratic

seeds = st.integers(0, 2**32 - 1)
KINDS = ("plain", "correlated", "ridge", "wide", "logistic", "scales", "float32", "quadratic", "weights")
kinds = st.sampled_from(KINDS)


def instance(kind: str, seed: int, p: int):
    """A strongly convex problem of p coordinates; n > p but for 'wide'."""
    rng = np.random.default_rng([seed, p])
    n = p // 2 + 2 if kind == "wide" else 2 * p + int(rng.integers(2, 10))
    X = rng.standard_normal((n, p))
    if kind in ("correlated", "logistic", "quadratic"):
        X += rng.uniform(0.5, 2.0) * rng.standard_normal((n, 1))
    if kind == "scales":
        X *= 10.0 ** rng.uniform(-3, 3, p)
    y = X[:, : p // 2] @ (rng.standard_normal(p // 2) / np.linalg.norm(X[:, : p // 2], axis=0)) * math.sqrt(n)
    y += rng.uniform(0.1, 2.0) * rng.standard_normal(n)
    ridge = 10.0 ** rng.uniform(-3, 0) if kind in ("ridge", "wide", "logistic") else 0.0
    if kind == "logistic":
        labels = y > np.median(y)
        labels[:2] = (True, False)
        return Logistic(X, labels, ridge, intercept=bool(seed % 2))
    if kind == "quadratic":
        return Quadratic(X.T @ X / n, X.T @ y / n, constant=float(rng.standard_normal()))
    if kind == "float32":
        return LeastSquares(X.astype(np.float32), y)
    return LeastSquares(X, y, ridge, bool(seed % 2), rng.random(n) if kind == "weights" else None)


def fixings(rng: np.random.Generator, p: int, k: int):
    """Random coordinates in (fewer than k) and out."""
    order = rng.permutation(p)
    inside, outside = np.zeros(p, dtype=bool), np.zeros(p, dtype=bool)
    some = int(rng.integers(0, k))
    inside[order[:some]] = True
    outside[order[some : some + int(rng.integers(0, p - k + 1))]] = True
    return inside, outside


def truth(problem, k: int, inside, outside):
    """(value, support) of the best support of size at most k of a node, by minimising on all."""
    free = np.flatnonzero(~(inside | outside))
    size = min(k - int(inside.sum()), free.size)
    best = (math.inf, inside)
    for chosen in itertools.combinations(free, size):
        support = inside.copy()
        support[list(chosen)] = True
        value = problem.minimise_on(support, None)[1]
        best = (value, support) if value < best[0] else best
    return best


def slack(problem) -> float:
    """What enumeration itself may be off by."""
    eps = 1e-5 if problem.dtype == np.float32 else 1e-12
    return eps * (abs(problem.value(np.zeros(problem.p, problem.dtype))) + 1e-3)
