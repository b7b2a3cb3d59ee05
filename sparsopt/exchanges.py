"""Moves and scores that know what a refit will give: exact entry gains, exit costs and exchanges.

At the minimiser of a quadratic f on S, with G = H_SS, B = H_.S G^-1, gamma_i = (G^-1)_ii, c = -g and the Schur
complements d_j = h_j - B_j H_Sj,

    j comes in:           f falls by  e_j = c_j^2 / (2 d_j)
    i leaves:             f rises by  x_i^2 / (2 gamma_i)
    j takes i's place:    f falls by  (c_j + B_ji x_i / gamma_i)^2 / (2 (d_j + B_ji^2 / gamma_i)) - x_i^2 / (2 gamma_i)

so that the best of all p k swaps costs one product H_.S. For other f the same is computed from the Hessian at x: the
score and Wald tests of statistics, exact to second order; the refit and a judge then say what was really gained.

>>> Entry(), Exchange(2)
(Entry(), Exchange(m=2, width=300))
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from sparsopt import support as sp
from sparsopt.errors import InvalidInput
from sparsopt.moves import Gain, Removal, Score
from sparsopt.state import Array, Mask, State

__all__ = ["Around", "Entry", "Exchange", "Exit", "Noisy", "Splice"]

NEEDS = ("gradient", "curvature", "hessian_product")
DEPENDENT = 1e-7  # a coordinate of which S leaves less than this share of h_j has no gain
RIDGE = 1e-11  # share of h_i added to G_ii: dependent members then cost nothing to remove, which is the truth
_COLUMNS: WeakKeyDictionary[Any, dict[int, Array]] = WeakKeyDictionary()  # of a quadratic f, as long as it lives


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


# ---- scores --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Entry:
    """e_j: how much f falls when j comes in and everything is refitted. The rule of orthogonal least squares."""

    needs = NEEDS

    def __call__(self, f: Any, state: State) -> Array:
        return Around(f, state).entries()


@dataclass(frozen=True)
class Exit:
    """x_i^2 / (2 gamma_i): how much f rises when i leaves and the others are refitted. (`Removal` keeps them.)"""

    needs = NEEDS

    def __call__(self, f: Any, state: State) -> Array:
        return Around(f, state).exits()


@dataclass(frozen=True)
class Noisy:
    """Another score times independent exponential numbers, a function of the state's seed and position, and `salt`.

    Good coordinates are likely to come first, and none is sure to.
    """

    by: Score = Gain()
    salt: int = 0
    autonomous = False

    def __call__(self, f: Any, state: State) -> Array:
        return self.by(f, state) * -np.log1p(-sp.uniform((*state.key, self.salt), state.x))


# ---- moves ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Exchange:
    """The exchange of one member for one outsider that lowers f most; with m = 2, of up to two for as many.

    Where none lowers f, S stays. m = 2 looks at every pair of members and every pair of the `width` outsiders with
    the largest entry gains: all pairs up to p = k + width, in O(k^2 (k + width)^2).
    """

    m: int = 1
    width: int = 300
    needs = NEEDS

    def __post_init__(self) -> None:
        if self.m not in (1, 2):
            raise InvalidInput(f"Exchange: m = {self.m}; exchanges of 1 or 2 are searched, larger ones cost too much")

    def __call__(self, f: Any, state: State) -> Mask:
        around = Around(f, state)
        if not len(around.S) or not len(around.F):
            return state.support
        found = [around.best_swap()]
        if self.m == 2 and min(len(around.S), len(around.F)) >= 2:
            found.append(around.best_pair(self.width))
        gain, support = max(found, key=lambda pair: pair[0])
        return support if gain > 0 else state.support


@dataclass(frozen=True)
class Splice:
    """For C = 1..most the C cheapest members change places with the C best outsiders; the best of these supports.

    Each is refitted, so `most` refits. Costs and gains are those of one coordinate with the others fixed: the
    sacrifices of Zhu et al. (2020).
    """

    most: int = 2
    out: Score = Removal()
    into: Score = Gain()
    needs = ("minimise_on",)

    def __call__(self, f: Any, state: State) -> Mask:
        size = sp.count(state.support)
        cost, gain, found = self.out(f, state), self.into(f, state), []
        for C in range(1, min(self.most, size, state.x.shape[0] - size) + 1):
            kept = sp.top(cost, size - C, state.support)
            support = kept | sp.top(gain, C, ~state.support)
            found.append((f.minimise_on(support, state.x)[1], C, support))
        return min(found, key=lambda entry: entry[:2])[2] if found else state.support
