"""Exact gains, exchanges and the methods made of them: against every refit, one by one, and as identities."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsopt import catalogue
from sparsopt.errors import InvalidInput
from sparsopt.exact import enumerate_supports
from sparsopt.fits import Extrapolate, GradientSteps, InverseSmoothness, LineSearch
from sparsopt.judges import WhileDecreasing
from sparsopt.method import run
from sparsopt.moves import Around, Entry, Exchange, Exit, Gain, Gradient, Magnitude, Noisy, Removal, Splice
from sparsopt.problems import LeastSquares, Logistic, Quadratic
from sparsopt.regularised import Penalised, Regularised, Reweigh, Unregularise
from sparsopt.result import Status
from sparsopt.state import State
from tests.conftest import scaled

P = 9


def quadratic(seed, p=P, rows=14):
    """Correlated columns of several scales; near-duplicates now and then."""
    rng = np.random.default_rng([21, seed])
    A = rng.standard_normal((rows, p)) + 1.5 * rng.standard_normal((rows, 1))
    if seed % 3 == 0:
        A[:, 1] = A[:, 0] + 0.1 * rng.standard_normal(rows)
    A *= np.geomspace(0.25, 4, p)
    y = A @ (rng.standard_normal(p) * (rng.random(p) < 0.5)) + 0.3 * rng.standard_normal(rows)
    return Quadratic(A.T @ A / rows, A.T @ y / rows, float(y @ y) / 2 / rows)


def at(problem, members):
    S = np.isin(np.arange(problem.p), members)
    x, value = problem.minimise_on(S, None)
    return State(x, S, value=value)


def refit(problem, members):
    return at(problem, list(members)).value


def solved(problem, method, seed=0):
    return run(method, problem, problem.start(seed))


seeds = given(st.integers(0, 10**6))
draws = settings(max_examples=scaled(30))


# ---- what a refit gives --------------------------------------------------------------------------------------------


@draws
@seeds
def test_gains_costs_and_swaps_are_those_of_the_refits(seed):
    problem = quadratic(seed)
    S = sorted(np.random.default_rng(seed).choice(P, 4, replace=False).tolist())
    state = at(problem, S)
    around = Around(problem, state)
    unit = abs(problem.value(np.zeros(P)) - problem.minimise_on(np.ones(P, bool), None)[1])
    for j in range(P):
        fall = 0.0 if j in S else state.value - refit(problem, [*S, j])
        rise = refit(problem, [i for i in S if i != j]) - state.value if j in S else 0.0
        assert around.entries()[j] == pytest.approx(fall, rel=1e-5, abs=1e-8 * unit)
        assert around.exits()[j] == pytest.approx(rise, rel=1e-5, abs=1e-8 * unit)
    best = min(refit(problem, [*(set(S) - {i}), j]) for i in S for j in set(range(P)) - set(S))
    gain, support = around.best_swap()
    assert state.value - gain == pytest.approx(best, rel=1e-6, abs=1e-8 * unit)
    assert refit(problem, np.flatnonzero(support)) == pytest.approx(best, rel=1e-6, abs=1e-8 * unit)


@draws
@seeds
def test_exchanges_of_two_are_the_best_of_all(seed):
    problem = quadratic(seed)
    S = sorted(np.random.default_rng(seed).choice(P, 4, replace=False).tolist())
    state = at(problem, S)
    others = sorted(set(range(P)) - set(S))
    values = [
        refit(problem, [*(set(S) - set(out)), *into])
        for m in (1, 2)
        for out in itertools.combinations(S, m)
        for into in itertools.combinations(others, m)
    ]
    support = Exchange(2)(problem, state)
    scale = abs(problem.value(np.zeros(P))) + 1
    assert refit(problem, np.flatnonzero(support)) == pytest.approx(
        min(*values, state.value), rel=1e-6, abs=1e-8 * scale
    )
    assert support.sum() == 4


def test_logistic_gains_are_second_order():
    """Near the minimiser of a strongly regularised loss the model and the refit agree; the ranking does."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 6))
    problem = Logistic(X, X[:, 1] - X[:, 4] + rng.logistic(size=400) > 0, ridge=0.5)
    state = at(problem, [1])
    gains = Entry()(problem, state)
    falls = [0.0 if j == 1 else state.value - refit(problem, [1, j]) for j in range(6)]
    assert gains.argmax() == np.argmax(falls) == 4
    assert gains[4] == pytest.approx(falls[4], rel=0.2)
    assert Exit()(problem, state)[1] > 0


def test_exchange_keeps_what_is_best_and_refuses_what_it_cannot_do():
    problem = Quadratic(np.eye(3), np.array([3.0, 2.0, 1.0]))
    for members in ([0, 1], [], [0, 1, 2]):
        state = at(problem, members)
        np.testing.assert_array_equal(Exchange(2)(problem, state), state.support)
        np.testing.assert_array_equal(Splice(3)(problem, state), state.support if len(members) != 2 else [1, 0, 1])
    with pytest.raises(InvalidInput, match="m = 3"):
        Exchange(3)


def test_splice_takes_the_best_of_its_proposals():
    for seed in range(scaled(20)):
        problem = quadratic(seed)
        state = at(problem, [0, 2, 5, 7])
        cost, gain = Removal()(problem, state), Gain()(problem, state)
        values = []
        for C in (1, 2, 3):
            kept = sorted(np.flatnonzero(state.support), key=lambda i: -cost[i])[: 4 - C]
            new = sorted(np.flatnonzero(~state.support), key=lambda j: -gain[j])[:C]
            values.append(refit(problem, [*kept, *new]))
        assert refit(problem, np.flatnonzero(Splice(3)(problem, state))) == pytest.approx(min(values), rel=1e-12)


def test_noise_follows_the_score():
    problem = Quadratic(np.eye(4), np.array([10.0, 0.0, 1.0, 1.0]))
    states = [problem.start(seed) for seed in range(scaled(200, least=200))]
    best = [int(Noisy()(problem, state).argmax()) for state in states]
    assert best.count(0) > 0.9 * len(states) and 1 not in best and set(best) != {0}
    np.testing.assert_array_equal(Noisy()(problem, states[3]), Noisy()(problem, states[3]))
    assert (Noisy(salt=1)(problem, states[3]) != Noisy()(problem, states[3]))[0]


# ---- methods -------------------------------------------------------------------------------------------------------


@draws
@seeds
def test_ols_brings_in_the_best_refit(seed):
    problem = quadratic(seed)
    S = []
    for _ in range(3):
        S.append(min(set(range(P)) - set(S), key=lambda j, S=S: refit(problem, [*S, j])))
    result = solved(problem, catalogue.ols(3))
    assert result.value == pytest.approx(refit(problem, S), rel=1e-7)


def test_ols_is_not_omp():
    differ = sum(
        not np.array_equal(
            solved(quadratic(s), catalogue.ols(4)).support, solved(quadratic(s), catalogue.omp(4)).support
        )
        for s in range(scaled(40))
    )
    assert differ > 0


@draws
@seeds
def test_swaps_end_where_no_exchange_helps(seed):
    problem = quadratic(seed)
    scale = 1e-9 * (abs(problem.value(np.zeros(P))) + 1)
    best = enumerate_supports(problem, 4)[1]
    for m, method in ((1, catalogue.best_swap(4)), (2, catalogue.local_search(4))):
        result = solved(problem, method)
        assert result.status is Status.NO_DECREASE and result.value >= best - scale
        S = set(np.flatnonzero(result.support).tolist())
        for size in range(1, m + 1):
            for out, into in itertools.product(
                itertools.combinations(S, size), itertools.combinations(set(range(P)) - S, size)
            ):
                assert refit(problem, [*(S - set(out)), *into]) >= result.value - scale
        assert result.value <= solved(problem, catalogue.omp(4)).value + scale


def test_larger_neighbourhoods_are_worth_it():
    """Over many instances each finds the optimum more often than the one before it (which the next contains)."""
    hits = dict.fromkeys(("omp", "best-swap", "oscillation", "local-search"), 0)
    for seed in range(scaled(60, least=60)):
        problem = quadratic(seed, p=12)
        best = enumerate_supports(problem, 4)[1]
        for name in hits:
            value = solved(problem, catalogue.METHODS[name](4, problem)).value
            hits[name] += value <= best + 1e-9 * (abs(best) + 1)
    assert hits["omp"] < hits["best-swap"] < hits["local-search"] and hits["omp"] < hits["oscillation"]


@draws
@seeds
def test_partial_hard_thresholding_in_full_is_htp(seed):
    """Letting in k a round loses nothing: the k largest of z are among S and the k largest outside."""
    problem = quadratic(seed)
    ours = solved(problem, catalogue.partial_hard_thresholding(3, 3, judge=None, rounds=30))
    htp = solved(problem, catalogue.htp(3, rounds=31))
    np.testing.assert_array_equal(ours.support, htp.support)
    np.testing.assert_allclose(ours.x, htp.x, rtol=1e-9, atol=1e-12)


@draws
@seeds
def test_no_momentum_and_no_extra_steps_are_iht(seed):
    problem = quadratic(seed)
    iht = solved(problem, catalogue.iht(3, rounds=25)).x
    np.testing.assert_array_equal(solved(problem, catalogue.momentum_iht(3, 0.0, rounds=25)).x, iht)
    np.testing.assert_array_equal(solved(problem, catalogue.aiht(3, 0, rounds=25)).x, iht)


def test_momentum_and_line_searches_are_faster():
    """On a well-conditioned signal, the same accuracy in fewer rounds."""
    rng = np.random.default_rng(3)
    X = rng.standard_normal((120, 40))
    problem = LeastSquares(X, X[:, :3] @ [1.0, -2.0, 1.5])

    values = {}
    for name, method in (
        ("iht", catalogue.iht(3, rounds=60)),
        ("momentum", catalogue.momentum_iht(3, 0.3, rounds=60)),
        ("aiht", catalogue.aiht(3, rounds=60)),
    ):
        ends = []
        run(
            method,
            problem,
            problem.start(0),
            save=lambda state, trace, ends=ends: ends.append(problem.value(state.x)) if state.phase == 0 else None,
        )
        values[name] = next((number for number, value in enumerate(ends) if value < 1e-12), 60)
    assert values["aiht"] < values["momentum"] < values["iht"]


def test_line_search_is_exact():
    problem = quadratic(1)
    state = at(problem, [2, 3]).but(x=np.where(np.isin(np.arange(P), [2, 3]), 0.7, 0.0))
    after = GradientSteps(1, LineSearch())(problem, state)
    g = np.where(state.support, problem.gradient(state.x), 0.0)
    assert abs(problem.gradient(after.x) @ g) <= 1e-9 * (g @ g)  # the slope along the direction is gone
    assert (
        GradientSteps(1, LineSearch())(Quadratic(np.zeros((2, 2)), np.zeros(2)), State(np.ones(2), np.ones(2, bool))).x[
            0
        ]
        == 1
    )


def test_extrapolation_remembers():
    state = State(np.array([1.0]), np.array([True]))
    once = Extrapolate(0.5)(None, state)
    assert once.x == 1.0 and Extrapolate(0.5)(None, once.but(x=np.array([3.0]))).x == 4.0


# ---- regularised ---------------------------------------------------------------------------------------------------


@draws
@seeds
def test_arht_without_regulariser_is_replacement(seed):
    problem = quadratic(seed)
    ours = run(catalogue.arht(3, -1e9, share=0.0), oracle := Regularised(problem, 0.0), oracle.start(seed))
    theirs = solved(
        problem,
        catalogue.replacement(3, start=catalogue.fully_corrective(3, by=Gradient()), out=Magnitude(), into=Gradient()),
    )
    np.testing.assert_array_equal(ours.support, theirs.support)
    np.testing.assert_allclose(ours.x, theirs.x, rtol=1e-6, atol=1e-9)


def test_penalised_minimisers():
    """Against the closed form for a quadratic, and stationarity for logistic regression."""
    problem = quadratic(4)
    r = np.arange(P) / 3.0
    S = np.isin(np.arange(P), [1, 4, 6])
    x, value = Penalised(problem, r).minimise_on(S)
    exact = np.linalg.solve(problem.H[np.ix_(S, S)] + np.diag(r[S]), problem.c[S])
    np.testing.assert_allclose(x[S], exact, rtol=1e-9)
    assert value == pytest.approx(problem.value(x) + r @ x**2 / 2) and not x[~S].any()
    rng = np.random.default_rng(0)
    X = rng.standard_normal((80, P)) * np.geomspace(0.1, 10, P)
    logistic = Penalised(Logistic(X, X[:, 1] + rng.logistic(size=80) > 0), r)
    x, _ = logistic.minimise_on(S)
    assert np.abs(logistic.gradient(x)[S]).max() < 1e-7
    assert Penalised(problem, r).minimise_on(np.zeros(P, bool))[1] == problem.value(np.zeros(P))


def test_arht_reaches_a_target_that_is_there():
    reached, tries = 0, scaled(20, least=20)
    for seed in range(tries):
        problem = quadratic(seed)
        best = enumerate_supports(problem, 3)[1]
        target = best + 0.05 * abs(problem.value(np.zeros(P)) - best)
        oracle = Regularised(problem, float(problem.curvature().max()))
        result = run(catalogue.arht(3, target), oracle, oracle.start(seed))
        assert result.support.sum() == 3
        if result.status is Status.TARGET:
            reached += 1
            assert problem.value(result.x) <= target
        sizes = result.state.slots["regularised"]
        assert set(np.unique(sizes)) <= {0.0, 1.0}
    assert reached >= 0.5 * tries


def test_a_stalled_swap_frees_one_coordinate():
    """Drawn from what is selected and regularised; x is refitted, and f falls by it."""
    problem = Quadratic(np.eye(3), np.array([3.0, 2.0, 1.0]))
    oracle = Regularised(problem, 1.0)
    old = oracle.start(5).but(support=np.array([True, True, False]))
    x, value = oracle.at(old).minimise_on(old.support)
    old = old.but(x=x, value=value)
    worse = old.but(support=np.array([True, False, True]))
    worse = worse.but(x=oracle.at(worse).minimise_on(worse.support)[0])
    state, status = Unregularise(-100.0, 0.1)(oracle, old, worse)
    freed = np.flatnonzero(state.slots["regularised"] == 0)
    assert status is None and len(freed) == 1 and freed[0] in (0, 1)
    np.testing.assert_array_equal(state.support, old.support)
    assert problem.value(state.x) < problem.value(old.x)
    assert Unregularise(100.0, 0.1)(oracle, old, worse)[1] is Status.TARGET
    free = old.but(slots={"regularised": np.zeros(3)})
    assert Unregularise(-100.0, 0.1)(oracle, free, worse.but(slots=free.slots))[1] is Status.NO_DECREASE


def test_weights_fade_where_x_is_large():
    state = State(np.array([3.0, 1.0, 0.0]), np.array([True, True, False]))
    after = Reweigh(0.5)(None, state)
    np.testing.assert_allclose(after.slots["weights"], [1 - 0.5 * 0.9, 1 - 0.5 * 0.1, 1.0])
    again = Reweigh(0.5)(None, after)
    assert again.slots["weights"][0] == 0 and again.slots["weights"][2] == 1


@draws
@seeds
def test_regularised_iht_frees_at_most_half(seed):
    problem = quadratic(seed)
    result = solved(problem, catalogue.regularised_iht(4, rounds=80))
    assert np.count_nonzero(result.state.slots["weights"] == 0) <= 2
    assert result.value == pytest.approx(problem.minimise_on(result.support, None)[1], rel=1e-9)


def test_regularised_iht_without_weights_is_iht():
    problem = quadratic(2)
    method = catalogue.regularised_iht(3, rounds=40)
    start = problem.start(0).but(slots={"weights": np.zeros(P)})
    x = run(method, problem, start).x
    iht = run(catalogue.iht(3, InverseSmoothness(0.5), rounds=40), problem, problem.start(0))
    np.testing.assert_allclose(x, problem.minimise_on(iht.support, None)[0], rtol=1e-9, atol=1e-12)


def test_subspace_pursuit_needs_a_smaller_support_than_cosamp():
    problem = quadratic(0)
    sizes = {
        name: max(solved(problem, catalogue.METHODS[name](3, problem)).trace.column("size"))
        for name in ("cosamp", "subspace-pursuit")
    }
    assert sizes == {"cosamp": 9, "subspace-pursuit": 6}


def test_tolerance_stops_splicing_early():
    problem = quadratic(5)
    assert len(solved(problem, catalogue.splicing(3, tolerance=1e9)).trace) == 2
    assert catalogue.splicing(3).stages[1].judge == WhileDecreasing(0.0)
