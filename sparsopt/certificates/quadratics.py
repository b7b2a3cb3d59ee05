"""A quadratic as seen from a support, in double precision, with bounds on how far rounding has led it astray.

Columns of least squares are taken as double, less their heaviest row where there is an intercept (which moves only the
intercept, and leaves of a column that hardly varies all the digits it has), and come a block at a time.

>>> from sparsopt.problems import LeastSquares
>>> X = np.array([[1e9, 0.0], [1e9 + 1, 2.0]], dtype=np.float64)
>>> problem = LeastSquares(X, np.array([0.0, 2.0]), intercept=True)
>>> part = view(problem, np.array([0]), np.zeros(1)).part(np.array([0, 1]))
>>> part.h, part.c
(array([0.25, 1.  ]), array([0.5, 1. ]))
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from sparsopt.state import Array
from sparsopt.support import is_tensor, to_numpy

__all__ = ["Part", "View", "view"]

EPS = float(np.finfo(float).eps)
TINY = 1e-280  # squares that are smaller are rounded to multiples of denormal numbers


@dataclass(frozen=True)
class Part:
    """Some coordinates j beside S: H (b, |S|), h = H_jj, c = -gradient at a point on S; |error of H_ij| <= e_i e_j,
    |error of c_j| <= c_error_j."""

    H: Array
    h: Array
    c: Array
    e: Array
    c_error: Array


class View(Protocol):
    """f from a support S; `moved` to another point on S."""

    @property
    def rows(self) -> int: ...
    @property
    def x(self) -> Array: ...
    def part(self, indices: Array) -> Part: ...
    def moved(self, x: Array) -> View: ...
    def rational(self, indices: Array) -> Any: ...


def view(problem: Any, S: Array, x: Array) -> View:
    """f from the support S, at the point with x (|S|,) there."""
    return Squares.of(problem, S, x) if hasattr(problem, "design") else Given(problem, S, x)


@dataclass(frozen=True)
class Given:
    """A problem with hessian_columns, and, or nothing is known about errors, rounding and hessian_rounding."""

    problem: Any
    S: Array
    x: Array

    @property
    def rows(self) -> int:
        return self.problem.layout.n

    def moved(self, x: Array) -> Given:
        return Given(self.problem, self.S, x)

    def part(self, indices: Array) -> Part:
        at = np.zeros(self.problem.layout.n)
        at[self.S] = self.x
        H, c = self.problem.hessian_columns(self.S)[indices], -self.problem.gradient(at)[indices]
        if not (hasattr(self.problem, "rounding") and hasattr(self.problem, "hessian_rounding")):
            unknown = np.full(indices.size, math.inf)
            return Part(H, self.problem.curvature()[indices], c, unknown, unknown)
        e, c_error = self.problem.hessian_rounding()[indices], self.problem.rounding(at)[1][indices]
        return Part(H, self.problem.curvature()[indices], c, e, c_error)

    def rational(self, indices: Array) -> Any:
        """f on these coordinates in rational arithmetic, or None."""
        from sparsopt.certificates.rational import Rational

        if not hasattr(self.problem, "hessian_rounding") or self.problem.hessian_rounding().any():
            return None
        c = -np.asarray(self.problem.gradient(np.zeros(self.problem.layout.n)))
        return Rational.quadratic(self.problem.hessian_block(indices), c[indices])


@dataclass(frozen=True)
class Squares:
    """Least squares. A: the columns of S times the roots of the shares; x: a point on S; r: the residual there."""

    problem: Any
    S: Array
    A: Array
    size: Array
    x: Array
    r: Array

    @staticmethod
    def of(problem: Any, S: Array, x: Array) -> Squares:
        A, size = _columns(problem, S)
        return Squares(problem, S, A, size, x, _target(problem)).moved(x)

    @property
    def rows(self) -> int:
        return self.problem.design.n

    def moved(self, x: Array) -> Squares:
        return Squares(self.problem, self.S, self.A, self.size, x, _target(self.problem) - self.A @ x)

    def part(self, indices: Array) -> Part:
        """The error of the residual is at most eps (2 |S| + 20) (|y| + sum_l |x_l| |a_l|)."""
        ridge, n = self.problem.ridge, self.rows
        A, size = _columns(self.problem, indices)
        own = indices[:, None] == self.S
        H = A.T @ self.A + ridge * own
        slip = (
            EPS * (2 * self.S.size + 20) * (float(np.linalg.norm(_target(self.problem))) + np.abs(self.x) @ self.size)
        )
        length, pull = float(np.linalg.norm(self.r)) + slip, ridge * (own @ self.x)
        error = size * (EPS * (2 * n + 10) * length + slip) + 4 * EPS * np.abs(pull)
        h = np.einsum("ij,ij->j", A, A) + ridge
        e = np.where((h > TINY) | ~A.any(axis=0), np.sqrt(EPS * (n + 20) * (size**2 + ridge)), math.inf)
        return Part(H, h, A.T @ self.r - pull, e, error)

    def rational(self, indices: Array) -> Any:
        """f on these coordinates in rational arithmetic."""
        from sparsopt.certificates.rational import Rational

        design = self.problem.design
        X = _numbers(design, indices)
        return Rational.squares(X, self.problem.target, design.shares, self.problem.ridge, design.centred)


def _target(problem: Any) -> Array:
    return np.sqrt(problem.design.shares) * problem.target


def _numbers(design: Any, indices: Array) -> Array:
    """Columns of X as they are, (n, b) float64."""
    X = design.restricted(indices).X
    X = to_numpy(X) if is_tensor(X) else X.toarray() if hasattr(X, "toarray") else X
    return np.asarray(X, dtype=np.float64)


def _columns(problem: Any, indices: Array) -> tuple[Array, Array]:
    """Columns of W^1/2 A, (n, b), and the norms of what they were computed from."""
    design = problem.design
    X, share = _numbers(design, indices), design.shares
    if not design.centred:
        A = X * np.sqrt(share)[:, None]
        return A, np.linalg.norm(A, axis=0)
    X = X - X[int(np.argmax(share))]
    root = np.sqrt(share)[:, None]
    size = np.linalg.norm(X * root, axis=0)
    return (X - share @ X / share.sum()) * root, size
