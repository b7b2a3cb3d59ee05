"""Where a run can only repeat itself, it ends.

>>> from sparsopt.fits import Exact
>>> from sparsopt.moves import Add, Gain, Random
>>> from sparsopt.method import Phase
>>> [autonomous(Stage((Phase(Add(1, by), Exact()),))) for by in (Gain(), Random())]
[True, False]
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from sparsopt import support as sp
from sparsopt.method.stages import Stage, parts
from sparsopt.result import Status
from sparsopt.state import State

ROUNDING = 1e-14  # relative difference of two states that are called the same

__all__ = ["autonomous"]


class Recurrence:
    """Notices that a stage is back where it was after an earlier round: from there on it would only repeat itself.

    Only for stages whose next round is a function of (x, support, slots): no part is random or looks at the round.
    `state.seen` holds the last round and one at a power of two, which finds cycles of any length in constant memory
    (Brent 1980). A round is known by the support's name and, for x and each slot, its norm and a fixed projection:
    the norm alone would take a small step at a right angle for none.
    """

    def __init__(self) -> None:
        self.stage: Stage | None = None
        self.applies = False
        self.directions: dict[int, np.ndarray] = {}

    def __call__(self, stage: Stage, state: State) -> tuple[State, Status | None]:
        if stage is not self.stage:
            self.stage, self.applies = stage, stage.rounds > 1 and autonomous(stage)
        if not self.applies:
            return state, None
        here = (state.round, sp.digest(state.support), self._marks(state))
        last, anchor = state.seen or (None, here)
        if last is not None and _same(last, here):
            return state, Status.STATIONARY
        if last is not None and _same(anchor, here):
            return state, Status.CYCLE
        if state.round & (state.round + 1) == 0:
            anchor = here
        return state.but(seen=(here, anchor)), None

    def _marks(self, state: State) -> tuple[tuple[float, float], ...]:
        arrays = (state.x, *(state.slots[name] for name in sorted(state.slots)))
        return tuple((math.sqrt(_square(array)), sp.projection(array, self._direction(array))) for array in arrays)

    def _direction(self, array: Any) -> np.ndarray:
        size = math.prod(array.shape)
        if size not in self.directions:
            self.directions[size] = np.cos(np.arange(1.0, size + 1))
        return self.directions[size]


def autonomous(stage: Stage) -> bool:
    """Whether no part of the stage is random or looks at the round. A plain function has not said so."""
    return all(getattr(part, "autonomous", dataclasses.is_dataclass(part)) for part in parts(stage))


def _square(array: Any) -> float:
    flat = array.reshape(-1)
    return float((flat * flat).sum())


def _same(one: tuple[Any, ...], two: tuple[Any, ...]) -> bool:
    """The same support, and numbers that agree to rounding. (A norm that overflows agrees with nothing.)"""
    if one[1] != two[1] or len(one[2]) != len(two[2]):
        return False
    return all(
        math.isfinite(norm_a) and max(abs(a - b), abs(norm_a - norm_b)) <= ROUNDING * norm_a
        for (norm_a, a), (norm_b, b) in zip(one[2], two[2], strict=True)
    )
