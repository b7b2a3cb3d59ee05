"""What controls do to masks: the same counts in other places, and scores turned round.

>>> inverted(Keep(10, by=Magnitude()))                  # the 10 smallest
Keep(k=10, by=Inverted(of=Magnitude()), structure=Elements())
>>> inverted(inverted(Keep(10)))
Keep(k=10, by=Magnitude(), structure=Elements())
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from sparsopt import support as sp
from sparsopt.moves import Random, Score
from sparsopt.state import Array, Mask, State
from sparsopt.support import Elements

__all__ = ["Inverted", "Shuffle", "inverted"]

SCORES = ("by", "out", "into", "forward", "backward")  # fields of moves that hold a score


@dataclass(frozen=True)
class Shuffle:
    """As many weights in every block as the support has there, at uniformly random places. Weights do not matter.

    The places are a function of the state's seed and position. (A block that is empty or full stays as it is.)
    """

    salt: int = 0
    autonomous = False

    def __call__(self, f: Any, state: State) -> Mask:
        score = sp.uniform((*state.key, self.salt, 1), state.x)
        return Elements()(score, sp.block_counts(state.support, f.layout), f.layout)


@dataclass(frozen=True)
class Inverted:
    """-s for a score s: what it ranks first comes last."""

    of: Score

    def __call__(self, f: Any, state: State) -> Array:
        return -self.of(f, state)


def inverted(thing: Any) -> Any:
    """A move (or stage, or method) with every score inside it inverted; inverted twice it is as it was.

    Random scores stay: turned round they would be random again.
    """
    if isinstance(thing, tuple):
        return tuple(inverted(item) for item in thing)
    if not dataclasses.is_dataclass(thing) or isinstance(thing, type):
        return thing
    fields = {field.name: getattr(thing, field.name) for field in dataclasses.fields(thing) if field.init}
    changed = {name: _turned(value) if name in SCORES else inverted(value) for name, value in fields.items()}
    return thing if changed == fields else dataclasses.replace(thing, **changed)


def _turned(score: Any) -> Any:
    if isinstance(score, Random):
        return score
    return score.of if isinstance(score, Inverted) else Inverted(score)
