"""An opened problem answers like a fresh one, in bounded memory; threads may share what is not opened."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsopt.catalogue import METHODS, omp
from sparsopt.method import run
from sparsopt.problems import LeastSquares
from sparsopt.problems import columns as columns_module
from sparsopt.problems import designs as designs_module
from sparsopt.problems.factor import Factor
from tests.conftest import scaled
from tests.problems import data, family, seeds, shapes


@given(seeds, shapes, st.sampled_from([0.0, 0.2]), st.lists(st.integers(0, 255), min_size=2, max_size=12))
@settings(max_examples=scaled(40))
def test_an_opened_problem_answers_like_a_fresh_one(seed, shape, ridge, supports):
    """Any sequence of supports: growing, shrinking, swapping, all at once."""
    for problem in family(seed, shape, ridge):
        opened, x = problem.open(), None
        for bits in supports:
            support = np.array([bits >> j & 1 for j in range(problem.p)], dtype=bool)
            x, value = opened.minimise_on(support, x)
            fresh, expected = problem.minimise_on(support, None)
            size = 1 + np.abs(fresh).max(initial=0.0)
            assert math.isclose(value, expected, rel_tol=1e-9, abs_tol=1e-9)
            np.testing.assert_allclose(opened.gradient(x), problem.gradient(x), rtol=1e-7, atol=1e-9 * size)
            assert opened.gradient(x) is opened.gradient(x)
            moved = x + 1.0
            np.testing.assert_allclose(opened.gradient(moved), problem.gradient(moved), rtol=1e-8, atol=1e-9)
            assert math.isclose(opened.value(moved), problem.value(moved), rel_tol=1e-10)


def test_a_point_changed_in_place_is_a_new_point():
    for problem in family(0, (12, 4), 0.1):
        opened, x = problem.open(), np.ones(4)
        before = opened.gradient(x).copy()
        x[2] = 5.0
        np.testing.assert_allclose(opened.gradient(x), problem.gradient(x))
        assert not np.allclose(opened.gradient(x), before)


def test_memory_stays_within_what_the_supports_need(monkeypatch):
    monkeypatch.setattr(columns_module, "ROOM", 3)
    X, y, _ = data(1, (30, 20))
    problem, draws = LeastSquares(X, y, 0.1), np.random.default_rng(0)
    opened = problem.open()
    for _ in range(30):
        support = np.isin(np.arange(20), draws.permutation(20)[:4])
        value = opened.minimise_on(support, None)[1]
        assert math.isclose(value, problem.minimise_on(support, None)[1], rel_tol=1e-10)
        assert opened._memo.columns.index.size <= 11
    assert problem._memo is None


def test_no_method_multiplies_by_all_of_x_more_than_once_a_step(monkeypatch):
    """OMP: k steps, k products with the whole matrix."""
    calls = []
    original = designs_module.Dense.tdot
    monkeypatch.setattr(designs_module.Dense, "tdot", lambda self, r: calls.append(1) or original(self, r))
    X, y, _ = data(2, (50, 200))
    problem = LeastSquares(X, y)
    run(omp(10), problem, problem.start(0))
    assert len(calls) == 10


@given(seeds, shapes, st.sampled_from([0.0, 0.2]), st.integers(0, 255))
@settings(max_examples=scaled(20))
def test_a_gradient_is_the_same_from_weights_on_a_support(seed, shape, ridge, bits):
    for problem in family(seed, shape, ridge):
        S = np.flatnonzero([bits >> j & 1 for j in range(problem.p)])
        x = np.zeros(problem.p, problem.dtype)
        x[S] = weights = np.random.default_rng(seed).standard_normal(S.size)
        wanted = problem.gradient(x)
        for known in (problem, problem.open()):
            found = known.gradient_on(S, weights)
            np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5 if x.dtype == np.float32 else 1e-10)
            assert found.dtype == wanted.dtype


@pytest.mark.parametrize("kind", range(5))
def test_threads_may_share_a_problem(kind):
    problem = family(11, (60, 40), 0.1)[kind]
    method = METHODS["omp"](8, problem)

    def solve(_):
        own = run(method, problem, problem.start(0)).x
        return own, problem.minimise_on(own != 0, None)[1], problem.gradient(own)

    truth = solve(0)
    with ThreadPoolExecutor(4) as pool:
        for answer in pool.map(solve, range(24)):
            for mine, expected in zip(answer, truth, strict=True):
                np.testing.assert_array_equal(mine, expected)


@given(seeds, st.lists(st.integers(1, 63), min_size=1, max_size=10))
def test_the_factor_follows_any_support(seed, supports):
    A = np.random.default_rng(seed).standard_normal((8, 6))
    H, b, factor = A.T @ A, np.arange(6.0), Factor()
    for bits in supports:
        support = np.array([bits >> j & 1 for j in range(6)], dtype=bool)
        order = factor.arrange(support)
        assert sorted(order) == np.flatnonzero(support).tolist()
        x = factor.solve(order, H[np.ix_(order, order)], b[order])
        np.testing.assert_allclose(H[np.ix_(order, order)] @ x, b[order], atol=1e-5)
    assert Factor().solve(np.arange(2), np.ones((2, 2)), np.ones(2)) is None
