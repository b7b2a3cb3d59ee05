"""Tabu search: its revised form against linear algebra, in both precisions; never worse, often better."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsopt.portfolio import single, tabu
from sparsopt.portfolio.auto import Auto
from sparsopt.portfolio.pairs import promising
from sparsopt.portfolio.single import copied, plain
from sparsopt.portfolio.swept import Swept
from sparsopt.problems import LeastSquares, Quadratic
from sparsopt.solvers import solve

SEEDS = st.integers(0, 10**6)


def squares(seed: int, n: int = 20, p: int = 60, ridge: float = 0.0) -> LeastSquares:
    rng = np.random.default_rng([seed, n, p])
    X = rng.standard_normal((n, p)) + 0.7 * rng.standard_normal((n, 1))
    return LeastSquares(X, rng.standard_normal(n), ridge=ridge)


def fewer_digits(f: LeastSquares) -> single.Single:
    rows = copied(f)
    assert rows is not None
    return rows


def swept(f: LeastSquares, S: np.ndarray) -> Swept:
    H = f.hessian_block(np.arange(f.p))
    return Swept(H.__getitem__, -f.gradient(np.zeros(f.p)), np.diagonal(H), S)


@given(SEEDS, st.sampled_from([np.float64, np.float32]))
def test_members_that_come_and_go_leave_what_linear_algebra_says(seed: int, precision: type) -> None:
    rng, f = np.random.default_rng(seed), squares(seed, ridge=0.01)
    t = swept(f, rng.choice(f.p, 5, replace=False))
    r = tabu.Revised(lambda j: t.rows(j).astype(precision), t.c, t.h.astype(precision), t.S)
    for _ in range(30):
        r.leave(int(rng.integers(r.k)))
        r.enter(int(rng.choice(np.setdiff1d(np.arange(f.p), r.S[: r.k]))))
    new, tolerance = swept(f, r.S), 1e-9 if precision is np.float64 else 1e-3
    others = np.setdiff1d(np.arange(f.p), new.S)
    assert r.value == pytest.approx(new.value, rel=tolerance)
    assert r.x == pytest.approx(new.weights, rel=tolerance, abs=tolerance)
    assert r.z[others] == pytest.approx(new.z[others], abs=tolerance)
    assert r.entries()[others] / 2 == pytest.approx(new.entries()[others], rel=10 * tolerance, abs=tolerance)
    assert r.exits() / 2 == pytest.approx(new.exits(), rel=10 * tolerance, abs=tolerance)
    assert r.z[new.S] == pytest.approx(0, abs=tolerance / 100) and r.d[new.S] == pytest.approx(0, abs=tolerance / 100)


@given(SEEDS)
def test_what_is_returned_is_never_worse(seed: int) -> None:
    f = squares(seed)
    t = swept(f, np.arange(4))
    t.polish(1e-9)
    found = tabu.walked(t, t.rows, 40, np.random.default_rng(seed), 1e-9)
    assert found.size == 4 and swept(f, found).value <= t.value + 1e-12


def test_it_goes_on_where_no_swap_pays() -> None:
    """Of local optima of random problems with few samples most are left behind."""
    better = 0
    for seed in range(20):
        f = squares(seed)
        t = swept(f, np.arange(5))
        t.polish(1e-9)
        better += swept(f, tabu.walked(t, t.rows, 150, np.random.default_rng(0), 1e-9)).value < 0.99 * t.value
    assert better >= 15


def test_rows_in_single_precision_are_those_of_the_hessian(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(single, "KEPT", 60 * 7)  # they are forgotten again and again
    f = squares(1, ridge=0.5)
    rows, H = fewer_digits(f), f.hessian_block(np.arange(60))
    for j in np.random.default_rng(0).integers(60, size=100).tolist():
        assert rows(j) == pytest.approx(H[j], abs=1e-5)
    assert rows(np.arange(30)) == pytest.approx(H[:30], abs=1e-5)
    assert rows.passing(np.array([3, 7])) == pytest.approx(H[[3, 7]], abs=1e-5)


@pytest.mark.parametrize("weights", [None, np.linspace(0.5, 2.0, 20)])
@pytest.mark.parametrize("intercept", [False, True])
def test_single_precision_finds_what_double_does(weights: np.ndarray | None, intercept: bool) -> None:
    f = squares(2)
    f = LeastSquares(f.design.X + 5.0 * intercept, f.target, intercept=intercept, sample_weight=weights)
    t = swept(f, np.arange(5))
    fewer, double = tabu.revised(t, fewer_digits(f)), tabu.revised(t, t.rows)
    assert fewer.z.dtype == np.float32 and double.z.dtype == np.float64
    assert fewer.z == pytest.approx(double.z, abs=1e-5) and fewer.d == pytest.approx(double.d, abs=1e-4)
    found = [tabu.search(r, 60, np.random.default_rng(0), 1e-9).tolist() for r in (fewer, double)]
    assert found[0] == found[1]
    C = np.arange(0, 60, 2)
    assert np.array_equal(promising(t, C, fewer_digits(f)), promising(t, C, t.rows))


def test_where_seven_digits_are_too_few_there_are_sixteen() -> None:
    f = squares(3)
    alike, exact = LeastSquares(f.design.X + 1e4, f.target), LeastSquares(f.design.X, f.design.X[:, :3].sum(axis=1))
    for g, enough in ((f, True), (alike, False), (exact, False)):
        assert plain(g, swept(g, np.arange(3))) is enough
    assert copied(Quadratic(f.hessian_block(np.arange(60)) + np.eye(60), np.ones(60))) is None  # no columns


def test_a_long_search_takes_about_as_long_whatever_the_problem() -> None:
    assert tabu.affordable(71, 4088, 20) < tabu.affordable(71, 4088, 5) < tabu.affordable(71, 2000, 5)
    assert tabu.affordable(2000, 10_000, 100) < 500 < tabu.affordable(np.inf, 200, 5)


def test_more_effort_is_never_worse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tabu, "WORK", tabu.WORK / 40)
    least, most = 0.0, 0.0
    for seed in range(2):
        f = squares(seed, 30, 300)
        values = [solve(f, 8, Auto(effort=effort)).value for effort in (0, 1, 2, 3)]
        assert all(new <= old * (1 + 1e-9) for old, new in itertools.pairwise(values))
        least, most = least + values[0], most + values[-1]
    assert most < 0.9 * least
