"""The diagonal that gives the best bound: the relaxation is only as good as the curvature D that it splits off.

The bound of `relaxation` at its best u, as a function of D, is concave, and the best D with H - D >= 0 solves a
semidefinite program (Zheng, Sun, Li 2010; Dong, Chen, Linderoth 2015). With z and u the relaxed minimiser, a slope is

    s_j = u_j^2 (1 / z_j - 1) / 2      (0 where coordinate j is taken or left whole)

and Newton steps on s'D + mu log det(H - D) with falling mu, s and u renewed at each, go most of the way. Nothing here
has to be right: `splitting.certain` has the last word on D, and the bound is sound at any D that passes.

>>> from sparsopt.problems import Quadratic
>>> from sparsopt.branch_and_bound.relaxation import Relaxation
>>> H = np.array([[4.0, 1.0, 0.0], [1.0, 4.0, 1.0], [0.0, 1.0, 4.0]])
>>> relaxation = Relaxation(Quadratic(H, np.array([4.0, 3.0, 1.0])), k=1)
>>> found = Incumbent(relaxation.problem, np.zeros(3), 0.0, seconds=10.0, nodes=None)
>>> better = sharpened(relaxation, found)
>>> none = np.zeros(3, dtype=bool)
>>> bool(better.solve(none, none, 0.0).value > relaxation.solve(none, none, 0.0).value)
True
"""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np

from sparsopt.branch_and_bound.incumbent import Incumbent, check_budget
from sparsopt.branch_and_bound.relaxation import Bound, Relaxation, capable, root_bound
from sparsopt.branch_and_bound.splitting import certain
from sparsopt.state import Array

__all__ = ["sharp_bound", "sharpened"]

STEPS = 30
INSIDE = 0.9  # of the first D: strictly inside
LEAST = 1e-3  # of itself that an entry of D keeps in a step
FALL = 0.5 ** (1 / 3)  # of mu in a step


def sharpened(relaxation: Relaxation, found: Incumbent) -> Relaxation:
    """The same relaxation with the best D that 30 steps find for the root; itself if that is no better.

    relaxation: of a quadratic, its Hessian at hand. Ends when the time of `found` is spent, or its target is reached.
    """
    H, none, target = relaxation.H, np.zeros(relaxation.p, dtype=bool), found.target
    if H is None or relaxation.D is None:
        return relaxation
    trial, best = copy.copy(relaxation), (relaxation.solve(none, none, target).value, relaxation.D)
    trial.D, mu = INSIDE * relaxation.D, 0.0
    for _ in range(STEPS):
        bound = trial.solve(none, none, target)
        if bound.value > best[0]:
            best = bound.value, trial.D
        if bound.value >= target or found.spent:
            break
        slope, X = _slope(bound, trial), _inverse(H - np.diag(trial.D))
        mu = FALL * mu if mu else 0.5 * float(slope @ trial.D) / float(np.diagonal(X) @ trial.D)
        if not mu > 0 or not np.isfinite(mu):
            break
        trial.D = _step(H, trial.D, slope, X, mu)
    proven = certain(relaxation.problem, H, best[1])
    if proven is None or best[1] is relaxation.D:
        return relaxation
    trial.D = proven
    return trial


def sharp_bound(problem: Any, k: int, incumbent_value: float = math.inf, seconds: float = 1.0) -> float:
    """A lower bound on f over the vectors with at most k non-zeros: `root_bound` with the best diagonal found in time.

    A diagonal is sought for quadratics of up to 2000 coordinates; a step of the 30 costs two factorisations of H and a
    relaxation. For other problems this is `root_bound`. incumbent_value: a value of f that is attained. Raises
    `InvalidInput` for seconds that are no number >= 0.
    """
    check_budget(seconds)
    if not capable(problem) or k >= problem.layout.n:
        return root_bound(problem, k, incumbent_value)
    relaxation, none = Relaxation(problem, k), np.zeros(problem.layout.n, dtype=bool)
    if relaxation.D is None:
        return root_bound(problem, k, incumbent_value)
    zero = np.zeros(problem.layout.n, problem.dtype)
    found = Incumbent(relaxation.problem, zero, min(incumbent_value, relaxation.at_zero), seconds, None)
    best = sharpened(relaxation, found).solve(none, none, incumbent_value).value
    return max(best, float(problem.floor()) if hasattr(problem, "floor") else -math.inf)


def _slope(bound: Bound, relaxation: Relaxation) -> Array:
    """s: at the relaxed minimiser u_j / z_j = sqrt(t_(k) / D_j) where z_j < 1."""
    size, t = np.abs(bound.u), np.sort(bound.t)[-relaxation.k]
    return 0.5 * size * np.maximum(np.sqrt(t / relaxation.curvature) - size, 0.0)


def _inverse(A: Array) -> Array:
    try:
        return np.linalg.inv(A)
    except np.linalg.LinAlgError:
        return np.full_like(A, np.nan)


def _step(H: Array, D: Array, slope: Array, X: Array, mu: float) -> Array:
    """A damped Newton step on s'D + mu log det(H - D), X = (H - D)^-1, kept strictly inside."""
    rise = slope - mu * np.diagonal(X)
    try:
        along = np.linalg.solve(mu * X * X, rise)
    except np.linalg.LinAlgError:
        return D
    decrement = np.sqrt(max(float(along @ rise) / mu, 0.0))
    new = np.maximum(D + along / (1 + decrement), LEAST * D)
    for _ in range(50):
        try:
            np.linalg.cholesky(H - np.diag(new))
        except np.linalg.LinAlgError:
            new = (new + D) / 2
        else:
            return new
    return D
