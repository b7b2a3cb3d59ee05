"""What a method is made of: phases, stages, and the method itself. All are values: equal, hashable, readable.

>>> from sparsopt.fits import Exact
>>> from sparsopt.moves import Add
>>> omp = Method("omp", (Stage((Phase(Add(1), Exact()),), rounds=3),))
>>> [type(part).__name__ for part in parts(omp)][:4]
['Method', 'Stage', 'Phase', 'Add']
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sparsopt.fits import Fit
from sparsopt.judges import Judge
from sparsopt.moves import Move
from sparsopt.result import Result

__all__ = ["Method", "Phase", "Stage", "parts"]


@dataclass(frozen=True)
class Phase:
    """One move and one fit."""

    move: Move
    fit: Fit


@dataclass(frozen=True)
class Stage:
    """A cycle of phases, repeated; the judge sees the state before and after each round."""

    phases: tuple[Phase, ...]
    rounds: int = 1
    judge: Judge | None = None


@dataclass(frozen=True)
class Method:
    """Stages, run one after the other."""

    name: str
    stages: tuple[Stage, ...]
    source: str = ""
    structured = True  # knows the structure of a problem

    def __add__(self, other: Method) -> Method:
        source = "; ".join(text for text in (self.source, other.source) if text)
        return Method(f"{self.name} + {other.name}", self.stages + other.stages, source)

    def solve(self, problem: Any, k: int, seed: int) -> Result:
        """`run` from the problem's start: what `sparsopt.solve` asks of a solver. k is in the parts already."""
        from sparsopt.method import adapted, run  # which take methods themselves

        return run(adapted(self, problem), problem, problem.start(seed))


def parts(thing: Any) -> Iterator[Any]:
    """Every frozen dataclass inside a method, itself included, and every plain function.

    Not the fields that a part names in `elsewhere`: what is in them runs on another function than the method's.
    """
    if callable(thing) and not dataclasses.is_dataclass(thing):
        yield thing
    elif dataclasses.is_dataclass(thing):
        yield thing
        for field in dataclasses.fields(thing):
            if field.name not in getattr(thing, "elsewhere", ()):
                yield from parts(getattr(thing, field.name))
    elif isinstance(thing, tuple):
        for item in thing:
            yield from parts(item)
