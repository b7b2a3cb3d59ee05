"""The only loop over iterations in the project.

A phase is one move and one fit; what is new after it goes into the trace; a judge looks at whole rounds. The loop ends
where the stages do, or where x is not finite any more.

>>> from sparsopt.catalogue import omp
>>> from sparsopt.problems import Quadratic
>>> problem = Quadratic(np.eye(3), np.array([1.0, 3.0, 2.0]))
>>> result = run(omp(2), problem, problem.start(0))
>>> result.x, result.trace.column("size")
(array([0., 3., 2.]), [1, 2])
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from sparsopt import support as sp
from sparsopt.errors import MissingCapability
from sparsopt.method.recurrence import Recurrence
from sparsopt.method.stages import Method, Stage, parts
from sparsopt.result import Result, Row, Status, Trace
from sparsopt.state import State

Measure = Callable[[State], Mapping[str, Any]]
Save = Callable[[State, Trace], None]

__all__ = ["check", "run"]


def check(method: Method, oracle: Any, state: State) -> None:
    """Every part says what it `needs`, of the oracle or of its f; refuse before anything runs, naming both objects."""
    f = oracle.at(state)
    for part in parts(method):
        for need in getattr(part, "needs", ()):
            if not hasattr(oracle, need) and not hasattr(f, need):
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
    complete (after every phase, and inside long fits). To continue a run, pass the state and trace that were saved
    (the trace is appended to). A result's state continues in a longer method that begins with the same stages.
    """
    check(method, oracle, state)
    began = time.perf_counter()
    if (state.stage, state.round, state.phase, state.inner) == (0, 0, 0, 0):
        state = state.but(seen=(), ended="")  # what an earlier run remembered is not this one's
    loop = _Loop(method, oracle.open(), Trace() if trace is None else trace, measure, save)
    with np.errstate(over="ignore", invalid="ignore"):  # divergence is a status here, not a warning
        state, status = loop.run(state)
    return Result(state, status, loop.trace, method, time.perf_counter() - began)


class _Loop:
    """The state of the loop itself: nothing here outlives a run or matters to its result."""

    def __init__(self, method: Method, oracle: Any, trace: Trace, measure: Measure | None, save: Save | None) -> None:
        self.method, self.oracle, self.trace = method, oracle, trace
        self.measure, self.save = measure, save
        self.recurrence = Recurrence()

    def run(self, state: State) -> tuple[State, Status]:
        while state.stage < len(self.method.stages):
            stage = self.method.stages[state.stage]
            if state.round >= stage.rounds:  # only a stage without rounds
                state = self._next_stage(state, None)
                continue
            last = state
            state = self._phase(stage, state)
            if not sp.finite(state.x):
                return last, Status.NOT_FINITE
            if not state.inner:
                self._record(state)
                state = self._advance(stage, state)
            if self.save is not None:
                self.save(state, self.trace)
        return state, Status[state.ended] if state.ended else Status.FINISHED

    def _phase(self, stage: Stage, state: State) -> State:
        """One phase, or the rest of one that a fit has left unfinished."""
        if state.phase == 0 and state.inner == 0 and stage.judge is not None:
            state = state.but(before=state.but(before=None, saved={}))
        phase = stage.phases[state.phase]
        if state.inner == 0:
            state = state.but(support=phase.move(self.oracle.at(state), state))
        return phase.fit(self.oracle, state)

    def _record(self, state: State) -> None:
        measured = {} if self.measure is None else dict(self.measure(state))
        size, name = sp.count(state.support), sp.digest(state.support)
        position = (state.stage, state.round, state.phase)
        self.trace.rows.append(Row(*position, size, name, state.value, state.clock, state.cost, measured))

    def _advance(self, stage: Stage, state: State) -> State:
        """To the next phase; after a round, past its judge to the next round or stage."""
        if state.phase + 1 < len(stage.phases):
            return state.but(phase=state.phase + 1)
        status = None
        if stage.judge is not None and state.before is not None:
            state, status = stage.judge(self.oracle, state.before, state)
        if status is None:
            state, status = self.recurrence(stage, state)
        state = state.but(round=state.round + 1, phase=0, before=None)
        return state if status is None and state.round < stage.rounds else self._next_stage(state, status)

    def _next_stage(self, state: State, status: Status | None) -> State:
        ended = state.ended if status is None else status.name
        return state.but(stage=state.stage + 1, round=0, phase=0, before=None, seen=(), ended=ended)
