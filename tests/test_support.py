"""Supports have exactly the size that was asked for, and are the same in NumPy, in Torch, and on any device."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsopt import support as sp
from sparsopt.errors import InvalidInput, NotFinite
from sparsopt.state import Layout
from sparsopt.support import NM, Elements, Groups, top
from sparsopt.support.largest import _top_torch
from tests.conftest import scaled

torch = pytest.importorskip("torch")

AWKWARD = [0.0, -0.0, 5e-324, -5e-324, 1e-310, 1.0, 1.0, np.nextafter(1.0, 2.0), -1.0, np.inf, -np.inf, 1e308]


@st.composite
def scores(draw, least=1, most=24):
    """Vectors full of ties: signed zeros, subnormals, infinities, neighbours of 1."""
    values = draw(st.lists(st.sampled_from(AWKWARD) | st.floats(-2, 2), min_size=least, max_size=most))
    return np.array(values)


def reference(score, k, within=None):
    """The definition: sort by (-score, index), take the first k candidates."""
    candidates = [j for j in range(len(score)) if within is None or within[j]]
    chosen = np.zeros(len(score), dtype=bool)
    chosen[sorted(candidates, key=lambda j: (-score[j], j))[:k]] = True
    return chosen


# ---- top -----------------------------------------------------------------------------------------------------------


@given(scores(), st.integers(0, 30))
def test_top_is_the_definition(score, k):
    chosen = top(score, k)
    assert chosen.dtype == bool and chosen.sum() == min(k, len(score))
    np.testing.assert_array_equal(chosen, reference(score, k))


def test_exact_size_ten_thousand_times():
    """Small integers as scores: nearly everything is a tie."""
    rng = np.random.default_rng(0)
    for _ in range(scaled(10_000)):
        n = int(rng.integers(1, 40))
        score = rng.choice(AWKWARD[:9], n) if rng.random() < 0.5 else rng.integers(-2, 3, n).astype(float)
        k = int(rng.integers(0, n + 3))
        chosen = top(score, k)
        assert np.count_nonzero(chosen) == min(k, n)
        if 0 < k < n:
            assert score[chosen].min() >= score[~chosen].max()


@given(scores(), st.integers(0, 30), st.data())
def test_top_within(score, k, data):
    within = np.array(data.draw(st.lists(st.booleans(), min_size=len(score), max_size=len(score))))
    before = within.copy()
    chosen = top(score, k, within)
    np.testing.assert_array_equal(chosen, reference(score, k, within))
    np.testing.assert_array_equal(within, before)
    np.testing.assert_array_equal(top(torch.from_numpy(score), k, torch.from_numpy(within)).numpy(), chosen)


@given(scores(), st.integers(0, 30), st.sampled_from(["float64", "float32"]))
def test_torch_agrees_with_numpy(score, k, dtype):
    """On the CPU, and by the operations that other devices use."""
    with np.errstate(over="ignore"):
        host = score.astype(dtype)
    tensor = torch.from_numpy(host)
    expected = top(host, k)
    np.testing.assert_array_equal(top(tensor, k).numpy(), expected)
    if 0 < k < len(host):
        np.testing.assert_array_equal(_top_torch(tensor, k).numpy(), expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.int64])
def test_other_number_types(dtype):
    score = torch.tensor([1.0, 3.0, 2.0, 3.0, 3.0]).to(dtype)
    assert top(score, 2).tolist() == [False, True, False, True, False]
    assert _top_torch(score, 2).tolist() == [False, True, False, True, False]


def test_top_keeps_gradients_out():
    score = torch.tensor([1.0, 2.0], requires_grad=True)
    assert top(score, 1).tolist() == [False, True]


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("place", [0, 1, 2, 3])
def test_top_refuses_nan(k, place):
    score = np.array([1.0, 2.0, 3.0, 4.0])
    score[place] = np.nan
    for thing in (score, torch.from_numpy(score)):
        with pytest.raises(NotFinite, match="NaN"):
            top(thing, k)
    with pytest.raises(NotFinite, match="NaN"):
        _top_torch(torch.from_numpy(score), k)


def test_top_bad_arguments():
    with pytest.raises(InvalidInput, match="k = -1 is negative; choose 0 <= k <= 3"):
        top(np.zeros(3), -1)
    with pytest.raises(InvalidInput, match=r"shape \(2, 3\)"):
        top(np.zeros((2, 3)), 1)
    with pytest.raises(InvalidInput, match="a vector"):
        top(np.float64(1.0), -1)


def test_top_needs_no_order_for_all_or_nothing():
    """k = 0 and k >= n compare nothing, so a NaN does no harm."""
    score = np.array([np.nan, 1.0])
    assert top(score, 0).tolist() == [False, False]
    assert top(score, 2).tolist() == [True, True]
    assert top(np.zeros(0), 0).tolist() == []


# ---- structures ----------------------------------------------------------------------------------------------------

TWO = Layout(("a", "b"), ((2, 3), (4,)))


@given(scores(10, 10), st.integers(0, 7), st.integers(0, 5))
def test_elements_per_block(score, first, second):
    chosen = Elements()(score, (first, second), TWO)
    np.testing.assert_array_equal(chosen[:6], reference(score[:6], first))
    np.testing.assert_array_equal(chosen[6:], reference(score[6:], second))
    assert sp.block_counts(chosen, TWO) == (min(first, 6), min(second, 4))


def test_elements_counts_and_blocks_must_match():
    with pytest.raises(InvalidInput, match="1 counts for 2 blocks"):
        Elements()(np.zeros(10), (3,), TWO)


@given(st.data())
def test_n_of_m_against_brute_force(data):
    """Every pattern of every group is tried: the sum of the kept scores is the largest, the first of equals wins."""
    n, m = data.draw(st.sampled_from([(1, 2), (2, 4), (1, 4), (3, 4), (0, 2), (2, 2)]))
    rows = 2
    axis = data.draw(st.sampled_from([0, 1, -1]))
    shape = (rows, 2 * m) if axis in (1, -1) else (2 * m, rows)
    values = data.draw(st.lists(st.integers(-3, 3), min_size=4 * m, max_size=4 * m))
    score = np.array(values, dtype=float)
    within = np.array(data.draw(st.lists(st.booleans(), min_size=4 * m, max_size=4 * m)))
    chosen = NM(n, m)(score, 0, Layout(("w",), (shape,), (axis,)), within).reshape(shape)

    as_rows = lambda array: np.moveaxis(array.reshape(shape), axis, -1).reshape(-1, m)  # noqa: E731
    for picked, values_, allowed in zip(as_rows(chosen), as_rows(score), as_rows(within), strict=True):
        size = min(n, int(allowed.sum()))
        patterns = [
            p for p in product([True, False], repeat=m) if sum(p) == size and not (np.array(p) & ~allowed).any()
        ]
        best = max(patterns, key=lambda p: (values_[list(p)].sum(), p))
        assert tuple(picked) == best


def test_n_of_m_edges():
    whole = Layout(("w",), ((3,),))
    assert NM(2, 4)(np.zeros(3), 0, whole).all()  # 4 does not divide 3: kept whole
    assert NM(1, 2)(np.array([-np.inf, -np.inf]), 0, Layout.single(2)).tolist() == [True, False]
    tensor = NM(1, 2)(torch.tensor([1.0, 2.0, 4.0, 3.0]), 0, Layout.single(4))
    assert tensor.tolist() == [False, True, True, False]
    with pytest.raises(NotFinite):
        NM(1, 2)(np.array([np.nan, 1.0]), 0, Layout.single(2))
    assert NM(1, 1)(np.zeros(3), 0, whole).all() and not NM(0, 1)(np.zeros(3), 0, whole).any()
    for n, m in ((3, 2), (-1, 2), (0, 0)):
        with pytest.raises(InvalidInput, match="n of every m"):
            NM(n, m)


@given(scores(12, 12), st.integers(0, 5), st.permutations([0, 0, 0, 1, 1, 2, 2, 2, 2, 3, 3, 3]))
def test_groups_whole_and_by_norm(score, k, labels):
    score = np.clip(score, -1e100, 1e100)
    chosen = Groups(tuple(labels))(score, k, Layout.single(12))
    norms = np.array([np.sqrt(sum(score[j] ** 2 for j in range(12) if labels[j] == g)) for g in range(4)])
    kept = sorted({g for g, c in zip(labels, chosen, strict=True) if c})
    assert len(kept) == min(k, 4) and Groups(tuple(labels)).size(chosen) == len(kept)
    assert all(chosen[j] == (labels[j] in kept) for j in range(12))
    if 0 < len(kept) < 4:
        assert norms[kept].min() >= np.delete(norms, kept).max() * (1 - 1e-12)


def test_groups_candidates_labels_and_errors():
    groups = Groups(np.array([0, 0, 2, 2]))  # group 1 is empty: never a candidate
    assert repr(groups) == "Groups(labels=(0, 0, 2, 2))"
    assert groups(np.zeros(4), 5, Layout.single(4)).all()
    within = np.array([False, False, False, True])
    assert groups(np.array([9.0, 9.0, 0.0, 1.0]), 1, Layout.single(4), within).tolist() == [False, False, True, True]
    assert groups(torch.tensor([9.0, 9.0, 0.0, 1.0]), 1, Layout.single(4)).tolist() == [True, True, False, False]
    assert sp.size(groups, within) == 1 and sp.size(Elements(), within) == 1
    with pytest.raises(InvalidInput, match="4 labels for 5"):
        groups(np.zeros(5), 1, Layout.single(5))
    with pytest.raises(InvalidInput, match="one a block"):
        groups(np.zeros(4), (1,), Layout.single(4))
    with pytest.raises(InvalidInput, match="negative"):
        Groups((0, -1))


# ---- the two libraries ---------------------------------------------------------------------------------------------


@given(scores(), st.data())
def test_restrict_writes_exact_zeros(x, data):
    """Not x * S: off the support there is +0.0 whatever x was, NaN and infinities included."""
    support = np.array(data.draw(st.lists(st.booleans(), min_size=len(x), max_size=len(x))))
    x = np.where(data.draw(st.booleans()), x, np.nan)
    for kept in (sp.restrict(x, support), sp.restrict(torch.from_numpy(x), torch.from_numpy(support)).numpy()):
        np.testing.assert_array_equal(kept[support], x[support])
        assert (kept[~support] == 0).all() and not np.signbit(kept[~support]).any()
    assert sp.restrict(np.ones(len(x), "float32"), support).dtype == np.float32


@given(st.lists(st.booleans(), min_size=1, max_size=40), st.lists(st.booleans(), min_size=1, max_size=40))
def test_digest_names_supports(one, two):
    a, b = np.array(one), np.array(two)
    assert sp.digest(a) == sp.digest(torch.from_numpy(a)) == sp.digest(a.copy())
    if len(a) == len(b):
        assert (sp.digest(a) == sp.digest(b)) == (one == two)


def test_small_helpers_in_both_libraries():
    x = np.array([3.0, 0.0, -4.0])
    for like in (x, torch.from_numpy(x)):
        assert sp.count(sp.everything(like)) == 3 and sp.count(sp.nothing(like)) == 0
        assert sp.square_norm(like) == 25.0 and sp.finite(like)
        copy = sp.copy(like)
        copy[0] = 9.0
        assert float(like[0]) == 3.0
    direction = np.array([1.0, 2.0, 3.0])
    assert sp.projection(x, direction) == sp.projection(torch.from_numpy(x).float(), direction) == -9.0
    assert sp.projection(np.array([[True], [False], [True]]), direction) == 4.0
    half = sp.to_numpy(torch.tensor([1.5], dtype=torch.bfloat16, requires_grad=True))
    assert half.dtype == np.float32 and half[0] == 1.5
    assert sp.to_numpy(torch.tensor([True])).dtype == bool


def test_finite_looks_again_where_the_norm_overflows():
    with np.errstate(over="ignore", invalid="ignore"):
        assert sp.finite(np.array([1e200, -1e200]))
        assert not sp.finite(np.array([1e200, np.inf])) and not sp.finite(np.array([np.nan]))
    assert not sp.finite(torch.tensor([1.0, float("nan")]))


# ---- random numbers ------------------------------------------------------------------------------------------------


def test_uniform_is_a_function_of_its_key():
    x = np.zeros(1000)
    draws = sp.uniform((1, 2, 3), x)
    np.testing.assert_array_equal(draws, sp.uniform((1, 2, 3), torch.from_numpy(x)).numpy())
    assert not np.array_equal(draws, sp.uniform((1, 2, 4), x))
    assert draws.min() >= 0 and draws.max() < 1 and abs(draws.mean() - 0.5) < 0.05


@given(scores(), st.integers(0, 50), st.integers(0, 5))
def test_draw_counts_are_k_draws_of_weights_that_exist(x, k, seed):
    x = np.clip(x, -1e308, 1e308)
    hits = sp.draw_counts(x, k, (seed, 0, 0, 0))
    assert hits.sum() == (k if x.any() else 0)
    assert (x[hits > 0] != 0).all() and (hits >= 0).all()
    same = sp.draw_counts(torch.from_numpy(x), k, (seed, 0, 0, 0)).numpy()
    np.testing.assert_array_equal(hits, same)


def test_draw_counts_have_the_right_distribution():
    """A chi-square statistic of 20,000 draws from |x| / |x|_1 (99.9 % point for 3 degrees of freedom: 16.3)."""
    x = np.array([1.0, 0.0, -2.0, 3.0, 4.0])
    hits = sp.draw_counts(x, 20_000, (0, 0, 0, 0))
    expected = 20_000 * np.abs(x) / 10
    assert ((hits - expected)[[0, 2, 3, 4]] ** 2 / expected[[0, 2, 3, 4]]).sum() < 16.3
