"""A method as a problem needs it: with the problem's structure in every move, and values that respect its bounds.

Catalogue methods move single coordinates unless told otherwise. Where a problem counts groups, say, the same method is
meant on groups: `adapted` puts the problem's structure in the place of `Elements()`.

>>> from sparsopt.catalogue import iht
>>> from sparsopt.problems import Quadratic, grouped
>>> problem = grouped(Quadratic(np.eye(4), np.array([1.0, 2.0, 3.0, 0.5])), [0, 0, 1, 1])
>>> adapted(iht(1), problem).stages[0].phases[1].move
Keep(k=1, by=Magnitude(), structure=Groups(labels=(0, 0, 1, 1)))
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from sparsopt.errors import MissingCapability
from sparsopt.fits import Exact
from sparsopt.method.stages import Method, Phase, Stage
from sparsopt.moves import Score, Stay
from sparsopt.state import Array, State
from sparsopt.support import Elements, Structure

__all__ = ["Root", "adapted"]


@dataclass(frozen=True)
class Root:
    """The root of a score that adds up over coordinates: its norm over a group is then the root of the sum."""

    by: Score

    def __call__(self, f: Any, state: State) -> Array:
        return abs(self.by(f, state)) ** 0.5


def adapted(method: Method, problem: Any) -> Method:
    """The method with the problem's structure for `Elements()`, and a last refit where coefficients have bounds.

    Raises `MissingCapability` for a method with moves that know single coordinates only.
    """
    structure = getattr(problem, "structure", Elements())
    if structure != Elements():
        for stage in method.stages:
            for phase in stage.phases:
                _check_move(phase.move, method, structure)
        method = _placed(method, structure)
    if getattr(problem, "limited", False):
        method = dataclasses.replace(method, stages=(*method.stages, Stage((Phase(Stay(), Exact()),))))
    return method


def _check_move(move: Any, method: Method, structure: Structure) -> None:
    """A move chooses coordinates through a structure, or has nothing to choose, and then no fields."""
    if not hasattr(move, "structure") and dataclasses.fields(move):
        raise MissingCapability(
            f"{type(move).__name__} of method '{method.name}' chooses single coordinates, but the problem allows only "
            f"supports of {_short(structure)}; fully-corrective, omp, replacement, backward-elimination, iht, htp and "
            "auto know structures"
        )


def _short(structure: Structure) -> str:
    text = repr(structure)
    return text if len(text) <= 80 else f"{text[:70]}...)"


def _placed(thing: Any, structure: Structure) -> Any:
    """The same parts, with the structure for `Elements()`, and there roots of scores that add up."""
    if isinstance(thing, tuple):
        return tuple(_placed(item, structure) for item in thing)
    if not dataclasses.is_dataclass(thing) or isinstance(thing, type):
        return thing
    if thing == Elements():
        return structure
    old = {field.name: getattr(thing, field.name) for field in dataclasses.fields(thing) if field.init}
    new = {name: _placed(value, structure) for name, value in old.items()}
    if old.get("structure") == Elements():
        new = {name: Root(value) if getattr(value, "additive", False) else value for name, value in new.items()}
    return dataclasses.replace(thing, **new) if new != old else thing
