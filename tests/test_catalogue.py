"""One battery over the whole catalogue: every method on every loss; a new method gets its tests for one row.

Then closed forms, scikit-learn, and what single entries promise. The theorems are in test_theorems.py.
"""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsopt import catalogue
from sparsopt.catalogue import METHODS
from sparsopt.errors import InvalidInput
from sparsopt.exact import enumerate_supports
from sparsopt.fits import Exact, GradientSteps
from sparsopt.judges import IfDecreasing
from sparsopt.method import Method, Phase, Stage, run
from sparsopt.moves import Gradient, Magnitude, Random
from sparsopt.problems import LeastSquares, Logistic, Quadratic
from sparsopt.result import Status
from sparsopt.schedules import Cubic, Geometric, Linear
from sparsopt.support import Groups
from tests.conftest import scaled

N, P, K = 60, 12, 4


@functools.cache
def data(seed):
    """Correlated columns of different scales, three true coefficients, noise; labels for the logistic loss."""
    rng = np.random.default_rng([5, seed])
    X = rng.standard_normal((N, P)) + 0.5 * rng.standard_normal((N, 1))
    X *= np.geomspace(0.5, 2.0, P)
    signal = X @ np.where(np.arange(P) % 4 == 1, 1.0, 0.0) / 2
    return X, signal + 0.3 * rng.standard_normal(N), (signal + rng.logistic(size=N) / 2 > 0).astype(float)


def least_squares(X, y, labels):
    return LeastSquares(X, y, ridge=0.01, intercept=True)


def logistic(X, y, labels):
    return Logistic(X, labels, ridge=0.02)


def quadratic(X, y, labels):
    return Quadratic(X.T @ X / N, X.T @ y / N, 0.5)


LOSSES = {"squares": least_squares, "logistic": logistic, "quadratic": quadratic}

# What the entries promise, by name:
EXACT_SIZE = set(METHODS) - {"forward-greedy", "frank-wolfe", "randomised"}
EXCHANGING = {"best-swap", "local-search", "splicing", "oscillation"}
PURSUITS = {"cosamp", "subspace-pursuit", "partial-hard-thresholding", "htp"}
DESCENDS = (
    {"forward-greedy", "frank-wolfe", "fully-corrective", "omp", "ols", "replacement", "iht"}
    | EXCHANGING
    | (PURSUITS - {"htp"})  # whose step by name is longer than 1/L
)
DESCENDS_ON_QUADRATICS = {"niht", "aiht", "gradient-pursuit"}
GREEDY = {"fully-corrective", "omp", "ols", "replacement", "foba", "backward-elimination"}
REFITTED = GREEDY | EXCHANGING | PURSUITS | {"regularised-iht"}
# The l1 norm, draws by |x_j|, and a penalty on |x_j|^2 are in the units of the columns:
WITH_UNITS = {"frank-wolfe", "randomised", "arht", "regularised-iht"}
SCALE_FREE = set(METHODS) - WITH_UNITS

every_method = pytest.mark.parametrize("name", METHODS)
every_loss = pytest.mark.parametrize("loss", LOSSES)


# Shortened, or the battery would take minutes; the rounds left out are more of the same.
SHORT = {"iht": 100, "niht": 50, "momentum-iht": 60, "aiht": 40, "regularised-iht": 60, "iht-with-feedback": 50}


def method_named(name, k, problem):
    made = METHODS[name](k, problem)
    if name not in SHORT:
        return made
    stages = [replace(stage, rounds=min(stage.rounds, SHORT[name])) for stage in made.stages]
    return replace(made, stages=tuple(stages))


def solved(name, problem, k=K, seed=0):
    return run(method_named(name, k, problem), problem, problem.start(seed))


# ---- the battery ---------------------------------------------------------------------------------------------------


@every_method
@every_loss
def test_size_and_support(name, loss):
    for seed in range(scaled(4)):
        problem = LOSSES[loss](*data(seed))
        for k in (1, K, P - 1):
            result = solved(name, problem, k, seed)
            size = int(result.support.sum())
            assert size <= k and (name not in EXACT_SIZE or size == k)
            assert (result.x[~result.support] == 0).all() and np.isfinite(result.x).all()
            assert result.status is not Status.NOT_FINITE


@every_method
@every_loss
def test_descent(name, loss):
    """f at the end of the rounds: never up (and strictly down in each accepted swap)."""
    if name not in DESCENDS | (DESCENDS_ON_QUADRATICS if loss != "logistic" else set()):
        pytest.skip("not promised")
    for seed in range(scaled(5)):
        problem = LOSSES[loss](*data(seed))
        what = method_named(name, K, problem)
        ends = []

        def save(state, trace, problem=problem, ends=ends):
            if state.phase == 0:  # a round is over, and its judge has spoken
                ends.append(problem.value(state.x))

        run(what, problem, problem.start(seed), save=save)
        values = np.array([problem.value(np.zeros(P)), *ends])
        assert (np.diff(values) <= 1e-12 * np.abs(values).max()).all()


@every_method
@every_loss
def test_the_last_refit_is_the_minimiser_on_its_support(name, loss):
    if name not in REFITTED:
        pytest.skip("keeps other weights")
    for seed in range(scaled(5)):
        problem = LOSSES[loss](*data(seed))
        result = solved(name, problem)
        assert problem.value(result.x) == pytest.approx(problem.minimise_on(result.support, None)[1], rel=1e-9)
        assert result.value == pytest.approx(problem.value(result.x), rel=1e-12)


@every_method
@every_loss
def test_no_method_beats_enumeration(name, loss):
    for seed in range(scaled(3)):
        problem = LOSSES[loss](*data(seed))
        best = best_pair(loss, seed)
        assert problem.value(solved(name, problem, 2).x) >= best - 1e-9 * abs(best)


@functools.cache
def best_pair(loss, seed):
    return enumerate_supports(LOSSES[loss](*data(seed)), 2)[1]


@every_method
@every_loss
def test_order_of_the_columns(name, loss):
    """A permutation of the columns permutes the answer (draws are by position, so not the random ones)."""
    if name == "randomised":
        pytest.skip("draws by position")
    for seed in range(scaled(5)):
        X, y, labels = data(seed)
        order = np.random.default_rng(seed).permutation(P)
        plain = solved(name, LOSSES[loss](X, y, labels))
        permuted = solved(name, LOSSES[loss](X[:, order], y, labels))
        np.testing.assert_array_equal(permuted.support, plain.support[order])
        np.testing.assert_allclose(permuted.x, plain.x[order], rtol=1e-6, atol=1e-7)


@every_method
@every_loss
def test_signs_of_the_columns(name, loss):
    for seed in range(scaled(5)):
        X, y, labels = data(seed)
        signs = np.random.default_rng(seed).choice([-1.0, 1.0], P)
        plain, flipped = (solved(name, LOSSES[loss](X * s, y, labels)) for s in (np.ones(P), signs))
        np.testing.assert_array_equal(flipped.support, plain.support)
        np.testing.assert_allclose(flipped.x, plain.x * signs, rtol=1e-6, atol=1e-7)


@every_method
@pytest.mark.parametrize("loss", ["squares", "quadratic"])
@pytest.mark.parametrize("scale", [2.0**-20, 2.0**20])
def test_scale_of_the_target(name, loss, scale):
    """y -> a y scales the answer (a a power of two: to the bit, but for where a factorisation rounds)."""
    X, y, labels = data(0)
    plain, big = solved(name, LOSSES[loss](X, y, labels)), solved(name, LOSSES[loss](X, y * scale, labels))
    np.testing.assert_array_equal(big.support, plain.support)
    np.testing.assert_allclose(big.x, plain.x * scale, rtol=1e-9, atol=1e-12 * scale)


@every_method
@pytest.mark.parametrize("scale", [2.0**-20, 2.0**20])
def test_scale_of_the_objective(name, scale):
    """a f has the same minimisers, and every default step and rule notices: none has units."""
    X, y, _ = data(1)
    H, c = X.T @ X / N, X.T @ y / N
    plain, big = solved(name, Quadratic(H, c)), solved(name, Quadratic(scale * H, scale * c))
    np.testing.assert_array_equal(big.support, plain.support)
    np.testing.assert_allclose(big.x, plain.x, rtol=1e-9)


@pytest.mark.parametrize("name", sorted(SCALE_FREE))
@pytest.mark.parametrize("loss", ["quadratic", "logistic"])
def test_scale_of_the_columns(name, loss):
    """Rules by gain do not see the units of a column. (With `Gradient` they do: see below.)"""
    for seed in range(scaled(5)):
        X, y, labels = data(seed)
        units = 2.0 ** np.random.default_rng(seed).integers(-8, 9, P)

        def make(X, y=y, labels=labels):
            return quadratic(X, y, labels) if loss == "quadratic" else Logistic(X, labels)  # a ridge has units

        plain, scaled_ = solved(name, make(X)), solved(name, make(X * units))
        np.testing.assert_array_equal(scaled_.support, plain.support)
        np.testing.assert_allclose(scaled_.x * units, plain.x, rtol=1e-4, atol=1e-6)


def test_the_gradient_rule_sees_units():
    X, y, _ = data(0)
    units = np.ones(P)
    rule = catalogue.omp(1, by=Gradient())
    first = int(np.flatnonzero(run(rule, *started(LeastSquares(X, y))).support)[0])
    units[(first + 1) % P] = 1e6
    assert not run(rule, *started(LeastSquares(X * units, y))).support[first]


def started(problem, seed=0):
    return problem, problem.start(seed)


@every_method
def test_same_seed_same_run(name):
    problem = least_squares(*data(2))
    one, two = solved(name, problem, seed=3), solved(name, problem, seed=3)
    np.testing.assert_array_equal(one.x, two.x)
    assert [repr(row) for row in one.trace] == [repr(row) for row in two.trace]


@every_method
def test_entries_say_where_they_come_from(name):
    assert METHODS[name](3, quadratic(*data(0))).source
    entry = getattr(catalogue, name.replace("-", "_"))
    assert (
        entry.__doc__ and entry(*{"frank-wolfe": (3, 1.0)}.get(name, (3,))[:2]).name == name
        if name != ("backward-elimination")
        else entry(Linear(5, 3, 2)).name == name
    )


# ---- closed forms --------------------------------------------------------------------------------------------------


@settings(max_examples=scaled(30))
@given(st.integers(0, 10**6), st.integers(1, 7))
def test_identity_hessian(seed, k):
    """H = I: the answer of every selecting method is the k largest |c|, with weights c."""
    c = np.random.default_rng(seed).standard_normal(8)
    problem = Quadratic(np.eye(8), c)
    answer = np.where(np.isin(np.arange(8), np.argsort(-np.abs(c))[:k]), c, 0.0)
    for name in sorted(EXACT_SIZE - {"iht-with-feedback"} | {"forward-greedy"}):
        np.testing.assert_allclose(solved(name, problem, k).x, answer, rtol=1e-12, atol=1e-15)


@settings(max_examples=scaled(40))
@given(st.integers(0, 10**6), st.integers(1, 7))
def test_diagonal_hessian(seed, k):
    """The gains are c^2 / 2h: rules by gain find the best support, whatever the scales."""
    rng = np.random.default_rng(seed)
    h, c = 2.0 ** rng.integers(-6, 7, 8), rng.standard_normal(8)
    best = np.isin(np.arange(8), np.argsort(-(c**2) / h)[:k])
    for name in sorted(SCALE_FREE - {"iht-with-feedback"}):  # which need not settle
        result = solved(name, Quadratic(np.diag(h), c), k)
        np.testing.assert_array_equal(result.support, best)
        np.testing.assert_allclose(result.x, np.where(best, c / h, 0), rtol=1e-12)


def test_noiseless_signals_are_recovered():
    """Gaussian X with many rows: every fully corrective method and IHT find the true support."""
    for seed in range(scaled(10)):
        rng = np.random.default_rng([9, seed])
        X = rng.standard_normal((150, 30))
        truth = np.zeros(30)
        truth[rng.choice(30, 3, replace=False)] = rng.choice([-1, 1], 3) * rng.uniform(1, 2, 3)
        problem = LeastSquares(X, X @ truth)
        for name in sorted(REFITTED | {"iht", "niht"}):
            found = run(METHODS[name](3, problem), *started(problem)).x
            np.testing.assert_allclose(found, truth, atol=1e-6)


def test_one_coordinate_is_solved_exactly():
    """k = 1: the best single coordinate has the largest gain, so OMP is optimal."""
    for seed in range(scaled(10)):
        problem = quadratic(*data(seed))
        assert solved("omp", problem, 1).value == pytest.approx(enumerate_supports(problem, 1)[1], rel=1e-12)


@settings(max_examples=scaled(20))
@given(st.integers(0, 10**6), st.integers(1, 5))
def test_greedy_methods_are_nested(seed, k):
    """OMP with k + 1 adds one coordinate to OMP with k; backward elimination with k takes one from k + 1."""
    problem = quadratic(*data(seed % 50))
    for name in ("omp", "fully-corrective", "backward-elimination"):
        assert (solved(name, problem, k).support <= solved(name, problem, k + 1).support).all()


def test_degenerate_data():
    """Zero, constant and repeated columns, a target of zeros: exact sizes, finite weights."""
    X, _, labels = data(0)
    X = X.copy()
    X[:, 0], X[:, 1], X[:, 3] = 0.0, 1.0, X[:, 2]
    targets = (X[:, 2], np.zeros(N), np.ones(N))
    problems = [LeastSquares(X, y, intercept=free) for y in targets for free in (False, True)]
    for problem in [*problems, Logistic(X, labels, ridge=0.01), LeastSquares(np.zeros((4, P)), np.ones(4))]:
        for name in METHODS:
            result = solved(name, problem)
            assert result.support.sum() <= K and np.isfinite(result.x).all()
            assert (result.x[~result.support] == 0).all()
            if name in EXACT_SIZE - {"foba", "cosamp"}:  # these two undo what gains nothing
                assert result.support.sum() == K
            assert problem.value(result.x) <= problem.value(np.zeros(P)) + 1e-12 or name in (
                "randomised",
                "iht-with-feedback",
            )


# ---- scikit-learn --------------------------------------------------------------------------------------------------


def test_omp_agrees_with_scikit_learn():
    """Normalised columns, non-degenerate data: same support in at least 99.5 % of cases, weights to 1e-10."""
    linear = pytest.importorskip("sklearn.linear_model")
    cases, same = scaled(200), 0
    for seed in range(cases):
        rng = np.random.default_rng([11, seed])
        X = rng.standard_normal((50, 80)) + 0.4 * rng.standard_normal((50, 1))
        X /= np.linalg.norm(X, axis=0)
        y = X @ (rng.standard_normal(80) * (rng.random(80) < 0.1)) + 0.05 * rng.standard_normal(50)
        theirs = linear.orthogonal_mp(X, y, n_nonzero_coefs=8)
        ours = solved("omp", LeastSquares(X, y), 8)
        if np.array_equal(theirs != 0, ours.support):
            same += 1
            np.testing.assert_allclose(ours.x, theirs, rtol=0, atol=1e-10 * np.abs(theirs).max())
    assert same >= 0.995 * cases


# ---- what single entries promise -----------------------------------------------------------------------------------


def test_fully_corrective_in_steps_of_m():
    problem = quadratic(*data(0))
    sizes = run(catalogue.fully_corrective(7, m=3), *started(problem)).trace.column("size")
    assert sizes == [3, 6, 7]
    assert run(catalogue.fully_corrective(6, m=3), *started(problem)).trace.column("size") == [3, 6]
    assert run(catalogue.fully_corrective(2, m=3), *started(problem)).trace.column("size") == [2]
    with pytest.raises(InvalidInput, match="m = 0 adds nothing"):
        catalogue.fully_corrective(3, m=0)


def test_omp_is_fully_corrective_by_one():
    assert catalogue.omp(5).stages == catalogue.fully_corrective(5).stages


@settings(max_examples=scaled(60))
@given(st.integers(0, 10**6))
def test_replacement_ends_where_no_swap_of_its_kind_helps(seed):
    problem = quadratic(*data(seed % 200))
    result = solved("replacement", problem)
    assert result.status is Status.NO_DECREASE
    x, S = result.x, result.support
    h = problem.curvature()
    out = min(np.flatnonzero(S), key=lambda j: x[j] ** 2 * h[j])
    into = max(np.flatnonzero(~S), key=lambda j: problem.gradient(x)[j] ** 2 / h[j])
    other = S.copy()
    other[[out, into]] = False, True
    assert problem.minimise_on(other, None)[1] >= result.value * (1 - 1e-12)
    assert result.value <= solved("omp", problem).value


def test_replacement_takes_other_starts_scores_and_judges():
    """Random proposals with the accept test: never up, and more proposals than the greedy rule makes."""
    problem = quadratic(*data(3))
    start = Method("htp", catalogue.htp(K).stages)
    result = run(
        catalogue.replacement(K, rounds=60, start=start, out=Random(), into=Random(1), judge=IfDecreasing()),
        *started(problem),
    )
    swaps = [row for row in result.trace if row.stage == 1]
    assert len(swaps) == 60 and result.status is not Status.NO_DECREASE
    assert problem.value(result.x) <= solved("htp", problem).value + 1e-12
    assert len({row.support for row in swaps}) > 10


@settings(max_examples=scaled(60))
@given(st.integers(0, 10**6), st.sampled_from([0.25, 0.5, 0.9]))
def test_foba_pairs_lower_f(seed, share):
    """When FoBa comes back to a size, f is lower than it was there by (1 - share) of the gain that was undone."""
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((10, 9)) + 2 * rng.standard_normal((10, 1))
    problem = Quadratic(A.T @ A, A.T @ rng.standard_normal(10), 50.0)
    trace = run(catalogue.foba(5, share), *started(problem)).trace
    at, gain, previous, dropped = {0: problem.value(np.zeros(9))}, {}, 0, 0
    for row in trace:
        if row.size > previous:
            gain[row.size] = at[previous] - row.value
        elif row.size < previous:
            dropped += 1
            assert row.value <= at[row.size] - (1 - share) * gain[previous] + 1e-9
        at[row.size], previous = row.value, row.size
    assert trace.column("size")[-1] == 5 and len(trace) < 350


def test_foba_does_drop():
    """Two true columns and their noisy sum, which comes in first and then has to leave."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 3))
    X[:, 0] = X[:, 1] + X[:, 2] + 0.3 * rng.standard_normal(200)
    problem = LeastSquares(X, X[:, 1] + X[:, 2])
    result = run(catalogue.foba(3, rounds=4), *started(problem))
    assert result.trace.column("size") == [1, 2, 3, 2]
    assert result.support.tolist() == [False, True, True] and result.value <= 1e-20
    assert solved("omp", problem, 2).support[0]


def test_backward_elimination_in_steps():
    problem = quadratic(*data(0))
    for schedule in (Linear(P, 3, P - 3), Geometric(P, 3, 4), Cubic(P, 3, 2)):
        trace = run(catalogue.backward_elimination(schedule), *started(problem)).trace
        assert trace.column("size") == [P, *(schedule(r, problem.layout) for r in range(schedule.rounds))]
        assert (np.diff(trace.column("value")) >= -1e-12).all()
    assert run(catalogue.backward_elimination(Linear(P, P, 0)), *started(problem)).support.all()


def test_iht_follows_a_schedule_of_sizes():
    sizes = run(catalogue.iht(Linear(P, 2, P - 2), rounds=P), *started(quadratic(*data(0)))).trace.column("size")
    assert sizes[1::2] == [*range(P - 1, 1, -1), 2, 2] and set(sizes[::2]) == {P}


def test_iht_fixed_points_are_l_stationary():
    """|g_j| <= L min_S |x_i| off S, g = 0 on S (Beck and Eldar 2013)."""
    for seed in range(scaled(5)):
        problem = quadratic(*data(seed))
        result = run(catalogue.iht(K, rounds=20_000), *started(problem))
        assert result.status is Status.STATIONARY
        g, L = problem.gradient(result.x), problem.smoothness()
        assert np.abs(g[result.support]).max() <= 1e-9 * L * np.abs(result.x).max()
        assert np.abs(g[~result.support]).max() <= L * np.abs(result.x[result.support]).min() * (1 + 1e-9)


def test_niht_converges_on_its_support():
    """Undone rounds shorten the step, accepted ones restore it: it neither stops early nor shrinks for ever."""
    for seed in range(scaled(4)):
        problem = quadratic(*data(seed))
        result = run(catalogue.niht(K), *started(problem))
        assert np.abs(problem.gradient(result.x)[result.support]).max() <= 1e-5 * np.abs(problem.c).max()
        least = problem.minimise_on(result.support, None)[1]
        assert problem.value(result.x) == pytest.approx(least, rel=1e-9)


def test_feedback_with_k_of_everything_is_gradient_descent():
    problem = quadratic(*data(0))
    result = run(catalogue.iht_with_feedback(P, rounds=7), *started(problem))
    steps = Method("gd", (Stage((Phase(catalogue.Everything(), GradientSteps(7)),)),))
    np.testing.assert_array_equal(result.x, run(steps, *started(problem)).x)


def test_feedback_can_bring_back_what_iht_forgets():
    """The dense point accumulates: a coordinate that is never chosen still moves (IHT resets it to 0 each round)."""
    problem = Quadratic(np.eye(2), [1.0, 0.9])
    what = catalogue.iht_with_feedback(1, step_size=0.5, rounds=4)
    supports = [row.support for row in run(what, *started(problem)).trace]
    assert len(set(supports)) == 2
    assert len({row.support for row in run(catalogue.iht(1, 0.5, rounds=4), *started(problem)).trace if row.phase}) == 1


def test_groups_are_selected_whole():
    """Fully corrective greedy and replacement by groups: k counts groups (three of size 4, the second is true)."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((80, 12))
    groups = Groups(tuple(np.repeat([0, 1, 2], 4)))
    problem = LeastSquares(X, X[:, 4:8] @ np.array([1.0, -1.0, 1.0, -1.0]))
    scores = {"into": Gradient(), "out": Magnitude()}
    for method in (
        catalogue.fully_corrective(1, by=Gradient(), structure=groups),
        catalogue.replacement(1, structure=groups, **scores),
        catalogue.iht(1, structure=groups),
    ):
        assert np.flatnonzero(run(method, *started(problem)).support).tolist() == [4, 5, 6, 7]
    wrong = Method("wrong", (Stage((Phase(catalogue.Everything(), Exact()),)),))
    swap = run(catalogue.replacement(2, start=wrong, structure=groups, **scores), *started(problem))
    assert swap.support.all()  # all groups are in: nothing to swap with
