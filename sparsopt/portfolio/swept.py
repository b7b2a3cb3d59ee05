"""The rows of a swept tableau: every add, drop and swap in closed form, over many coordinates, for the rows of S alone.

`tableau` keeps all of an m x m array. Here only what belongs to the support S is kept, with G = H_SS and F the rest:

    T_SF = G^-1 H_SF      T_SS = -G^-1                       (k, m), one row a member
    z_F = c_F - H_FS x_S  z_S = x_S  (x the minimiser on S)  (m,)
    d_F = diag(H_FF - H_FS G^-1 H_SF)     d_S = -diag(G^-1)  (m,)

so that a member comes or goes in O(k m), and m may be all of p. Columns of H are asked for when they are needed.

>>> H = np.array([[1.0, 0.0], [0.0, 2.0]])
>>> t = Swept(H.__getitem__, np.array([1.0, 3.0]), np.diagonal(H))
>>> t.forward(1)
>>> t.S, round(t.value, 9), t.entries()
(array([1]), -2.25, array([0.5, 0. ]))
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsopt.portfolio.tableau import BLAS, DEPENDENT, LAPACK, REBUILD, Matrix, Vector

Indices = NDArray[np.intp]

FIRST = 64  # entering candidates looked at before those that could still be better
BLOCK = 1 << 16  # numbers in a block of a table of swaps
FEW = 4  # members that leave one by one; beyond, on the inverse alone


class Swept:
    """x'Hx/2 - c'x on m coordinates, swept on S. rows(j) -> H_j (m,), rows(indices) -> (k, m); h: the diagonal of H."""

    def __init__(self, rows: Callable[[Any], Matrix], c: Vector, h: Vector, S: Indices | None = None) -> None:
        self.rows, self.c, self.h, self.m = rows, c, h, len(c)
        self.floor = DEPENDENT * h
        self.to(np.empty(0, dtype=np.intp) if S is None else S)

    def to(self, S: Indices) -> None:
        """Anew at a support, without the rounding errors of the way there."""
        k, m = S.size, self.m
        self.T: Matrix = np.empty((k + 2, m + 1))  # z and twice the value; the members; room for one more
        self.members, self.size, self.sweeps = np.append(S, 0), k, 0
        z, self.d = self.T[0], self.h.astype(np.float64)
        z[:m], z[m] = self.c, 0.0
        if not k:
            return
        H, R = self.rows(S), self.T[1 : k + 1]
        P = inverse(H[:, S])
        x = P @ self.c[S]
        np.matmul(P, H, out=R[:, :m])
        self.d -= np.einsum("ij,ij->j", H, R[:, :m])
        z[:m] -= x @ H
        R[:, S], R[:, m], self.d[S] = -P, x, -np.diagonal(P)
        z[S], z[m] = x, -float(x @ self.c[S])

    def copy(self) -> Swept:
        """An independent tableau at the same support."""
        new = copy.copy(self)
        new.T, new.d, new.members = self.T[: self.size + 2].copy(), self.d.copy(), self.members.copy()
        return new

    # ---- what there is to see --------------------------------------------------------------------------------------

    @property
    def S(self) -> Indices:
        """The members, in the order of their rows."""
        return self.members[: self.size]

    @property
    def value(self) -> float:
        """f at the minimiser on S."""
        return float(self.T[0, self.m]) / 2

    @property
    def weights(self) -> Vector:
        """The minimiser on S, in the order of `S`."""
        return self.T[0, self.S]

    @property
    def z(self) -> Vector:
        """Minus the gradient; the weights for members. (m,)"""
        return self.T[0, : self.m]

    def entries(self) -> Vector:
        """How much f falls when j comes in; 0 for members and for coordinates that depend on S. (m,)"""
        out = np.zeros(self.m)
        np.divide(self.z**2, 2 * self.d, out=out, where=self.d > self.floor)
        return out

    def exits(self) -> Vector:
        """How much f rises when a member leaves, in the order of `S`."""
        return self.weights**2 / (-2 * self.d[self.S])

    def gains(self, F: Any = slice(None)) -> Matrix:
        """How much f falls when j of F takes the place of a member: table (k, |F|). See `tableau.swap_gains`."""
        S, R = self.S, self.T[1 : self.size + 1, : self.m][:, F]
        x, gamma = self.T[0, S], -self.d[S]
        top = R * (x / gamma)[:, None]
        top += self.z[F]
        left = R * R
        left /= gamma[:, None]
        d = self.d[F]
        left += np.where(d > 0, d, np.inf)  # members and what depends on them have no gain
        np.copyto(left, np.inf, where=left <= self.floor[F])
        top *= top
        top /= left
        top -= (x * x / gamma)[:, None]
        top /= 2
        return top

    def best_gains(self) -> Vector:
        """For each coordinate the gain of its best swap, (m,)."""
        out, step = np.empty(self.m), max(1, BLOCK // max(self.size, 1))
        for start in range(0, self.m, step):
            part = slice(start, start + step)
            out[part] = self.gains(part).max(axis=0, initial=-np.inf)
        return out

    def best_swap(self, least: float) -> tuple[float, int, int]:
        """(gain, who enters, row of who leaves) of the best of all swaps, if any gains more than `least`.

        A swap never gains more than its entry does: what comes in after the first few need not be looked at.
        """
        if not 0 < self.size < self.m:
            return 0.0, 0, 0
        if self.m <= 4 * FIRST:
            return self._best(slice(None))
        entries = self.entries()
        few = np.argpartition(entries, self.m - FIRST)[self.m - FIRST :]
        gain, j, s = self._best(few)
        entries[few] = 0.0
        rest = np.flatnonzero(entries > max(gain, least))
        for part in np.array_split(rest, -(-rest.size * self.size // BLOCK)) if rest.size else ():
            other = self._best(part)
            gain, j, s = max((gain, j, s), other, key=lambda found: found[0])
        return gain, j, s

    def _best(self, F: Any) -> tuple[float, int, int]:
        table = self.gains(F)
        s, at = divmod(int(table.argmax()), table.shape[1])
        return float(table[s, at]), at if isinstance(F, slice) else int(F[at]), s

    def contrast(self, best: float | None = None) -> tuple[float, float]:
        """(cheapest exit / best entry, what that ratio must be for no swap to pay, by the correlations that occur).

        rho_ij^2 = (B_ji^2 / gamma_i) / (d_j + B_ji^2 / gamma_i): where x_i / e_j >= (1 + rho) / (1 - rho), no swap
        pays (derived here). best: the best entry, where coordinates beyond these m have been seen.
        """
        free = self.d > self.floor
        if not self.size or not free.any():
            return math.inf, 2.0
        R = self.T[1 : self.size + 1, : self.m]
        share = (R * R / -self.d[self.S][:, None]).max(axis=0)[free]
        rho = math.sqrt(float((share / (self.d[free] + share)).max()))
        best = float(self.entries().max()) if best is None else best
        ratio = float(self.exits().min()) / best if best > 0 else math.inf
        return ratio, max(2.0, (1 + rho) / max(1 - rho, 1e-12))

    # ---- sweeps ----------------------------------------------------------------------------------------------------

    def enter(self, j: int) -> None:
        """Bring j in, unless it is a member or depends on the members."""
        if not self.d[j] > self.floor[j]:
            return
        k, m = self.size, self.m
        if k + 2 > len(self.T):
            self.T = np.vstack([self.T, np.empty((k + 2, m + 1))])
            self.members = np.append(self.members, np.zeros(k + 2, dtype=np.intp))
        row, H = self.T[k + 1], self.rows(j)
        np.matmul(H[self.S], self.T[1 : k + 1], out=row)
        np.subtract(H, row[:m], out=row[:m])
        row[m] = self.T[0, j]
        row[self.S] = self.T[1 : k + 1, j]
        pivot = float(row[j])
        self._pivot(row, j, pivot)
        row /= pivot
        row[j] = self.d[j]
        self.members[k] = j
        self.size += 1

    def leave(self, s: int) -> None:
        """Take the member of row s out; the last row takes its place."""
        row, i, k = self.T[s + 1].copy(), int(self.members[s]), self.size
        self.T[s + 1], self.members[s] = self.T[k], self.members[k - 1]
        self.size -= 1
        self._pivot(row, i, float(row[i]))

    def _pivot(self, row: Vector, j: int, pivot: float) -> None:
        rest = self.T[: self.size + 1]
        column = rest[:, j].copy()
        BLAS.dger(-1.0 / pivot, row, column, a=rest.T, overwrite_a=True)
        rest[:, j] = column / abs(pivot)
        self.d -= row[: self.m] ** 2 / pivot
        self.d[j] = -1.0 / pivot
        self.sweeps += 1

    # ---- whole moves -----------------------------------------------------------------------------------------------

    def forward(self, size: int, least: float = 0.0) -> bool:
        """Greedily bring in coordinates until |S| = size, or none lowers f by more than `least`; whether any came."""
        m, more = self.m, min(size, self.m) - self.size
        if more <= 0:
            return False
        z, d = self.z.copy(), np.where(self.d > self.floor, self.d, np.inf)
        Q, came, gain = np.empty((more, m)), [], np.empty(m)
        for step in range(more):
            np.multiply(z, z, out=gain)
            gain /= d
            j = int(gain.argmax())
            if not gain[j] > 2 * least:
                break
            q, root = Q[step], math.sqrt(d[j])
            np.matmul(Q[:step, j], Q[:step], out=q)
            if self.size:
                q += self.rows(j)[self.S] @ self.T[1 : self.size + 1, :m]
            np.subtract(self.rows(j), q, out=q)
            q /= root
            z -= (z[j] / root) * q
            np.multiply(q, q, out=gain)
            d -= gain
            d[j] = 0.0
            np.copyto(d, np.inf, where=d <= self.floor)
            came.append(j)
        self.to(np.concatenate([self.S, np.array(came, dtype=np.intp)]))
        return bool(came)

    def backward(self, size: int) -> None:
        """Greedily take out members until |S| = size."""
        if self.size - size > FEW:
            self.to(self.S[_cheapest_out(-self.T[1 : self.size + 1, self.S], self.weights, size)])
        while self.size > size:
            self.leave(int(self.exits().argmin()))

    def eliminated(self, size: int) -> None:
        """Backward elimination from all m coordinates, but for those that depend on others (pivoted Cholesky)."""
        root = np.sqrt(np.where(self.h > 0, self.h, 1.0))
        H = self.rows(np.arange(self.m)) / root
        L, pivots, rank, _ = LAPACK.dpstrf(H / root[:, None], tol=DEPENDENT, lower=1)
        kept = pivots[:rank] - 1
        P = _mirrored(LAPACK.dpotri(L[:rank, :rank], lower=1)[0])
        self.to(kept[_cheapest_out(P, P @ (self.c / root)[kept], min(size, rank))])

    def rank(self) -> int:
        """How many of the m coordinates are independent of each other: repeated samples do not count twice."""
        root = np.sqrt(np.where(self.h > 0, self.h, 1.0))
        H = self.rows(np.arange(self.m)) / root
        return int(LAPACK.dpstrf(H / root[:, None], tol=DEPENDENT, lower=1)[2])

    def polish(self, tolerance: float) -> bool:
        """Best swaps until none lowers f by more than `tolerance`; whether there was one."""
        changed = False
        while True:
            gain, j, s = self.best_swap(tolerance)
            if not gain > tolerance:
                return changed
            before, S = self.value, self.S.copy()
            self.leave(s)
            self.enter(j)
            if self.sweeps > REBUILD:
                self.to(self.S.copy())
            if self.value > before - tolerance / 2:  # rounding promised more than there was
                self.to(S)
                return changed
            changed = True


def _cheapest_out(P: Matrix, x: Vector, size: int) -> NDArray[np.intp]:
    """Backward elimination to `size`, given the inverse P and the minimiser x alone: the positions that stay."""
    names, left = np.arange(len(x)), len(x)
    while left > size:
        m, goal = left, max(size, left // 2)  # then what is left is copied together
        T = np.empty((m, m + 1))
        T[:, :m], T[:, m] = P, x
        x, gamma, cost = T[:, m], np.diagonal(T).view(), np.empty(m)
        gamma.flags.writeable = True
        for _ in range(left - goal):
            np.multiply(x, x, out=cost)
            np.divide(cost, gamma, out=cost)
            i = int(cost.argmin())
            row = T[i].copy()
            BLAS.dger(-1.0 / row.item(i), row, row[:m], a=T.T, overwrite_a=True)
            x[i], gamma[i] = np.inf, 1.0
        stay = np.flatnonzero(np.isfinite(x))
        names, P, x, left = names[stay], T[np.ix_(stay, stay)], x[stay], goal
    return names


def inverse(G: Matrix) -> Matrix:
    """G^-1, the pseudo-inverse where G is singular."""
    if not G.size:
        return G.copy()
    factor, failed = LAPACK.dpotrf(G, lower=1)
    if not failed:
        P, failed = LAPACK.dpotri(factor, lower=1)
        if not failed:
            return _mirrored(P)
    return np.asarray(np.linalg.pinv(G, hermitian=True), dtype=np.float64)


def _mirrored(L: Matrix) -> Matrix:
    """The symmetric matrix whose lower half this is."""
    low = np.tril(L)
    full = low + low.T
    np.fill_diagonal(full, np.diagonal(L))
    return full
