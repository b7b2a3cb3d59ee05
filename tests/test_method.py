"""The loop: positions, rounds, judges, resume, cycles, divergence; methods as values."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sparsopt
from sparsopt import catalogue, exchanges, fits, judges, method, moves, regularised, schedules, support, units
from sparsopt.errors import MissingCapability
from sparsopt.fits import Exact, GradientSteps, Normalised, Restrict
from sparsopt.judges import IfDecreasing, SupportStable, WhileDecreasing
from sparsopt.method import Method, Phase, Stage, autonomous, parts, run
from sparsopt.moves import Add, Choose, Everything, Gradient, Keep, Random, Stay, Swap
from sparsopt.result import Result, Status, Trace
from sparsopt.schedules import Cosine, Held, Linear, Rates
from sparsopt.state import State
from tests.conftest import scaled
from tests.toys import Quadratic, random_quadratic

IHT = catalogue.iht(2, step_size=0.3, rounds=5)


def positions(trace):
    return [(row.stage, row.round, row.phase) for row in trace]


# ---- the loop ------------------------------------------------------------------------------------------------------


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


def test_a_run_goes_on_in_a_longer_method():
    problem = random_quadratic(2)
    whole = run(catalogue.replacement(3), problem, problem.start())
    first = catalogue.omp(3)
    begun = run(first, problem, problem.start())
    rest = run(catalogue.replacement(3, start=first), problem, begun.state, trace=begun.trace)
    same_result(rest, whole)


def test_what_an_earlier_run_remembered_is_forgotten_at_the_start():
    problem = random_quadratic(2)
    done = run(catalogue.htp(3), problem, problem.start())
    assert done.status is Status.STATIONARY
    again = run(Method("m", (Stage((Phase(Stay(), Exact()),)),)), problem, done.state.but(stage=0))
    assert again.status is Status.FINISHED and again.state.ended == ""


# ---- resume --------------------------------------------------------------------------------------------------------


def same_state(one: State, two: State):
    for field in dataclasses.fields(State):
        a, b = getattr(one, field.name), getattr(two, field.name)
        if field.name in ("x", "support"):
            np.testing.assert_array_equal(a, b)
        elif field.name == "slots":
            assert a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)
        elif field.name == "before":
            assert (a is None) == (b is None)
            if a is not None:
                same_state(a, b)
        elif field.name != "saved":
            assert a == b or (a != a and b != b), field.name


def same_result(one: Result, two: Result):
    same_state(one.state, two.state)
    assert one.status is two.status and len(one.trace) == len(two.trace)
    for a, b in zip(one.trace, two.trace, strict=True):
        assert repr(a) == repr(b)


RESUMED = [
    *catalogue.METHODS,
    "iht judged",
    "swaps at random",
    "stable",
]


def method_named(name, problem, k):
    if name == "iht-with-feedback":
        return catalogue.iht_with_feedback(k, rounds=30)
    if name == "iht judged":
        return catalogue.iht(k, 0.5, rounds=8, judge=IfDecreasing()) + catalogue.htp(k)
    if name == "swaps at random":
        return catalogue.replacement(k, rounds=12, into=Random(), judge=IfDecreasing())
    if name == "stable":
        return catalogue.htp(k, judge=SupportStable(2)) + catalogue.iht(k, rounds=5)
    return catalogue.METHODS[name](k, problem)


@pytest.mark.parametrize("name", RESUMED)
def test_resume_from_every_state(name):
    """The run that is continued from any saved state and trace is the run that was never interrupted."""
    for seed in range(scaled(3)):
        problem, saved = random_quadratic(seed, n=7), []
        what = method_named(name, problem, 3)
        whole = run(what, problem, problem.start(seed), save=lambda s, t: saved.append((s, list(t.rows))))  # noqa: B023
        for state, rows in saved[:: max(1, len(saved) // 25)] + saved[-3:]:
            same_result(run(what, problem, state, trace=Trace(list(rows))), whole)


def test_unfinished_fits_resume_without_another_move():
    """A fit may return early with inner > 0: it is called again, its move is not."""
    moved, fitted = [], []

    @dataclasses.dataclass(frozen=True)
    class Count:
        autonomous = False

        def __call__(self, f, state):
            moved.append(state.round)
            return state.support

    @dataclasses.dataclass(frozen=True)
    class Slow:
        def __call__(self, oracle, state):
            fitted.append(state.inner)
            return state.but(inner=(state.inner + 1) % 3, x=state.x + 1)

    problem, saved = random_quadratic(0), []
    slow = Method("slow", (Stage((Phase(Count(), Slow()),), 2, IfDecreasing(-1e9)),))
    whole = run(slow, problem, problem.start(), save=lambda state, trace: saved.append((state, len(trace))))
    assert moved == [0, 1] and fitted == [0, 1, 2, 0, 1, 2] and [length for _, length in saved] == [0, 0, 1, 1, 1, 2]
    assert len(whole.trace) == 2 and whole.x[0] == 6
    for state, length in saved:
        same_result(run(slow, problem, state, trace=Trace(whole.trace.rows[:length])), whole)


# ---- cycles --------------------------------------------------------------------------------------------------------


def two_cycle():
    """A quadratic with L = 1 on which HTP with the step 1.9 jumps for ever between supports (by random search)."""
    for seed in range(10_000):
        problem = random_quadratic(seed, n=4, condition=30.0)
        result = run(catalogue.htp(2, step_size=1.9, rounds=30), problem, problem.start())
        if result.status is Status.CYCLE:
            return problem
    raise AssertionError("no cycle found")


def test_a_real_cycle_of_hard_thresholding_pursuit():
    problem = two_cycle()
    htp = catalogue.htp(2, step_size=1.9, rounds=200)
    result = run(htp, problem, problem.start())
    names = [row.support for row in result.trace if row.phase == 1]
    assert result.status is Status.CYCLE and "cycles" in str(result.status)
    period = next(p for p in range(1, 20) if names[-1 - p] == names[-1])
    assert period >= 2 and len(names) < 40
    free = Method("htp", (Stage(htp.stages[0].phases, 200, SupportStable(199)),))  # a judge with memory: no detection
    longer = run(free, problem, problem.start())
    late = [row.support for row in longer.trace if row.phase == 1][-2 * period :]
    assert late[:period] == late[period:] and len(set(late)) == period  # it does go on like that
    assert run(catalogue.htp(2, 1.9, 200, WhileDecreasing()), problem, problem.start()).status is Status.NO_DECREASE


@dataclasses.dataclass(frozen=True)
class Turn:
    """x walks once around a list of points, starting after `lead` others."""

    lead: int
    period: int

    def __call__(self, oracle, state):
        step = int(state.x[0])
        return state.but(x=np.array([float(step + 1 if step + 1 < self.lead + self.period else self.lead)]))


@given(st.integers(0, 40), st.integers(1, 40))
def test_cycles_of_any_length_are_found(lead, period):
    problem = Quadratic(np.eye(1), [0.0])
    turn = Method("turn", (Stage((Phase(Stay(), Turn(lead, period)),), rounds=1000),))
    result = run(turn, problem, problem.start())
    assert result.status is (Status.STATIONARY if period == 1 else Status.CYCLE)
    assert len(result.trace) <= 3 * max(lead, period) + period + 2
    if period == 1:
        assert len(result.trace) == max(lead, 1) + 1


def test_a_small_step_at_a_right_angle_is_no_fixed_point():
    """|x| is the same to 1e-16 after a turn by 1e-9, but the state is another one."""

    @dataclasses.dataclass(frozen=True)
    class Rotate:
        def __call__(self, oracle, state):
            c, s = math.cos(1e-9), math.sin(1e-9)
            return state.but(x=np.array([[c, -s], [s, c]]) @ state.x)

    problem = Quadratic(np.eye(2), [0.0, 0.0])
    result = run(
        Method("rotate", (Stage((Phase(Stay(), Rotate()),), rounds=50),)),
        problem,
        problem.start().but(x=np.array([3.0, 4.0])),
    )
    assert result.status is Status.FINISHED and len(result.trace) == 50


def test_slots_are_part_of_the_state():
    """x stands still, but a judge's memory changes until round 3."""

    @dataclasses.dataclass(frozen=True)
    class Counting:
        def __call__(self, oracle, old, new):
            count = min(float(new.slots.get("n", np.zeros(1))[0]) + 1, 3.0)
            return new.but(slots={"n": np.array([count])}), None

    problem = random_quadratic(0)
    result = run(Method("m", (Stage((Phase(Stay(), Restrict()),), 50, Counting()),)), problem, problem.start())
    assert result.status is Status.STATIONARY and len(result.trace) == 4


@pytest.mark.parametrize(
    "stage",
    [
        Stage((Phase(Swap(1, into=Random()), Exact()),), 9),
        Stage((Phase(Keep(Linear(5, 2, 3)), Exact()),), 9),
        Stage((Phase(Keep(Held(Linear(5, 2, 3), 3)), Exact()),), 9),
        Stage((Phase(Keep(lambda round, layout: 5 - round), Exact()),), 9),
        Stage((Phase(Keep(Rates((0.1,), 9)), Exact()),), 9),
        Stage((Phase(Swap(Cosine(5, 0.3, 9)), Exact()),), 9),
        catalogue.randomised(3).stages[1],
    ],
)
def test_random_and_scheduled_stages_are_never_called_cycles(stage):
    assert not autonomous(stage)


def test_rounds_that_only_look_the_same_all_run():
    """A schedule that rests, and proposals that are undone: the state repeats, the run does not."""
    problem = random_quadratic(0)
    resting = Stage((Phase(Choose(Linear(4, 3, 9), Gradient()), Restrict()),), rounds=9)
    undone = Stage((Phase(Swap(2, into=Random()), Exact()),), 30, IfDecreasing())
    result = run(Method("m", (resting, undone)), problem, problem.start())
    assert len(result.trace) == 39 and result.status is Status.FINISHED and 0 < result.seconds < 60


def test_autonomous_stages_and_their_parts():
    assert all(autonomous(stage) for stage in catalogue.iht(3).stages)
    names = [type(part).__name__ for part in parts(catalogue.niht(2))]
    expected = ["Method", "Stage", "Phase", "Everything", "GradientSteps", "Normalised", "Keep", "ShrinkStep"]
    assert [name for name in expected if name not in names] == []


# ---- divergence ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [catalogue.iht, catalogue.iht_with_feedback])
@pytest.mark.parametrize("step", [30.0, 1e200])
def test_divergence_returns_the_last_finite_iterate(make, step):
    problem = random_quadratic(3)
    result = run(make(3, step_size=step, rounds=5000), problem, problem.start())
    assert result.status is Status.NOT_FINITE and "smaller step_size" in str(result.status)
    assert np.isfinite(result.x).all() and len(result.trace) < 5000


def test_a_nan_from_a_fit_stops_the_run():
    @dataclasses.dataclass(frozen=True)
    class Broken:
        def __call__(self, oracle, state):
            return state.but(x=state.x * np.nan)

    problem = random_quadratic(3)
    result = run(Method("m", (Stage((Phase(Add(2), Exact()), Phase(Stay(), Broken()))),)), problem, problem.start())
    assert result.status is Status.NOT_FINITE and len(result.trace) == 1
    np.testing.assert_array_equal(result.x, problem.minimise_on(result.support)[0])


# ---- what fits what ------------------------------------------------------------------------------------------------


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


# ---- methods as values ---------------------------------------------------------------------------------------------

NAMES = {
    name: value
    for module in (exchanges, fits, judges, method, moves, regularised, schedules, support, units)
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
