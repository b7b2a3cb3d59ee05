"""The portfolios: against enumeration on small instances, never worse than the methods, and indifferent to names."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from benchmarks.convex_peers.problems import PROBLEMS
from sparsopt import catalogue
from sparsopt.errors import DataError
from sparsopt.exact import enumerate_supports
from sparsopt.method import run
from sparsopt.portfolio import logistic, pairs, quadratic
from sparsopt.portfolio.pool import Pool, View
from sparsopt.portfolio.swept import Swept
from sparsopt.portfolio.tableau import Tableau, pair_gains
from sparsopt.problems import LeastSquares, Logistic
from sparsopt.solvers import solve
from tests.conftest import scaled

SEEDS = st.integers(0, 10**6)
KINDS = st.sampled_from(["squares", "logistic"])
SEARCH: dict[str, Any] = {"squares": quadratic.Search, "logistic": logistic.Search}


def data(seed: int, n: int, p: int, k: int, rho: float = 0.7, noise: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Correlated columns and a noisy sparse response."""
    rng = np.random.default_rng([seed, n, p, k])
    X = rng.standard_normal((n, p)) + rho * rng.standard_normal((n, 1))
    X[:, 1:] += rho * X[:, :-1]
    w = np.zeros(p)
    w[rng.choice(p, k, replace=False)] = rng.choice([-1, 1], k) * rng.uniform(0.5, 2, k)
    return X, X @ w + noise * rng.standard_normal(n)


def build(kind: str, X: Any, y: np.ndarray, ridge: float = 1e-3) -> Any:
    if kind == "squares":
        return LeastSquares(X, y, ridge=ridge)
    return Logistic(X, y > np.median(y), ridge=ridge)


def problem(kind: str, seed: int, n: int = 40, p: int = 12, k: int = 3, **more: float) -> Any:
    return build(kind, *data(seed, n, p, k, **more))


def support(kind: str, problem: Any, k: int, seed: int = 0, effort: int = 1) -> np.ndarray:
    found = np.zeros(problem.p, dtype=bool)
    found[SEARCH[kind](problem.open(), k, seed, effort).run()] = True
    return found


def value(kind: str, problem: Any, k: int, seed: int = 0, effort: int = 1) -> float:
    chosen = support(kind, problem, k, seed, effort)
    assert np.count_nonzero(chosen) <= k
    return problem.minimise_on(chosen, None)[1]


# ---- against the truth ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["squares", "logistic"])
def test_the_optimum_is_found_in_95_of_100(kind: str) -> None:
    """Correlated columns and little data: hard enough that a single method misses many of them."""
    number, found, greedy = scaled(60 if kind == "squares" else 20), 0, 0
    p = 10 if kind == "squares" else 8
    for seed in range(number):
        k = 2 + seed % 3
        f = problem(kind, seed, n=15 + 10 * (kind == "logistic"), p=p, k=k, rho=1.0)
        truth, reached = enumerate_supports(f, k)[1], value(kind, f, k)
        slack = 1e-9 * f.value(np.zeros(p))
        assert reached >= truth - slack
        found += reached <= truth + slack
        greedy += f.value(run(catalogue.omp(k), f, f.start(0)).x) <= truth + slack
    assert found >= 0.95 * number
    assert greedy <= 0.8 * number  # or the test would be too easy to mean anything


@given(KINDS, SEEDS, st.integers(1, 6))
@settings(max_examples=scaled(16))
def test_never_worse_than_the_methods(kind: str, seed: int, k: int) -> None:
    f = problem(kind, seed, n=40, p=25, k=4)
    best = value(kind, f, k)
    for method in (catalogue.omp(k), catalogue.htp(k), catalogue.replacement(k)):
        other = run(method, f, f.start(0))
        assert best <= f.value(other.x) + 1e-7 * f.value(np.zeros(25)), method.name


@given(KINDS, SEEDS)
@settings(max_examples=scaled(8))
def test_more_columns_than_rows(kind: str, seed: int) -> None:
    f = problem(kind, seed, n=30, p=450, k=3, noise=0.2)  # beyond what is searched to the end
    assert value(kind, f, 3) <= f.value(run(catalogue.replacement(3), f, f.start(0)).x) + 1e-7 * f.value(np.zeros(450))


# ---- indifference --------------------------------------------------------------------------------------------------


@given(KINDS, SEEDS)
@settings(max_examples=scaled(8))
def test_order_signs_and_storage_of_columns_do_not_matter(kind: str, seed: int) -> None:
    X, y = data(seed, 40, 14, 3)
    rng = np.random.default_rng(seed)
    order, signs = rng.permutation(14), rng.choice([-1.0, 1.0], 14)
    plain = value(kind, build(kind, X, y), 3)
    assert value(kind, build(kind, X[:, order] * signs, y), 3) == pytest.approx(plain, rel=1e-7)
    assert value(kind, build(kind, sparse.csc_array(X), y), 3) == pytest.approx(plain, rel=1e-7)


@given(SEEDS, st.floats(1e-4, 1e4))
@settings(max_examples=scaled(20))
def test_the_scale_of_columns_and_target_does_not_matter(seed: int, scale: float) -> None:
    X, y = data(seed, 40, 14, 3)
    stretch = np.exp(np.random.default_rng(seed).uniform(-3, 3, 14))
    chosen = support("squares", LeastSquares(X, y), 3)
    assert np.array_equal(chosen, support("squares", LeastSquares(X * stretch, scale * y), 3))


@pytest.mark.parametrize("kind", ["squares", "logistic"])
def test_the_same_seed_gives_the_same_support(kind: str) -> None:
    f = problem(kind, 3, n=40, p=30)
    assert np.array_equal(support(kind, f, 4, seed=5, effort=2), support(kind, f, 4, seed=5, effort=2))


# ---- edges ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["squares", "logistic"])
@pytest.mark.parametrize("k", [1, 11, 12])
def test_extreme_sizes(kind: str, k: int) -> None:
    f = problem(kind, 1)
    slack = 1e-9 * f.value(np.zeros(12))
    assert value(kind, f, k) <= enumerate_supports(f, k)[1] + slack


def test_a_zero_target_needs_nothing() -> None:
    X, _ = data(0, 20, 6, 2)
    assert not support("squares", LeastSquares(X, np.zeros(20)), 3).any()
    balanced = Logistic(np.vstack([X, X]), np.repeat([0, 1], 20), ridge=0.1)  # every column is as good as nothing
    assert value("logistic", balanced, 3) == pytest.approx(np.log(2))


@given(KINDS, SEEDS)
@settings(max_examples=scaled(8))
def test_duplicated_and_constant_columns(kind: str, seed: int) -> None:
    X, y = data(seed, 40, 8, 2)
    plain = value(kind, build(kind, X, y, 0.0 if kind == "squares" else 1e-3), 3)
    messy = np.hstack([X, X[:, ::-1], np.zeros((40, 2))])
    f = build(kind, messy, y, 0.0 if kind == "squares" else 1e-3)
    # a ridge likes duplicates: a weight shared by two of them costs half
    assert value(kind, f, 3) <= plain + 1e-9 * f.value(np.zeros(18))
    if kind == "squares":
        assert value(kind, f, 3) == pytest.approx(plain, rel=1e-7, abs=1e-12)


def test_separable_labels_without_a_ridge_end() -> None:
    X, y = data(2, 30, 8, 2, noise=0.0)
    f = Logistic(X, y > 0, ridge=0.0)
    assert np.isfinite(value("logistic", f, 3))
    assert value("logistic", f, 2) < 1e-3


def test_the_last_stages_reach_the_best_value_known() -> None:
    """Breast cancer, all monomials to degree 2, k = 8, ridge 1e-4: 0.047954; greedy selection reaches 0.078."""
    from sklearn.datasets import load_breast_cancer

    table: Any = load_breast_cancer()
    Z = (table.data - table.data.mean(axis=0)) / table.data.std(axis=0)
    X = np.hstack([Z, *(Z[:, [i]] * Z[:, i:] for i in range(30))])
    f = Logistic((X - X.mean(axis=0)) / X.std(axis=0), table.target, ridge=1e-4, intercept=False)
    assert value("logistic", f, 8) == pytest.approx(0.0479543, abs=1e-7)


def test_more_effort_is_no_worse() -> None:
    for seed in range(scaled(2)):
        f = problem("logistic", seed, n=40, p=60, k=5, rho=1.5)
        values = [value("logistic", f, 5, effort=effort) for effort in (0, 1)]
        assert values[1] <= values[0] * (1 + 1e-7)


# ---- the parts -----------------------------------------------------------------------------------------------------


@given(SEEDS)
@settings(max_examples=scaled(30))
def test_the_tableau_is_exact(seed: int) -> None:
    """Every predicted entry, exit, swap and pair is the difference of two restricted minima."""
    f = LeastSquares(*data(seed, 30, 7, 3), ridge=0.01)
    H, c = f.hessian_columns(np.arange(7)), -f.gradient(np.zeros(7))
    t = Tableau(H, c)
    rng = np.random.default_rng(seed)
    for j in rng.integers(0, 7, 90):  # past a rebuild
        t.sweep(int(j))
    t.to(np.isin(np.arange(7), [1, 4, 5]))

    def least(*members: int) -> float:
        return f.minimise_on(np.isin(np.arange(7), members), None)[1] - f.value(np.zeros(7))

    here = least(1, 4, 5)
    assert t.value == pytest.approx(here)
    assert t.entries()[2] == pytest.approx(here - least(1, 4, 5, 2))
    assert t.exits()[4] == pytest.approx(least(1, 5) - here)
    S, F, gains = t.swaps()
    assert gains[list(F).index(6), list(S).index(1)] == pytest.approx(here - least(4, 5, 6), abs=1e-12)
    T = t.T
    pairs = pair_gains(T[:7, 7], np.diagonal(T)[:7], T[:7, [0]], np.array([0]))
    assert pairs[3, 0] == pytest.approx(here - least(1, 4, 5, 0, 3))


@given(SEEDS, st.booleans())
@settings(max_examples=scaled(20))
def test_the_logistic_model_is_the_second_order_one(seed: int, intercept: bool) -> None:
    X, y = data(seed, 60, 6, 2)
    f = Logistic(X, y > np.median(y), ridge=0.05, intercept=intercept)
    pool, S = Pool(f, np.arange(6)), np.array([1, 3, 4])
    place = pool.fit(S, np.zeros(3))
    x, least = f.minimise_on(np.isin(np.arange(6), S), None)
    assert place.value == pytest.approx(least, rel=1e-8)
    exact = pool._at(S, x[S], X[:, S] @ x[S] if not intercept else f.design.dot(x))
    t, view = pool.tableau(exact), View(pool, exact)
    H = np.stack([f.hessian_product(x, e) for e in np.eye(6)])
    assert np.allclose(t.rows(np.arange(6)), H) and np.allclose(t.weights, x[S], atol=1e-7)
    assert np.allclose(view.entries(), t.entries(), atol=1e-9)
    assert np.allclose(view.exits(), t.exits())
    gains = t.gains()
    predicted, j, i = view.best(1)[0]
    assert predicted == pytest.approx(gains.max()) == pytest.approx(gains[i, j])
    T, w = view.exchange(j, i)
    t.to(T)
    assert np.allclose(w, t.weights, atol=1e-7)


@given(SEEDS, st.integers(3, 20), st.booleans())
@settings(max_examples=scaled(40))
def test_the_rows_of_a_tableau_are_those_of_the_whole(seed: int, m: int, plenty: bool) -> None:
    """Adds, drops, swaps and whole moves on the rows of the support agree with the full array."""
    X, y = data(seed, 60 if plenty else m + 2, m, 3)
    H, c, rng = X.T @ X / len(y) + 1e-6 * np.eye(m), X.T @ y / len(y), np.random.default_rng(seed)
    k = int(rng.integers(1, m))
    t, whole = Swept(H.__getitem__, c, np.diagonal(H)), Tableau(H, c)

    def agree() -> None:
        assert set(t.S) == set(np.flatnonzero(whole.inside))
        assert t.value == pytest.approx(whole.value, rel=1e-7)
        assert np.allclose(t.weights, whole.weights[t.S], rtol=1e-5, atol=1e-7)
        assert np.allclose(t.entries(), whole.entries(), rtol=1e-4, atol=1e-9)
        assert np.allclose(t.exits(), whole.exits()[t.S], rtol=1e-4, atol=1e-9)
        S, F, gains = whole.swaps()
        assert np.allclose(t.gains(F)[np.argsort(t.S)].T, gains, rtol=1e-3, atol=1e-7) and np.array_equal(
            S, np.sort(t.S)
        )

    t.forward(k)
    whole.forward(k)
    agree()
    for j in rng.integers(0, m, 8):
        if whole.inside[j]:
            t.leave(int(np.flatnonzero(j == t.S)[0]))
        else:
            t.enter(int(j))
        whole.sweep(int(j))
    agree()
    copied = t.copy()
    for move in (lambda t: t.polish(1e-10), lambda t: t.forward(m - 1), lambda t: t.backward(k)):
        move(t)
        move(whole)
        agree()
    t.eliminated(k)
    whole.to(np.ones(m, dtype=bool))
    whole.backward(k)
    agree()
    whole.to(np.isin(np.arange(m), copied.S))  # untouched by what came after
    assert copied.value == pytest.approx(whole.value, rel=1e-7)


def test_one_best_swap_is_the_best_of_all() -> None:
    """Also where only the promising columns are looked at, and columns are dependent."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((80, 400)) + rng.standard_normal((80, 1))
    X[:, 200:210] = X[:, :10]
    f = LeastSquares(X, X[:, :8].sum(axis=1) + rng.standard_normal(80))
    H = f.hessian_columns(np.arange(400))
    t = Swept(H.__getitem__, -f.gradient(np.zeros(400)), np.diagonal(H), np.arange(10, 22))
    gain, j, s = t.best_swap(0.0)
    assert gain == pytest.approx(t.gains().max()) == pytest.approx(t.gains()[s, j])
    support = np.isin(np.arange(400), np.append(np.delete(t.S, s), j))
    assert t.value - gain == pytest.approx(f.minimise_on(support, None)[1] - f.value(np.zeros(400)))
    t.eliminated(5)
    assert t.size == 5 and t.value < 0


def test_exchanges_of_two_on_the_model_end_a_logistic_search_where_samples_are_plenty(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each of columns 2 and 3 says more than 0 or 1 alone does: no swap leads out, both together do."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((2000, 30))
    X[:, 2:4] = 0.7 * (X[:, :1] + X[:, 1:2]) + 0.3 * X[:, 2:4]
    y = X[:, 0] + X[:, 1] + 0.1 * rng.logistic(size=2000) > 0
    f = Logistic(X, y, ridge=1e-3)
    search, pool = logistic.Search(f.open(), 2, 0, 1), Pool(f, np.arange(30))
    stuck = pool.local(pool.fit(np.array([2, 3]), np.zeros(2)))
    assert stuck.S.tolist() == [2, 3]
    assert search.modelled(pool, stuck).S.tolist() == [0, 1]
    refitted: list[int] = []
    monkeypatch.setattr(logistic.Search, "attempt", lambda self, *_: refitted.append(self.problem.samples))
    plain = Logistic(X, X[:, 5] + X[:, 9] + 0.1 * rng.logistic(size=2000) > 0, ridge=1e-3)
    assert logistic.Search(plain.open(), 2, 0, 1).run().tolist() == [5, 9] and not refitted
    logistic.Search(Logistic(X[:80], y[:80], ridge=1e-3).open(), 2, 0, 1).run()
    assert set(refitted) == {80}


def test_the_pairs_are_the_best_pairs() -> None:
    """Of all unordered ones, by brute force."""
    X, y = data(5, 60, 9, 4)
    f = LeastSquares(X, y)
    search = quadratic.Search(f.open(), 2, 0, 1)
    t = search.everything(np.array([2, 6]))

    def least(*members: int) -> float:
        return f.minimise_on(np.isin(np.arange(9), members), None)[1]

    others = [j for j in range(9) if j not in (2, 6)]
    falls = {(i, j): least(2, 6) - least(2, 6, i, j) for i in others for j in others if i < j}
    best = sorted(falls, key=lambda pair: -falls[pair])[: pairs.PAIRS]
    assert [tuple(pair) for pair in pairs.promising(t, np.arange(9), search.rows).tolist()] == best


def test_where_the_answer_is_clear_few_passes_over_many_columns_find_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradients at 0, at what is screened, at the answer; one more for what shows up late."""
    points: list[int] = []
    original = LeastSquares.gradient_on
    monkeypatch.setattr(LeastSquares, "gradient_on", lambda f, S, w: points.append(S.size) or original(f, S, w))
    rng = np.random.default_rng(0)
    X, true = rng.standard_normal((150, 12000)), np.sort(rng.choice(12000, 8, replace=False))
    y = X[:, true] @ rng.choice([-1.0, 1.0], 8) + 0.3 * rng.standard_normal(150)
    np.testing.assert_array_equal(quadratic.Search(LeastSquares(X, y), 8, 0, 1).run(), true)
    assert points[0] == 0 and points[-1] == 8 and len(points) <= 4


def test_where_p_is_huge_a_pool_is_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = data(3, 40, 120, 4)
    f = LeastSquares(X, y)
    whole = value("squares", f, 4)
    monkeypatch.setattr(quadratic, "WIDE", 100)
    monkeypatch.setattr(quadratic, "POOL", 60)
    assert value("squares", f, 4) <= whole * 1.2


@pytest.mark.parametrize("level", [1.0, 0.3, 1e6, 0.0])
@pytest.mark.parametrize("form", [np.asarray, sparse.csc_array, lambda X: X.astype(np.float32)])
@pytest.mark.parametrize("p", [6, 40, 300])
def test_constant_columns_beside_an_intercept_are_as_if_they_were_not_there(p, form, level):
    """Centred, they are nothing but rounding: nothing to divide by, and nothing to select."""
    X, y = data(3, 60, p, 3)
    flat = [1, p // 2, p - 1]
    X[:, flat] = level
    rest = np.setdiff1d(np.arange(p), flat)
    for k in (1, 3):
        found, wanted = (solve(LeastSquares(form(part), y, intercept=True), k) for part in (X, X[:, rest]))
        assert found.value == pytest.approx(wanted.value, rel=1e-5) and not found.support[flat].any()


# ---- several starts together ---------------------------------------------------------------------------------------


@given(SEEDS, st.sampled_from([0.0, 1e-3, 0.1]))
@settings(max_examples=scaled(8))
def test_what_starts_have_found_together_is_never_worse_than_the_best_of_them(seed: int, ridge: float) -> None:
    X, y = data(seed, 150, 20, 4, rho=1.0, noise=3.0)
    f = Logistic(np.hstack([X, X[:, :5], np.ones((150, 1))]), y > np.median(y), ridge=ridge)  # copies; a constant
    search, rng = logistic.Search(f, 4, 0, 1), np.random.default_rng(seed)
    pool = Pool(f.open(), np.arange(26))
    starts = [pool.fit(np.sort(rng.choice(20, 4, replace=False)), np.zeros(4)) for _ in range(4)]
    joint, best = search.joined([(pool, start) for start in starts])
    assert best.S.size <= 4
    assert best.value <= min(start.value for start in starts)
    assert f.minimise_on(np.isin(np.arange(26), joint.C[best.S]), None)[1] == pytest.approx(best.value, rel=1e-6)


def test_rare_words_that_stand_for_each_other() -> None:
    """basehock: from where ridge continuation ends (.2495), no single swap and no pair leads on."""
    try:
        case = PROBLEMS["basehock"].draw(0)
    except DataError:
        pytest.skip("no data")
    assert solve(case.problem(), case.k).value < 0.2430
