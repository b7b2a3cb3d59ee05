"""Small random instances that the theorems are tried on: every problem of the library, every variation of a method.

>>> quadratic(np.random.default_rng(0), p=4, condition=10.0)
Quadratic(p=4)
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from sparsopt.guarantees.base import Setting
from sparsopt.problems import LeastSquares, Logistic, Quadratic
from sparsopt.state import Array

__all__ = ["best_sparse", "problem", "quadratic", "setting", "targets"]


def quadratic(random: np.random.Generator, p: int, condition: float) -> Quadratic:
    """Eigenvalues between 1/condition and 1, random eigenvectors and linear term; a third with a unit diagonal."""
    Q = np.linalg.qr(random.standard_normal((p, p)))[0]
    H = (Q * condition ** -random.random(p)) @ Q.T
    H = (H + H.T) / 2
    if random.random() < 1 / 3:
        scale = np.sqrt(np.diagonal(H))
        H = H / np.outer(scale, scale)
    return Quadratic(H, random.standard_normal(p))


def problem(random: np.random.Generator, p: int = 6, most: float = 50.0) -> Any:
    """A quadratic, least squares, or logistic problem; `most` bounds the condition of the first."""
    kind = int(random.integers(3))
    if kind == 0:
        return quadratic(random, p, float(random.uniform(1.5, most)))
    X = random.standard_normal((30, p)) * random.uniform(0.5, 2.0, p) + random.uniform(0, 1) * random.standard_normal(
        (30, 1)
    )
    y = X[:, : p // 2].sum(axis=1) + random.standard_normal(30)
    if kind == 1:
        return LeastSquares(X, y, ridge=float(random.choice([0.0, 0.01])), intercept=bool(random.integers(2)))
    return Logistic(X, y > np.median(y), ridge=float(random.choice([0.01, 0.1])))


def setting(random: np.random.Generator, p: int = 6) -> Setting:
    """Plain half of the time; else groups, preselected coordinates, a weak oracle, in all combinations."""
    if random.random() < 0.5:
        return Setting()
    labels = (
        tuple(int(label) for label in np.sort(random.permutation(np.arange(p) // 2))) if random.integers(2) else None
    )
    chosen: tuple[int, ...] = ()
    if random.integers(2):
        group = np.arange(p) if labels is None else np.asarray(labels)
        chosen = tuple(np.flatnonzero(group == group[random.integers(p)]).tolist())
    tau = float(random.choice([1.0, 0.7]))
    return Setting(labels, chosen, tau, int(random.integers(1000)))


def targets(f: Any, setting: Setting, most: int = 3) -> list[Array]:
    """The minimisers on all unions of 1, 2, .. `most` groups."""
    group = setting.group_of(f.layout.n)
    unions = [union for s in range(1, most + 1) for union in itertools.combinations(np.unique(group), s)]
    return [f.minimise_on(np.isin(group, union), None)[0] for union in unions]


def best_sparse(f: Any, setting: Setting, s: int) -> Array:
    """The best of the points supported on s groups."""
    group = setting.group_of(f.layout.n)
    unions = itertools.combinations(np.unique(group), s)
    return min((f.minimise_on(np.isin(group, union), None) for union in unions), key=lambda pair: pair[1])[0]
