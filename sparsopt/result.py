"""What a run returns: the last state, why it stopped, and what happened on the way.

>>> from sparsopt.problems import Quadratic
>>> result = sparsopt.solve(Quadratic(np.eye(3), np.array([1.0, 3.0, 2.0])), 2, "omp")
>>> result.value, result.trace.column("size")
(-6.5, [1, 2])
>>> print(result.status)
All rounds of the method were done.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sparsopt import support as sp
from sparsopt.state import Array, Mask, State

__all__ = ["Result", "Row", "Status", "Trace"]


class Status(enum.Enum):
    """Why a run stopped. The value is a sentence for the user: what happened and, where useful, what to do."""

    FINISHED = "All rounds of the method were done."
    STATIONARY = "The last round changed neither support nor weights: a fixed point of the method."
    CYCLE = (
        "The supports came back to an earlier one: the method cycles and the last iterate was returned. "
        "A shorter step, or a judge that asks for decrease, breaks the cycle."
    )
    NO_DECREASE = "The last proposal did not lower the objective and was undone: a local optimum of this move."
    TARGET = "The objective reached the target that was given."
    SUPPORT_STABLE = "The support stopped changing."
    PLATEAU = "The loss on held-out samples stopped falling."
    NOT_FINITE = (
        "A weight became NaN or infinite; the last finite iterate was returned. "
        "The step is probably too long: give a smaller step_size (or learning rate)."
    )
    CLIPPED = "k is not below the number of coordinates: nothing is sparse, the unconstrained minimiser was returned."
    PROVED = "The search is complete: no support of this size has a lower value, beyond rounding."
    LIMIT = (
        "Time or nodes ran out before the search was complete: the best point found and a lower bound were returned. "
        "More seconds, a smaller k or a larger ridge make the gap smaller."
    )
    NO_BOUND = (
        "The objective is not strongly convex (more coordinates than rows, or dependent ones, and no ridge), so there "
        "is no lower bound to search with: the best point of the start was returned. Give ridge > 0."
    )
    BEST_OF_SEVERAL = "Several methods were run; the best of their points was returned."

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Row:
    """One phase: where, the support's size and digest, f if known, the clocks, and what `measure` returned."""

    stage: int
    round: int
    phase: int
    size: int
    support: str
    value: float
    clock: int
    cost: int
    measured: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Trace:
    """The phases of a run in order. Equal runs have equal traces (no wall time is in it)."""

    rows: list[Row] = field(default_factory=list)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def column(self, name: str) -> list[Any]:
        """A field of every row, or a measured quantity of every row that has it."""
        if name in Row.__dataclass_fields__:
            return [getattr(row, name) for row in self.rows]
        return [row.measured[name] for row in self.rows if name in row.measured]


@dataclass(frozen=True)
class Result:
    """The outcome of `run`. certificates: what can be shown about (problem, x, k), computed from those alone.

    proof: of a solver that searches exhaustively, its own lower bound and what it rests on.
    """

    state: State
    status: Status
    trace: Trace
    method: Any
    seconds: float
    certificates: Any = None
    proof: Any = None

    @property
    def x(self) -> Array:
        return self.state.x

    @property
    def support(self) -> Mask:
        return self.state.support

    @property
    def value(self) -> float:
        """f(x), recomputed from the returned point where a problem is attached."""
        return self.state.value if self.certificates is None else self.certificates.value

    @property
    def lower_bound(self) -> float:
        """No vector with at most k non-zeros has a smaller f than this (-inf: no bound is known)."""
        proved = -math.inf if self.proof is None else self.proof.lower_bound
        if self.certificates is None or (self.proof is not None and self.proof.complete):
            return proved
        return max(proved, self.certificates.lower_bound)

    @property
    def gap(self) -> float:
        """value - lower_bound, never below 0; 0 means proved optimal, inf that no bound is known."""
        return max(self.value - self.lower_bound, 0.0) if math.isfinite(self.lower_bound) else math.inf

    def _bound_in_words(self) -> str:
        bound, floor = self.lower_bound, getattr(self.certificates, "floor", -math.inf)
        if -math.inf < bound <= floor < self.value:
            return f"none but {floor:.8g}, which f is never below"
        return f"{bound:.8g} (gap {self.gap:.3g})" if math.isfinite(bound) else "none known"

    def __str__(self) -> str:
        size, nonzero = sp.count(self.support), sp.count(self.x != 0)
        rows = [
            ("method", getattr(self.method, "name", repr(self.method))),
            ("status", str(self.status)),
            ("support", f"{size} of {self.x.shape[0]} coordinates ({nonzero} non-zero)"),
            ("value", f"{self.value:.8g}"),
        ]
        if self.certificates is not None:
            rows.append(("lower bound", self._bound_in_words()))
            if self.proof is None or not self.proof.complete:
                rows.append(("shown", str(self.certificates.standing)))
        taken = f"{self.seconds:.3g} s"
        rows.append(("phases", f"{len(self.trace)} in {taken}") if len(self.trace) else ("time", taken))
        return "\n".join(f"{name:<12} {text}" for name, text in rows)
