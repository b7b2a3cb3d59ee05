"""Changes of the data that change nothing, or something known: every method has to answer alike.

Order, signs and scales of columns and targets are in `test_catalogue`; here are rows, ridges, and columns that add
nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import sparsopt
from sparsopt import LeastSquares
from sparsopt.errors import MissingCapability
from tests.conftest import scaled

K, N, P = 3, 30, 8
NAMES = sorted(set(sparsopt.methods()))
RIDGE = 0.05


def data(seed: int) -> tuple[Any, Any]:
    rng = np.random.default_rng([47, seed])
    X = rng.standard_normal((N, P)) + 0.5 * rng.standard_normal((N, 1))
    return X, X[:, :3] @ [2.0, -1.0, 0.5] + rng.standard_normal(N)


def rotated(X: Any, y: Any) -> LeastSquares:
    Q = np.linalg.qr(np.random.default_rng(1).standard_normal((N, N)))[0]
    return LeastSquares(Q @ X, Q @ y, RIDGE)


def repeated(X: Any, y: Any) -> LeastSquares:
    """Every row twice."""
    return LeastSquares(np.vstack([X, X]), np.append(y, y), RIDGE)


def halved(X: Any, y: Any) -> LeastSquares:
    """Rows twice, with half the weight each; unevenly divided."""
    share = np.random.default_rng(2).uniform(0.1, 0.9, N)
    return LeastSquares(np.vstack([X, X]), np.append(y, y), RIDGE, sample_weight=np.append(share, 1 - share))


def weighted(X: Any, y: Any) -> LeastSquares:
    """Weight 2 for all."""
    return LeastSquares(X, y, RIDGE, sample_weight=np.full(N, 2.0))


def shuffled(X: Any, y: Any) -> LeastSquares:
    order = np.random.default_rng(3).permutation(N)
    return LeastSquares(X[order], y[order], RIDGE)


def silent(X: Any, y: Any) -> LeastSquares:
    """More rows, without weight."""
    more = np.random.default_rng(4).standard_normal((5, P))
    weight = np.append(np.ones(N), np.zeros(5))
    return LeastSquares(np.vstack([X, more]), np.append(y, more[:, 0]), RIDGE, sample_weight=weight)


def augmented(X: Any, y: Any) -> LeastSquares:
    """The ridge as rows sqrt(n ridge) e_j with target 0: n/(n + p) times the same f."""
    return LeastSquares(np.vstack([X, np.sqrt(N * RIDGE) * np.eye(P)]), np.append(y, np.zeros(P)))


SAME: dict[Callable[[Any, Any], LeastSquares], float] = {
    rotated: 1.0,
    repeated: 1.0,
    halved: 1.0,
    weighted: 1.0,
    shuffled: 1.0,
    silent: 1.0,
    augmented: N / (N + P),
}


def answer(problem: Any, name: str) -> Any:
    try:
        return sparsopt.solve(problem, K, name, seed=1)
    except MissingCapability:
        pytest.skip("not for least squares of this kind")


@pytest.mark.parametrize("change", SAME, ids=lambda change: change.__name__)
@pytest.mark.parametrize("name", NAMES)
def test_the_same_function_has_the_same_answer(name: str, change: Any) -> None:
    if (name, change) == ("iht-with-feedback", augmented):
        pytest.skip("its step is a bound with the ridge apart, another one here, and its supports do not settle")
    for seed in range(scaled(2, least=1)):
        X, y = data(seed)
        plain, other = answer(LeastSquares(X, y, RIDGE), name), answer(change(X, y), name)
        np.testing.assert_array_equal(other.support, plain.support)
        np.testing.assert_allclose(other.x, plain.x, rtol=1e-5, atol=1e-6)
        assert other.value == pytest.approx(SAME[change] * plain.value, rel=1e-7)


def test_the_changes_are_what_they_say() -> None:
    """f itself, at any point; and a change that is none of these is seen."""
    X, y = data(0)
    x = np.random.default_rng(0).standard_normal(P)
    plain = LeastSquares(X, y, RIDGE)
    for change, factor in SAME.items():
        assert change(X, y).value(x) == pytest.approx(factor * plain.value(x), rel=1e-12)
    assert LeastSquares(np.vstack([X, X[:1]]), np.append(y, y[:1]), RIDGE).value(x) != pytest.approx(plain.value(x))


@pytest.mark.parametrize("name", NAMES)
def test_a_column_of_zeros_is_never_needed(name: str) -> None:
    X, y = data(0)
    plain = answer(LeastSquares(X, y, RIDGE), name)
    wider = answer(LeastSquares(np.column_stack([X, np.zeros(N)]), y, RIDGE), name)
    assert wider.x[-1] == 0 and wider.value == pytest.approx(plain.value, rel=0.3)
    if name not in ("randomised", "iterated-local-search"):  # whose draws are by position
        np.testing.assert_array_equal(wider.support[:-1], plain.support)


@pytest.mark.parametrize("name", ["auto", "omp", "ols", "foba", "replacement", "best-swap", "branch-and-bound"])
def test_a_column_that_is_there_twice_is_needed_once(name: str) -> None:
    """Without a ridge, which would share a weight between the two."""
    for seed in range(scaled(3, least=1)):
        X, y = data(seed)
        plain, wider = answer(LeastSquares(X, y), name), answer(LeastSquares(np.column_stack([X, X[:, 0]]), y), name)
        assert wider.value == pytest.approx(plain.value, rel=1e-8)
        assert not (wider.support[0] and wider.support[-1])
