"""Vectors, integers and the covering radius against enumeration, and the predictor against the solver."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsopt.errors import InvalidInput
from sparsopt.subset_sum import (
    covering_radius,
    covering_radius_bound,
    join_lists,
    on_grid,
    solve,
    solve_integers,
    solve_vectors,
    vectors,
)
from sparsopt.subset_sum.integers import reachable
from sparsopt.subset_sum.predict import covering_probability, failure_probability, log_intensity
from sparsopt.subset_sum.radius import representatives
from tests.conftest import scaled

integers = st.lists(st.integers(-30, 30), min_size=1, max_size=10)
reals = st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=9)


def masks_of(n: int) -> np.ndarray:
    return (np.arange(1 << n)[:, None] >> np.arange(n)) & 1 == 1


@given(st.integers(1, 9), st.integers(1, 4), st.integers(0, 10**6), st.booleans())
def test_vectors_match_enumeration(n: int, d: int, seed: int, coarse: bool) -> None:
    rng = np.random.default_rng(seed)
    items, target = rng.standard_normal((n, d)), rng.uniform(-1, 1, d)
    items = np.round(items) if coarse else items
    every = np.abs(target - masks_of(n) @ items).max(1)
    answer = solve_vectors(items, target)
    assert abs(float(answer.errors) - every.min()) <= 1e-12
    assert float(answer.errors) == max(
        abs(math.fsum([target[c], *(-items[answer.masks, c]).tolist()])) for c in range(d)
    )
    for size in (0, n // 2, n):
        fixed = solve_vectors(items, target, size=size)
        assert fixed.masks.sum() == size
        assert abs(float(fixed.errors) - every[masks_of(n).sum(1) == size].min()) <= 1e-12


@given(reals, st.floats(-1, 1))
def test_one_dimension_is_the_scalar_path(items: list[float], target: float) -> None:
    one = solve_vectors(np.array(items)[:, None], np.array([target]), tolerance=0.01)
    scalar = solve(items, target, tolerance=0.01)
    assert (one.masks == scalar.masks).all() and one.errors == scalar.errors and one.success == scalar.success


@pytest.mark.parametrize(("n", "d"), [(9, 1), (10, 2), (10, 3)])
def test_the_mixed_integer_oracle_agrees(n: int, d: int) -> None:
    rng = np.random.default_rng([n, d])
    items, target = rng.standard_normal((n, d)), rng.uniform(-1, 1, d)
    found, checked = solve_vectors(items, target), vectors.oracle(items, target)
    assert abs(float(found.errors) - float(checked.errors)) <= 1e-6  # HiGHS works to 1e-6


def test_joined_lists_are_real_subsets_and_better_than_random_ones() -> None:
    rng = np.random.default_rng(3)
    items, target = rng.uniform(-1, 1, (96, 6)), np.full(6, 0.3)
    answer = join_lists(items, target, tolerance=0.2, length=1 << 11)
    error = np.abs(target - items[answer.masks].sum(0)).max()
    chance = np.abs(target - (rng.random((1 << 14, 96)) < 0.5) @ items).max(1).min()
    assert abs(error - float(answer.errors)) < 1e-12 and error < 0.2 < chance
    assert answer.status.name == "WITHIN"
    assert join_lists(items, target, 1e-9, length=64).status.name == "UNSETTLED"


def test_vectors_say_what_does_not_fit() -> None:
    with pytest.raises(InvalidInput, match="join_lists"):
        solve_vectors(np.ones((40, 2)), np.ones(2))
    with pytest.raises(InvalidInput, match="must be"):
        solve_vectors(np.ones((4, 2)), np.ones(3))
    with pytest.raises(InvalidInput, match="finite"):
        solve_vectors(np.full((4, 2), np.inf), np.ones(2))
    with pytest.raises(InvalidInput, match="n >= 8"):
        join_lists(np.ones((4, 2)), np.ones(2))


@given(integers, st.integers(-150, 150))
def test_integers_match_enumeration(items: list[int], target: int) -> None:
    a = np.array(items)
    sums = masks_of(len(a)) @ a
    answer = solve_integers(a, target)
    assert bool(answer.success) == (target in sums)
    assert not answer.success or int(a[answer.masks].sum()) == target
    lowest, hit = reachable(a)
    assert sorted(set(sums)) == (np.flatnonzero(hit) + lowest).tolist()


@given(st.lists(st.integers(-9, 9), min_size=35, max_size=60), st.integers(-300, 300))
@settings(max_examples=scaled(40))
def test_many_items_go_through_the_table_of_bits(items: list[int], target: int) -> None:
    a = np.array(items)
    lowest, hit = reachable(a)
    answer = solve_integers(a, target)
    inside = lowest <= target < lowest + len(hit)
    assert bool(answer.success) == bool(inside and hit[target - lowest])
    assert abs(target - int(a[answer.masks].sum())) == answer.errors
    assert answer.success == (answer.errors == 0)


@pytest.mark.parametrize("n", [8, 20, 32])
def test_large_integers_stay_exact(n: int) -> None:
    """Beyond the bits of a batch's keys: the planted solution differs from near ones in the last bits only."""
    rng = np.random.default_rng(n)
    items = rng.integers(-(2**47), 2**47, (12, n))
    targets = (items * (rng.random((12, n)) < 0.5)).sum(1)
    answer = solve_integers(items, targets)
    assert answer.success.all() and ((items * answer.masks).sum(1) == targets).all()
    with pytest.raises(InvalidInput, match="2\\^36"):
        solve_integers(items, targets, "smallest")


def test_grids_are_exact_or_refused() -> None:
    assert on_grid([0.75, -0.5, 0.0], 2.0**-3).tolist() == [6, -4, 0]
    with pytest.raises(InvalidInput, match="not a multiple"):
        on_grid([0.1], 0.25)
    with pytest.raises(InvalidInput, match="integers expected"):
        solve_integers([0.5, 1.0], 1)
    with pytest.raises(InvalidInput, match="2\\^53"):
        solve_integers([2**60, 1], 1)


@given(reals, st.floats(-1, 0), st.floats(0, 1))
def test_covering_radius_is_what_a_dense_grid_sees(items: list[float], low: float, high: float) -> None:
    a = np.array(items)
    sums = np.unique(masks_of(len(a)) @ a)
    z = np.unique(np.r_[np.linspace(low, high, 2001), ((sums[1:] + sums[:-1]) / 2).clip(low, high)])
    seen = np.abs(z[:, None] - sums).min(1).max()
    radius = float(covering_radius(a, low, high))
    assert abs(radius - seen) <= 1e-12
    assert radius >= (high - low) * 2.0 ** -(len(a) + 1) - 1e-12


@given(reals, st.sampled_from([1e-3, 0.05, 0.4]))
def test_trimmed_radius_is_sound_and_made_of_real_sums(items: list[float], cell: float) -> None:
    a = np.array(items)
    sums = np.sort(masks_of(len(a)) @ a)
    kept = representatives(a, cell)
    at = np.searchsorted(sums, kept).clip(1, len(sums) - 1)
    assert np.minimum(np.abs(sums[at] - kept), np.abs(sums[at - 1] - kept)).max() <= 1e-12
    assert len(kept) == len(np.unique(kept)) and (np.diff(kept) > 0).all()
    assert covering_radius_bound(a, cell) >= float(covering_radius(a)) - 1e-15


def test_trimmed_radius_is_close_and_radii_never_grow_with_items() -> None:
    a = np.random.default_rng(0).uniform(-1, 1, (20, 18))
    radii = np.stack([covering_radius(a[:, :n]) for n in range(1, 18)], axis=1)
    assert (np.diff(radii, axis=1) <= 1e-15).all()
    bounds = np.array([covering_radius_bound(x[:17], r / 8) for x, r in zip(a, radii[:, -1], strict=True)])
    assert (bounds / radii[:, -1]).min() + 1e-9 >= 1 and (bounds / radii[:, -1]).mean() < 1.1
    large = covering_radius(a[:2])  # one row at a time, and only the sums that matter
    assert all(abs(r - covering_radius_bound(x, 1e-6)) < 1e-5 for r, x in zip(large, a, strict=False))
    assert covering_radius_bound(np.random.default_rng(1).uniform(-1, 1, 60), 1e-3 / 8) <= 1e-3
    with pytest.raises(InvalidInput, match="covering_radius_bound"):
        covering_radius(np.ones(25))


def test_intensity_counts_subsets() -> None:
    """For equal items the saddlepoint is Stirling's formula for the binomial, within 3 %."""
    n = 20
    for size in (6, 10, 13):
        found = float(np.exp(log_intensity(np.ones((1, n)), np.array([float(size)])))[0])
        assert abs(found / math.comb(n, size) - 1) < 0.03
    assert log_intensity(np.ones((1, 5)), np.array([5.5]))[0] == -np.inf
    a = np.random.default_rng(0).uniform(-1, 1, (1, 16))
    z = np.linspace(a[a < 0].sum() * 0.98, a[a > 0].sum() * 0.98, 400)
    total = np.trapezoid(np.exp(log_intensity(np.repeat(a, 400, 0), z)), z)
    assert abs(total / 2**16 - 1) < 0.03
    by_size = [np.exp(log_intensity(a, np.array([0.2]), k))[0] for k in range(1, 16)]
    assert abs(sum(by_size) / np.exp(log_intensity(a, np.array([0.2])))[0] - 1) < 0.1


@pytest.mark.parametrize("law", ["uniform", "product"])
@pytest.mark.parametrize("tolerance", [1e-2, 1e-3])
def test_predictor_and_solver_agree(law: str, tolerance: float) -> None:
    rng = np.random.default_rng(11)
    items, targets = rng.uniform(-1, 1, (20_000, 15)), rng.uniform(-1, 1, 20_000)
    items = items if law == "uniform" else items * rng.uniform(-1, 1, items.shape)
    missed = ~solve(items, targets, "any", tolerance).success
    predicted = failure_probability(items, targets, tolerance)
    noise = 5 * math.sqrt(predicted.mean() / len(targets))
    assert abs(missed.mean() - predicted.mean()) <= 0.15 * missed.mean() + noise
    assert missed[predicted > 0.9].mean() > 0.8 and missed[predicted < 1e-3].mean() < 1e-2


def test_predictor_in_several_dimensions_for_all_targets_and_for_fixed_size() -> None:
    rng = np.random.default_rng(5)
    items, targets = rng.standard_normal((300, 16, 2)), rng.uniform(-0.5, 0.5, (300, 2))
    assert (
        abs(failure_probability(items, targets, 0.05).mean() - (solve_vectors(items, targets).errors > 0.05).mean())
        < 0.06
    )
    scalars, z = rng.uniform(-1, 1, (2000, 14)), rng.uniform(-0.5, 0.5, 2000)
    missed = (solve(scalars, z, "size", size=5).errors > 1e-3).mean()
    assert abs(failure_probability(scalars, z, 1e-3, size=5).mean() - missed) < 0.05
    radii = covering_radius(scalars[:400])
    for tolerance in (1e-3, 3e-3, 1e-2):
        assert abs(covering_probability(scalars[:400], tolerance).mean() - (radii <= tolerance).mean()) < 0.09


def test_vectors_at_their_limits() -> None:
    """No items: the error is the target. Too many for their dimension: what would fit is said."""
    answer = solve_vectors(np.zeros((0, 2)), np.array([0.3, -0.5]))
    assert answer.errors == 0.5 and not answer.success and answer.masks.shape == (0,)
    batch = solve_vectors(np.zeros((3, 0, 2)), np.zeros((3, 2)), tolerance=0.0)
    assert batch.success.all() and batch.masks.shape == (3, 0)
    with pytest.raises(InvalidInput, match="37 items in 3 dimensions are more than the 36"):
        solve_vectors(np.zeros((37, 3)), np.zeros(3))
    with pytest.raises(InvalidInput, match="30 items in 200 dimensions are more than the 28"):
        solve_vectors(np.zeros((30, 200)), np.zeros(200))
    with pytest.raises(InvalidInput, match="size 9 must be between 0 and the 4 items"):
        solve_vectors(np.ones((4, 2)), np.zeros(2), size=9)
