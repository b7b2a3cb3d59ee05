"""What a refit will give after any single change of a support: exact entry gains, exit costs and exchanges.

At the minimiser of a quadratic f on S, with G = H_SS, B = H_.S G^-1, gamma_i = (G^-1)_ii, c = -g and the Schur
complements d_j = h_j - B_j H_Sj,

    j comes in:           f falls by  e_j = c_j^2 / (2 d_j)
    i leaves:             f rises by  x_i^2 / (2 gamma_i)
    j takes i's place:    f falls by  (c_j + B_ji x_i / gamma_i)^2 / (2 (d_j + B_ji^2 / gamma_i)) - x_i^2 / (2 gamma_i)

so that the best of all p k swaps costs one product H_.S. For other f the same is computed from the Hessian at x: the
score and Wald tests of statistics, exact to second order; the refit and a judge then say what was really gained.

>>> from sparsopt.problems import Quadratic
>>> problem = Quadratic(np.eye(3), np.array([1.0, 3.0, 2.0]))
>>> Around(problem, problem.start(0)).entries()
array([0.5, 4.5, 2. ])
"""

from __future__ import annotations

import itertools
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from sparsopt.state import Array, Mask, State

DEPENDENT = 1e-7  # a coordinate of which S leaves less than this share of h_j has no gain
RIDGE = 1e-11  # share of h_i added to G_ii: dependent members then cost nothing to remove, which is the truth
_COLUMNS: WeakKeyDictionary[Any, dict[int, Array]] = WeakKeyDictionary()  # of a quadratic f, as long as it lives

__all__ = ["Around", "hessian_columns"]


class Around:
    """A support and what every single change of it would give. Computed when first asked for."""

    def __init__(self, f: Any, state: State) -> None:
        self.f, self.x, self.support = f, state.x, state.support
        self.S, self.F = np.flatnonzero(state.support), np.flatnonzero(~state.support)
        self.h = np.asarray(f.curvature(), dtype=np.float64)
        self.floor = DEPENDENT * self.h
        self.c = -np.asarray(f.gradient(state.x), dtype=np.float64)
        self.weights = np.asarray(state.x, dtype=np.float64)[self.S]

    @cached_property
    def columns(self) -> Array:
        """H_.S, (p, |S|)."""
        return hessian_columns(self.f, self.x, self.S)

    @cached_property
    def inverse(self) -> Array:
        """G^-1, (|S|, |S|)."""
        return np.linalg.inv(_propped(self.columns[self.S]))

    @cached_property
    def B(self) -> Array:
        """H_.S G^-1, (p, |S|)."""
        return self.columns @ self.inverse

    @cached_property
    def left(self) -> Array:
        """Schur complements d, (p,)."""
        return self.h - np.einsum("ij,ij->i", self.B, self.columns)

    def entries(self) -> Array:
        """How much f falls when j comes in; 0 for members and for what depends on them. (p,)"""
        free = ~self.support & (self.left > self.floor)
        return np.where(free, self.c**2 / np.where(free, 2 * self.left, 1.0), 0.0)

    def exits(self) -> Array:
        """How much f rises when i leaves; 0 for the others. (p,)"""
        cost = np.zeros(len(self.h))
        cost[self.S] = self.weights**2 / (2 * np.diagonal(self.inverse))
        return cost

    def best_swap(self) -> tuple[float, Mask]:
        """The largest fall of f by one exchange, and the support after it."""
        from sparsopt.portfolio.tableau import swap_gains  # scipy: for those who swap

        gamma = np.diagonal(self.inverse)
        table = swap_gains(self.B[self.F], gamma, self.weights, self.c[self.F], self.left[self.F], self.floor[self.F])
        j, i = divmod(int(table.argmax()), len(self.S))
        return float(table[j, i]), self._changed([self.S[i]], [self.F[j]])

    def best_pair(self, width: int) -> tuple[float, Mask]:
        """The same for two members and two of the `width` outsiders with the largest entry gains."""
        from sparsopt.portfolio.tableau import Tableau

        pool = np.sort(np.concatenate([self.S, self._shortlist(width)]))
        H = _propped(hessian_columns(self.f, self.x, pool)[pool])
        inside = self.support[pool]
        tableau = Tableau(H, self.c[pool] + H[:, inside] @ self.weights, inside)
        start, best, change = tableau.value, 0.0, None
        for out in itertools.combinations(np.flatnonzero(inside), 2):
            for i in out:
                tableau.sweep(int(i))
            fall, into = _two(tableau, np.flatnonzero(~inside))
            fall += start - tableau.value
            if fall > best:
                best, change = fall, (out, into)
            for i in out:
                tableau.sweep(int(i))
        return best, self.support if change is None else self._changed(pool[list(change[0])], pool[list(change[1])])

    def _shortlist(self, width: int) -> Array:
        order = np.argsort(-self.entries()[self.F], kind="stable")
        return self.F[order[:width]]

    def _changed(self, out: Any, into: Any) -> Mask:
        support = self.support.copy()
        support[out], support[into] = False, True
        return support


def _propped(G: Array) -> Array:
    """G with a little more on its diagonal, so that it can be inverted."""
    ridge = RIDGE * np.abs(np.diagonal(G))
    return G + np.diag(ridge + (ridge <= 0))


def _two(tableau: Any, free: Array) -> tuple[float, tuple[int, int]]:
    """The best pair of `free` to bring in, and how much f falls."""
    from sparsopt.portfolio.tableau import pair_gains

    T, m = tableau.T, tableau.m
    gains = pair_gains(T[free, m], np.maximum(T[free, free], 1e-300), T[np.ix_(free, free)], np.arange(len(free)))
    usable = T[free, free] > tableau.floor[free]
    gains = np.where(usable & usable[:, None], gains, 0.0)
    np.fill_diagonal(gains, 0.0)
    a, b = divmod(int(gains.argmax()), len(free))
    return float(gains[a, b]), (int(free[a]), int(free[b]))


def hessian_columns(f: Any, x: Array, indices: Array) -> Array:
    """H[:, indices] at x, (p, k) float64. Those of a quadratic are computed once a run (a run opens its own f)."""
    if not hasattr(f, "hessian_columns"):
        unit = np.zeros_like(x)
        columns = np.empty((x.shape[0], len(indices)))
        for slot, j in enumerate(indices):
            unit[j] = 1
            columns[:, slot] = f.hessian_product(x, unit)
            unit[j] = 0
        return columns
    known = _COLUMNS.setdefault(f, {})
    new = np.array([j for j in indices if int(j) not in known], dtype=np.intp)
    if new.size:
        fresh = np.asarray(f.hessian_columns(new), dtype=np.float64)
        known.update({int(j): fresh[:, slot] for slot, j in enumerate(new)})
    return np.stack([known[int(j)] for j in indices], axis=1) if len(indices) else np.empty((x.shape[0], 0))
