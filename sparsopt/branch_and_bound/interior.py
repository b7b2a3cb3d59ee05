"""A primal-dual interior point for the perspective relaxation on few coordinates.

    minimise  q(w) + sum_{i in I} D_i w_i^2 / 2 + sum_{j free} D_j w_j^2 / (2 z_j)   over  sum z = k,  0 <= z <= 1

With multipliers a, b of z >= 0 and z <= 1 and n of the sum, dz and dn are eliminated from the Newton equations, which
leaves one positive definite system in w with two right-hand sides an iteration. Nothing here has to be right for a
bound to be sound: only the point w is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsopt.branch_and_bound.splitting import Flags
from sparsopt.state import Array

__all__ = ["LossModel", "QuadraticModel", "relaxed_minimiser"]

MOST = 40  # iterations
EXACT = 1e-12  # relative precision of the relaxation beyond which there is nothing to gain
CLOSE = 0.01  # of the distance to the target that the relaxation may be off


@dataclass(frozen=True)
class QuadraticModel:
    """w'Hw/2 - c'w + constant."""

    H: Array
    c: Array
    constant: float

    def at(self, w: Array) -> tuple[float, Array, Array]:
        """Value, gradient and Hessian."""
        product = self.H @ w
        return self.constant + float(w @ (product / 2 - self.c)), product - self.c, self.H


@dataclass(frozen=True)
class LossModel:
    """A problem of few coordinates with value, gradient and hessian."""

    problem: Any

    def at(self, w: Array) -> tuple[float, Array, Array]:
        """Value, gradient and Hessian."""
        w = w.astype(self.problem.dtype)
        gradient = np.asarray(self.problem.gradient(w), np.float64)
        return float(self.problem.value(w)), gradient, self.problem.hessian(w)


def relaxed_minimiser(
    model: QuadraticModel | LossModel, D: Array, inside: Flags, k: int, target: float, w: Array
) -> tuple[Array, float]:
    """(w, bound): a point near the relaxed minimiser, and the bound of `relaxation` there, on these coordinates only.

    inside: coordinates that do not compete for the k places (I). k < how many are free. Stops as soon as the bound
    reaches `target`, or is within 1 % of what is between the relaxation and the target. w: where to start.
    """
    free = np.flatnonzero(~inside)
    point = _Point(model, D, free, inside, k, w)
    best, bound = point.w, point.bound()
    for _ in range(MOST):
        with np.errstate(all="ignore"):  # at the very end of the path
            if not point.step():
                break
            found = point.bound()
        best, bound = (point.w, found) if found > bound else (best, bound)
        if bound >= target or point.primal() - bound <= max(CLOSE * (target - bound), EXACT * abs(bound)):
            break
    return best, bound


class _Point:
    """An iterate (w, z, multipliers), all strictly inside."""

    def __init__(self, model: Any, D: Array, free: Array, inside: Flags, k: int, w: Array) -> None:
        self.model, self.D, self.free, self.inside, self.k = model, D, free, inside, k
        self.z, self.y = np.full(free.size, k / free.size), np.full(free.size, 1 - k / free.size)  # y = 1 - z
        self.w = w
        self._evaluate()
        self.w = w + self._first()
        self._evaluate()
        pull = 0.5 * D[free] * (self.w[free] / self.z) ** 2
        level = max(float(pull.mean()), 1e-12 * (abs(self.value) + 1e-300))
        self.a, self.b = level * self.y, level * self.z
        self.nu = level
        self.length = 1.0

    def _first(self) -> Array:
        """A Newton step in w for the first z."""
        scale = self.D.copy()
        scale[self.free] /= self.z
        return _solve(_shifted(self.H, scale - self.D), -(self.g + scale * self.w)[:, None])[:, 0]

    def _evaluate(self) -> None:
        value, gradient, self.H = self.model.at(self.w)
        self.value = value - 0.5 * float(self.w @ (self.D * self.w))
        self.g = gradient - self.D * self.w

    def bound(self) -> float:
        """The lower bound at w on these coordinates."""
        t = self.g**2 / self.D
        most = float(t[self.inside].sum()) + float(np.partition(t[self.free], -self.k)[-self.k :].sum())
        return self.value - float(self.g @ self.w) - most / 2

    def primal(self) -> float:
        """The objective of the relaxation."""
        square = self.D * self.w**2
        return self.value + 0.5 * float(square[self.inside].sum()) + 0.5 * float((square[self.free] / self.z).sum())

    def step(self) -> bool:
        """One Newton step towards smaller complementarity; whether it moved."""
        free, z, w, D = self.free, self.z, self.w[self.free], self.D[self.free]
        y, a, b = self.y, self.a, self.b
        mu = float(a @ z + b @ y) / (2 * z.size) * (0.1 if self.length > 0.9 else 0.4)
        ratio = w / z
        bend = D * ratio / z  # the mixed derivative, without its sign
        E = bend * ratio + a / z + b / y
        down = 0.5 * D * ratio**2 - self.nu + mu / z - mu / y
        scale = self.D.copy()
        scale[free] = D / z
        right = np.zeros((self.w.size, 2))
        right[:, 0] = -(self.g + scale * self.w)
        right[free, 0] += bend * down / E
        right[free, 1] = bend / E
        scale[free] -= bend**2 / E
        both = _solve(_shifted(self.H, scale - self.D), right)
        A, B = (down + bend * both[free, 0]) / E, (1.0 + bend * both[free, 1]) / E
        dnu = (float(A.sum()) - (self.k - float(z.sum()))) / float(B.sum())
        dw, dz = both[:, 0] - dnu * both[:, 1], A - dnu * B
        da, db = mu / z - a - a / z * dz, mu / y - b + b / y * dz
        length = min(0.99 * _reach(np.concatenate([z, y, a, b]), np.concatenate([dz, -dz, da, db])), 1.0)
        if not (np.isfinite(dw).all() and np.isfinite(dz).all() and np.isfinite(length)) or length < 1e-10:
            return False
        slope = ratio + length * (dw[free] - ratio * dz) / z  # w/z stays finite where both go to 0: w follows z
        self.w = self.w + length * dw
        self.w[free] = slope * (z + length * dz)
        self.z, self.y, self.nu = z + length * dz, y - length * dz, self.nu + length * dnu
        self.a, self.b = a + length * da, b + length * db
        self.length = length
        self._evaluate()
        return True


def _shifted(H: Array, d: Array) -> Array:
    """H + diag(d)."""
    K = H.copy()
    K.reshape(-1)[:: d.size + 1] += d
    return K


def _reach(x: Array, d: Array) -> float:
    """The longest step along d that keeps x >= 0 (at most 2)."""
    down = d < 0
    return float(np.min(x[down] / -d[down], initial=2.0))


def _solve(K: Array, right: Array) -> Array:
    _, found, failed = _lapack().dposv(K, right, lower=1)
    return np.full_like(right, np.nan) if failed else found


def _lapack() -> Any:
    from scipy.linalg import lapack  # 0.1 s that only those who solve should wait for

    return lapack
