"""A run that is continued from any state is the run that was never interrupted."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from sparsopt import catalogue
from sparsopt.fits import Exact
from sparsopt.judges import IfDecreasing, SupportStable
from sparsopt.method import Method, Phase, Stage, run
from sparsopt.moves import Random, Stay
from sparsopt.result import Result, Status, Trace
from sparsopt.state import State
from tests.conftest import scaled
from tests.toys import random_quadratic


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


def test_rounds_that_an_earlier_run_remembered_are_no_rounds_of_this_one():
    """A state taken out of the middle and put at the start: it takes two rounds, not one, to see that nothing moves."""
    problem, saved = random_quadratic(2), []
    still = Method("still", (Stage((Phase(Stay(), Exact()),), 50),))
    whole = run(still, problem, problem.start(), save=lambda state, trace: saved.append(state))
    assert whole.status is Status.STATIONARY and len(whole.trace) == 2 and saved[0].seen
    again = run(still, problem, saved[0].but(stage=0, round=0, phase=0))
    assert again.status is Status.STATIONARY and len(again.trace) == 2
