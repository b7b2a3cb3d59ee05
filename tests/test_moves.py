"""Moves: which coordinates. Each against its definition on a problem whose gradient and curvature are written down."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsopt import support as sp
from sparsopt.errors import InvalidInput
from sparsopt.moves import (
    Add,
    AddOrDrop,
    Choose,
    Drop,
    Everything,
    Gain,
    Gradient,
    Keep,
    Magnitude,
    Random,
    Removal,
    Sample,
    Stay,
    Swap,
    Visit,
)
from sparsopt.schedules import Linear, Rates
from sparsopt.state import Layout, State
from sparsopt.support import NM, Elements, Groups
from tests.toys import Quadratic, random_quadratic

# f = sum h_j x_j^2 / 2 - c_j x_j:  at x = 0 the gradient is -c, the gain c_j^2 / (2 h_j)
H = np.array([1.0, 4.0, 1.0, 0.0, 9.0, 1.0])
C = np.array([1.0, 4.0, -3.0, 0.0, 3.0, 2.0])
PROBLEM = Quadratic(np.diag(H), C)
X = np.array([0.5, -2.0, 0.0, 1.0, 0.0, 0.25])


def mask(*members, n=6):
    support = np.zeros(n, dtype=bool)
    support[list(members)] = True
    return support


def state(*members, x=X, **fields):
    return State(np.array(x, dtype=float), mask(*members, n=len(x)), **fields)


def moved(move, *members, x=X, problem=PROBLEM, **fields):
    return set(np.flatnonzero(move(problem, state(*members, x=x, **fields))).tolist())


# ---- scores --------------------------------------------------------------------------------------------------------


def test_scores_by_formula():
    at_zero, at_x = state(x=np.zeros(6)), state()
    np.testing.assert_array_equal(Magnitude()(PROBLEM, at_x), [0.5, 2, 0, 1, 0, 0.25])
    np.testing.assert_array_equal(Gradient()(PROBLEM, at_zero), [1, 4, 3, 0, 3, 2])
    np.testing.assert_array_equal(Gain()(PROBLEM, at_zero), [0.5, 2, 4.5, 0, 0.5, 2])  # no gain without curvature
    np.testing.assert_array_equal(Removal()(PROBLEM, at_x), [0.125, 8, 0, 0, 0, 0.03125])


@given(st.integers(0, 1000))
def test_gain_and_removal_are_exact_for_one_coordinate(seed):
    """Gain: the decrease by the best step along j. Removal: the increase by x_j -> 0 where g_j = 0."""
    problem = random_quadratic(seed, n=4)
    x = np.random.default_rng(seed).standard_normal(4)
    e = np.eye(4)
    gain = Gain()(problem, state(x=x))
    for j in range(4):
        step = problem.gradient(x)[j] / problem.H[j, j]
        assert gain[j] == pytest.approx(problem.value(x) - problem.value(x - step * e[j]), rel=1e-8, abs=1e-12)
    best = problem.minimise_on(np.ones(4, dtype=bool))[0]
    cost = Removal()(problem, state(x=best))
    for j in range(4):
        rise = problem.value(best - best[j] * e[j]) - problem.value(best)
        assert cost[j] == pytest.approx(rise, rel=1e-6, abs=1e-10)


def test_random_score_is_a_function_of_the_position():
    base = Random()(PROBLEM, state(seed=3, round=5))
    np.testing.assert_array_equal(base, Random()(PROBLEM, state(0, seed=3, round=5, cost=9, clock=7)))
    for other in (state(seed=4, round=5), state(seed=3, round=6), state(seed=3, round=5, phase=1)):
        assert not np.array_equal(base, Random()(PROBLEM, other))
    assert not np.array_equal(base, Random(salt=1)(PROBLEM, state(seed=3, round=5)))


# ---- moves ---------------------------------------------------------------------------------------------------------


def test_moves_by_hand():
    zero = np.zeros(6)
    assert moved(Everything(), 2) == {0, 1, 2, 3, 4, 5}
    assert moved(Stay(), 2, 4) == {2, 4}
    assert moved(Add(2), 2, x=zero) == {1, 2, 4}  # |g| = 1 4 3 0 3 2; of the tie 2, 4 only 4 is outside
    assert moved(Add(2), x=zero) == {1, 2}  # the tie goes to the lower index
    assert moved(Add(1, by=Gain()), x=zero) == {2}
    assert moved(Add(9), 2) == {0, 1, 2, 3, 4, 5}
    assert moved(Add(0), 2) == {2}
    assert moved(Visit(), 1, 2, x=zero) == {1, 2}  # the best of all is in S already
    assert moved(Visit(Gain()), 1, x=zero) == {1, 2}
    assert moved(Drop(1), 0, 1, 3, 5) == {0, 1, 3}
    assert moved(Drop(1), 2, 4) == {2}  # equal magnitudes: the later one goes
    assert moved(Drop(9), 0, 1) == set()
    assert moved(Keep(2), 0, 1, 2, 5) == {0, 1}  # 3 is larger but not in S
    assert moved(Choose(2), 0) == {1, 3}
    assert moved(Keep(9), 0, 1) == {0, 1}
    assert moved(Keep(Linear(6, 2, 4)), *range(6), round=0) == {0, 1, 2, 3, 5}  # round 0 keeps 5
    assert moved(Keep(Linear(6, 2, 4)), *range(6), round=3) == {1, 3}


def test_swap_by_hand():
    """S = {0, 1, 5}, |x| = .5 2 .25: 5 leaves. Outside {0, 1} the largest gradients at X are |g| = .5 12 3 0 3 1.75."""
    assert moved(Swap(1), 0, 1, 5) == {0, 1, 2}
    assert moved(Swap(2), 0, 1, 5) == {1, 2, 4}
    assert moved(Swap(9), 0, 1, 5) == {1, 2, 4}  # all leave, three come in
    assert moved(Swap(0), 0, 1, 5) == {0, 1, 5}
    assert moved(Swap(1), x=np.zeros(6)) == set()
    far = np.array([0.5, -2.0, 3.0, 1.0, 0.0, 0.25])  # gradient -.5 -12 6 0 -3 -1.75
    assert moved(Swap(1), 1, 2, 3, x=far) == {1, 2, 4}
    assert moved(Swap(1, into=Magnitude()), 0, 1, 5) == {0, 1, 3}
    assert moved(Swap(1, into=Magnitude()), 0, 1, 3) == {0, 1, 3}  # who left may return


def test_swap_per_block_keeps_the_sizes():
    problem = Quadratic(np.diag(H), C)
    problem.layout = Layout(("a", "b"), ((3,), (3,)))
    assert moved(Swap(Rates((1 / 3, 1 / 3), 1)), 0, 1, 5, problem=problem) == {2, 1, 4}  # 2 a block, at most |S_b|
    assert moved(Drop(Rates((2 / 3, 2 / 3), 1)), 0, 1, 5, problem=problem) == {1}


@given(st.integers(0, 500), st.integers(0, 8), st.integers(0, 9))
def test_sizes(seed, k, m):
    """|S| after each move, whatever S was."""
    problem = random_quadratic(seed % 7, n=8)
    rng = np.random.default_rng(seed)
    here = State(rng.standard_normal(8).round(), rng.random(8) < rng.random())
    size = int(here.support.sum())

    def after(move):
        return int(move(problem, here).sum())

    assert after(Add(m)) == min(size + m, 8)
    assert after(Drop(m)) == max(size - m, 0)
    assert after(Keep(k)) == min(size, k)
    assert after(Choose(k)) == k
    assert after(Swap(m)) == size
    assert after(Visit()) in (size, size + 1)
    assert (Add(m)(problem, here) >= here.support).all() and (Keep(k)(problem, here) <= here.support).all()


def test_moves_count_groups_as_one():
    groups = Groups((0, 0, 1, 1, 2, 2))
    assert moved(Add(1, structure=groups), x=np.zeros(6)) == {0, 1}  # |g| = 1 4 | 3 0 | 3 2
    assert moved(Drop(1, structure=groups), 0, 1, 2, 3) == {0, 1}
    # |x| = .5 2 | 0 1 | 0 .25: the last group leaves; |g| = .5 12 | 3 0 | 3 1.75: it would also be the one to come
    assert moved(Swap(1, structure=groups), 0, 1, 4, 5) == {0, 1, 4, 5}
    assert moved(Swap(1, into=Magnitude(), structure=groups), 0, 1, 4, 5) == {0, 1, 2, 3}
    assert moved(Keep(2, structure=groups), *range(6)) == {0, 1, 2, 3}


def test_fixed_patterns_refuse_to_count():
    for move in (Add, Drop, Swap):
        with pytest.raises(
            InvalidInput, match=rf"{move.__name__} changes .* NM\(n=2, m=4\) fixes .* use Keep or Choose"
        ):
            move(1, structure=NM(2, 4))
    assert moved(Keep(0, structure=NM(1, 2)), *range(6)) == {1, 3, 5}


# ---- forward-backward and random -----------------------------------------------------------------------------------


def test_add_or_drop():
    """S = {0, 5}; removal costs .125 and .03125. The last addition at size 2 gained g: drop 5 if .03125 <= g / 2."""
    gains = {"gains": np.array([0.0, 1.0, 0.0625, 0.0])}
    assert moved(AddOrDrop(3), 0, 5, slots=gains) == {0}
    less = {"gains": np.array([0.0, 1.0, 0.0624, 0.0])}
    assert moved(AddOrDrop(3), 0, 5, slots=less) == {0, 1, 5}  # else the best gain comes in: g^2/2h = 18 at 1
    assert moved(AddOrDrop(3, share=0.6), 0, 5, slots=less) == {0}
    assert moved(AddOrDrop(2), 0, 5, slots=less) == {0, 5}  # full: stay
    assert moved(AddOrDrop(2), 0, 5) == {0, 5} and moved(AddOrDrop(3), x=np.zeros(6)) == {2}
    assert moved(AddOrDrop(1), 0, 5, slots={"gains": np.zeros(1)}) == {0, 5}  # nothing known at this size
    assert moved(AddOrDrop(3), 0, slots=gains) == set()  # .125 <= 1/2: also the last one may go
    assert moved(AddOrDrop(3), x=np.zeros(6), slots=gains) == {2}  # and from nothing it begins again


def test_add_or_drop_does_not_drop_for_a_gain_of_nothing():
    """Where the last addition gained nothing, dropping it for free would only bring it back."""
    assert moved(AddOrDrop(3), 0, 4, slots={"gains": np.zeros(4)}) == {0, 1, 4}


def test_sample_is_what_average_will_use():
    x = np.array([4.0, 0.0, -1.0, 1.0])
    here = state(0, 1, 2, 3, x=x, seed=1)
    chosen = Sample(3)(Quadratic(np.eye(4), x), here)
    np.testing.assert_array_equal(chosen, sp.draw_counts(x, 3, here.key) > 0)
    assert 1 <= chosen.sum() <= 3 and not chosen[1]
    assert Sample(3)(Quadratic(np.eye(4), x), state(x=np.zeros(4))).sum() == 0


def test_parts_are_plain_values():
    assert Swap(3) == Swap(3) and hash(Swap(3)) == hash(Swap(3)) and Swap(3) != Swap(2)
    assert repr(Keep(10)) == "Keep(k=10, by=Magnitude(), structure=Elements())"
    assert eval(repr(Swap(Linear(5, 1, 3), Removal(), Gain(), Groups((0, 1))))) == Swap(
        Linear(5, 1, 3), Removal(), Gain(), Groups((0, 1))
    )
    assert Elements() == Elements() and NM(1, 2) != NM(2, 2)
