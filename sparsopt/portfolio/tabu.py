"""Tabu search on a quadratic (Glover 1989): on from where no swap pays, through worse supports to better ones.

A move takes one or two members out, the cheapest first, and brings the best of the others in, better or not. Who came
may not leave for some moves, nor who left come back: that drives the search out of every valley.

Of a swept tableau (`swept`) this needs z = c - Hx and the Schur complements d of all m coordinates, and its rows one at
a time. So these are not kept; as in the revised simplex method each is a product with the k rows of H that belong to S:

    j comes in:  q = H_j - H_jS G^-1 H_S    z -= q z_j / d_j       d -= q^2 / d_j
    i leaves:    q = (G^-1)_i H_S           z += q x_i / gamma_i   d += q^2 / gamma_i      gamma = diag(G^-1)

(of members both are 0). Vectors of length m may be in single precision, which halves the time: what the search finds
is built anew in double precision by who asked for it.

>>> H = np.array([[1.0, 0.6, 0.6], [0.6, 1.0, 0.0], [0.6, 0.0, 1.0]])
>>> t = Revised(H.__getitem__, np.array([1.1, 1.0, 1.0]), np.diagonal(H), np.array([0, 1]))
>>> search(t, 10, np.random.default_rng(0), 1e-9)
array([1, 2])
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsopt.portfolio.swept import Indices, Swept, inverse
from sparsopt.portfolio.tableau import DEPENDENT, Matrix, Vector

STAY, AWAY = (1, 4), (3, 15)  # moves for which who came stays, and who left stays away
REBUILD = 200  # members that come or go until rounding is cleared
WORK, MEMBER, ALWAYS = 7e9, 8, 8e5  # of a long search; what a member, and what a move costs whatever p is
OFTEN = 40  # moves a coordinate


class Revised:
    """x'Hx/2 - c'x, minimised on S: z and d of all coordinates, G^-1 and x of the members.

    rows(j) -> H_j (m,), rows(indices) -> (k, m); h: the diagonal of H, whose precision is that of z and d.
    """

    def __init__(self, rows: Callable[[Any], Any], c: Vector, h: NDArray[Any], S: Indices) -> None:
        self.rows, self.c, self.h = rows, c, h
        digits = np.finfo(h.dtype)
        self.floor = h * max(DEPENDENT, 100 * float(digits.eps)) + digits.tiny
        self.k, self.sweeps, self.value = S.size, 0, 0.0
        self.S, self.H = S.copy(), np.empty((S.size, h.size), h.dtype)
        self.P: Matrix = np.empty((S.size, S.size))
        self.q = np.empty_like(self.H, shape=h.size)
        self.to(S)

    def to(self, S: Indices) -> None:
        """Anew at a support of the size of the first."""
        self.k, self.sweeps = S.size, 0
        self.S[:], self.H[:] = S, self.rows(S)
        self.P[:] = inverse(self.H[:, S].astype(np.float64))
        self.x = self.P @ self.c[S]
        self.value = -float(self.x @ self.c[S]) / 2
        self.z = (self.c - self.x @ self.H).astype(self.h.dtype)
        self.d = self.h - np.einsum("ij,ij->j", self.H, self.P.astype(self.h.dtype) @ self.H)
        self.z[S] = self.d[S] = 0.0

    def exits(self) -> Vector:
        """Twice what f rises by when a member leaves, in the order of S."""
        return self.x * self.x / self.P.diagonal()[: self.k]

    def entries(self) -> NDArray[Any]:
        """Twice what f falls by when j comes in, (m,); less for what depends on S."""
        gain = self.z * self.z
        gain /= np.maximum(self.d, self.floor)
        return gain

    def leave(self, i: int) -> None:
        """Take the i-th member out; the last takes its place."""
        k, P, H = self.k, self.P[: self.k, : self.k], self.H[: self.k]
        row, x = P[i].copy(), self.x.item(i)
        gamma = row.item(i)
        np.matmul(row.astype(H.dtype), H, out=self.q)
        self._change(x / gamma, 1 / gamma)
        self.value += x * x / gamma / 2
        P -= np.multiply.outer(row, row / gamma)
        self.x -= row * (x / gamma)
        P[i], self.x[i], self.S[i], H[i] = P[k - 1], self.x[k - 1], self.S[k - 1], H[k - 1]
        P[:, i] = P[:, k - 1]
        self.x, self.k = self.x[: k - 1], k - 1

    def enter(self, j: int) -> None:
        """Bring j in, whose Schur complement is not 0."""
        k, P = self.k, self.P
        new = self.H[k]
        new[:] = self.rows(j)
        share = new[self.S[:k]] @ P[:k, :k]
        np.matmul(share.astype(new.dtype), self.H[:k], out=self.q)
        np.subtract(new, self.q, out=self.q)
        pivot = self.q.item(j)
        x = self.z.item(j) / pivot
        self._change(-x, -1 / pivot)
        self.z[j] = self.d[j] = 0.0
        self.value -= x * x * pivot / 2
        P[:k, :k] += np.multiply.outer(share, share / pivot)
        P[k, :k] = P[:k, k] = share / -pivot
        P[k, k] = 1 / pivot
        self.x, self.S[k], self.k = np.append(self.x - share * x, x), j, k + 1

    def _change(self, first: float, second: float) -> None:
        """z += first q, d += second q^2."""
        q = self.q
        self.z += first * q
        q *= q
        q *= second
        self.d += q
        self.sweeps += 1


FEW = 100  # columns up to which how many rows there are does not change the search


def affordable(samples: float, p: int, k: int) -> int:
    """So many moves take about .35 s, or have met every coordinate often enough."""
    n = samples if math.isfinite(samples) and p > FEW else 0.0  # of few columns weighted rows are repeated ones
    return min(OFTEN * p, int(WORK / (p * (MEMBER * k + n) + ALWAYS)))


def walked(t: Swept, rows: Callable[[Any], Any], moves: int, random: np.random.Generator, tolerance: float) -> Indices:
    """The best support that so many moves from t pass, sorted; t's own where none is better.

    rows: those of t, whose precision is that of the search.
    """
    return search(revised(t, rows), moves, random, tolerance) if t.size else np.sort(t.S)


def revised(t: Swept, rows: Callable[[Any], Any]) -> Revised:
    """The same support in revised form, in the precision of these rows."""
    return Revised(rows, t.c, t.h.astype(rows(int(t.S[0])).dtype), t.S)


def search(t: Revised, moves: int, random: np.random.Generator, tolerance: float) -> Indices:
    """The best support that so many moves pass."""
    size, best, value = t.k, np.sort(t.S), t.value
    if not size:
        return best
    numbers = random.integers(1, min(size, 2) + 1, moves).tolist()
    stays, aways = random.integers(*STAY, (moves, 2)).tolist(), random.integers(*AWAY, (moves, 2)).tolist()
    held: dict[int, int] = {}  # until which move
    barred: dict[int, int] = {}
    for move, number in enumerate(numbers):
        for away in aways[move][:number]:
            exits = t.exits()
            for i, j in enumerate(t.S[: t.k].tolist()):
                if held.get(j, 0) > move:
                    exits[i] = np.inf
            i = int(exits.argmin())
            barred[t.S.item(i)] = move + away
            t.leave(i)
        barred = {j: until for j, until in barred.items() if until > move}
        for stay in stays[move][:number]:
            j = _entering(t, list(barred))
            j = j if j >= 0 else _entering(t, [])  # rather who has just left than nobody
            if j < 0:
                return best
            held[j] = move + stay
            t.enter(j)
        if t.sweeps > REBUILD or t.value < value - tolerance:
            t.to(t.S.copy())
        if t.value < value - tolerance:
            best, value = np.sort(t.S), t.value
    return best


def _entering(t: Revised, barred: list[int]) -> int:
    """Who gains most and does not depend on S; -1 where there is nobody."""
    gains = t.entries()
    gains[barred] = 0.0
    while gains[j := int(gains.argmax())] > 0:
        if t.d[j] > t.floor[j]:
            return j
        gains[j] = 0.0
    return -1
