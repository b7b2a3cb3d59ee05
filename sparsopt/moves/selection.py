"""Moves that let coordinates in or out by a score: the whole vocabulary of the greedy and thresholding methods.

>>> from sparsopt.problems import Quadratic
>>> problem = Quadratic(np.eye(3), np.array([2.0, 3.0, 1.0]))
>>> Add(2)(problem, problem.start(0))
array([ True,  True, False])
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsopt import support as sp
from sparsopt.errors import InvalidInput
from sparsopt.moves.scores import Gain, Gradient, Magnitude, Removal, Score
from sparsopt.schedules import Counts, Schedule, amount
from sparsopt.state import Mask, State
from sparsopt.support import Elements, Structure

Move = Callable[[Any, State], Mask]

__all__ = ["Add", "AddOrDrop", "Choose", "Drop", "Everything", "Keep", "Move", "Sample", "Stay", "Swap", "Visit"]


@dataclass(frozen=True)
class Everything:
    """The full support."""

    def __call__(self, f: Any, state: State) -> Mask:
        return sp.everything(state.x)


@dataclass(frozen=True)
class Stay:
    """The support as it is."""

    def __call__(self, f: Any, state: State) -> Mask:
        return state.support


@dataclass(frozen=True)
class Add:
    """S and the m best coordinates outside it."""

    m: int | Schedule
    by: Score = Gradient()
    structure: Structure = Elements()

    def __post_init__(self) -> None:
        _needs_counts(self)

    def __call__(self, f: Any, state: State) -> Mask:
        m = amount(self.m, state.round, f.layout)
        return sp.extended(self.structure, self.by(f, state), m, f.layout, state.support)


@dataclass(frozen=True)
class Visit:
    """S and the best coordinate of all, which may be in S already: a Frank-Wolfe step may come back to a vertex."""

    by: Score = Gradient()

    def __call__(self, f: Any, state: State) -> Mask:
        return state.support | sp.top(self.by(f, state), 1)


@dataclass(frozen=True)
class Drop:
    """S without its m worst coordinates (of equal scores the later ones go)."""

    m: int | Schedule
    by: Score = Magnitude()
    structure: Structure = Elements()

    def __post_init__(self) -> None:
        _needs_counts(self)

    def __call__(self, f: Any, state: State) -> Mask:
        leaving = _leaving(self.structure, f, state, amount(self.m, state.round, f.layout))
        return self.structure(self.by(f, state), _staying(self.structure, f, state, leaving), f.layout, state.support)


@dataclass(frozen=True)
class Keep:
    """The k best coordinates of S."""

    k: int | Schedule
    by: Score = Magnitude()
    structure: Structure = Elements()

    def __call__(self, f: Any, state: State) -> Mask:
        k = amount(self.k, state.round, f.layout)
        return self.structure(self.by(f, state), k, f.layout, state.support)


@dataclass(frozen=True)
class Choose:
    """The k best coordinates of all, in S or not: for a dense x of which S is only a shadow."""

    k: int | Schedule
    by: Score = Magnitude()
    structure: Structure = Elements()

    def __call__(self, f: Any, state: State) -> Mask:
        k = amount(self.k, state.round, f.layout)
        return self.structure(self.by(f, state), k, f.layout)


@dataclass(frozen=True)
class Swap:
    """The m worst of S leave; the m best outside what was kept come in (one that just left may return, with its value).

    Replacement in Shalev-Shwartz, Srebro and Zhang (2010); with m one a block and `Train` as the fit, RigL (by
    gradient) and SET (by `Random`).
    """

    m: int | Schedule
    out: Score = Magnitude()
    into: Score = Gradient()
    structure: Structure = Elements()

    def __post_init__(self) -> None:
        _needs_counts(self)

    def __call__(self, f: Any, state: State) -> Mask:
        leaving = _leaving(self.structure, f, state, amount(self.m, state.round, f.layout))
        if not np.any(leaving):
            return state.support
        staying = _staying(self.structure, f, state, leaving)
        kept = self.structure(self.out(f, state), staying, f.layout, state.support)
        return sp.extended(self.structure, self.into(f, state), leaving, f.layout, kept)


def _leaving(structure: Structure, f: Any, state: State, m: Counts) -> Counts:
    """m, globally or a block, but no more than are there. Counted in the structure's units (groups as one)."""
    if isinstance(m, int):
        return min(m, sp.size(structure, state.support))
    return tuple(min(less, size) for size, less in zip(sp.block_counts(state.support, f.layout), m, strict=True))


def _staying(structure: Structure, f: Any, state: State, leaving: Counts) -> Counts:
    """How many stay when so many leave."""
    if isinstance(leaving, int):
        return sp.size(structure, state.support) - leaving
    sizes = sp.block_counts(state.support, f.layout)
    return tuple(size - less for size, less in zip(sizes, leaving, strict=True))


def _needs_counts(move: Any) -> None:
    """Refuse a structure that sets its own counts where coordinates are added or removed by number."""
    if getattr(move.structure, "fixed", False):
        raise InvalidInput(
            f"{type(move).__name__} changes a support by a number of coordinates, but {move.structure} fixes how many "
            "there are; use Keep or Choose with it, or another structure here"
        )


@dataclass(frozen=True)
class AddOrDrop:
    """The step of forward-backward greedy selection (FoBa): a coordinate leaves if that costs at most `share` of what
    the last addition at this size gained, else one comes in while |S| < k, else S stays.

    The gains are what the judge `RecordGains` keeps. Source: Zhang (2011), "Adaptive forward-backward greedy
    algorithm for learning sparse representations"; share = 1/2 there.
    """

    k: int
    share: float = 0.5
    forward: Score = Gain()
    backward: Score = Removal()

    def __call__(self, f: Any, state: State) -> Mask:
        size = sp.count(state.support)
        gains = state.slots.get("gains")
        if gains is not None and size > 0:
            cost = self.backward(f, state)
            keep = sp.top(cost, size - 1, state.support)
            gain = float(gains[size]) if size < len(gains) else 0.0
            if gain > 0 and float(cost[state.support & ~keep][0]) <= self.share * gain:
                return keep
        if size >= self.k:
            return state.support
        return state.support | sp.top(self.forward(f, state), 1, ~state.support)


@dataclass(frozen=True)
class Sample:
    """The coordinates hit by k independent draws j ~ |x_j| / |x|_1 (with replacement, so |S| <= k).

    Randomised sparsification of Shalev-Shwartz, Srebro and Zhang (2010). The fit `Average` turns the same
    draws into weights.
    """

    k: int
    autonomous = False

    def __call__(self, f: Any, state: State) -> Mask:
        return sp.draw_counts(state.x, self.k, state.key) > 0
