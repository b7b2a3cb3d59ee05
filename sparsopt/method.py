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

import numpy as np

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

ROUNDING = 1e-14  # relative difference of two states that are called the same


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
        from sparsopt.adapted import adapted  # which is made of methods itself

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
        self.recurrence = _Recurrence()

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


class _Recurrence:
    """Notices that a stage is back where it was after an earlier round: from there on it would only repeat itself.

    Only for stages whose next round is a function of (x, support, slots): no part is random or looks at the round.
    `state.seen` holds the last round and one at a power of two, which finds cycles of any length in constant memory
    (Brent 1980). A round is known by the support's name and, for x and each slot, its norm and a fixed projection:
    the norm alone would take a small step at a right angle for none.
    """

    def __init__(self) -> None:
        self.stage: Stage | None = None
        self.applies = False
        self.directions: dict[int, np.ndarray] = {}

    def __call__(self, stage: Stage, state: State) -> tuple[State, Status | None]:
        if stage is not self.stage:
            self.stage, self.applies = stage, stage.rounds > 1 and autonomous(stage)
        if not self.applies:
            return state, None
        here = (state.round, sp.digest(state.support), self._marks(state))
        last, anchor = state.seen or (None, here)
        if last is not None and _same(last, here):
            return state, Status.STATIONARY
        if last is not None and _same(anchor, here):
            return state, Status.CYCLE
        if state.round & (state.round + 1) == 0:
            anchor = here
        return state.but(seen=(here, anchor)), None

    def _marks(self, state: State) -> tuple[tuple[float, float], ...]:
        arrays = (state.x, *(state.slots[name] for name in sorted(state.slots)))
        return tuple((math.sqrt(_square(array)), sp.projection(array, self._direction(array))) for array in arrays)

    def _direction(self, array: Any) -> np.ndarray:
        size = math.prod(array.shape)
        if size not in self.directions:
            self.directions[size] = np.cos(np.arange(1.0, size + 1))
        return self.directions[size]


def autonomous(stage: Stage) -> bool:
    """Whether no part of the stage is random or looks at the round. A plain function has not said so."""
    return all(getattr(part, "autonomous", dataclasses.is_dataclass(part)) for part in parts(stage))


def _square(array: Any) -> float:
    flat = array.reshape(-1)
    return float((flat * flat).sum())


def _same(one: tuple[Any, ...], two: tuple[Any, ...]) -> bool:
    """The same support, and numbers that agree to rounding. (A norm that overflows agrees with nothing.)"""
    if one[1] != two[1] or len(one[2]) != len(two[2]):
        return False
    return all(
        math.isfinite(norm_a) and max(abs(a - b), abs(norm_a - norm_b)) <= ROUNDING * norm_a
        for (norm_a, a), (norm_b, b) in zip(one[2], two[2], strict=True)
    )
