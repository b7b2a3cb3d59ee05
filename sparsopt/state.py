"""What a run is about (`Layout`) and where it stands (`State`).

The state holds everything that changes, and therefore is all that a checkpoint has to keep: a run that is continued
from a state is the run that was never interrupted. It is never changed in place; `but` makes the next one.

>>> state = State(np.zeros(3), np.zeros(3, dtype=bool))
>>> state.but(x=np.ones(3), round=1).round
1
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

Array = Any  # a NumPy array or a Torch tensor, one-dimensional unless said
Mask = Any  # a boolean array of the same library

__all__ = ["Array", "Layout", "Mask", "State"]


@dataclass(frozen=True)
class Layout:
    """Names and shapes of the blocks of x, in order. A convex problem has one block; a network one a weight tensor.

    axes: for each block the axis along which N:M patterns run (default: the last).
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    axes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not self.axes:
            object.__setattr__(self, "axes", (-1,) * len(self.names))

    @staticmethod
    def single(n: int) -> Layout:
        """One block of n coordinates."""
        return Layout(("x",), ((n,),))

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        return tuple(math.prod(shape) for shape in self.shapes)

    @cached_property
    def n(self) -> int:
        return sum(self.sizes)

    @cached_property
    def slices(self) -> tuple[slice, ...]:
        starts = np.cumsum((0, *self.sizes)).tolist()
        return tuple(slice(a, b) for a, b in itertools.pairwise(starts))


@dataclass(frozen=True)
class State:
    """All that changes in a run.

    x (n,), support (n,) bool, seed        the iterate
    stage, round, phase, inner             the position; inner > 0: the fit is unfinished and its move already made
    clock                                  learning-rate time, in steps; a fit may set it back
    cost                                   steps ever done; only grows, and keys batches and augmentation
    value                                  f at x if a fit knows it, else nan
    slots                                  arrays by name: rest, buffers, momentum.*, a judge's memory
    saved                                  snapshots by name, for rewinding
    before                                 the state at the start of this round, for the judge
    seen, ended                            what `run` remembers: earlier rounds, to notice a cycle; how a stage ended
    """

    x: Array
    support: Mask
    seed: int = 0
    stage: int = 0
    round: int = 0
    phase: int = 0
    inner: int = 0
    clock: int = 0
    cost: int = 0
    value: float = math.nan
    slots: Mapping[str, Array] = field(default_factory=dict)
    saved: Mapping[str, State] = field(default_factory=dict)
    before: State | None = None
    seen: tuple[Any, ...] = ()
    ended: str = ""

    def but(self, **changes: Any) -> State:
        """This state with some fields changed. A new x makes the value unknown unless a value comes with it.

        (`dataclasses.replace` does the same in three times the time, which small problems notice.)
        """
        if "x" in changes and "value" not in changes:
            changes["value"] = math.nan
        new = object.__new__(State)
        new.__dict__.update(self.__dict__)
        new.__dict__.update(changes)
        return new

    @property
    def key(self) -> tuple[int, int, int, int]:
        """The position as a seed: random numbers are functions of it, never of a stream."""
        return (self.seed, self.stage, self.round, self.phase)
