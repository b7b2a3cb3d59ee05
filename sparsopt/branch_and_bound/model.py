"""A quadratic as the arrays that leaps and bounds works with, and the errors that they carry.

>>> from sparsopt.problems import Quadratic as Problem
>>> model = Quadratic(Problem(np.eye(2), np.array([1.0, 2.0])), np.eye(2), k=1)
>>> model.certified(np.array([[0.0, 2.0]]), np.array([[False, True]])).round(9)
array([-2.])
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsopt.branch_and_bound.splitting import Flags
from sparsopt.state import Array

__all__ = ["Quadratic"]

EPS = float(np.finfo(float).eps)
SINGULAR = 1e12  # a condition number beyond which a solution of equations says nothing
SAFETY = 10.0  # on the first-order error of the pair scan


class Quadratic:
    """H, c and f(0) in float64 with bounds on how far they are from those of the problem, for supports of size k.

    margin: how far the value of a pair may be below what the scan of pairs says.
    """

    def __init__(self, problem: Any, H: Array, k: int) -> None:
        zero = np.zeros(problem.layout.n, problem.dtype)
        self.problem, self.H, self.k, self.p = problem, H, k, problem.layout.n
        self.c = -np.asarray(problem.gradient(zero), np.float64)
        self.constant = float(problem.value(zero))
        self.constant_error, self.c_error = problem.rounding(zero)
        self.h, self.e = np.diagonal(H).copy(), problem.hessian_rounding()
        self.root, self.convexity = np.sqrt(self.h), float(problem.strong_convexity())
        self.margin = self._margin()

    def _margin(self) -> float:
        if self.h.sum() > SINGULAR * self.convexity:
            return np.inf
        spread = 0.505 * float(self.c @ np.linalg.solve(self.H, self.c)) + self.constant_error
        length = np.sqrt(2 * spread / self.convexity)  # of any restricted minimiser
        most = np.sqrt(np.sort(self.h)[-self.k :].sum()) * length + np.sqrt(2 * spread)
        data = np.sqrt((np.sort(self.e)[-self.k :] ** 2).sum()) * length
        error = EPS * (self.k + 5) * most**2 * SAFETY + data**2
        return float(error / 2 + np.linalg.norm(self.c_error) * length + self.constant_error)

    def certified(self, U: Array, A: Flags) -> Array:
        """Lower bounds on the minima of f over A: U (b, p) zero off A (b, p) boolean; (b,)."""
        G = U @ self.H - self.c
        size = np.abs(U)
        reach, data = size @ self.root, size @ self.e
        value = self.constant + 0.5 * np.einsum("ij,ij->i", U, G - self.c)
        rounding = EPS * (2 * self.p + 10) * (abs(self.constant) + size @ np.abs(self.c) + reach**2)
        value -= rounding + self.constant_error + size @ self.c_error + data**2 / 2
        slope = np.linalg.norm(np.where(A, G, 0.0), axis=1) * (1 + EPS * self.p)
        slope += EPS * (self.p + 5) * (np.linalg.norm(self.root) * reach + np.linalg.norm(self.c))
        slope += np.linalg.norm(self.e) * data + np.linalg.norm(self.c_error)
        return value - slope**2 / (2 * self.convexity) * (1 + 10 * EPS)
