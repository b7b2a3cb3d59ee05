"""A small quadratic in sweep form: every add, drop and swap in closed form.

For f(x) = x'Hx/2 - c'x on m coordinates the tableau starts as [[H, c], [c', 0]]. Sweeping coordinate j solves for x_j
in terms of the others; sweeping it again undoes that. With S swept, G = H_SS and F the rest, it reads

    T_SS = -G^-1      T_FS = H_FS G^-1      T_FF = H_FF - H_FS G^-1 H_SF
    T_S,m = x_S       T_F,m = c_F - H_FS x_S (minus the gradient)             T_mm = 2 f

so that all of these are one pass over an m x m array, and a sweep is a rank-one update of it.

>>> t = Tableau(np.diag([1.0, 2.0]), np.array([1.0, 3.0]))
>>> t.sweep(1)
>>> t.value, float(t.entries()[0])
(-2.25, 0.5)
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import blas, lapack

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

DEPENDENT = 1e-7  # a coordinate whose Schur complement is below this share of h_j counts as dependent on S
TINY = 1e-300  # so that nothing divided by nothing is nothing
BLAS: Any = blas
LAPACK: Any = lapack
REBUILD = 40  # sweeps after which rounding is cleared by building the tableau anew


class Tableau:
    """The quadratic with Hessian block H (m, m) and linear term c (m,), swept on the coordinates `inside`."""

    def __init__(self, H: Matrix, c: Vector, support: NDArray[np.bool_] | None = None) -> None:
        self.H, self.c = H, c
        self.m = m = len(c)
        self.floor = np.maximum(DEPENDENT * H.diagonal(), TINY)
        self.inside = np.zeros(m, dtype=bool) if support is None else support.copy()
        self.T: Matrix = np.empty((m + 1, m + 1))
        self.least: Vector = np.empty(m + 1)
        self.last, self.diagonal = self.T[m], self.T.diagonal()  # views: they follow every sweep
        self.z, self.d = self.last[:m], self.diagonal[:m]
        self._build()

    def _build(self) -> None:
        m, T, S = self.m, self.T, self.inside.nonzero()[0]
        T[:m, :m], T[:m, m], T[m, :m], T[m, m] = self.H, self.c, self.c, 0.0
        self.least[:m], self.least[m] = self.floor, np.inf
        if S.size:
            self.least[S] = np.inf
            inverse = np.linalg.inv(self.H[np.ix_(S, S)])
            T[S, :m], T[S, m] = self.H[S], self.c[S]
            rows = T[S]
            solved = inverse @ rows
            T -= rows.T @ solved
            T[S], T[:, S] = solved, solved.T
            T[np.ix_(S, S)] = -(inverse + inverse.T) / 2
        self.sweeps = 0

    def sweep(self, j: int) -> None:
        """Bring j in, or take it out."""
        self.inside[j] = came = not self.inside[j]
        self.least[j] = np.inf if came else self.floor[j]
        self.sweeps += 1
        if self.sweeps > REBUILD:
            self._build()
            return
        T = self.T
        column = T[j].copy()
        pivot = column.item(j)
        BLAS.dger(-1.0 / pivot, column, column, a=T.T, overwrite_a=True)  # in place; T is symmetric
        column /= abs(pivot)
        column[j] = -1.0 / pivot
        T[:, j] = T[j] = column

    def enter(self, j: int) -> None:
        """Bring j in, unless it is a member or depends on the members."""
        if self.d[j] > self.floor[j]:  # of members it is negative
            self.sweep(j)

    def to(self, support: NDArray[np.bool_]) -> None:
        """Sweep to another support."""
        self.inside = support.copy()
        self._build()

    @property
    def value(self) -> float:
        """f at the minimiser on S."""
        return self.T.item(self.m, self.m) / 2

    @property
    def weights(self) -> Vector:
        """The minimiser on S, (m,)."""
        return np.where(self.inside, self.z, 0.0)

    def solution(self) -> tuple[NDArray[np.intp], Vector, Matrix]:
        """(the members, the minimiser on them, the inverse of H there)."""
        S = self.inside.nonzero()[0]
        return S, self.z[S], -self.T[S[:, None], S]

    def entries(self) -> Vector:
        """How much f falls when j comes in; 0 for members and for coordinates that depend on S. (m,)"""
        out = np.zeros(self.m)
        np.divide(self.z * self.z, 2 * self.d, out=out, where=self.d > self.floor)
        return out

    def exits(self) -> Vector:
        """How much f rises when member j leaves; inf for the others. (m,)"""
        gamma = np.where(self.inside, -self.d, 1.0)
        return np.where(self.inside, self.z**2 / (2 * gamma), np.inf)

    def swaps(self) -> tuple[NDArray[Any], NDArray[Any], Matrix]:
        """(members S, others F, table (|F|, |S|) of how much f falls when j in F takes the place of i in S)."""
        S, F = np.flatnonzero(self.inside), np.flatnonzero(~self.inside)
        T, m = self.T, self.m
        gains = swap_gains(T[np.ix_(F, S)], -T[S, S], T[S, m], T[F, m], T[F, F], self.floor[F])
        return S, F, gains

    def best_swap(self) -> tuple[float, int, int]:
        """(gain, who enters, who leaves) of the best of all swaps: the table of `swaps`, the other way round."""
        S = self.inside.nonzero()[0]
        rows, x, negative = self.T.take(S, axis=0), self.z.take(S)[:, None], self.d.take(S)[:, None]
        left = rows / negative
        top = left * x
        np.subtract(self.last, top, out=top)
        top *= top
        left *= rows
        np.subtract(self.diagonal, left, out=left)
        top /= np.maximum(left, self.least, out=left)  # where no curvature is left, no gradient is left either
        x *= x
        x /= negative
        top += x
        i, j = divmod(int(top.argmax()), self.m + 1)
        return top.item(i, j) / 2, j, S.item(i)

    # ---- whole moves -----------------------------------------------------------------------------------------------

    def forward(self, size: int) -> None:
        """Greedily bring in coordinates until |S| = size (or none is left that lowers f)."""
        gains, left = np.empty(self.m), np.empty(self.m)
        for _ in range(size - int(np.count_nonzero(self.inside))):
            np.multiply(self.z, self.z, out=gains)
            gains /= np.maximum(self.d, self.least[:-1], out=left)
            while gains[j := int(gains.argmax())] > 0 and not self.d[j] > self.floor[j]:  # depends on members
                gains[j] = 0.0
            if not gains[j] > 0:
                return
            self.sweep(j)

    def backward(self, size: int) -> None:
        """Greedily take out members until |S| = size."""
        while self.inside.sum() > size:
            self.sweep(int(self.exits().argmin()))

    def polish(self, tolerance: float) -> bool:
        """Best swaps until none lowers f by more than `tolerance`; whether there was one."""
        changed = False
        if not 0 < np.count_nonzero(self.inside) < self.m:
            return changed
        while True:
            gain, j, i = self.best_swap()
            if not gain > tolerance:
                return changed
            before = self.value
            self.sweep(i)
            self.sweep(j)
            if self.value > before - tolerance / 2:  # rounding promised more than there was
                self.sweep(j)
                self.sweep(i)
                return changed
            changed = True


def swap_gains(B: Matrix, gamma: Vector, b: Vector, c: Vector, d: Vector, floor: Vector) -> Matrix:
    """How much f falls when j enters and i leaves, at the minimiser on S; table (|F|, |S|).

    B = H_FS G^-1, gamma = diag(G^-1), b the weights, c minus the gradient on F, d the Schur complements of F:
    ((c_j + B_ji b_i / gamma_i)^2 / (d_j + B_ji^2 / gamma_i) - b_i^2 / gamma_i) / 2. The new denominator is what is left
    of column j once the other members are projected out; where that is nothing, there is no such swap.
    """
    top = c[:, None] + B * (b / gamma)
    left = d[:, None] + B * (B / gamma)
    fine = left > floor[:, None]
    return np.where(fine, top * top / np.where(fine, left, 1.0), 0.0) / 2 - (b * b / gamma) / 2


def pair_gains(c: Vector, d: Vector, cross: Matrix, firsts: NDArray[np.intp]) -> Matrix:
    """How much f falls when j (any, rows) and i (of `firsts`, columns) come in together; table (p, |firsts|).

    cross: Schur complements T_ji. With M = [[d_j, t], [t, d_i]] the fall is (c_j, c_i) M^-1 (c_j, c_i)' / 2; pairs that
    depend on each other given S have none.
    """
    dj, cj, di, ci = d[:, None], c[:, None], d[firsts], c[firsts]
    det = dj * di - cross * cross
    fine = det > 1e-9 * np.abs(dj * di)
    top = cj * cj * di + ci * ci * dj - 2 * cross * cj * ci
    return np.where(fine, top / np.where(fine, 2 * det, 1.0), 0.0)
