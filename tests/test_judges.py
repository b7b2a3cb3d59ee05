"""Judges: accept, revert, stop. What goes back and what goes on."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sparsopt.fits import Normalised
from sparsopt.judges import IfDecreasing, RecordGains, ShrinkStep, SupportStable, WhileDecreasing, value_of
from sparsopt.result import Status
from sparsopt.state import State
from tests.toys import Quadratic

PROBLEM = Quadratic(np.eye(3), [0.0, 0.0, 0.0])  # f = |x|^2 / 2


def at(x, support=(True, True, True), **fields):
    return State(np.array(x, dtype=float), np.array(support), **fields)


def test_value_of_asks_only_where_it_is_unknown():
    assert value_of(PROBLEM, at([2, 0, 0])) == 2.0
    assert value_of(PROBLEM, at([2, 0, 0], value=7.0)) == 7.0


@pytest.mark.parametrize("judge", [IfDecreasing(), WhileDecreasing()])
def test_decrease_is_accepted_with_its_value(judge):
    old, new = at([2, 0, 0]), at([1, 0, 0], cost=5)
    state, status = judge(PROBLEM, old, new)
    assert status is None and state.value == 0.5 and state.cost == 5
    np.testing.assert_array_equal(state.x, new.x)


@pytest.mark.parametrize(("judge", "status"), [(IfDecreasing(), None), (WhileDecreasing(), Status.NO_DECREASE)])
@pytest.mark.parametrize("x", [(0, 2, 0), (3, 0, 0)])  # equal is no decrease
def test_anything_else_is_undone_but_the_clocks_go_on(judge, status, x):
    old = at([2, 0, 0], (True, False, False), slots={"a": np.ones(1)}, clock=1, cost=1)
    new = at(x, (False, True, False), slots={"b": np.ones(1)}, clock=9, cost=8, round=4)
    state, found = judge(PROBLEM, old, new)
    assert found is status
    assert state.x is old.x and state.support is old.support and state.slots is old.slots and state.value == 2.0
    assert (state.clock, state.cost, state.round) == (9, 8, 4)


def test_tolerance_is_relative():
    """From 2 to 1.9 is a fall by 5 %."""
    old, new = at([0, 0, 0], value=2.0), at([0, 0, 0], value=1.9)
    assert WhileDecreasing(0.049)(PROBLEM, old, new)[1] is None
    assert WhileDecreasing(0.051)(PROBLEM, old, new)[1] is Status.NO_DECREASE
    below = at([0, 0, 0], value=-2.0), at([0, 0, 0], value=-2.1)
    assert WhileDecreasing(0.049)(PROBLEM, *below)[1] is None
    assert WhileDecreasing(0.051)(PROBLEM, *below)[1] is Status.NO_DECREASE
    unknown = at([0, 0, 0], value=math.inf)
    assert WhileDecreasing()(PROBLEM, old, unknown)[1] is Status.NO_DECREASE


def rounds_of(judge, supports):
    """The statuses of a run through these supports, the first one being the start."""
    state, found = at([0] * 4, supports[0]), []
    for support in supports[1:]:
        state, status = judge(PROBLEM, state, state.but(support=np.array(support)))
        found.append(status)
    return found, state


A, B, C = (True, True, False, False), (True, False, True, False), (False, False, True, True)


def test_support_stable_looks_back_as_far_as_its_window():
    stable = Status.SUPPORT_STABLE
    assert rounds_of(SupportStable(), [A, B, B])[0] == [None, stable]
    assert rounds_of(SupportStable(2), [A, B, B, B])[0] == [None, None, stable]
    assert rounds_of(SupportStable(3), [A, B, B, B, B])[0] == [None] * 3 + [stable]
    assert rounds_of(SupportStable(2), [A, B, A, B, B])[0] == [None] * 4  # B A B B: one of the last two was A


def test_support_stable_tolerance_is_a_share_of_n():
    """A and B differ in 2 of 4 places, A and C in all."""
    assert rounds_of(SupportStable(1, 0.5), [A, B])[0] == [Status.SUPPORT_STABLE]
    assert rounds_of(SupportStable(1, 0.49), [A, B])[0] == [None]
    assert rounds_of(SupportStable(1, 0.5), [A, C])[0] == [None]


def test_support_stable_forgets_when_it_stops():
    running, state = rounds_of(SupportStable(2), [A, B, B])
    assert running == [None, None] and state.slots["recent"].shape == (2, 4)
    assert "recent" not in rounds_of(SupportStable(2), [A, B, B, B])[1].slots


def test_record_gains():
    judge = RecordGains(3)
    one = judge(PROBLEM, at([3, 0, 0], (False,) * 3), at([1, 0, 0], (True, False, False)))[0]
    np.testing.assert_array_equal(one.slots["gains"], [0, 4, 0, 0])
    two = judge(PROBLEM, one, one.but(x=np.zeros(3), support=np.array((True, True, False))))[0]
    np.testing.assert_array_equal(two.slots["gains"], [0, 4, 0.5, 0])
    np.testing.assert_array_equal(one.slots["gains"], [0, 4, 0, 0])  # not written in place
    for same in (two, two.but(support=np.array((True, False, False)))):
        assert judge(PROBLEM, two, same) == (same, None)
    longer = RecordGains(5)(PROBLEM, two, two.but(support=np.ones(3, dtype=bool)))[0]
    np.testing.assert_array_equal(longer.slots["gains"], [0, 4, 0.5, 0, 0, 0])
    shorter = RecordGains(1)(PROBLEM, two, two.but(support=np.ones(3, dtype=bool)))[0]
    assert shorter.slots["gains"].shape == (4,)


def shrunk(step, old_support=(True, False, True), new_support=(False, True, True), shrink=None):
    """H = diag(1, 4, 1) / 10, dx = (-1, 1, 0): |dx|^2 / dx'H dx = 4."""
    problem = Quadratic(np.diag([0.1, 0.4, 0.1]), [0.0, 0.0, 0.0])
    slots = {} if shrink is None else {"shrink": np.array([shrink])}
    old = at([1, 0, 1], old_support, slots={**slots, "kept": np.ones(1)})
    new = at([0, 1, 1], new_support, slots={**slots, "kept": np.ones(1)}, cost=3)
    return ShrinkStep(lambda f, state, g: step, margin=0.1)(problem, old, new)[0]


def test_shrink_step():
    assert shrunk(3.5).cost == 3 and shrunk(3.5).x[1] == 1 and "shrink" not in shrunk(3.5).slots
    too_long = shrunk(3.7)  # above (1 - .1) * 4 = 3.6
    assert too_long.x[0] == 1 and too_long.support[0] and too_long.slots["shrink"] == 0.5 and too_long.cost == 3
    assert shrunk(3.7, shrink=0.25).slots["shrink"] == 0.125
    assert shrunk(3.5, shrink=0.25).slots["shrink"] == 1.0  # accepted: the full step again
    assert shrunk(9.0, new_support=(True, False, True)).x[1] == 1  # the same support is not tested
    assert shrunk(9.0, old_support=(False,) * 3).x[1] == 1  # nor is the first step
    assert shrunk(9.0).slots["kept"] == 1 and ShrinkStep(Normalised(1)).margin == 0.01


def test_judges_are_plain_values():
    judges = (WhileDecreasing(0.1), IfDecreasing(), SupportStable(5, 0.1), RecordGains(3), ShrinkStep(Normalised(3)))
    assert all(eval(repr(judge)) == judge for judge in judges)
