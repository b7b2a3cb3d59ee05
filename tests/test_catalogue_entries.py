"""What single entries of the convex catalogue promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsopt import catalogue
from sparsopt.errors import InvalidInput
from sparsopt.fits import Exact, GradientSteps
from sparsopt.judges import IfDecreasing
from sparsopt.method import Method, Phase, Stage, run
from sparsopt.moves import Everything, Gradient, Magnitude, Random
from sparsopt.problems import LeastSquares, Quadratic
from sparsopt.result import Status
from sparsopt.schedules import Cubic, Geometric, Linear
from sparsopt.support import Groups
from tests.battery import (
    K,
    P,
    data,
    quadratic,
    solved,
    started,
)
from tests.conftest import scaled


def test_fully_corrective_in_steps_of_m():
    problem = quadratic(*data(0))
    sizes = run(catalogue.fully_corrective(7, m=3), *started(problem)).trace.column("size")
    assert sizes == [3, 6, 7]
    assert run(catalogue.fully_corrective(6, m=3), *started(problem)).trace.column("size") == [3, 6]
    assert run(catalogue.fully_corrective(2, m=3), *started(problem)).trace.column("size") == [2]
    with pytest.raises(InvalidInput, match="m = 0 adds nothing"):
        catalogue.fully_corrective(3, m=0)


def test_omp_is_fully_corrective_by_one():
    assert catalogue.omp(5).stages == catalogue.fully_corrective(5).stages


@settings(max_examples=scaled(60))
@given(st.integers(0, 10**6))
def test_replacement_ends_where_no_swap_of_its_kind_helps(seed):
    problem = quadratic(*data(seed % 200))
    result = solved("replacement", problem)
    assert result.status is Status.NO_DECREASE
    x, S = result.x, result.support
    h = problem.curvature()
    out = min(np.flatnonzero(S), key=lambda j: x[j] ** 2 * h[j])
    into = max(np.flatnonzero(~S), key=lambda j: problem.gradient(x)[j] ** 2 / h[j])
    other = S.copy()
    other[[out, into]] = False, True
    assert problem.minimise_on(other, None)[1] >= result.value * (1 - 1e-12)
    assert result.value <= solved("omp", problem).value


def test_replacement_takes_other_starts_scores_and_judges():
    """Random proposals with the accept test: never up, and more proposals than the greedy rule makes."""
    problem = quadratic(*data(3))
    start = Method("htp", catalogue.htp(K).stages)
    result = run(
        catalogue.replacement(K, rounds=60, start=start, out=Random(), into=Random(1), judge=IfDecreasing()),
        *started(problem),
    )
    swaps = [row for row in result.trace if row.stage == 1]
    assert len(swaps) == 60 and result.status is not Status.NO_DECREASE
    assert problem.value(result.x) <= solved("htp", problem).value + 1e-12
    assert len({row.support for row in swaps}) > 10


@settings(max_examples=scaled(60))
@given(st.integers(0, 10**6), st.sampled_from([0.25, 0.5, 0.9]))
def test_foba_pairs_lower_f(seed, share):
    """When FoBa comes back to a size, f is lower than it was there by (1 - share) of the gain that was undone."""
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((10, 9)) + 2 * rng.standard_normal((10, 1))
    problem = Quadratic(A.T @ A, A.T @ rng.standard_normal(10), 50.0)
    trace = run(catalogue.foba(5, share), *started(problem)).trace
    at, gain, previous, dropped = {0: problem.value(np.zeros(9))}, {}, 0, 0
    for row in trace:
        if row.size > previous:
            gain[row.size] = at[previous] - row.value
        elif row.size < previous:
            dropped += 1
            assert row.value <= at[row.size] - (1 - share) * gain[previous] + 1e-9
        at[row.size], previous = row.value, row.size
    assert trace.column("size")[-1] == 5 and len(trace) < 350


def test_foba_does_drop():
    """Two true columns and their noisy sum, which comes in first and then has to leave."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 3))
    X[:, 0] = X[:, 1] + X[:, 2] + 0.3 * rng.standard_normal(200)
    problem = LeastSquares(X, X[:, 1] + X[:, 2])
    result = run(catalogue.foba(3, rounds=4), *started(problem))
    assert result.trace.column("size") == [1, 2, 3, 2]
    assert result.support.tolist() == [False, True, True] and result.value <= 1e-20
    assert solved("omp", problem, 2).support[0]


def test_backward_elimination_in_steps():
    problem = quadratic(*data(0))
    for schedule in (Linear(P, 3, P - 3), Geometric(P, 3, 4), Cubic(P, 3, 2)):
        trace = run(catalogue.backward_elimination(schedule), *started(problem)).trace
        assert trace.column("size") == [P, *(schedule(r, problem.layout) for r in range(schedule.rounds))]
        assert (np.diff(trace.column("value")) >= -1e-12).all()
    assert run(catalogue.backward_elimination(Linear(P, P, 0)), *started(problem)).support.all()


def test_iht_follows_a_schedule_of_sizes():
    sizes = run(catalogue.iht(Linear(P, 2, P - 2), rounds=P), *started(quadratic(*data(0)))).trace.column("size")
    assert sizes[1::2] == [*range(P - 1, 1, -1), 2, 2] and set(sizes[::2]) == {P}


def test_iht_fixed_points_are_l_stationary():
    """|g_j| <= L min_S |x_i| off S, g = 0 on S (Beck and Eldar 2013)."""
    for seed in range(scaled(5)):
        problem = quadratic(*data(seed))
        result = run(catalogue.iht(K, rounds=20_000), *started(problem))
        assert result.status is Status.STATIONARY
        g, L = problem.gradient(result.x), problem.smoothness()
        assert np.abs(g[result.support]).max() <= 1e-9 * L * np.abs(result.x).max()
        assert np.abs(g[~result.support]).max() <= L * np.abs(result.x[result.support]).min() * (1 + 1e-9)


def test_niht_converges_on_its_support():
    """Undone rounds shorten the step, accepted ones restore it: it neither stops early nor shrinks for ever."""
    for seed in range(scaled(4)):
        problem = quadratic(*data(seed))
        result = run(catalogue.niht(K), *started(problem))
        assert np.abs(problem.gradient(result.x)[result.support]).max() <= 1e-5 * np.abs(problem.c).max()
        least = problem.minimise_on(result.support, None)[1]
        assert problem.value(result.x) == pytest.approx(least, rel=1e-9)


def test_feedback_with_k_of_everything_is_gradient_descent():
    problem = quadratic(*data(0))
    result = run(catalogue.iht_with_feedback(P, rounds=7), *started(problem))
    steps = Method("gd", (Stage((Phase(Everything(), GradientSteps(7)),)),))
    np.testing.assert_array_equal(result.x, run(steps, *started(problem)).x)


def test_feedback_can_bring_back_what_iht_forgets():
    """The dense point accumulates: a coordinate that is never chosen still moves (IHT resets it to 0 each round)."""
    problem = Quadratic(np.eye(2), [1.0, 0.9])
    what = catalogue.iht_with_feedback(1, step_size=0.5, rounds=4)
    supports = [row.support for row in run(what, *started(problem)).trace]
    assert len(set(supports)) == 2
    assert len({row.support for row in run(catalogue.iht(1, 0.5, rounds=4), *started(problem)).trace if row.phase}) == 1


def test_groups_are_selected_whole():
    """Fully corrective greedy and replacement by groups: k counts groups (three of size 4, the second is true)."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((80, 12))
    groups = Groups(tuple(np.repeat([0, 1, 2], 4)))
    problem = LeastSquares(X, X[:, 4:8] @ np.array([1.0, -1.0, 1.0, -1.0]))
    scores = {"into": Gradient(), "out": Magnitude()}
    for method in (
        catalogue.fully_corrective(1, by=Gradient(), structure=groups),
        catalogue.replacement(1, structure=groups, **scores),
        catalogue.iht(1, structure=groups),
    ):
        assert np.flatnonzero(run(method, *started(problem)).support).tolist() == [4, 5, 6, 7]
    wrong = Method("wrong", (Stage((Phase(Everything(), Exact()),)),))
    swap = run(catalogue.replacement(2, start=wrong, structure=groups, **scores), *started(problem))
    assert swap.support.all()  # all groups are in: nothing to swap with
