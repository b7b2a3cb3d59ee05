"""Units of curvature 1: bounds that are bounds, steps that the scale of a column does not change, methods by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

import sparsopt
from sparsopt import catalogue, solvers
from sparsopt.fits import InverseSmoothness, LineSearch, Normalised, PerCurvature, relative_smoothness
from sparsopt.hard_instances import diagonal
from sparsopt.problems import Cox, Huber, LeastSquares, Logistic, MultiOutput, Quadratic, Softmax, constrained
from tests.conftest import scaled

SEEDS = st.integers(0, 10**6)
# Rules in the units of the columns: an l1 ball, draws by |x_j|, a penalty on x_j^2.
WITH_UNITS = {"frank-wolfe", "randomised", "arht", "regularised-iht"}


def data(seed: int, n: int = 40, p: int = 9) -> tuple[np.ndarray, np.ndarray]:
    draws = np.random.default_rng([seed, 31])
    X = draws.standard_normal((n, p)) + 0.7 * draws.standard_normal((n, 1))
    return X, X[:, :3] @ np.array([2.0, -1.5, 1.0]) + draws.standard_normal(n)


def problems(seed: int) -> list[Any]:
    X, y = data(seed)
    X = X * 2.0 ** np.random.default_rng(seed).integers(-6, 7, X.shape[1])
    labels, many = y > np.median(y), np.digitize(y, np.quantile(y, [0.3, 0.7]))
    return [
        LeastSquares(X, y),
        LeastSquares(sparse.csc_array(np.where(np.abs(X) > np.median(np.abs(X), axis=0), X, 0.0)), y, intercept=True),
        LeastSquares(X.astype(np.float32), y, ridge=0.1),
        LeastSquares(X[:5], y[:5], ridge=1e-3),
        Quadratic(X.T @ X, X.T @ y),
        Logistic(X, labels, ridge=1e-3),
        Huber(X, y),
        Softmax(X, many, ridge=1e-3),
        MultiOutput(X, np.stack([y, y**2], axis=1)),
        Cox(X, np.exp(y - y.max()), labels, ridge=1e-3),
        constrained(LeastSquares(X, y), lower=-1.0),
    ]


@given(SEEDS)
@settings(max_examples=scaled(20))
def test_the_bound_bounds(seed: int) -> None:
    """v'H(x)v <= L sum_j h_j v_j^2, for dense and for sparse v, at any x."""
    draws = np.random.default_rng([seed, 1])
    for f in problems(seed):
        h, n = np.asarray(f.curvature(), dtype=float), f.layout.n
        x = (draws.standard_normal(n) / np.sqrt(h)).astype(f.dtype)
        for size in (None, 2, n):
            v = np.zeros(n)
            inside = draws.permutation(n)[: n if size is None else size]
            v[inside] = draws.standard_normal(len(inside)) / np.sqrt(h[inside])
            bend = float(v @ np.asarray(f.hessian_product(x, v.astype(f.dtype)), dtype=float))
            most = relative_smoothness(f, size) * float(h @ v**2)
            assert bend <= most * (1 + (1e-4 if f.dtype == np.float32 else 1e-9))
        assert relative_smoothness(f) <= n * (1 + 1e-9)


def test_the_bound_is_the_largest_eigenvalue() -> None:
    X, y = data(0)
    X = X * np.geomspace(1e-3, 1e3, X.shape[1])
    root = np.sqrt(np.einsum("ij,ij->j", X, X) / len(X))
    largest = np.linalg.eigvalsh(X.T @ X / len(X) / root / root[:, None])[-1]
    for f in (LeastSquares(X, y), Quadratic(X.T @ X / len(X), X.T @ y)):
        assert relative_smoothness(f) == pytest.approx(largest, rel=1e-9)
    assert LeastSquares(X, y).smoothness() > 1e5 * largest  # which says nothing about all but one column


def test_coordinates_without_curvature_do_not_move() -> None:
    X, y = data(1)
    X[:, 4] = 0.0
    f = LeastSquares(X, y)
    for rule in (1.0, InverseSmoothness(), LineSearch(), Normalised(3)):
        step = PerCurvature(rule)(f, f.start(0), f.gradient(np.zeros(9)))
        assert step[4] == 0 and (np.delete(step, 4) > 0).all() and np.isfinite(step).all()
    flat = LeastSquares(np.zeros((4, 3)), y[:4])
    assert relative_smoothness(flat) == 0.0 and not sparsopt.solve(flat, 2, "iht").x.any()


def test_the_line_search_is_exact_in_its_direction() -> None:
    X, y = data(2)
    f = LeastSquares(X * np.geomspace(1, 50, 9), y)
    g = f.gradient(np.zeros(9))
    step = PerCurvature(LineSearch())(f, f.start(0), g)
    values = [f.value(-t * step * g) for t in (0.999, 1.0, 1.001)]
    assert min(values) == values[1]


def names() -> list[str]:
    return sorted(set(solvers.SOLVERS) - WITH_UNITS - {"iterated-local-search"})  # which is auto's, for longer


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("kind", ["squares", "logistic", "poisson"])
def test_no_method_by_name_sees_the_scale_of_a_column(name: str, kind: str) -> None:
    """Columns times powers of two: the same support, and weights divided by them. (A ridge would have units.)"""
    losses = {
        "squares": lambda X, y: LeastSquares(X, y, intercept=True),
        "logistic": lambda X, y: Logistic(X, y > np.median(y)),
        "poisson": lambda X, y: sparsopt.problems.Poisson(X, np.round(np.exp(y / 4))),
    }
    for seed in range(scaled(3)):
        X, y = data(seed)
        factor = 2.0 ** np.random.default_rng([seed, 5]).integers(-7, 8, X.shape[1])
        plain, other = losses[kind](X / 4, y), losses[kind](X * factor / 4, y)
        try:
            made = [shortened(name, f).solve(f, 3, 0) for f in (plain, other)]
        except sparsopt.errors.MissingCapability:
            return  # Poisson has no smoothness
        np.testing.assert_array_equal(made[1].support, made[0].support)
        np.testing.assert_allclose(made[1].x * factor, made[0].x, rtol=1e-4, atol=1e-6)


def shortened(name: str, f: Any) -> Any:
    """A catalogue method with at most 40 rounds a stage; anything else as it is."""
    from dataclasses import replace

    if name not in catalogue.METHODS:
        return solvers.SOLVERS[name]
    method = catalogue.METHODS[name](3, f)
    return replace(method, stages=tuple(replace(stage, rounds=min(stage.rounds, 40)) for stage in method.stages))


@given(SEEDS)
@settings(max_examples=scaled(20))
def test_thresholding_by_name_solves_the_diagonal_where_one_length_for_all_fails(seed: int) -> None:
    hard = diagonal(seed=seed)
    for name in ("iht", "niht", "htp", "aiht", "cosamp", "subspace-pursuit", "partial-hard-thresholding"):
        assert hard.solved(hard.run(catalogue.METHODS[name](hard.k, hard.problem)).x), name
    for plain in (catalogue.iht(hard.k), catalogue.htp(hard.k), catalogue.niht(hard.k)):
        assert not hard.solved(hard.run(plain).x), plain.name


def test_htp_by_name_finds_a_planted_support_among_many_columns() -> None:
    """L is about p/n times the curvature of a column there: a step of 1/L moves next to nothing."""
    draws = np.random.default_rng(0)
    X = draws.standard_normal((200, 3000))
    truth = draws.choice(3000, 10, replace=False)
    f = LeastSquares(X, X[:, truth] @ draws.choice([-1.0, 1.0], 10) + 0.1 * draws.standard_normal(200))
    found = np.flatnonzero(sparsopt.solve(f, 10, "htp").support)
    np.testing.assert_array_equal(found, np.sort(truth))
    assert len(set(truth) & set(np.flatnonzero(sparsopt.solve(f, 10, catalogue.htp(10)).support))) < 10


def test_problems_without_curvature_keep_their_own_units() -> None:
    class Distance(sparsopt.problems.Problem):
        def value(self, x: np.ndarray) -> float:
            return float((x - 1) @ (x - 1)) / 2

        def gradient(self, x: np.ndarray) -> np.ndarray:
            return x - 1

        def smoothness(self, s: int | None = None) -> float:
            return 1.0

    assert sparsopt.solve(Distance(4), 2, "iht").x.tolist() == [1, 1, 0, 0]
