"""Single hard instances: the two classical searches against each other and against brute force, and their memory."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsopt.errors import InvalidInput
from sparsopt.subset_sum import Status, hard, solve, solve_one

small = st.lists(st.integers(-50, 50), min_size=1, max_size=11)


def all_sums(items: np.ndarray) -> np.ndarray:
    return np.array([items[(k >> np.arange(len(items))) & 1 == 1].sum() for k in range(1 << len(items))])


@given(small, st.integers(-300, 300), st.integers(1, 40))
def test_both_searches_find_the_least_error(items: list[int], target: int, window: int) -> None:
    a = np.array(items, dtype=np.int64)
    least = np.abs(all_sums(a) - target).min()
    for masks, error in (hard.horowitz_sahni(a, target), hard.schroeppel_shamir(a, target, window=window)):
        assert error == least == abs(int(a[masks].sum()) - target)


@given(small, st.integers(-300, 300), st.integers(0, 40), st.integers(1, 40))
def test_an_early_stop_is_within_what_was_asked(items: list[int], target: int, enough: int, window: int) -> None:
    a = np.array(items, dtype=np.int64)
    least = int(np.abs(all_sums(a) - target).min())
    for masks, error in (hard.horowitz_sahni(a, target, enough), hard.schroeppel_shamir(a, target, enough, window)):
        assert error == abs(int(a[masks].sum()) - target)
        assert error <= max(enough, least)


@given(small, st.integers(-200, 200), st.integers(0, 150), st.integers(1, 9))
def test_windows_produce_every_half_sum_once(items: list[int], low: int, width: int, most: int) -> None:
    half = hard.Half.of(np.array(items, dtype=np.int64))
    every = (half.one[:, None] + half.two).ravel()
    made = np.concatenate([np.zeros(0, np.int64), *half.between(low, low + width, most)])
    assert sorted(made) == sorted(every[(every >= low) & (every < low + width)])
    ends = half.quantiles(5)
    assert ends[0] == every.min() and ends[-1] == every.max() + 1 and ends == sorted(set(ends))


@pytest.mark.parametrize("n", [31, 36, 41])
def test_searches_agree_where_nothing_can_be_enumerated(n: int) -> None:
    a = np.random.default_rng(n).integers(-(2**45), 2**45, n)
    one, two = hard.horowitz_sahni(a, 12345), hard.schroeppel_shamir(a, 12345, window=1 << 15)
    assert one[1] == two[1] == abs(int(a[one[0]].sum()) - 12345) == abs(int(a[two[0]].sum()) - 12345)


@pytest.mark.parametrize("kind", ["planted", "ties"])
def test_planted_and_degenerate_instances(kind: str) -> None:
    rng = np.random.default_rng(7)
    a = rng.integers(-(2**50), 2**50, 40) if kind == "planted" else rng.integers(-3, 4, 40)
    target = int(a[rng.random(40) < 0.5].sum())
    assert hard.horowitz_sahni(a, target)[1] == hard.schroeppel_shamir(a, target, window=1 << 14)[1] == 0


@pytest.mark.parametrize(("n", "tolerance"), [(60, 1e-4), (60, 1e-8), (64, 1e-10), (200, 1e-6), (33, 1e-3)])
def test_a_tolerance_needs_only_a_part_of_the_items(n: int, tolerance: float) -> None:
    a = np.random.default_rng(n).uniform(-1, 1, n)
    found = solve_one(a, 0.377, tolerance)
    assert found.success and found.status is Status.WITHIN
    assert abs(a[found.masks].sum() - 0.377) == pytest.approx(float(found.errors), abs=1e-14)


def test_little_memory_gives_the_same_answer() -> None:
    a = np.random.default_rng(4).uniform(-1, 1, 38)
    plenty, least = hard.bytes_needed(38)
    roomy, tight = solve_one(a, 0.1), solve_one(a, 0.1, memory=least)
    assert least < plenty and roomy.errors == tight.errors and roomy.status is Status.MISSED


def test_errors_say_what_would_fit() -> None:
    a = np.random.default_rng(4).uniform(-1, 1, 60)
    with pytest.raises(InvalidInput, match=r"up to \d+ items fit, or raise memory to \d+"):
        solve_one(a, 0.1, memory=4_000_000)
    with pytest.raises(InvalidInput, match="set a tolerance"):
        solve_one(np.ones(65), 0.5)
    assert solve_one(np.ones(65), 0.5, tolerance=0.1).status is Status.UNSETTLED
    with pytest.raises(InvalidInput, match="finite"):
        solve_one([0.5, np.nan], 0.1)
    with pytest.raises(InvalidInput, match="set a tolerance"):
        solve(np.ones((1, 65)), np.array([0.5]))
