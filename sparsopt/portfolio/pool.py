"""Quadratic models of a logistic loss on a pool of its columns, and the swaps that they recommend.

At a fitted support S the loss is close to f(x) + g'u + u'Hu/2, H = A'(D - d d'/sum d)A + ridge I, so adds, drops and
swaps have predicted values in closed form. Only a refit by Newton's method says what they are worth.

>>> from sparsopt.problems import Logistic
>>> rng = np.random.default_rng(0)
>>> X = rng.standard_normal((200, 6))
>>> problem = Logistic(X, X[:, 2] - X[:, 4] + rng.logistic(size=200) > 0, ridge=0.01)
>>> pool = Pool(problem, np.arange(6))
>>> pool.local(pool.fit(np.array([0, 1]), np.zeros(2))).S
array([2, 4])
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsopt.portfolio.swept import Swept, inverse
from sparsopt.portfolio.tableau import DEPENDENT, LAPACK, Matrix, Tableau, Vector, swap_gains

Indices = NDArray[np.intp]

TRIES = 6  # single swaps refitted before the support counts as a local optimum
NEWTON = 30


@dataclass(frozen=True, eq=False)
class Place:
    """A fitted support: positions S in the pool, weights w there, f, and the derivatives r, d of the loss in A x."""

    S: Indices
    w: Vector
    value: float
    residual: Vector
    bend: Vector


class Pool:
    """Some columns C of a logistic problem, and what can be done with them."""

    def __init__(self, problem: Any, C: Indices) -> None:
        self.problem, self.C, self.ridge = problem, C, float(problem.ridge)
        self.A: Any = problem.design.block(C)
        self.centred = bool(problem.design.centred)
        self.tolerance = 1e-9 * float(problem.value(problem.start(0).x))
        self.last: View | None = None

    # ---- fitting ---------------------------------------------------------------------------------------------------

    def fit(self, S: Indices, w: Vector, limit: float = math.inf) -> Place:
        """Newton's method from w; given up where it will not come below `limit`."""
        A = self.A.part(S)
        place = self._at(S, w, A.dot(w))
        for step in range(NEWTON):
            gradient = A.tdot(place.residual) + self.ridge * place.w
            direction = _solve(self._hessian(A, place.bend), -gradient)
            decrease = -float(gradient @ direction)
            if not decrease > self.tolerance or (step > 1 and place.value - decrease > limit):
                break
            better = self._descend(place, A, direction, decrease)
            if better is None:
                break
            place = better
            if decrease <= 1e-5 * place.value:  # the next step would gain about the square of that share
                break
        return place

    def _at(self, S: Indices, w: Vector, product: Vector) -> Place:
        loss, residual, bend = self.problem.expansion(product)
        return Place(S, w, loss + 0.5 * self.ridge * float(w @ w), residual, bend)

    def _descend(self, place: Place, A: Any, direction: Vector, decrease: float) -> Place | None:
        for halvings in range(20):
            w = place.w + direction / 2**halvings
            new = self._at(place.S, w, A.dot(w))
            if new.value <= place.value - 1e-4 * decrease / 2**halvings:
                return new
        return None

    def _cross(self, A: Any, B: Any, bend: Vector) -> Matrix:
        """A'(D - d d'/sum d)B."""
        H, total = A.cross(B, bend), float(bend.sum())
        if self.centred and total > 0:
            H -= np.outer(A.tdot(bend), B.tdot(bend) / total)
        return H

    def _hessian(self, A: Any, bend: Vector) -> Matrix:
        H = self._cross(A, A, bend)
        H.flat[:: len(H) + 1] += self.ridge
        return H

    # ---- models ----------------------------------------------------------------------------------------------------

    def view(self, place: Place) -> View:
        """What the pool looks like from a place; the last one is remembered."""
        if self.last is None or self.last.place is not place:
            self.last = View(self, place)
        return self.last

    def gradient(self, place: Place) -> Vector:
        g = self.A.tdot(place.residual)
        g[place.S] += self.ridge * place.w
        return g

    def tableau(self, place: Place) -> Swept:
        """The quadratic model at a place, over the whole pool."""
        H = self._hessian(self.A, place.bend)
        return Swept(H.__getitem__, place.w @ H[place.S] - self.gradient(place), np.diagonal(H), place.S)

    def square(self, place: Place) -> Tableau:
        """The same with all of its rows."""
        H, inside = self._hessian(self.A, place.bend), np.zeros(self.C.size, dtype=bool)
        inside[place.S] = True
        return Tableau(H, place.w @ H[place.S] - self.gradient(place), inside)

    def swapped(self, place: Place) -> Place | None:
        """After as many model swaps as pay, refitted; None if f has not fallen."""
        t = self.tableau(place)
        return self.checked(t, place) if t.polish(self.tolerance) else None

    def checked(self, t: Swept, place: Place) -> Place | None:
        """The tableau's support refitted, if that is better than `place`."""
        new = self.fit(*sorted_pair(t.S, t.weights), place.value)
        return new if new.value < place.value - self.tolerance else None

    def local(self, place: Place, batches: int = 3) -> Place:
        """Swaps until no single one that the model recommends lowers f."""
        for _ in range(batches):
            new = self.swapped(place) if self.view(place).promising(self.tolerance) else None
            if new is None:
                break
            place = new
        while (new := self.one_swap(place)) is not None:
            place = new
        return place

    def one_swap(self, place: Place) -> Place | None:
        """The first of the most promising swaps that lowers f."""
        view = self.view(place)
        for predicted, j, i in view.best(TRIES):
            if predicted <= self.tolerance:
                return None
            S, w = view.exchange(j, i)
            new = self.fit(S, w, place.value)
            if new.value < place.value - self.tolerance:
                return new
        return None


def sorted_pair(S: Indices, w: Vector) -> tuple[Indices, Vector]:
    """A support in ascending order, and the weights that go with it."""
    order = np.argsort(S)
    return S[order], w[order]


def _solve(G: Matrix, b: Vector) -> Vector:
    if not b.size:
        return b
    _, x, failed = LAPACK.dposv(G, b, lower=1)
    return np.asarray(np.linalg.lstsq(G, b, rcond=1e-12)[0], dtype=np.float64) if failed else x


class View:
    """What all of the pool looks like from a place, without its whole Hessian."""

    def __init__(self, pool: Pool, place: Place) -> None:
        self.place = place
        S, bend = place.S, place.bend
        self.H = pool._cross(pool.A, pool.A.part(S), bend)
        self.H[S, np.arange(S.size)] += pool.ridge
        h = pool.A.squares(bend) + pool.ridge
        if pool.centred and bend.sum() > 0:
            h -= pool.A.tdot(bend) ** 2 / bend.sum()
        self.inverse = inverse(self.H[S])
        self.gamma = np.diagonal(self.inverse).astype(np.float64)
        self.B = self.H @ self.inverse
        g = pool.gradient(place)
        self.c = self.B @ g[S] - g
        self.d = h - np.einsum("ij,ij->i", self.H, self.B)
        self.floor = DEPENDENT * h
        self.outside = np.ones(h.size, dtype=bool)
        self.outside[S] = False

    def entries(self) -> Vector:
        """How much the model falls when j comes in; 0 for members."""
        free = self.outside & (self.d > self.floor)
        return np.where(free, self.c**2 / np.where(free, 2 * self.d, 1.0), 0.0)

    def exits(self) -> Vector:
        return self.place.w**2 / (2 * self.gamma)

    def promising(self, least: float) -> bool:
        """Whether some swap is predicted to gain more than this."""
        return any(predicted > least for predicted, _, _ in self.best(1))

    def best(self, number: int) -> list[tuple[float, int, int]]:
        """The best swaps: (predicted fall, position that enters, place in S that leaves)."""
        F = np.flatnonzero(self.outside)
        if not F.size or not self.place.S.size:
            return []
        table = swap_gains(self.B[F], self.gamma, self.place.w, self.c[F], self.d[F], self.floor[F]).ravel()
        few = np.argpartition(table, -min(number, table.size))[-number:]
        few = few[np.argsort(-table[few], kind="stable")]
        return [(float(table[e]), int(F[e // self.place.S.size]), int(e % self.place.S.size)) for e in few]

    def exchange(self, j: int, i: int) -> tuple[Indices, Vector]:
        """The support after the swap, and the model's weights on it."""
        place, column = self.place, self.inverse[:, i] / self.gamma[i]
        out = place.w - column * place.w[i]
        top, left = self.c[j] + self.B[j, i] * place.w[i] / self.gamma[i], self.d[j] + self.B[j, i] ** 2 / self.gamma[i]
        enters = top / left
        w = out - enters * (self.B[j] - column * self.B[j, i])
        return sorted_pair(np.append(np.delete(place.S, i), j), np.append(np.delete(w, i), enters))

    def contrast(self) -> tuple[float, float]:
        """(cheapest exit / best entry, what that ratio must be for no swap to pay, by the correlations that occur)."""
        F = np.flatnonzero(self.outside)
        if not F.size or not self.place.S.size:
            return math.inf, 2.0
        share = self.B[F] ** 2 / self.gamma
        left = np.maximum(self.d[F], 0.0)[:, None] + share
        rho = math.sqrt(float(np.max(share / np.where(left > 0, left, 1.0))))
        best = float(self.entries().max())
        ratio = float(self.exits().min()) / best if best > 0 else math.inf
        return ratio, max(2.0, (1 + rho) / max(1 - rho, 1e-12))
