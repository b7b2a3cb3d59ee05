"""The loop: positions, rounds, judges; what fits what; methods as values."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest

import sparsopt
from sparsopt import catalogue, fits, judges, method, moves, regularised, schedules, support
from sparsopt.errors import MissingCapability
from sparsopt.fits import Exact, GradientSteps, Normalised, Restrict
from sparsopt.judges import WhileDecreasing
from sparsopt.method import Method, Phase, Stage, parts, run
from sparsopt.moves import Add, Choose, Everything, Gradient, Keep, Stay
from sparsopt.result import Status
from sparsopt.state import State
from tests.toys import random_quadratic

IHT = catalogue.iht(2, step_size=0.3, rounds=5)


def positions(trace):
    return [(row.stage, row.round, row.phase) for row in trace]


# ---- the loop --------------------------------------------------------------------------------------------------------


def test_positions_rounds_and_stages():
    problem = random_quadratic(0)
    nothing = Stage((Phase(Stay(), Restrict()),), rounds=0)
    three = Stage((Phase(Add(1), Exact()), Phase(Stay(), GradientSteps(2, 0.1))), rounds=3)
    result = run(Method("m", (nothing, three, nothing, Stage((Phase(Keep(1), Exact()),)))), problem, problem.start(4))
    expected = [(1, r, p) for r in range(3) for p in range(2)] + [(3, 0, 0)]
    assert positions(result.trace) == expected
    assert result.trace.column("size") == [1, 1, 2, 2, 3, 3, 1]
    assert result.trace.column("cost") == [1, 3, 4, 6, 7, 9, 10] == result.trace.column("clock")
    state = result.state
    assert (state.stage, state.round, state.phase, state.inner, state.seed) == (4, 0, 0, 0, 4)
    assert state.before is None and state.seen == () and result.status is Status.FINISHED


def test_an_empty_method_returns_the_start():
    problem = random_quadratic(0)
    start = problem.start(0)
    result = run(Method("none", ()), problem, start)
    assert result.x is start.x and len(result.trace) == 0 and result.status is Status.FINISHED


def test_the_trace_knows_values_only_where_a_fit_does():
    problem = random_quadratic(0)
    result = run(
        Method("m", (Stage((Phase(Everything(), Exact()), Phase(Keep(2), Restrict()))),)), problem, problem.start()
    )
    first, second = result.trace.column("value")
    assert first == pytest.approx(problem.value(problem.minimise_on(np.ones(8, dtype=bool))[0]))
    assert math.isnan(second) and math.isnan(result.value)


def test_measure_goes_into_the_trace_and_save_sees_every_state():
    problem, saved = random_quadratic(0), []
    result = run(
        IHT,
        problem,
        problem.start(),
        measure=lambda state: {"loss": problem.value(state.x)} if state.phase == 1 else {},
        save=lambda state, trace: saved.append((state, len(trace))),
    )
    assert [length for _, length in saved] == list(range(1, 11))
    assert saved[-1][0] is result.state
    losses = result.trace.column("loss")
    assert len(losses) == 5 and losses[-1] == problem.value(result.x)


def test_a_judge_sees_the_round_from_its_start():
    seen = []

    @dataclasses.dataclass(frozen=True)
    class Watch:
        def __call__(self, oracle, old, new):
            seen.append((old.x.copy(), new.x.copy(), old.before, old.round))
            return new, None

    problem = random_quadratic(0)
    stage = Stage((Phase(Add(1), GradientSteps(1, 0.1)), Phase(Stay(), GradientSteps(1, 0.1))), 3, Watch())
    run(Method("m", (stage,)), problem, problem.start())
    assert [position for *_, position in seen] == [0, 1, 2]
    np.testing.assert_array_equal(seen[0][0], np.zeros(8))
    for (_, new, *_), (old, *_) in itertools.pairwise(seen):
        np.testing.assert_array_equal(new, old)
    assert all(before is None for _, _, before, _ in seen)


def test_a_status_ends_its_stage_and_the_next_one_runs():
    problem = random_quadratic(1)
    stop = Stage((Phase(Stay(), Exact()),), 50, WhileDecreasing())
    result = run(Method("m", (stop, Stage((Phase(Add(1), Exact()),)))), problem, problem.start())
    assert positions(result.trace) == [(0, 0, 0), (1, 0, 0)]
    assert result.status is Status.NO_DECREASE  # what ended the last stage that did not use up its rounds


# ---- what fits what --------------------------------------------------------------------------------------------------


def test_a_missing_capability_is_named_before_anything_runs():
    class Bare:
        layout = sparsopt.Layout.single(3)

        def at(self, state):
            return self

        def gradient(self, x):
            return x

    with pytest.raises(
        MissingCapability,
        match=r"InverseSmoothness of method 'iht' needs smoothness\(\), which Bare does not have.*without Inverse",
    ):
        run(catalogue.iht(2), Bare(), State(np.zeros(3), np.zeros(3, dtype=bool)))
    with pytest.raises(MissingCapability, match=r"Gain of method 'omp' needs curvature\(\)"):
        run(catalogue.omp(2), Bare(), State(np.zeros(3), np.zeros(3, dtype=bool)))
    with pytest.raises(MissingCapability, match=r"ShrinkStep of method 'niht' needs|Normalised of method 'niht' needs"):
        run(catalogue.niht(2), Bare(), State(np.zeros(3), np.zeros(3, dtype=bool)))


def test_a_need_may_be_met_by_the_function_instead_of_the_oracle():
    problem = random_quadratic(0)

    class Outer:
        def __init__(self):
            self.layout = problem.layout

        def open(self):
            return self

        def at(self, state):
            return problem

    assert run(IHT, Outer(), problem.start()).status is Status.FINISHED


# ---- methods as values -----------------------------------------------------------------------------------------------


NAMES = {
    name: value
    for module in (fits, judges, method, moves, regularised, schedules, support)
    for name, value in vars(module).items()
    if isinstance(value, type)
}


@pytest.mark.parametrize("name", catalogue.METHODS)
def test_repr_is_valid_python(name):
    made = catalogue.METHODS[name](3, random_quadratic(0))
    assert eval(repr(made), dict(NAMES)) == made and hash(made) == hash(eval(repr(made), dict(NAMES)))


def test_methods_add_up():
    both = catalogue.omp(2) + catalogue.iht(2)
    assert both.stages == catalogue.omp(2).stages + catalogue.iht(2).stages and both.name == "omp + iht"
    assert both.source == f"{catalogue.omp(2).source}; {catalogue.iht(2).source}"
    assert (Method("a", ()) + Method("b", (), "c")).source == "c"


def test_normalised_is_shared_by_step_and_judge():
    made = catalogue.niht(4)
    assert [part for part in parts(made) if part == Normalised(4)] == [Normalised(4)] * 2


def test_print_of_a_result():
    problem = random_quadratic(0)
    result = run(catalogue.omp(3), problem, problem.start())
    lines = str(result).splitlines()
    assert lines[0] == "method       omp" and lines[1] == "status       All rounds of the method were done."
    assert lines[2] == "support      3 of 8 coordinates (3 non-zero)" and lines[3].startswith("value        ")
    assert lines[4].startswith("phases       3 in ") and len(lines) == 5
    assert result.lower_bound == -math.inf and result.gap == math.inf


def test_choose_ignores_the_support():
    """Choose is the same whatever S is; Keep is not: the feedback methods depend on it."""
    problem, x = random_quadratic(0), np.arange(8.0)
    small = State(x, np.arange(8) < 3)
    assert np.flatnonzero(Choose(2)(problem, small)).tolist() == [6, 7]
    assert np.flatnonzero(Keep(2)(problem, small)).tolist() == [1, 2]
    assert Gradient()(problem, small).shape == (8,)
