"""A support that loses members: the minimisers that are followed are those that are solved afresh."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsopt import catalogue
from sparsopt.method import run
from sparsopt.problems import LeastSquares, Quadratic
from sparsopt.problems.shrinking import BATCH
from sparsopt.schedules import Geometric, Linear
from tests.conftest import scaled


def least_squares(seed, n=140, p=90, condition=1.0):
    rng = np.random.default_rng([31, seed])
    X = rng.standard_normal((n, p)) + condition * rng.standard_normal((n, 1))
    return LeastSquares(
        X, X[:, :5].sum(axis=1) + rng.standard_normal(n), ridge=0.01 * (seed % 2), intercept=seed % 3 == 0
    )


def as_quadratic(seed):
    problem = least_squares(seed)
    return Quadratic(problem.hessian_columns(np.arange(problem.p)), -problem.gradient(np.zeros(problem.p)))


@settings(max_examples=scaled(15))
@given(st.integers(0, 10**6), st.sampled_from([least_squares, as_quadratic]))
def test_members_that_leave(seed, make):
    """One to three at a time, in any order; now and then some come back, which ends the shortcut."""
    problem, rng = make(seed), np.random.default_rng(seed)
    opened = problem.open()
    support = np.ones(problem.p, dtype=bool)
    for _ in range(40):
        x, value = opened.minimise_on(support, None)
        exact, best = problem.minimise_on(support, None)
        np.testing.assert_allclose(x, exact, rtol=1e-8, atol=1e-10)
        assert value == pytest.approx(best, rel=1e-10) and not x[~support].any()
        g = opened.gradient(x)
        assert np.abs(g[support]).max() <= 1e-9 * np.abs(problem.gradient(np.zeros(problem.p))).max()
        if rng.random() < 0.1:
            support = support | (rng.random(problem.p) < 0.05)
        support = support & ~np.isin(np.arange(problem.p), rng.choice(np.flatnonzero(support), rng.integers(0, 4)))


@pytest.mark.parametrize("make", [least_squares, as_quadratic])
def test_the_shortcut_is_taken_and_given_up(make):
    opened = make(0).open()
    shrinking = opened._memo.shrinking
    support = np.ones(opened.p, dtype=bool)
    opened.minimise_on(support, None)
    support[3] = False
    assert shrinking.follow(support) is not None
    for refused in (np.ones(opened.p, dtype=bool), np.zeros(opened.p, dtype=bool), np.arange(opened.p) >= 30):
        assert shrinking.follow(refused) is None  # one comes back; nothing is left; too many at once


def test_dependent_columns_are_solved_afresh():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((100, 60))
    X[:, 1] = X[:, 0] + 1e-6 * rng.standard_normal(100)
    opened = LeastSquares(X, X[:, 2] + rng.standard_normal(100)).open()
    support = np.ones(60, dtype=bool)
    opened.minimise_on(support, None)
    support[5] = False
    assert opened._memo.shrinking.follow(support) is None


@pytest.mark.parametrize("schedule", [Linear(90, 6, 84), Geometric(90, 6, 60)])
def test_backward_elimination_is_what_it_was(schedule, monkeypatch):
    problem = least_squares(1)
    method = catalogue.backward_elimination(schedule)
    fast = run(method, problem, problem.start(0))
    monkeypatch.setattr("sparsopt.problems.shrinking.LEAST", 10**9)
    monkeypatch.setattr("sparsopt.problems.shrinking.Shrinking.follow", lambda self, support: None)
    slow = run(method, problem, problem.start(0))
    assert fast.trace.column("support") == slow.trace.column("support")
    np.testing.assert_allclose(fast.x, slow.x, rtol=1e-9, atol=1e-12)


def test_a_thousand_columns():
    """Past several fresh starts, in the time of a few factorisations (ten seconds when every round refits)."""
    rng = np.random.default_rng(0)
    p = 2 * BATCH + 60
    A = rng.standard_normal((600, p))
    problem = Quadratic(A.T @ A / 600, A.T @ A[:, :9].sum(axis=1) / 600)
    began = time.process_time()
    result = run(catalogue.METHODS["backward-elimination"](9, problem), problem, problem.start(0))
    assert time.process_time() - began < 1.0
    assert np.flatnonzero(result.support).tolist() == list(range(9))
    np.testing.assert_allclose(result.x[:9], 1.0, rtol=1e-9)
