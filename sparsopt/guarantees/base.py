"""What all theorems share: verdicts, and runs that are observed.

>>> Verdict("T", "a <= b", "", Proof.DERIVED, promised=2.0, achieved=1.0).holds
True
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from sparsopt.guarantees.constants import Constants, roots
from sparsopt.guarantees.variations import Given, Protected, Setting, Weak, rule
from sparsopt.method import Method, run
from sparsopt.result import Result
from sparsopt.state import Array, State

__all__ = [
    "Constants",
    "Given",
    "Observed",
    "Proof",
    "Protected",
    "Setting",
    "Theorem",
    "Verdict",
    "Weak",
    "observe",
    "roots",
    "rule",
]

ROUNDING = 1e-9  # of the numbers that a promise is made of


class Proof(enum.Enum):
    """How a theorem is known."""

    DERIVED = "derived here, the proof is in the docstring"
    READ = "read in the source"
    RECALLED = "recalled, not checked against the source: reported, never a gate"


@dataclass(frozen=True)
class Verdict:
    """achieved <= promised, up to `rounding`; of many steps the one that comes closest.

    equality: achieved = promised, up to `rounding`. note: the constants it was made of, and whether it says anything.
    """

    theorem: str
    statement: str
    source: str
    proof: Proof
    promised: float
    achieved: float
    rounding: float = 0.0
    equality: bool = False
    note: str = ""

    @property
    def slack(self) -> float:
        """promised - achieved."""
        return self.promised - self.achieved

    @property
    def ratio(self) -> float:
        """achieved / promised: 1 where the bound is tight."""
        return self.achieved / self.promised if self.promised > 0 else 0.0

    @property
    def holds(self) -> bool:
        within = self.slack >= -self.rounding
        return within and (not self.equality or self.slack <= self.rounding)

    @property
    def violated(self) -> bool:
        """Whether this is a defect: a theorem that is only recalled cannot be violated."""
        return not self.holds and self.proof is not Proof.RECALLED


# ---- runs ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Observed:
    """A run with the state after every round, the start included."""

    problem: Any
    method: Method
    states: tuple[State, ...]
    result: Result
    setting: Setting = field(default_factory=Setting)

    @cached_property
    def values(self) -> tuple[float, ...]:
        """f at each of the states."""
        return tuple(float(self.problem.value(state.x)) for state in self.states)

    @cached_property
    def constants(self) -> Constants:
        return Constants(self.problem, self.setting)

    @cached_property
    def scale(self) -> float:
        """What rounding is relative to."""
        return max(abs(value) for value in self.values)

    @cached_property
    def rounding(self) -> float:
        """Of values of f."""
        return self.scale * max(ROUNDING, 100 * float(np.finfo(self.problem.dtype).eps))


def observe(problem: Any, method: Method, seed: int = 0, setting: Setting = Setting(), start: Any = None) -> Observed:
    """Run the method and keep the state after every round."""
    first = problem.start(seed) if start is None else start
    states = [first]

    def save(state: State, _: Any) -> None:
        if state.phase == 0 and not state.inner:
            states.append(state)

    result = run(method, problem, first, save=save)
    return Observed(problem, method, tuple(states), result, setting)


@dataclass(frozen=True)
class Theorem:
    """A statement with constants. claim: multiplies the promised progress; above 1 the statement is false, which is how
    the tests see that a check can fail."""

    claim: float = 1.0
    name: ClassVar[str] = ""
    statement: ClassVar[str] = ""
    source: ClassVar[str] = ""
    proof: ClassVar[Proof] = Proof.DERIVED

    def instance(self, seed: int, setting: Setting | None = None) -> Verdict | None:
        """A random small instance, run and checked; None where the assumptions are not met. setting: None, drawn."""
        raise NotImplementedError

    def tight(self) -> Verdict | None:
        """An instance on which the bound is met with equality, or nearly: a smaller constant fails there."""
        return None

    def about(self, method: Any) -> bool:
        """Whether a method is one that the theorem speaks of."""
        return False

    def about_point(self, certificates: Any) -> bool:
        """Whether it speaks of a point, whoever found it (`Certificates`)."""
        return False

    def promise(self, observed: Observed, targets: Sequence[Array]) -> Verdict | None:
        """The best that is promised for a run by comparison with any of the targets; None: nothing is."""
        return None

    def remark(self, observed: Observed) -> str:
        """What to say where nothing is promised."""
        return "its assumptions are not met here, so nothing is promised"

    def value_promise(self, observed: Observed, found: Sequence[tuple[float, str]]) -> Verdict | None:
        """The least of the promises (bound of f(x), constants it is made of): vacuous unless below the start's f."""
        if not found:
            return None
        promised, note = min(found)
        if promised >= observed.values[0] - observed.rounding:
            note += f"; vacuous here: f was {observed.values[0]:.6g} at the start"
        return self.verdict(promised, float(observed.problem.value(observed.result.x)), observed.rounding, note=note)

    def verdict(self, promised: float, achieved: float, rounding: float, **more: Any) -> Verdict:
        return Verdict(self.name, self.statement, self.source, self.proof, promised, achieved, rounding, **more)

    def closest(self, steps: Sequence[tuple[float, float, float]]) -> Verdict | None:
        """The verdict of the step (promised, achieved, rounding) that comes closest to breaking its promise."""
        if not steps:
            return None
        promised, achieved, rounding = min(
            steps, key=lambda step: (step[0] - step[1] + step[2]) / (abs(step[0]) + step[2] + 1e-300)
        )
        return self.verdict(promised, achieved, rounding)
