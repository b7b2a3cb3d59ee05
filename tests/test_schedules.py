"""Schedules land on their end exactly, on the way they go one way only, and budgets over blocks sum to the total."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsopt.errors import InvalidInput
from sparsopt.schedules import ERK, Cosine, Cubic, Geometric, Held, Linear, Rates, Uniform, amount
from sparsopt.state import Layout

ONE = Layout.single(1000)
DECAYS = [Geometric, Linear, Cubic]


@given(st.sampled_from(DECAYS), st.integers(1, 10**7), st.integers(1, 10**7), st.integers(1, 60))
def test_decay_is_monotone_and_ends_exactly(kind, start, end, rounds):
    counts = [kind(start, end, rounds)(r, ONE) for r in range(rounds + 3)]
    assert counts[rounds - 1 :] == [end] * 4
    sign = 1 if end >= start else -1
    assert all(sign * (b - a) >= 0 for a, b in zip([start, *counts], counts, strict=False))
    assert all(isinstance(count, int) for count in counts)


@given(st.integers(2, 200), st.data())
def test_linear_removes_one_at_a_time(n, data):
    k = data.draw(st.integers(0, n - 1))
    assert [Linear(n, k, n - k)(r, ONE) for r in range(n - k)] == list(range(n - 1, k - 1, -1))


def test_decay_values():
    assert [Geometric(1000, 100, 5)(r, ONE) for r in range(5)] == [631, 398, 251, 158, 100]
    assert [Cubic(1000, 0, 4)(r, ONE) for r in range(4)] == [422, 125, 16, 0]  # 1000 (1 - t)^3, t = 1/4, 1/2, 3/4, 1
    assert [Linear(10, 0, 4)(r, ONE) for r in range(4)] == [8, 5, 3, 0]  # 7.5, 5, 2.5 round half up
    assert Geometric(5, 0, 1)(0, ONE) == 0
    assert [Geometric(8, 1, 3)(r, ONE) for r in range(3)] == [4, 2, 1]
    assert [Geometric(1, 8, 3)(r, ONE) for r in range(3)] == [2, 4, 8]
    with pytest.raises(InvalidInput, match="above 0; use Cubic"):
        Geometric(5, 0, 3)(0, ONE)


def test_a_fifth_a_round_is_iterative_magnitude_pruning():
    """0.8^r to the nearest, when the end is that of the last round."""
    n, rounds = 266_200, 10
    schedule = Geometric(n, round(n * 0.8**rounds), rounds)
    for r in range(rounds):
        assert abs(schedule(r, ONE) - n * 0.8 ** (r + 1)) <= 1


def test_held_and_amount():
    schedule = Linear(10, 0, 10)
    assert [Held(schedule, 3)(r, ONE) for r in (0, 5)] == [6, 6] == [schedule(3, ONE)] * 2
    assert Held(7, 3)(0, ONE) == 7 and amount(7, 99, ONE) == 7 and amount(schedule, 3, ONE) == 6


def test_cosine_is_the_rigl_schedule():
    """fraction/2 (1 + cos(pi r/R)) of the count, rounded down: all of the fraction at 0, half of it in the middle."""
    schedule = Cosine(1000, 0.3, 10)
    assert [schedule(r, ONE) for r in (0, 5, 10, 11)] == [300, 150, 0, 0]
    assert schedule(1, ONE) == math.floor(150 * (1 + math.cos(math.pi / 10)))
    blocks = Layout(("a", "b"), ((10,), (20,)))
    assert Cosine(Rates((0.5, 0.5), 1), 1.0, 4)(0, blocks) == (5, 10)


shapes = st.lists(
    st.one_of(
        st.tuples(st.integers(1, 40), st.integers(1, 40)),
        st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 3), st.integers(1, 3)),
    ),
    min_size=1,
    max_size=6,
)


@given(st.sampled_from([Uniform, ERK]), shapes, st.floats(0, 1.2))
def test_budgets_sum_exactly_and_fit(kind, shapes, density):
    layout = Layout(tuple(f"w{i}" for i in range(len(shapes))), tuple(shapes))
    total = round(density * layout.n)
    counts = kind(total)(0, layout)
    assert sum(counts) == min(total, layout.n)
    assert all(isinstance(c, int) and 0 <= c <= size for c, size in zip(counts, layout.sizes, strict=True))


@given(shapes, st.floats(0.05, 0.9))
def test_erk_densities_are_proportional_where_not_full(shapes, density):
    """density_l = eps * sum(shape) / prod(shape) with one eps for all blocks that are not full (to one weight)."""
    layout = Layout(tuple(f"w{i}" for i in range(len(shapes))), tuple(shapes))
    counts = ERK(round(density * layout.n))(0, layout)
    bounds = [
        ((c - 1) / sum(shape), (c + 1) / sum(shape))
        for c, shape, size in zip(counts, layout.shapes, layout.sizes, strict=True)
        if c < size
    ]
    if bounds:
        assert max(low for low, _ in bounds) <= min(high for _, high in bounds) + 1e-9


def test_erk_fills_small_blocks_first():
    layout = Layout(("wide", "square", "tiny"), ((100, 2), (10, 10), (1, 1)))
    assert ERK(30)(0, Layout(("wide", "square"), ((100, 2), (10, 10)))) == (25, 5)  # 102 : 20 = 25.08 : 4.92
    assert ERK(200)(0, layout) == (166, 33, 1)
    assert Uniform(Linear(301, 0, 2))(1, layout) == (0, 0, 0)
    with pytest.raises(InvalidInput, match="already one count a block"):
        ERK(Uniform(10))(0, layout)


def test_rates_are_per_block():
    layout = Layout(("hidden", "output"), ((100,), (10,)))
    schedule = Rates((0.2, 0.1), 3)
    assert [schedule(r, layout) for r in range(4)] == [(80, 9), (64, 8), (51, 7), (51, 7)]
    with pytest.raises(InvalidInput, match="1 rates for 2 blocks"):
        Rates((0.2,), 3)(0, layout)


def test_layout_slices_and_axes():
    layout = Layout(("a", "b", "c"), ((2, 3), (4,), ()))
    assert layout.sizes == (6, 4, 1) and layout.n == 11 and layout.axes == (-1, -1, -1)
    assert layout.slices == (slice(0, 6), slice(6, 10), slice(10, 11))
    assert Layout.single(5) == Layout(("x",), ((5,),), (-1,))
