"""Schedules land on their end exactly, on the way they go one way only, and budgets over blocks sum to the total."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsopt.errors import InvalidInput
from sparsopt.schedules import (
    ERK,
    Cosine,
    Cubic,
    Falling,
    Geometric,
    Held,
    Linear,
    Rates,
    RatesTo,
    SmartRatio,
    Uniform,
    amount,
    times,
)
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


def layout_of(shapes):
    return Layout(tuple(f"w{i}" for i in range(len(shapes))), tuple(shapes))


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


@given(shapes, st.floats(0, 1), st.data())
def test_rates_end_on_a_total(shapes, density, data):
    """Exactly k at the end, never more a block than the round before, never more lost than its rate (and rounding)."""
    layout = layout_of(shapes)
    rates = data.draw(st.tuples(*[st.floats(0.05, 0.5)] * len(shapes)))
    k = max(1, round(density * layout.n))
    rounds = max(1, math.ceil(times(k, rates, layout) - 1e-9))
    schedule, before = RatesTo(k, rates, rounds), layout.sizes
    for r in range(rounds):
        counts = schedule(r, layout)
        for c, b, rate in zip(counts, before, rates, strict=True):
            assert math.floor(b * (1 - rate) - 1e-6) - 1 <= c <= b
        before = counts
    assert sum(before) == k and schedule(rounds, layout) == before
    once = RatesTo(k, rates, 1)(0, layout)
    assert once == before, "one round ends on the same counts"


def test_rates_to_a_total_are_rates_where_the_rounds_are_whole():
    layout = Layout(("hidden", "output"), ((10_000,), (1000,)))
    plain = Rates((0.2, 0.1), 3)
    k = sum(plain(2, layout))
    assert times(k, (0.2, 0.1), layout) == pytest.approx(3, abs=1e-4)
    assert [RatesTo(k, (0.2, 0.1), 3)(r, layout) for r in range(3)] == [plain(r, layout) for r in range(3)]
    with pytest.raises(InvalidInput, match="leave more than 900 coordinates whatever the rounds"):
        times(900, (0.2, 0.0), layout)
    with pytest.raises(InvalidInput, match=r"one in 0..1 for each"):
        times(900, (0.2, 1.0), layout)


@given(st.sampled_from([Uniform, ERK, SmartRatio]), shapes, st.integers(1, 12), st.floats(0, 0.9))
def test_falling_counts_fall(kind, shapes, rounds, density):
    """With the sums of the schedule, and its counts but for rounding."""
    layout = layout_of(shapes)
    end, before = round(density * layout.n), layout.sizes
    plain = kind(Cubic(layout.n, end, rounds))
    for r in range(rounds):
        counts = Falling(plain)(r, layout)
        assert sum(counts) == sum(plain(r, layout))
        assert all(0 <= c <= b for c, b in zip(counts, before, strict=True))
        assert max(abs(c - d) for c, d in zip(counts, plain(r, layout), strict=True)) <= len(shapes)
        before = counts
    assert sum(before) == end


def test_falling_is_needed_and_refuses_to_rise():
    """The smallest case: halving two blocks of three."""
    layout = Layout(("a", "b", "c"), ((5,), (5,), (1,)))
    plain = Uniform(Linear(11, 0, 11))
    tables = [[schedule(r, layout) for r in range(11)] for schedule in (plain, Falling(plain))]
    rises = [any(x > y for x, y in zip(b, a, strict=True)) for a, b in itertools.pairwise(tables[0])]
    assert any(rises) and tables[0] != tables[1]
    with pytest.raises(InvalidInput, match="no larger sum"):
        Falling(Uniform(Linear(0, 11, 2)))(1, layout)
    with pytest.raises(InvalidInput, match="one a block"):
        Falling(Linear(11, 0, 2))(1, layout)  # type: ignore[arg-type]


@given(shapes, st.floats(0, 1.1), st.sampled_from([0.0, 2.0]))
def test_smart_ratios_sum_exactly_and_keep_their_ratio(shapes, density, steepness):
    """p_l / p_m = weight_l / weight_m between layers that are not full, to one weight; the last one at 0.3."""
    layout = layout_of(shapes)
    k = round(density * layout.n)
    counts = SmartRatio(k, steepness=steepness)(0, layout)
    L = len(shapes)
    assert sum(counts) == min(k, layout.n)
    assert all(0 <= c <= size for c, size in zip(counts, layout.sizes, strict=True))
    weight = [((L - i + 1) ** 2 + (L - i + 1)) / i**steepness for i in range(1, L)]
    inside = [
        ((c - 1) / size / w, (c + 1) / size / w)
        for c, size, w in zip(counts[:-1], layout.sizes[:-1], weight, strict=True)
        if c < size
    ]
    if inside:
        assert max(low for low, _ in inside) <= min(high for _, high in inside) + 1e-9
        assert counts[-1] == min(math.floor(0.3 * layout.sizes[-1] + 0.5), k // 2)


def test_smart_ratio_by_hand():
    """L = 3: weights 12, 6, and the last at 0.3."""
    layout = Layout(("a", "b", "head"), ((1000,), (1000,), (100,)))
    assert SmartRatio(210)(0, layout) == (120, 60, 30)
    assert SmartRatio(210, steepness=2.0)(0, layout) == (160, 20, 30)  # 12 / 1 : 6 / 4
    assert SmartRatio(20)(0, layout) == (7, 3, 10), "a head that would take all takes half"
    with pytest.raises(InvalidInput, match="already one count a block"):
        SmartRatio(Uniform(10))(0, layout)


def test_layout_slices_and_axes():
    layout = Layout(("a", "b", "c"), ((2, 3), (4,), ()))
    assert layout.sizes == (6, 4, 1) and layout.n == 11 and layout.axes == (-1, -1, -1)
    assert layout.slices == (slice(0, 6), slice(6, 10), slice(10, 11))
    assert Layout.single(5) == Layout(("x",), ((5,),), (-1,))
