"""What Zhou, Lan, Liu and Yosinski (2019) took lottery tickets apart into: which weights a mask keeps, what the kept
ones start from, and what becomes of the others.

A *criterion* is a score of two numbers, w_i before a training and w_f after it:

>>> Keep(1000, by=Criterion("magnitude_increase"))
Keep(k=1000, by=Criterion(name='magnitude_increase'), structure=Elements())

`TreatAs` does the rest: a mask-1 action gives the kept weights their values, a mask-0 action the others theirs. Names
are those of the authors' code. Two snapshots are read: "early", the network as it was drawn, and "start", as it was
when the training began that led to w_f (the same in the first round).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from nets.gates import Gate
from sparsopt import support as sp
from sparsopt.errors import InvalidInput
from sparsopt.fits import FreshOptimiser, is_weightwise, restricted
from sparsopt.names import lookup
from sparsopt.state import Array, Layout, Mask, State

__all__ = ["CRITERIA", "MASK_0", "MASK_1", "Criterion", "Frozen", "NonZero", "TreatAs"]

EARLY, START = "early", "start"


def _snapshot(state: State, name: str, who: Any) -> State:
    if name not in state.saved:
        raise InvalidInput(f"{who}: no snapshot '{name}' among {sorted(state.saved)}; Remember('{name}') comes first")
    return state.saved[name]


# ---- which weights: scores -----------------------------------------------------------------------------------------

Rule = Callable[[np.ndarray, np.ndarray], np.ndarray]  # (w_i, w_f) of a block's candidates -> score


def _ranks(score: np.ndarray) -> np.ndarray:
    """Place of each in ascending order, as a share of all; of equals the first has the higher place."""
    places = np.empty(len(score))
    places[np.argsort(-score, kind="stable")] = np.arange(len(score))[::-1]
    return places / max(1, len(score))


CRITERIA: dict[str, Rule] = {
    "large_final": lambda i, f: abs(f),
    "small_final": lambda i, f: -abs(f),
    "large_init": lambda i, f: abs(i),
    "small_init": lambda i, f: -abs(i),
    "large_init_large_final": lambda i, f: np.minimum(_ranks(abs(i)), _ranks(abs(f))),
    "small_init_small_final": lambda i, f: np.minimum(_ranks(-abs(i)), _ranks(-abs(f))),
    "magnitude_increase": lambda i, f: abs(f) - abs(i),
    "movement": lambda i, f: abs(f - i),
    "large_final_same_sign": lambda i, f: abs(f) * (np.sign(i) == np.sign(f)),
    "large_final_diff_sign": lambda i, f: abs(f) * (np.sign(i) != np.sign(f)),
}


@dataclass(frozen=True)
class Criterion:
    """A score of w_i, as the snapshot "start" has it, and w_f = x; names: those of `CRITERIA`, and "random".

    large_init_large_final keeps what is above a common quantile of |w_i| and of |w_f|, the quantile at which so many
    are left (the authors bisect for it): that is, the largest min(rank |w_i|, rank |w_f|), ranks within the layer's
    survivors. Outside the support scores are 0, and mean nothing.
    """

    name: str
    autonomous: ClassVar[bool] = False

    def __post_init__(self) -> None:
        lookup({**CRITERIA, "random": None}, self.name, "mask criterion")

    def __call__(self, f: Any, state: State) -> Array:
        if self.name == "random":
            return sp.uniform((*state.key, 0), state.x)
        before, after = sp.to_numpy(_snapshot(state, START, self).x), sp.to_numpy(state.x)
        score, support = np.zeros(len(after)), sp.to_numpy(state.support)
        for block in f.layout.slices:
            inside = support[block]
            score[block][inside] = CRITERIA[self.name](before[block][inside], after[block][inside])
        return sp.like(score, state.x)


# ---- what they start from: fits ------------------------------------------------------------------------------------

Shuffle = Callable[[np.ndarray], np.ndarray]
Draw = Callable[[np.ndarray, np.ndarray, np.ndarray, Shuffle, float], np.ndarray]


def _shuffled_inside(start: np.ndarray, mask: np.ndarray, shuffle: Shuffle) -> np.ndarray:
    new = start.copy()
    new[mask] = shuffle(start[mask])
    return new


# (w as drawn, w this training started from, mask, a shuffle, alpha) of one layer -> new values; those on the mask count
MASK_1: dict[str, Draw] = {
    "rewind": lambda w0, w, m, shuffle, alpha: w,
    "random_reinit": lambda w0, w, m, shuffle, alpha: shuffle(w0),
    "signed_reinit": lambda w0, w, m, shuffle, alpha: abs(shuffle(w0)) * np.sign(w),
    "random_reshuffle": lambda w0, w, m, shuffle, alpha: _shuffled_inside(w, m, shuffle),
    "signed_reshuffle": lambda w0, w, m, shuffle, alpha: abs(_shuffled_inside(w, m, shuffle)) * np.sign(w),
    "signed_constant": lambda w0, w, m, shuffle, alpha: alpha * w0.std() * np.sign(w),
    "rand_signed_constant": lambda w0, w, m, shuffle, alpha: alpha * w0.std() * shuffle(np.sign(w0)),
}

# (w_i, w_f) -> which of them are at w_i; the others are 0
MASK_0: dict[str, Rule] = {
    "zero": lambda i, f: np.zeros(len(i), dtype=bool),
    "freeze_init": lambda i, f: np.ones(len(i), dtype=bool),
    "freeze_init_zero_mask": lambda i, f: abs(i) <= abs(f),
    "freeze_init_zero_all": lambda i, f: abs(i) <= abs(f),
    "freeze_init_zero_rev": lambda i, f: abs(i) >= abs(f),
}


@dataclass(frozen=True)
class TreatAs:
    """New values for the weights of the present support (mask 1), and for all others (mask 0); layers one by one.

    mask1 = rewind: w_i;  random_reinit: all of the layer's first weights, shuffled;  random_reshuffle: the kept ones
    among themselves;  signed_reinit, signed_reshuffle: the same sizes with w_i's signs;  signed_constant: alpha * the
    deviation of the layer's first weights, with w_i's signs;  rand_signed_constant: with all of the layer's, shuffled
    mask0 = zero: 0;  freeze_init: w_i;  freeze_init_zero_mask: w_i where |w| grew in training, 0 where it shrank;
    freeze_init_zero_rev: the reverse;  freeze_init_zero_all: as zero_mask, and kept weights that shrank start at 0 too

    Biases, norms, buffers and clock are those of "early"; the optimiser starts anew. What is frozen lies in x outside
    the support, and stays there while training goes through `Frozen`.
    """

    layout: Layout
    mask1: str = "rewind"
    mask0: str = "zero"
    alpha: float = 1.0

    def __post_init__(self) -> None:
        lookup(MASK_1, self.mask1, "mask-1 action")
        lookup(MASK_0, self.mask0, "mask-0 action")

    def __call__(self, oracle: Any, state: State) -> State:
        drawn = _snapshot(state, EARLY, self)
        w0, w, final = (sp.to_numpy(x) for x in (drawn.x, _snapshot(state, START, self).x, state.x))
        stays, support, x = MASK_0[self.mask0](w, final), sp.to_numpy(state.support), sp.copy(state.x)
        for number, b in enumerate(self.layout.slices):
            shuffle = _Shuffle((*state.key, number))
            inside = MASK_1[self.mask1](w0[b], w[b], support[b], shuffle, self.alpha)
            x[b] = sp.like(np.where(support[b], inside, sp.restrict(w[b], stays[b])), x)
        if self.mask0 == "freeze_init_zero_all":
            x = sp.restrict(x, sp.like(stays, x))
        fresh = state.but(x=x, slots={**state.slots, **drawn.slots}, clock=drawn.clock)
        new = FreshOptimiser()(oracle, fresh)
        return restricted(new) if self.mask0 == "zero" else new


@dataclass(frozen=True)
class _Shuffle:
    """A permutation of as many values as it is given, a function of the key."""

    key: tuple[int, ...]

    def __call__(self, values: np.ndarray) -> np.ndarray:
        return values[np.argsort(sp.uniform(self.key, values), kind="stable")]


# ---- what becomes of the others ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Frozen(Gate):
    """The support trains; all other weights take part with the values they have, and keep them to the bit."""

    def enter(self, state: State) -> State:
        slots = {name: sp.restrict(a, state.support) if is_weightwise(name) else a for name, a in state.slots.items()}
        return state.but(slots=slots)

    def context(self, state: State) -> tuple[Tensor, Tensor]:
        return state.support, state.x.clone()

    def gradient(self, g: Tensor, v: Tensor, c: tuple[Tensor, Tensor]) -> None:
        g.mul_(c[0])

    def settle(self, v: Tensor, c: tuple[Tensor, Tensor], rate: float) -> None:
        v.copy_(torch.where(c[0], v, c[1]))  # weight decay and momentum have no say


@dataclass(frozen=True)
class NonZero:
    """S and every weight that is not zero: what a network with frozen weights really consists of."""

    def __call__(self, f: Any, state: State) -> Mask:
        return state.support | (state.x != 0)
