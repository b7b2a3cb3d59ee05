"""Fits: which values. Formulas by hand, exact minimisers, and what is allowed to change in a state."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsopt import support as sp
from sparsopt.errors import InvalidInput
from sparsopt.fits import (
    Average,
    Clock,
    CoordinateStep,
    Exact,
    Extrapolate,
    Feedback,
    FrankWolfeStep,
    FreshOptimiser,
    GradientSteps,
    InverseSmoothness,
    Normalised,
    Remember,
    Restrict,
    Rewind,
    is_weightwise,
)
from sparsopt.state import State
from tests.toys import Quadratic, random_quadratic

PROBLEM = Quadratic(np.diag([1.0, 4.0, 2.0]), [1.0, 4.0, -3.0])
X = np.array([1.0, 2.0, 3.0])  # gradient 0 4 9
S = np.array([True, True, False])


def at(x=X, support=S, **fields):
    return State(np.array(x, dtype=float), np.array(support), **fields)


def test_exact_minimises_and_knows_the_value():
    state = Exact()(PROBLEM, at(clock=3, cost=5))
    np.testing.assert_allclose(state.x, [1, 1, 0])
    assert state.value == pytest.approx(PROBLEM.value(state.x)) and (state.clock, state.cost) == (4, 6)


@given(st.integers(0, 10_000), st.integers(0, 3))
def test_gradient_steps(seed, steps):
    """x <- x - t g_S, the coordinates off S frozen; the value is unknown afterwards unless nothing moved."""
    problem, rng = random_quadratic(seed, n=5), np.random.default_rng(seed)
    here = at(rng.standard_normal(5), rng.random(5) < 0.5, value=1.0)
    new = GradientSteps(steps, 0.1)(problem, here)
    x = here.x.copy()
    for _ in range(steps):
        x[here.support] -= 0.1 * problem.gradient(x)[here.support]
    np.testing.assert_allclose(new.x, x, rtol=1e-13, atol=1e-14)
    np.testing.assert_array_equal(new.x[~here.support], here.x[~here.support])
    assert (new.clock, new.cost) == (steps, steps) and math.isnan(new.value) == (steps > 0)


def test_step_sizes():
    g = PROBLEM.gradient(X)
    assert InverseSmoothness()(PROBLEM, at(), g) == 0.25 and InverseSmoothness(1.5)(PROBLEM, at(), g) == 0.375
    assert InverseSmoothness()(Quadratic(np.zeros((1, 1)), [0.0]), at([1.0], [True]), np.zeros(1)) == 0.0
    # |g|^2 / g'Hg over the support of x: g = (0, 4, 9) -> (16 + 81) / (64 + 162)
    assert Normalised(1)(PROBLEM, at(), g) == pytest.approx(97 / 226)
    assert Normalised(1)(PROBLEM, at([1, 2, 0]), PROBLEM.gradient(np.array([1.0, 2, 0]))) == pytest.approx(16 / 64)
    assert Normalised(1)(PROBLEM, at(slots={"shrink": np.array([0.5])}), g) == pytest.approx(97 / 452)
    zero = np.zeros(3)  # g = -1 -4 3: the largest is coordinate 1, then 2
    assert Normalised(1)(PROBLEM, at(zero), PROBLEM.gradient(zero)) == pytest.approx(16 / 64)
    assert Normalised(2)(PROBLEM, at(zero), PROBLEM.gradient(zero)) == pytest.approx(25 / (64 + 18))
    stuck = np.array([1.0, 0, 0])  # g_S = 0 there: as at zero
    assert Normalised(1)(PROBLEM, at(stuck), PROBLEM.gradient(stuck)) == pytest.approx(16 / 64)
    assert Normalised(1)(PROBLEM, at(zero), zero) == 0.0


@given(st.integers(0, 10_000))
def test_normalised_step_is_the_line_search(seed):
    problem, x = random_quadratic(seed, n=5), np.random.default_rng(seed).standard_normal(5)
    g = problem.gradient(x)
    step = Normalised(2)(problem, at(x, np.ones(5, dtype=bool)), g)
    assert abs(problem.gradient(x - step * g) @ g) <= 1e-10 * (g @ g)


def test_coordinate_step_takes_the_best_gain_of_the_support():
    """Gains at 0: .5, 2, 2.25 -> within S = {0, 1} it is 1, and x_1 = c_1 / h_1 = 1."""
    new = CoordinateStep()(PROBLEM, at(np.zeros(3)))
    np.testing.assert_allclose(new.x, [0, 1, 0])
    assert (new.clock, new.cost) == (1, 1)
    flat = Quadratic(np.diag([0.0, 1.0]), [0.0, 2.0])
    np.testing.assert_allclose(CoordinateStep()(flat, at(np.zeros(2), [True, True])).x, [0, 2])
    np.testing.assert_allclose(CoordinateStep()(flat, at(np.zeros(2), [True, False])).x, [0, 0])


def test_frank_wolfe_step():
    """At 0, g = -1 -4 3: v = B e_1; slope = g'(x - v) = 4 B, step = min(1, 4 B / (4 * 4 * B^2)) = min(1, 1 / (4 B))."""
    np.testing.assert_allclose(FrankWolfeStep(2.0)(PROBLEM, at(np.zeros(3))).x, [0, 2 / 8, 0])
    np.testing.assert_allclose(FrankWolfeStep(0.1)(PROBLEM, at(np.zeros(3))).x, [0, 0.1, 0])  # full step
    np.testing.assert_allclose(FrankWolfeStep(0.0)(PROBLEM, at(np.zeros(3))).x, np.zeros(3))
    best = PROBLEM.minimise_on(np.ones(3, dtype=bool))[0]
    np.testing.assert_allclose(FrankWolfeStep(9.0)(PROBLEM, at(best)).x, best)  # no gradient, no step


@given(st.integers(0, 10_000), st.floats(0.1, 5))
def test_frank_wolfe_stays_in_the_ball_and_descends(seed, radius):
    problem, state = random_quadratic(seed, n=5), at(np.zeros(5), np.zeros(5, dtype=bool))
    for _ in range(6):
        new = FrankWolfeStep(radius)(problem, state)
        assert np.abs(new.x).sum() <= radius * (1 + 1e-12)
        assert problem.value(new.x) <= problem.value(state.x) + 1e-12
        state = new


def test_feedback_steps_densely_from_the_restricted_point():
    """The gradient is taken at x_S = (1, 2, 0): 0 4 3; the step moves all of z."""
    new = Feedback(1, 0.1)(PROBLEM, at())
    np.testing.assert_allclose(new.x, [1, 1.6, 2.7])
    twice = Feedback(2, 0.1)(PROBLEM, at())
    np.testing.assert_allclose(twice.x, [1, 1.6 - 0.24, 2.4])
    assert (twice.clock, twice.cost) == (2, 2)


def test_extrapolation_goes_on_from_where_x_was_the_last_time():
    """x + 0.5 (x - previous): nothing at (1, 2, 3), which is then remembered; from (3, 2, 1) to (4, 2, 0)."""
    first = Extrapolate(0.5)(PROBLEM, at())
    np.testing.assert_array_equal(first.x, X)
    second = Extrapolate(0.5)(PROBLEM, first.but(x=np.array([3.0, 2.0, 1.0])))
    np.testing.assert_array_equal(second.x, [4, 2, 0])
    np.testing.assert_array_equal(second.slots["previous"], [3, 2, 1])


@given(st.integers(0, 10_000))
def test_feedback_with_the_full_support_is_gradient_descent(seed):
    problem, x = random_quadratic(seed, n=4), np.random.default_rng(seed).standard_normal(4)
    full = at(x, np.ones(4, dtype=bool))
    np.testing.assert_array_equal(Feedback(3)(problem, full).x, GradientSteps(3)(problem, full).x)


@given(st.integers(0, 10_000), st.integers(1, 20))
def test_average_has_the_l1_norm_and_the_signs(seed, k):
    x = np.random.default_rng(seed).standard_normal(6)
    x[0] = 0.0
    state = at(x, np.ones(6, dtype=bool), seed=seed)
    new = Average(k)(PROBLEM, state)
    hits = sp.draw_counts(x, k, state.key)
    np.testing.assert_allclose(new.x, np.sign(x) * np.abs(x).sum() * hits / k, rtol=1e-14)
    assert np.abs(new.x).sum() == pytest.approx(np.abs(x).sum())
    assert not np.signbit(new.x[hits == 0]).any()


def test_restrict_clears_weights_and_optimiser_together():
    slots = {"momentum.x": np.ones(3), "momentum.rest": np.ones(3), "rest": np.ones(2), "gains": np.ones(3)}
    new = Restrict()(PROBLEM, at(slots=slots))
    np.testing.assert_array_equal(new.x, [1, 2, 0])
    np.testing.assert_array_equal(new.slots["momentum.x"], [1, 1, 0])
    for kept in ("momentum.rest", "rest", "gains"):
        np.testing.assert_array_equal(new.slots[kept], slots[kept])
    assert is_weightwise("momentum.x") and is_weightwise("momentum.second.x")
    assert not is_weightwise("rest.x") and not is_weightwise("momentum.rest")


def test_remember_and_rewind():
    """x, slots and clock return, on the present support; the cost goes on."""
    early = at([5, 6, 7], [True] * 3, clock=2, cost=2, slots={"momentum.x": np.full(3, 9.0)})
    kept = Remember("early")(PROBLEM, early)
    later = kept.but(x=np.zeros(3), support=S, clock=50, cost=70, slots={})
    back = Rewind("early")(PROBLEM, later)
    np.testing.assert_array_equal(back.x, [5, 6, 0])
    np.testing.assert_array_equal(back.slots["momentum.x"], [9, 9, 0])
    assert (back.clock, back.cost) == (2, 70) and back.support is S
    assert kept.saved["early"].saved == {} and kept.saved["early"].before is None
    with pytest.raises(InvalidInput, match=r"Rewind\(name='late'\): no snapshot .* \['early'\]; Remember comes first"):
        Rewind("late")(PROBLEM, later)


def test_clock_and_fresh_optimiser():
    state = at(clock=9, cost=9, slots={"momentum.x": np.ones(3), "rest": np.ones(1)})
    assert Clock(4)(PROBLEM, state).clock == 4 and Clock(4)(PROBLEM, state).cost == 9
    assert list(FreshOptimiser()(PROBLEM, state).slots) == ["rest"]


def test_a_new_x_makes_the_value_unknown():
    state = at(value=3.0)
    assert state.but(round=1).value == 3.0 and math.isnan(state.but(x=X).value)
    assert state.but(x=X, value=2.0).value == 2.0 and state.value == 3.0
    assert at(seed=1, stage=2, round=3, phase=4).key == (1, 2, 3, 4)


@pytest.mark.parametrize(
    "fit", [Exact(), GradientSteps(), CoordinateStep(), Feedback(), Restrict(), Average(3), FrankWolfeStep(1.0)]
)
def test_fits_never_change_what_they_were_given(fit):
    state = at(slots={"momentum.x": np.ones(3)})
    fit(PROBLEM, state)
    np.testing.assert_array_equal(state.x, [1, 2, 3])
    np.testing.assert_array_equal(state.support, S)
    np.testing.assert_array_equal(state.slots["momentum.x"], np.ones(3))
    assert eval(repr(fit)) == fit and (state.clock, state.cost) == (0, 0)
