"""Early stopping: train on a part of the training split, watch the loss on the rest, stop when that falls no more.

    watched = Stage((Phase(Stay(), TrainOnPart(100, recipe)),), rounds=5, judge=Plateau(patience=2))
    back = Stage((Phase(Stay(), Rewind(BEST)),))

What is held out is a function of the labels and the run's seed, so that fit and judge agree on it without a word. The
test split has no say.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from nets.training import Network, Train
from sparsopt.fits import Remember
from sparsopt.result import Status
from sparsopt.state import State

__all__ = ["BEST", "Plateau", "TrainOnPart"]

BEST, WATCHED = "best", "watched"  # a snapshot; a slot: the least loss so far, and how many rounds ago it was
HELD_OUT = 0.1
_PARTS: WeakKeyDictionary[Network, dict[tuple[float, int], Network]] = WeakKeyDictionary()  # die with their run


def part_of(network: Network, held_out: float, seed: int) -> Network:
    """The same network and engine on a part of the training split; its test split is the rest of that."""
    known = _PARTS.setdefault(network, {})
    if (held_out, seed) not in known:
        data, part = network.data, copy.copy(network)
        split = data.validation(held_out, seed)
        part.data, part._batches = dataclasses.replace(split, mean=data.mean, std=data.std), {}
        known[held_out, seed] = part
    return known[held_out, seed]


@dataclass(frozen=True)
class TrainOnPart(Train):
    """Training that leaves a share `held_out` of the training split, drawn class by class, to a judge."""

    held_out: float = HELD_OUT

    def __call__(self, oracle: Any, state: State) -> State:
        return super().__call__(part_of(oracle, self.held_out, state.seed), state)


@dataclass(frozen=True)
class Plateau:
    """Ends the stage once the loss on what is held out has not fallen for `patience` rounds.

    The round with the least loss is remembered as `BEST`, so that `Rewind(BEST)` goes back to it, some rounds earlier.
    """

    patience: int = 2
    held_out: float = HELD_OUT
    needs = ("test",)
    autonomous = False

    def __call__(self, oracle: Any, old: State, new: State) -> tuple[State, Status | None]:
        loss = part_of(oracle, self.held_out, new.seed).test(new)[0]
        least, ago = new.slots.get(WATCHED, (math.inf, 0))
        if loss < least:
            new, least, ago = Remember(BEST)(oracle, new), loss, 0
        else:
            ago = int(ago) + 1
        slots = {**new.slots, WATCHED: np.array([least, ago])}
        return new.but(slots=slots), Status.PLATEAU if ago >= self.patience else None
