"""Methods, and the one loop that runs them.

One move and one fit make a phase; a stage repeats a cycle of phases, its judge looks at whole rounds; a method is a
tuple of stages and closed under `+`. Iterative hard thresholding, for example:

    iht = Method("iht", (Stage((Phase(Everything(), GradientSteps()), Phase(Keep(5), Restrict())), rounds=100),))

`run` is the only loop over iterations in the project: the same object runs on a NumPy problem and on a network.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sparsopt import support as sp
from sparsopt.errors import MissingCapability
from sparsopt.fits import Fit
from sparsopt.judges import Judge
from sparsopt.moves import Move
from sparsopt.result import Result, Row, Status, Trace
from sparsopt.state import State

__all__ = ["Method", "Phase", "Stage", "parts", "run"]

Measure = Callable[[State], Mapping[str, Any]]
Save = Callable[[State, Trace], None]


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

    def __add__(self, other: Method) -> Method:
        source = "; ".join(text for text in (self.source, other.source) if text)
        return Method(f"{self.name} + {other.name}", self.stages + other.stages, source)


def parts(thing: Any) -> Iterator[Any]:
    """Every frozen dataclass inside a method, itself included."""
    if dataclasses.is_dataclass(thing):
        yield thing
        for field in dataclasses.fields(thing):
            yield from parts(getattr(thing, field.name))
    elif isinstance(thing, tuple):
        for item in thing:
            yield from parts(item)


def check(method: Method, oracle: Any) -> None:
    """Every part says what it `needs`; refuse before anything runs, naming both objects."""
    for part in parts(method):
        for need in getattr(part, "needs", ()):
            if not hasattr(oracle, need) and not hasattr(type(oracle), need):
                raise MissingCapability(
                    f"{type(part).__name__} of method '{method.name}' needs {need}(), which {type(oracle).__name__} "
                    f"does not have. Give the oracle a {need}(), or use a method without {type(part).__name__}"
                )


def run(
    method: Method,
    oracle: Any,
    state: State,
    *,
    measure: Measure | None = None,
    save: Save | None = None,
    trace: Trace | None = None,
) -> Result:
    """Run the method from `state` to its end.

    measure(state) -> mapping, put into the trace after every phase; save(state, trace) is called whenever the state is
    complete (after every phase, and inside long fits). To continue a run, pass the state and trace that were saved.
    """
    check(method, oracle)
    began = time.perf_counter()
    loop = _Loop(method, oracle.open(), Trace() if trace is None else trace, measure, save)
    state, status = loop.run(state)
    return Result(state, status, loop.trace, method, time.perf_counter() - began)


class _Loop:
    """The state of the loop itself: nothing here outlives a run or matters to its result."""

    def __init__(self, method: Method, oracle: Any, trace: Trace, measure: Measure | None, save: Save | None) -> None:
        self.method, self.oracle, self.trace = method, oracle, trace
        self.measure, self.save = measure, save
        self.recurrence = _Recurrence(method.stages[0]) if method.stages else None
        self.support = ""  # digest of the present support

    def run(self, state: State) -> tuple[State, Status]:
        status = Status.FINISHED
        while state.stage < len(self.method.stages):
            stage = self.method.stages[state.stage]
            if state.round >= stage.rounds:  # only a stage without rounds
                state = self._next_stage(state)
                continue
            last = state
            state = self._phase(stage, state)
            if not sp.finite(state.x):
                return last, Status.NOT_FINITE
            if not state.inner:
                self._record(state)
                state, ended = self._advance(stage, state)
                status = ended or status
            if self.save is not None:
                self.save(state, self.trace)
        return state, status

    def _phase(self, stage: Stage, state: State) -> State:
        """One phase, or the rest of one that a fit has left unfinished."""
        if state.phase == 0 and state.inner == 0 and stage.judge is not None:
            state = state.but(before=state.but(before=None, saved={}))
        phase = stage.phases[state.phase]
        if state.inner == 0:
            state = state.but(support=phase.move(self.oracle.at(state), state))
        return phase.fit(self.oracle, state)

    def _record(self, state: State) -> None:
        self.support = sp.digest(state.support)
        measured = {} if self.measure is None else dict(self.measure(state))
        size, position = sp.count(state.support), (state.stage, state.round, state.phase)
        self.trace.rows.append(Row(*position, size, self.support, state.value, state.clock, state.cost, measured))

    def _advance(self, stage: Stage, state: State) -> tuple[State, Status | None]:
        """To the next phase; after a round, past its judge to the next round or stage."""
        if state.phase + 1 < len(stage.phases):
            return state.but(phase=state.phase + 1), None
        status = None
        if stage.judge is not None and state.before is not None:
            state, status = stage.judge(self.oracle, state.before, state)
        if status is None:
            status = self._recurs(stage, state)
        state = state.but(round=state.round + 1, phase=0, before=None)
        return (state if status is None and state.round < stage.rounds else self._next_stage(state)), status

    def _recurs(self, stage: Stage, state: State) -> Status | None:
        if self.recurrence is None or self.recurrence.stage is not stage:
            self.recurrence = _Recurrence(stage)
        return self.recurrence.seen(state)

    def _next_stage(self, state: State) -> State:
        return state.but(stage=state.stage + 1, round=0, phase=0, before=None)


class _Recurrence:
    """Notices that a stage has come back to a state it was in before: from there on it would only repeat itself.

    Only for stages whose next round is a function of (x, support, slots): no part is random or looks at the round.
    """

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.applies = all(getattr(part, "autonomous", True) for part in parts(stage))
        self.rounds: dict[str, tuple[int, float]] = {}
        self.slots: Any = None

    def seen(self, state: State) -> Status | None:
        if not self.applies:
            return None
        if state.slots is not self.slots:  # a judge or fit changed its memory: what came before says nothing
            self.rounds.clear()
            self.slots = state.slots
        name, norm = sp.digest(state.support), sp.square_norm(state.x)
        earlier = self.rounds.get(name)
        self.rounds[name] = (state.round, norm)
        if earlier is None or not math.isclose(earlier[1], norm, rel_tol=1e-14, abs_tol=1e-300):
            return None
        return Status.STATIONARY if earlier[0] == state.round - 1 else Status.CYCLE
