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

from nets.scores import Inverted
from sparsopt import support as sp
from sparsopt.moves import Random
from sparsopt.state import Array, Layout, Mask, State
from sparsopt.support import Elements

__all__ = ["Inverted", "Shuffle", "Worst", "inverted"]

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
class Worst:
    """A structure of units (whole groups) that takes those which `of` would leave: all candidates but its best.

    The norm of a group does not see the sign of its scores, so that `Inverted` would keep the same groups.
    """

    of: Any

    def size(self, support: Mask) -> int:
        return sp.size(self.of, support)

    def __call__(self, score: Array, counts: int, layout: Layout, within: Mask | None = None) -> Mask:
        candidates = sp.everything(score) if within is None else within
        return candidates & ~self.of(score, max(0, self.size(candidates) - counts), layout, within)


def inverted(thing: Any) -> Any:
    """A move (or stage, or method) with every score inside it inverted; inverted twice it is as it was.

    Random scores stay: turned round they would be random again. Moves that choose whole groups get `Worst` instead.
    """
    if isinstance(thing, tuple):
        return tuple(inverted(item) for item in thing)
    if not dataclasses.is_dataclass(thing) or isinstance(thing, type):
        return thing
    fields = {field.name: getattr(thing, field.name) for field in dataclasses.fields(thing) if field.init}
    if hasattr(fields.get("structure"), "size"):
        return dataclasses.replace(thing, structure=_turned(fields["structure"], Worst))
    changed = {name: _turned(value, Inverted) if name in SCORES else inverted(value) for name, value in fields.items()}
    return thing if changed == fields else dataclasses.replace(thing, **changed)


def _turned(part: Any, turn: type) -> Any:
    if isinstance(part, Random):
        return part
    return part.of if isinstance(part, turn) else turn(part)
