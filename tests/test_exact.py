"""Enumeration against plain loops."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsopt import exact as module
from sparsopt.errors import InvalidInput, NotFinite
from sparsopt.exact import enumerate_supports
from sparsopt.problems import LeastSquares, Logistic, Quadratic
from tests.conftest import scaled

seeds = st.integers(0, 2**32 - 1)


def lstsq_value(X, y, chosen, ridge):
    n, A = len(y), X[:, list(chosen)]
    A = np.vstack([A, math.sqrt(n * ridge) * np.eye(len(chosen))])
    target = np.concatenate([y, np.zeros(len(chosen))])
    r = target - A @ np.linalg.lstsq(A, target)[0] if chosen else target
    return r @ r / (2 * n)


@given(seeds, st.integers(1, 8), st.integers(0, 5), st.sampled_from([0.0, 0.1]), st.sampled_from([0, 1, 2]))
def test_least_squares_against_a_loop_over_lstsq(seed, p, k, ridge, flaw):
    """With duplicates (flaw 1) or more columns than rows (flaw 2), too."""
    draws = np.random.default_rng(seed)
    n = 3 if flaw == 2 else p + 3
    X, y = draws.standard_normal((n, p)), draws.standard_normal(n)
    if flaw == 1:
        X[:, -1] = -X[:, 0]
    truth = min(lstsq_value(X, y, chosen, ridge) for chosen in itertools.combinations(range(p), min(k, p)))
    problem = LeastSquares(X, y, ridge)
    x, value = enumerate_supports(problem, k)
    assert value == pytest.approx(truth, rel=1e-9, abs=1e-12)
    assert np.count_nonzero(x) <= k and problem.value(x) == pytest.approx(value, rel=1e-12, abs=1e-15)


@given(seeds, st.integers(1, 6), st.integers(0, 6), st.sampled_from([1, 10_000_000]))
@settings(max_examples=scaled(30))
def test_batches_against_one_by_one(seed, p, k, chunk):
    """Quadratics in batches of any size give what the general loop over `minimise_on` gives."""
    draws = np.random.default_rng(seed)
    A = draws.standard_normal((p + 1, p))
    problem = Quadratic(A.T @ A, A.T @ draws.standard_normal(p + 1))
    original = module.CHUNK
    try:
        module.CHUNK = chunk
        value = enumerate_supports(problem, k)[1]
    finally:
        module.CHUNK = original
    values = [module._minimised(problem, chosen)[1] for chosen in itertools.combinations(range(p), min(k, p))]
    assert value == pytest.approx(min(values), rel=1e-10)


def test_logistic_finds_the_planted_columns():
    draws = np.random.default_rng(0)
    X = draws.standard_normal((300, 7))
    problem = Logistic(X, X[:, 1] - X[:, 4] + 0.5 * draws.logistic(size=300) > 0, 0.01)
    x, value = enumerate_supports(problem, 2)
    assert np.flatnonzero(x).tolist() == [1, 4]
    for other in itertools.combinations(range(7), 2):
        assert value <= module._minimised(problem, other)[1]


def test_more_than_all_coordinates_is_the_unrestricted_minimum():
    x, value = enumerate_supports(Quadratic(np.eye(2), [1.0, 2.0]), 5)
    assert x.tolist() == [1.0, 2.0] and value == -2.5


def test_too_many_supports_are_refused_with_their_number():
    problem = Quadratic(np.eye(60), np.ones(60))
    with pytest.raises(
        InvalidInput, match=r"k = 10 of p = 60 would look at 75,394,027,566 supports, more than .* 2,000,000"
    ):
        enumerate_supports(problem, 10)
    with pytest.raises(InvalidInput, match="more than the limit of 59"):
        enumerate_supports(problem, 1, most=59)
    assert enumerate_supports(problem, 1, most=60)[1] == -0.5
    with pytest.raises(InvalidInput, match="k = -1 is negative"):
        enumerate_supports(problem, -1)


def test_no_minimum_on_some_support_is_an_error():
    with pytest.raises(NotFinite, match=r"support \[1\] has no minimum"):
        enumerate_supports(Quadratic(np.diag([1.0, 0.0]), [1.0, 1.0]), 1)
