"""Moves and scores that look ahead to the refit: the rules of least squares stepwise selection and local search.

>>> from sparsopt.problems import Quadratic
>>> problem = Quadratic(np.eye(3), np.array([1.0, 3.0, 2.0]))
>>> Entry()(problem, problem.start(0))
array([0.5, 4.5, 2. ])
>>> Exchange()(problem, problem.start(0).but(support=np.array([True, False, False]), x=np.array([1.0, 0.0, 0.0])))
array([False,  True, False])
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sparsopt import support as sp
from sparsopt.errors import InvalidInput
from sparsopt.moves.refits import Around
from sparsopt.moves.scores import Gain, Removal, Score
from sparsopt.state import Array, Mask, State

NEEDS = ("gradient", "curvature", "hessian_product")

__all__ = ["Entry", "Exchange", "Exit", "Splice"]


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
