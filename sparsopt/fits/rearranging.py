"""Fits that never look at f: they cut, remember, go back, or forget.

>>> state = State(np.array([1.0, 2.0]), np.array([False, True]))
>>> Restrict()(None, state).x
array([0., 2.])
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sparsopt import support as sp
from sparsopt.errors import InvalidInput
from sparsopt.state import State

OPTIMISER = "momentum."  # slots whose names start so belong to the optimiser

__all__ = [
    "OPTIMISER",
    "Average",
    "Clock",
    "FreshOptimiser",
    "Remember",
    "Restrict",
    "Rewind",
    "is_weightwise",
    "restricted",
]


@dataclass(frozen=True)
class Average:
    """x_j <- sign(x_j) |x|_1 c_j / k, c_j the number of the k draws of `Sample(k)` that hit j: unbiased for x."""

    k: int

    def __call__(self, oracle: Any, state: State) -> State:
        x = state.x
        hits = sp.draw_counts(x, self.k, state.key)
        sign = x / abs(x + (x == 0))
        return state.but(x=sp.restrict(sign * hits * (float(abs(x).sum()) / self.k), hits > 0))


@dataclass(frozen=True)
class Restrict:
    """x and the optimiser's slots become zero off the support."""

    def __call__(self, oracle: Any, state: State) -> State:
        return restricted(state)


def restricted(state: State) -> State:
    """x *and* optimiser slots cleared off the support: either alone would let stale momentum revive a weight."""
    slots = {
        name: sp.restrict(array, state.support) if is_weightwise(name) else array for name, array in state.slots.items()
    }
    return state.but(x=sp.restrict(state.x, state.support), slots=slots if slots else state.slots)


def is_weightwise(name: str) -> bool:
    """Whether a slot holds one optimiser number for each coordinate of x."""
    return name.startswith(OPTIMISER) and name.endswith(".x")


@dataclass(frozen=True)
class Remember:
    """Keeps a snapshot of where the run stands now (x, slots and clock), under a name."""

    name: str

    def __call__(self, oracle: Any, state: State) -> State:
        return state.but(saved={**state.saved, self.name: state.but(saved={}, before=None)})


@dataclass(frozen=True)
class Rewind:
    """x, slots and clock as they were in the snapshot, on the present support. The cost goes on."""

    name: str

    def __call__(self, oracle: Any, state: State) -> State:
        if self.name not in state.saved:
            raise InvalidInput(f"{self}: no snapshot of that name among {sorted(state.saved)}; Remember comes first")
        then = state.saved[self.name]
        return restricted(state.but(x=then.x, slots=then.slots, clock=then.clock))


@dataclass(frozen=True)
class Clock:
    """Sets learning-rate time and leaves the weights: learning-rate rewinding (0) or fine-tuning (the end)."""

    step: int

    def __call__(self, oracle: Any, state: State) -> State:
        return state.but(clock=self.step)


@dataclass(frozen=True)
class FreshOptimiser:
    """Forgets momentum and all other optimiser slots."""

    def __call__(self, oracle: Any, state: State) -> State:
        return state.but(slots={name: a for name, a in state.slots.items() if not name.startswith(OPTIMISER)})
