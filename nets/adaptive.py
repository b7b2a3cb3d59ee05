"""f + rho/2 |w_R|^2, with R learned: what `sparsopt.regularised` does for convex f, on networks.

R is in slot "regularised" (1 in R, 0 not), everything at first. Where swaps stall, members of the support leave R:
large weights stop paying, and later swaps compare what is left. `Ridged` trains with the penalty, `Release` judges.

    >>> Stage((Phase(Swap(100), Train(100, recipe, Ridged(1e-3))),), 30, Release(1e-3))
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from nets.gates import Masked
from sparsopt import support as sp
from sparsopt.judges import value_of
from sparsopt.result import Status
from sparsopt.state import Array, State

__all__ = ["Release", "Ridged"]

REGULARISED = "regularised"


@dataclass
class Ridge:
    """The mask, and rho on the regularised weights of the support."""

    mask: Tensor
    rho: Tensor


@dataclass(frozen=True)
class Ridged(Masked):
    """Training on the support with the penalty rho/2 |w_R|^2, on top of the recipe's decay."""

    rho: float = 1e-3

    def enter(self, state: State) -> State:
        state = super().enter(state)
        return state.but(slots={REGULARISED: _everything(state), **state.slots})

    def context(self, state: State) -> Ridge:
        mask = super().context(state)
        return Ridge(mask, self.rho * state.slots[REGULARISED] * mask)

    def gradient(self, g: Tensor, v: Tensor, c: Ridge) -> None:
        g.mul_(c.mask).addcmul_(c.rho, v)


@dataclass(frozen=True)
class Release:
    """A round that lowers g = f + rho/2 |w_R|^2 too little is undone, and as many weights as it swapped leave R.

    Too little: g(w) - g(w') < share g(w): the target is 0, which no cross-entropy can pass. The weights are drawn from
    R and S without replacement, each next one with a probability proportional to w_i^2: a function of seed and
    position. With one weight a swap this is the judge of ARHT, `sparsopt.regularised.Unregularise`.
    """

    rho: float = 1e-3
    share: float = 0.0
    autonomous = False

    def __call__(self, oracle: Any, old: State, new: State) -> tuple[State, Status | None]:
        losses = [value_of(oracle, state) for state in (old, new)]
        before, after = (
            loss + self.rho / 2 * float(_regularised(state) @ (state.x * state.x))
            for loss, state in zip(losses, (old, new), strict=True)
        )
        if after < before and before - after >= self.share * before:
            return new.but(value=losses[1]), None
        m = max(1, sp.count(old.support & ~new.support))
        slots = {**old.slots, REGULARISED: _released(old, m, new.key)}
        return new.but(x=old.x, support=old.support, slots=slots, value=losses[0]), None


def _everything(state: State) -> Array:
    return 0 * state.x + 1


def _regularised(state: State) -> Array:
    return state.slots.get(REGULARISED, _everything(state))


def _released(state: State, m: int, key: tuple[int, ...]) -> Array:
    """R without m of its members in S: the largest log w^2 plus Gumbel noise are such a draw."""
    R, x = _regularised(state), np.abs(sp.to_numpy(state.x)).astype(np.float64)
    u = np.random.default_rng(key).random(len(x)).clip(1e-300, 1 - 1e-16)
    score = 2 * np.log(np.maximum(x, 1e-30)) - np.log(-np.log(u))
    candidates = sp.to_numpy(state.support) & (sp.to_numpy(R) > 0) & (x > 0)
    return sp.restrict(R, sp.like(~sp.top(score, m, candidates), R))
