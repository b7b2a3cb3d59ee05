"""Generalised linear losses against scikit-learn, SciPy and themselves in another shape."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize, minimize_scalar

import sparsopt
from sparsopt.errors import InvalidInput, MissingCapability
from sparsopt.problems import Gamma, Huber, LeastSquares, Poisson, SquaredHinge, check_problem
from sparsopt.problems.generalised import root
from tests.conftest import scaled
from tests.worked import data, everything, losses, truth

seeds = st.integers(0, 2**32 - 1)
NAMES = list(losses(0))
SINGLE = ["logistic", "poisson", "gamma", "huber", "squared hinge"]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_every_loss_tells_the_truth_about_itself(name, weighted):
    for seed, ridge in ((0, 0.0), (1, 0.1)):
        report = check_problem(losses(seed, ridge, weighted)[name], seed)
        assert report.ok, str(report)


@pytest.mark.parametrize("intercept", [False, True])
@given(seed=seeds)
@settings(max_examples=scaled(6))
def test_poisson_and_gamma_are_those_of_scikit_learn(seed, intercept):
    from sklearn.linear_model import GammaRegressor, PoissonRegressor

    X, eta, draws = data(seed)
    s, mean = draws.random(50) + 0.1, np.exp(np.clip(eta, -3, 3))
    for problem_type, peer, y in (
        (Poisson, PoissonRegressor, draws.poisson(mean) + 1.0),
        (Gamma, GammaRegressor, draws.gamma(2.0, mean / 2) + 1e-3),
    ):
        model = peer(alpha=0.1, fit_intercept=intercept, tol=1e-9, max_iter=1000, solver="newton-cholesky")
        model.fit(X, y, sample_weight=s)
        problem = problem_type(X, y, 0.1, intercept, s)
        x, value = problem.minimise_on(everything(problem))
        np.testing.assert_allclose(x, model.coef_, rtol=1e-5, atol=1e-7)
        assert math.isclose(problem.intercept(x), model.intercept_, rel_tol=1e-5, abs_tol=1e-7)
        deviance = {Poisson: "mean_poisson_deviance", Gamma: "mean_gamma_deviance"}[problem_type]
        metric = getattr(__import__("sklearn.metrics", fromlist=[deviance]), deviance)
        half = metric(y, model.predict(X), sample_weight=s) / 2 + 0.05 * model.coef_ @ model.coef_
        assert math.isclose(value, half, rel_tol=1e-9)


@pytest.mark.parametrize("intercept", [False, True])
@given(seed=seeds, threshold=st.sampled_from([0.1, 1.0, 30.0]))
@settings(max_examples=scaled(6))
def test_huber_and_squared_hinge_are_what_a_general_solver_finds(seed, threshold, intercept):
    X, eta, draws = data(seed)
    y = eta + draws.standard_t(1.5, 50)
    t = np.where(eta + draws.standard_normal(50) > 0, 1.0, -1.0)
    t[:2] = (1.0, -1.0)

    def huber(z):
        r = np.abs(y - z)
        return np.where(r <= threshold, r**2 / 2, threshold * (r - threshold / 2)).mean()

    def hinge(z):
        return (np.maximum(0.0, 1 - t * z) ** 2).mean()

    for problem, loss in (
        (Huber(X, y, threshold, 0.1, intercept), huber),
        (SquaredHinge(X, t, 0.1, intercept), hinge),
    ):
        x, value = problem.minimise_on(everything(problem))
        b = problem.intercept(x)
        assert (b != 0) == intercept
        assert math.isclose(value, loss(X @ x + b) + 0.05 * x @ x, rel_tol=1e-10)

        def whole(v, loss=loss):
            return loss(X @ v[:7] + v[7] * intercept) + 0.05 * v[:7] @ v[:7]

        found = minimize(whole, np.append(x, b), method="L-BFGS-B", options={"ftol": 1e-14, "gtol": 1e-9})
        assert value <= found.fun + 1e-12  # the general solver, started here, finds nothing better


def test_squared_hinge_is_the_support_vector_machine_of_scikit_learn():
    from sklearn.svm import LinearSVC

    X, eta, draws = data(3)
    t = eta + draws.standard_normal(50) > 0
    model = LinearSVC(C=1 / (50 * 0.1), fit_intercept=False, tol=1e-10, max_iter=1_000_000).fit(X, t)
    problem = SquaredHinge(X, t, 0.1, intercept=False)
    x, _ = problem.minimise_on(everything(problem))
    np.testing.assert_allclose(x, model.coef_[0], rtol=1e-4, atol=1e-5)


def test_huber_with_a_large_threshold_is_least_squares():
    X, eta, draws = data(4)
    y = eta + draws.standard_normal(50)
    first, second = Huber(X, y, 1e6, 0.1, True), LeastSquares(X, y, 0.1, True)
    x, value = first.minimise_on(everything(first))
    other, expected = second.minimise_on(everything(second))
    np.testing.assert_allclose(x, other, rtol=1e-9)
    assert math.isclose(value, expected, rel_tol=1e-12)
    assert math.isclose(first.smoothness(), second.smoothness(), rel_tol=1e-12)


@given(seeds, st.sampled_from(SINGLE))
def test_the_intercept_is_the_best(seed, name):
    problem = losses(seed % 1000)[name]
    x = np.random.default_rng(seed).standard_normal(7)
    product = problem.design.dot(x)
    best, b = problem.value(x), problem.intercept(x)

    def at(shift):
        return float(problem.design.shares @ problem._losses(product + problem.design.mean @ x + b + shift)[0])

    penalty = problem.ridge / 2 * x @ x
    assert math.isclose(at(0.0) + penalty, best, rel_tol=1e-12, abs_tol=1e-14)
    found = minimize_scalar(at, bounds=(-3.0, 3.0), method="bounded", options={"xatol": 1e-10})
    assert best <= found.fun + penalty + 1e-12


@given(seeds, st.sampled_from(NAMES))
@settings(max_examples=scaled(20))
def test_weights_are_repeated_rows(seed, name):
    X, eta, draws = data(seed, 20)
    times = draws.integers(1, 4, 20)
    rows = np.repeat(np.arange(20), times)
    y = {
        "poisson": draws.poisson(np.exp(0.3 * eta)) + 1.0,
        "gamma": np.exp(0.3 * eta),
        "softmax": np.arange(20) % 3,
        "multi-output": np.column_stack([eta, draws.standard_normal(20)]),
    }.get(name, eta + draws.standard_normal(20))
    if name in ("logistic", "squared hinge"):
        y = y > np.median(y)
    kind = type(losses(0)[name])
    if name == "cox":
        time, event = draws.integers(1, 8, 20), draws.random(20) < 0.8
        event[0] = True
        pair = kind(X, time, event, 0.1, times), kind(X[rows], time[rows], event[rows], 0.1)
    else:
        pair = kind(X, y, ridge=0.1, sample_weight=times), kind(X[rows], y[rows], ridge=0.1)
    x, support = draws.standard_normal(pair[0].p) / 4, np.repeat(draws.random(7) < 0.6, pair[0].p // 7)
    assert math.isclose(pair[0].value(x), pair[1].value(x), rel_tol=1e-10)
    np.testing.assert_allclose(pair[0].gradient(x), pair[1].gradient(x), rtol=1e-8, atol=1e-11)
    (a, first), (b, second) = (problem.minimise_on(support) for problem in pair)
    assert math.isclose(first, second, rel_tol=1e-10)
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def rebuilt(name, seed, change):
    """The problem with another representation of the same X."""
    X, eta, draws = data(seed)
    X[draws.random(X.shape) < 0.4] = 0.0
    original = losses(seed)[name]
    kind = type(original)
    if name == "cox":
        time, event = draws.integers(1, 30, 50), draws.random(50) < 0.8
        return kind(X, time, event, 0.1), kind(change(X), time, event, 0.1)
    y = {"softmax": np.arange(50) % 3, "multi-output": np.column_stack([eta, eta**2])}.get(name, np.exp(0.3 * eta))
    y = y > np.median(y) if name in ("logistic", "squared hinge") else y
    return kind(X, y, ridge=0.1), kind(change(X), y, ridge=0.1)


@pytest.mark.parametrize("name", NAMES)
def test_sparse_is_dense(name):
    first, second = rebuilt(name, 1, scipy.sparse.csr_array)
    x, v = np.random.default_rng(2).standard_normal((2, first.p)) / 4
    support = np.repeat(np.arange(7) % 2 == 0, first.p // 7)
    assert math.isclose(first.value(x), second.value(x), rel_tol=1e-12)
    np.testing.assert_allclose(first.gradient(x), second.gradient(x), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(first.hessian_product(x, v), second.hessian_product(x, v), rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(first.minimise_on(support)[0], second.minimise_on(support)[0], rtol=1e-6, atol=1e-9)
    state = first.start().but(x=x)
    np.testing.assert_allclose(first.at(state).curvature(), second.at(state).curvature(), rtol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_single_precision_is_kept_and_close(name):
    first, second = rebuilt(name, 2, lambda X: X.astype(np.float32))
    x, value = second.minimise_on(everything(second))
    truth_x, best = first.minimise_on(everything(first))
    assert x.dtype == second.gradient(x).dtype == second.start(0).x.dtype == np.float32
    assert math.isclose(value, best, rel_tol=1e-5, abs_tol=1e-6)
    np.testing.assert_allclose(x, truth_x, rtol=1e-3, atol=1e-4)
    report = check_problem(second)
    assert report.ok, str(report)


@pytest.mark.parametrize("name", NAMES)
def test_methods_against_every_support(name):
    """`auto` is right, no method claims to be better than the truth, and lower bounds are below it."""
    for seed, k in ((0, 1), (1, 2), (2, 3)):
        problem = losses(seed)[name]
        best = truth(problem, k)
        for method in ("auto", "omp", "htp", "replacement"):
            result = sparsopt.solve(problem, k, method)
            assert result.value >= best - 1e-12 and result.lower_bound <= best + 1e-12
            if method == "auto":
                assert math.isclose(result.value, best, rel_tol=1e-9, abs_tol=1e-12), (name, seed, k)


def test_what_cannot_run_says_so():
    poisson = losses(0)["poisson"]
    for method in ("iht", sparsopt.catalogue.htp(2)):  # by name HTP steps by the curvature at x
        with pytest.raises(MissingCapability, match=r"needs smoothness\(\), which Poisson does not have"):
            sparsopt.solve(poisson, 2, method)
    result = sparsopt.solve(poisson, 2, sparsopt.catalogue.iht(2, step_size=0.05))
    assert result.value < poisson.value(np.zeros(7))


@given(seeds, st.sampled_from(SINGLE))
@settings(max_examples=scaled(30))
def test_rounding_bounds_the_difference_to_long_doubles(seed, name):
    problem = losses(seed % 1000, 0.1)[name]
    x = 2 * np.random.default_rng(seed).standard_normal(7)
    X, b = problem.design.X.astype(np.longdouble), np.longdouble(problem.intercept(x))
    precise = object.__new__(type(problem))
    precise.__dict__.update(problem.__dict__)
    for field in ("target", "log", "least", "sign"):
        if hasattr(problem, field):
            setattr(precise, field, getattr(problem, field).astype(np.longdouble))
    loss, slope, _ = precise._losses(X @ x.astype(np.longdouble) + b)
    doubt, doubts = problem.rounding(x)
    value = float(np.mean(loss) + np.longdouble(0.05) * x @ x)
    gradient = (X.T @ slope / 50 + np.longdouble(0.1) * x).astype(float)
    assert abs(problem.value(x) - value) <= doubt < 1e-9 * (1 + value)
    assert (np.abs(problem.gradient(x) - gradient) <= doubts).all()


def test_far_away_is_infinite_and_no_warning():
    for name in ("poisson", "gamma"):
        problem = losses(0)[name]
        x, value = problem.minimise_on(everything(problem))
        for start in (1e6 * np.ones(7), -1e6 * np.ones(7), x):
            again, second = problem.minimise_on(everything(problem), start)
            np.testing.assert_allclose(again, x, rtol=1e-6)
            assert math.isclose(value, second, rel_tol=1e-12)


X3 = np.arange(6.0).reshape(3, 2)
BAD = [
    (lambda: Poisson(X3, [1, -2, 3]), r"y has an entry -2 at row 1; entries >= 0 are needed"),
    (lambda: Poisson(X3, [0, 0, 0]), "y is zero everywhere, so the best intercept is -infinity"),
    (lambda: Gamma(X3, [1, 0, 3]), r"y has an entry 0 at row 1; entries > 0 are needed"),
    (lambda: Huber(X3, [1, 2, 3], threshold=0), "threshold = 0 is not a positive number"),
    (lambda: SquaredHinge(X3, [1, 2, 3]), "y has 3 distinct values"),
]


@pytest.mark.parametrize(("act", "sentence"), BAD)
def test_bad_input_is_named(act, sentence):
    with pytest.raises(InvalidInput, match=sentence):
        act()


@given(seeds)
def test_the_best_intercept_takes_a_few_steps_and_is_a_root(seed):
    """A bisection after Newton's method has arrived would begin all over, from the far end of the bracket."""
    z = np.random.default_rng(seed).standard_normal(50)
    asked = []

    def slope(b):
        asked.append(b)
        chance = 1 / (1 + np.exp(-z - b))
        return float(chance.mean()) - 0.3, float((chance * (1 - chance)).mean())

    b = root(slope, -10.0, 10.0, 0.0)
    assert abs(slope(b)[0]) <= 1e-15 and len(asked) <= 10
