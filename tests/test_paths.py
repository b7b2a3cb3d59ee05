"""Paths, criteria and choosing k: against separate solves, formulas, enumeration and known truths."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.stats import norm

import sparsopt
from sparsopt import catalogue
from sparsopt.choosing import CrossValidation, Data, choose, default_ks
from sparsopt.choosing.criteria import AIC, BIC, CRITERIA, EBIC, GIC, Criterion, fit_term
from sparsopt.choosing.paths import BACKWARD, CONTINUED, FORWARD, GROWN, path
from sparsopt.errors import InvalidInput, MissingCapability
from sparsopt.exact import enumerate_supports
from sparsopt.problems import LeastSquares, Logistic, Quadratic
from sparsopt.solvers import solve
from tests.conftest import scaled
from tests.worked import losses, truth

TRUE = [1, 4, 9]


def data(seed, n=120, p=14, noise=0.5):
    rng = np.random.default_rng([41, seed])
    X = rng.standard_normal((n, p)) + 0.5 * rng.standard_normal((n, 1))
    signal = X[:, TRUE] @ np.array([1.5, -1.0, 1.0])
    return X, signal + noise * rng.standard_normal(n) + 3.0, (signal + rng.logistic(size=n) / 2 > 0).astype(float)


def problems(seed):
    X, y, labels = data(seed)
    return LeastSquares(X, y, intercept=True), Logistic(X, labels, ridge=0.01)


# ---- paths ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", losses(0))
def test_every_loss_has_paths_that_never_rise_and_criteria(name):
    """`auto` over all k, the truth at the first of them; and fit terms that fall with f."""
    problem = losses(1)[name]
    found = path(problem, range(8))
    assert found.ks == tuple(range(8)) and (np.diff(found.values) <= 1e-12 * abs(found.values[0])).all()
    assert found[1].value == pytest.approx(truth(problem, 1), rel=1e-8)
    smooth = [fit_term(problem, result.x) for result in found]
    losses_alone = [result.value - problem.ridge / 2 * float(result.x @ result.x) for result in found]
    np.testing.assert_array_equal(np.argsort(smooth, kind="stable"), np.argsort(losses_alone, kind="stable"))
    for criterion, measure in CRITERIA.items():
        sizes = [np.count_nonzero(result.x.reshape(7, -1).any(axis=1)) for result in found]
        by_hand = [
            fit + measure.penalty(size, 50, 7, np.count_nonzero(result.x))
            for fit, size, result in zip(smooth, sizes, found, strict=True)
        ]
        np.testing.assert_allclose(found.scores(criterion), by_hand, rtol=1e-12)


@pytest.mark.parametrize("name", (*FORWARD, *BACKWARD))
def test_nested_paths_are_one_run_and_equal_separate_ones(name):
    for problem in problems(0):
        found = path(problem, [1, 3, 4, 7], name)
        assert found.nested
        for k in found.ks:
            alone = solve(problem, k, name)
            np.testing.assert_array_equal(found[k].support, alone.support)
            np.testing.assert_allclose(found[k].x, alone.x, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", (*GROWN, *CONTINUED))
def test_warm_paths_have_exact_sizes_and_good_values(name):
    """No worse than a third above the fresh ones in sum, and their own end: no further round changes them."""
    warm = fresh = 0.0
    for seed in range(scaled(5) // 3):
        problem = problems(seed)[0]
        found = path(problem, range(1, 8), name)
        assert [int(result.support.sum()) for result in found] == list(range(1, 8))
        warm += sum(found.values)
        fresh += sum(solve(problem, k, name).value for k in range(1, 8))
    assert warm <= fresh * 1.05


@settings(max_examples=scaled(5))
@given(st.integers(0, 10**4))
def test_automatic_paths_never_rise_and_are_no_worse(seed):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((20, 10)) + rng.standard_normal((20, 1))
    problem = Quadratic(A.T @ A, A.T @ rng.standard_normal(20))
    found = path(problem, range(11))
    assert (np.diff(found.values) <= 1e-9 * abs(found.values[-1])).all()
    for k in range(1, 10):
        value = solve(problem, k).value
        assert found[k].value <= value + 1e-9 * abs(value)
        assert found[k].value >= enumerate_supports(problem, k)[1] - 1e-9 * abs(value)


def test_paths_take_solvers_any_order_and_the_ends():
    problem = problems(1)[0]
    found = path(problem, [5, 0, 14, 2, 2, 20], sparsopt.searches.BeamSearch(3))
    assert found.ks == (0, 2, 5, 14, 20) and len(found) == 5
    assert not found[0].x.any() and found[14].support.all() and found.weights.shape == (5, 14)
    assert "CLIPPED" in found[20].status.name
    with pytest.raises(InvalidInput, match="sizes are"):
        found[3]
    for wrong in ([], [-1, 2]):
        with pytest.raises(InvalidInput, match="sizes k >= 0"):
            path(problem, wrong)
    with pytest.raises(InvalidInput, match="did you mean omp"):
        path(problem, [1], "opm")


def test_results_of_a_path_are_certified():
    found = path(LeastSquares(*data(2)[:2], ridge=0.1), [2, 3])
    for result in found:
        assert result.lower_bound <= result.value and result.certificates.feasible


@pytest.mark.parametrize("name", ["omp", "auto", "replacement"])
def test_paths_of_standardised_problems(name):
    """In the units of the data, and the same supports as when the data are scaled by hand."""
    X, y, _ = data(0)
    X = X * np.geomspace(0.01, 100, X.shape[1])
    spread = X.std(axis=0)
    ours = path(sparsopt.standardised(LeastSquares(X, y, ridge=0.1, intercept=True)), [1, 3], name)
    by_hand = path(LeastSquares(X / spread, y, ridge=0.1, intercept=True), [1, 3], name)
    np.testing.assert_allclose(ours.weights * spread, by_hand.weights, rtol=1e-6, atol=1e-9)


def test_three_classes_have_paths_and_criteria():
    """Softmax: k counts features, and each costs one weight a class."""
    rng = np.random.default_rng(2)
    X = rng.standard_normal((150, 6))
    y = (np.stack([2 * X[:, 1], 2 * X[:, 4], 0 * X[:, 0]], axis=1) + rng.gumbel(size=(150, 3))).argmax(axis=1)
    problem = sparsopt.Softmax(X, y, 0.01)
    choice = choose(problem, range(5), method="omp")
    assert choice.k == 2 and choice.path.nested
    loss = choice.result.value - 0.005 * float(choice.result.x @ choice.result.x)
    assert choice.scores[2] == pytest.approx(300 * loss + 6 * math.log(150) + 2 * math.log(15), rel=1e-9)


def test_one_run_is_cheaper_than_many():
    """OMP to k = 30 in one run: as many refits as the largest k, not their sum."""
    calls = []

    class Counting(LeastSquares):
        def minimise_on(self, support, x=None):
            calls.append(1)
            return super().minimise_on(support, x)

    X, y, _ = data(0, p=40)
    path(Counting(X, y), range(1, 31), "omp")
    assert len(calls) == 30


# ---- criteria ------------------------------------------------------------------------------------------------------


def test_fit_is_minus_twice_the_likelihood():
    """Differences of fit_term are those of -2 log-likelihoods, computed row by row."""
    X, y, labels = data(3)
    one, two = (solve(LeastSquares(X, y, intercept=True), k).x for k in (1, 4))
    problem = LeastSquares(X, y, intercept=True)

    def gaussian(x):
        r = y - X @ x - problem.intercept(x)
        return -2 * norm.logpdf(r, scale=math.sqrt(float(r @ r) / len(y))).sum()

    assert fit_term(problem, one) - fit_term(problem, two) == pytest.approx(gaussian(one) - gaussian(two), rel=1e-9)
    logit = Logistic(X, labels, ridge=0.3)

    def bernoulli(x):
        z = (X @ x + logit.intercept(x)) * np.where(labels > 0, 1, -1)
        return 2 * np.logaddexp(0, -z).sum()

    assert fit_term(logit, one) == pytest.approx(bernoulli(one), rel=1e-9)


def test_penalties_by_their_formulas():
    n, p = 200, 50
    for k in range(6):
        assert AIC().penalty(k, n, p) == 2 * k
        assert BIC().penalty(k, n, p) == pytest.approx(k * math.log(n))
        assert EBIC(0.5).penalty(k, n, p) == pytest.approx(k * math.log(n) + math.log(math.comb(p, k)))
        assert GIC().penalty(k, n, p) == pytest.approx(k * math.log(p) * math.log(math.log(n)))
    assert EBIC(0.0).penalty(7, n, p) == pytest.approx(BIC().penalty(7, n, p))
    assert GIC().penalty(3, 2, 5) == 0
    with pytest.raises(InvalidInput, match="gamma"):
        EBIC(1.5)


def test_scores_are_free_of_units():
    X, y, _ = data(0)
    small, big = (choose(LeastSquares(X, scale * y, intercept=True), range(8)) for scale in (1.0, 1024.0))
    np.testing.assert_allclose(np.diff(big.scores), np.diff(small.scores), rtol=1e-7, atol=1e-7)


def test_interpolation_is_not_infinitely_good():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((10, 30))
    problem = LeastSquares(X, rng.standard_normal(10))
    assert np.isfinite(path(problem, [0, 5, 10, 12], "omp").scores("bic")).all()
    exact = LeastSquares(X, X[:, 3])
    assert choose(exact, range(5)).k == 1


# ---- choosing ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [0, 1], ids=["squares", "logistic"])
def test_consistent_criteria_find_the_truth(loss):
    hits = dict.fromkeys(("bic", "ebic", "gic", "cv"), 0)
    seeds = range(scaled(8, least=8))
    for seed in seeds:
        X, y, labels = data(seed, n=300)
        given = Data(X, (y, labels)[loss], (LeastSquares, Logistic)[loss])
        for name in hits:
            choice = choose(given, range(7), name, method="omp")
            hits[name] += np.flatnonzero(choice.result.support).tolist() == TRUE
            assert choice.k in range(7) and choice.k <= (6 if name == "cv" else 5)
    assert hits["ebic"] >= 0.8 * len(seeds) and hits["bic"] >= 0.5 * len(seeds) and hits["gic"] >= 0.5 * len(seeds)


def test_noise_alone_chooses_nothing():
    rng = np.random.default_rng(1)
    X = rng.standard_normal((100, 40))
    assert choose(LeastSquares(X, rng.standard_normal(100), intercept=True), range(6)).k == 0


def test_folds_share_the_labels():
    y = np.repeat([0, 1], [45, 5])
    parts = CrossValidation(5).parts(y)
    assert sorted(np.concatenate(parts).tolist()) == list(range(50))
    assert [int(y[part].sum()) for part in parts] == [1] * 5 and [len(part) for part in parts] == [10] * 5
    assert not np.array_equal(parts[0], CrossValidation(5, seed=1).parts(y)[0])
    for folds in (1, 51):
        with pytest.raises(InvalidInput, match="folds"):
            CrossValidation(folds).parts(y)


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array, sparse.csc_matrix])
def test_held_out_loss_row_by_row(make):
    X, y, labels = data(4)
    rows, x = np.arange(0, 120, 3), np.where(np.isin(np.arange(14), TRUE), 0.7, 0.0)
    z = X[rows] @ x + 0.2
    squares = Data(make(X), y).held_out(rows, x, 0.2)
    assert squares == pytest.approx(np.mean((y[rows] - z) ** 2) / 2, rel=1e-10)
    logit = Data(make(X), labels, Logistic, {"ridge": 5.0}).held_out(rows, x, 0.2)
    assert logit == pytest.approx(np.mean(np.logaddexp(0, -z * np.where(labels[rows] > 0, 1, -1))), rel=1e-10)
    weight = np.linspace(0, 1, 120)
    weighted = Data(make(X), y, options={"sample_weight": weight}).held_out(rows, x, 0.2)
    assert weighted == pytest.approx(np.average((y[rows] - z) ** 2, weights=weight[rows]) / 2, rel=1e-10)


def test_cross_validation_by_hand():
    """The same folds, separate solves: the same means and standard errors."""
    X, y, _ = data(5)
    rule = CrossValidation(4, seed=2)
    choice = choose(Data(X, y), [1, 3, 5], rule, method="omp")
    table = []
    for part in rule.parts(y):
        rest = np.setdiff1d(np.arange(120), part)
        train = LeastSquares(X[rest], y[rest], intercept=True)
        row = []
        for k in (1, 3, 5):
            x = solve(train, k, "omp").x
            row.append(np.mean((y[part] - X[part] @ x - train.intercept(x)) ** 2) / 2)
        table.append(row)
    np.testing.assert_allclose(choice.scores, np.mean(table, axis=0), rtol=1e-9)
    np.testing.assert_allclose(choice.errors, np.std(table, axis=0, ddof=1) / 2, rtol=1e-9)
    assert choice.k == (1, 3, 5)[int(np.argmin(choice.scores))]
    loose = choose(Data(X, y), [1, 3, 5], CrossValidation(4, slack=1e6, seed=2), method="omp")
    assert loose.k == 1


def test_choices_can_be_read_and_extended():
    class Frugal(Criterion):
        def penalty(self, k, n, p, weights=None):
            return 1e9 * k

    X, y, _ = data(0)
    problem = LeastSquares(X, y, intercept=True)
    assert choose(problem, range(1, 5), Frugal()).k == 1
    choice = choose(problem)
    assert choice.k == 3 and "<-" in str(choice) and "EBIC(gamma=1.0)" in str(choice)
    assert list(choice.path.ks) == list(default_ks(120, 14)) and set(CRITERIA) == {"aic", "bic", "ebic", "gic"}
    with pytest.raises(MissingCapability, match=r"Data\(X, y"):
        choose(problem, range(3), "cv")
    with pytest.raises(MissingCapability, match="Quadratic"):
        choose(Quadratic(np.eye(3), np.ones(3)), range(3))
    with pytest.raises(InvalidInput, match="unknown criterion"):
        choose(problem, range(3), "abc")


def test_default_sizes_fit_the_data():
    assert default_ks(100, 10)[-1] == 10 and default_ks(60, 10_000)[-1] < 10 and default_ks(3, 2)[-1] >= 1
    assert default_ks(2, 1_000_000)[-1] == 1


def test_a_method_built_for_one_k_is_refused_on_a_path():
    with pytest.raises(sparsopt.InvalidResult, match="built for another k"):
        path(problems(0)[0], [1, 4], catalogue.omp(4))


@pytest.mark.parametrize("ks", [3, None, [1.5], ["1"], [-1, 2], []])
def test_sizes_that_are_none(ks):
    with pytest.raises(InvalidInput, match=r"ks = .*; one or more sizes k >= 0 are needed"):
        path(problems(0)[0], ks)


def test_rules_that_are_none():
    problem, (X, y, _) = problems(0)[0], data(0)
    with pytest.raises(InvalidInput, match="criterion is None; one of aic, bic, ebic, gic, cv, or an object"):
        choose(problem, range(3), None)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="slack = -1; a number of standard errors >= 0"):
        CrossValidation(slack=-1)
    with pytest.raises(InvalidInput, match=r"folds = 2\.5 for 120 rows"):
        choose(Data(X, y), range(3), CrossValidation(2.5))  # type: ignore[arg-type]


def test_a_path_is_shown_as_a_table():
    found = path(problems(0)[0], [0, 3], "omp")
    first, none, three = str(found).splitlines()
    assert first.split() == ["k", "value", "support"] and none.split() == ["0", f"{found[0].value:.8g}"]
    assert three.split() == ["3", f"{found[3].value:.8g}", "1", "4", "9"]
