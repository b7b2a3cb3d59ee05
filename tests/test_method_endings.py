"""How a stage ends before its rounds are over: it stands still, cycles, or diverges."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsopt import catalogue
from sparsopt.fits import Exact, Restrict
from sparsopt.judges import IfDecreasing, SupportStable, WhileDecreasing
from sparsopt.method import Method, Phase, Stage, autonomous, parts, run
from sparsopt.moves import Add, Choose, Gradient, Keep, Random, Stay, Swap
from sparsopt.result import Status
from sparsopt.schedules import Cosine, Held, Linear, Rates, RatesTo
from tests.toys import Quadratic, random_quadratic

# ---- cycles ----------------------------------------------------------------------------------------------------------


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
        Stage((Phase(Keep(RatesTo(3, (0.1,), 9)), Exact()),), 9),
        Stage((Phase(Choose(3, Random()), Exact()),), 9),
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


# ---- divergence ------------------------------------------------------------------------------------------------------


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
