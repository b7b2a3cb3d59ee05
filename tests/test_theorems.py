"""What is proved about the methods, on small problems whose constants are computed exactly.

Notation as in `sparsopt.catalogue`: D = f(x) - f(w), beta = max_j H_jj, lambda = least eigenvalue of the principal
minors that occur. Every inequality is checked at every round; the slack is for rounding only.
"""

from __future__ import annotations

import math
from itertools import combinations, pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsopt import catalogue
from sparsopt import support as sp
from sparsopt.fits import Exact, InverseSmoothness
from sparsopt.judges import WhileDecreasing
from sparsopt.method import Method, Phase, Stage, run
from sparsopt.moves import Gain, Gradient, Magnitude, Removal
from sparsopt.problems import Logistic
from tests.conftest import scaled
from tests.toys import Quadratic, random_quadratic

SLACK = 1 + 1e-9
seeds = st.integers(0, 10**6)


def subsets(n, s):
    for S in combinations(range(n), s):
        support = np.zeros(n, dtype=bool)
        support[list(S)] = True
        yield support


def spectrum(problem, support):
    S = np.flatnonzero(support)
    return np.linalg.eigvalsh(problem.H[np.ix_(S, S)])


def unit_diagonal(problem):
    """The same problem with normalised columns: h_j = 1."""
    d = np.sqrt(np.diag(problem.H))
    return Quadratic(problem.H / np.outer(d, d), problem.c / d)


def states_of(method, problem, seed=0):
    """The states at the end of all rounds (the start included)."""
    states = [problem.start(seed)]

    def save(state, trace):
        if state.phase == 0:
            states.append(state)

    run(method, problem, problem.start(seed), save=save)
    return states


# ---- T1: randomised sparsification ---------------------------------------------------------------------------------


@settings(max_examples=scaled(15))
@given(seeds, st.integers(1, 4))
def test_t1_the_expected_loss_exactly(seed, k):
    """E f(x) - f(w) = (|w|_1 sum |w_j| H_jj - w'Hw) / (2k): all n^k draws of the method, by their probability."""
    problem, n = random_quadratic(seed, n=3), 3
    w, least = problem.minimise_on(np.ones(n, dtype=bool))
    share = np.abs(w) / np.abs(w).sum()
    expected = 0.0
    with pytest.MonkeyPatch.context() as patch:
        for draws in product(range(n), repeat=k):
            hits = np.bincount(draws, minlength=n).astype(float)
            patch.setattr(sp, "draw_counts", lambda *_, hits=hits: hits)
            x = run(catalogue.randomised(k), problem, problem.start()).x
            expected += np.prod(share[list(draws)]) * problem.value(x)
    excess = (np.abs(w).sum() * np.abs(w) @ np.diag(problem.H) - w @ problem.H @ w) / (2 * k)
    assert expected - least == pytest.approx(excess, rel=1e-9, abs=1e-12)
    assert excess <= np.diag(problem.H).max() * np.abs(w).sum() ** 2 / (2 * k) * SLACK


def test_t1_by_simulation():
    """The draws themselves: the mean of 4,000 runs is within 4 standard errors of the identity."""
    problem, k = random_quadratic(5, n=6), 3
    w, least = problem.minimise_on(np.ones(6, dtype=bool))
    method = catalogue.randomised(k)
    values = [problem.value(run(method, problem, problem.start(seed)).x) - least for seed in range(scaled(2000))]
    exact = (np.abs(w).sum() * np.abs(w) @ np.diag(problem.H) - w @ problem.H @ w) / (2 * k)
    assert abs(np.mean(values) - exact) <= 4 * np.std(values) / math.sqrt(len(values))


# ---- T2, T3: fully corrective greedy -------------------------------------------------------------------------------


@settings(max_examples=scaled(60))
@given(seeds, st.sampled_from([Gain(), Gradient()]), st.floats(1.5, 50))
def test_t2_a_linear_rate_towards_every_support(seed, by, condition):
    """D+ <= (1 - lambda / (beta m)) D for each S* and m = |S* minus S|, lambda of S united with S*."""
    problem = random_quadratic(seed, n=6, condition=condition)
    beta = problem.curvature().max()
    states = states_of(catalogue.omp(4, by=by), problem)
    targets = [(T, problem.minimise_on(T)[1]) for s in (1, 2, 3) for T in subsets(6, s)]
    for before, after in pairwise(states):
        for target, best in targets:
            m = int((target & ~before.support).sum())
            gap, next_gap = problem.value(before.x) - best, problem.value(after.x) - best
            if m and gap > 1e-12:
                rate = spectrum(problem, before.support | target)[0] / (beta * m)
                assert next_gap <= (1 - rate) * gap + 1e-12


@settings(max_examples=scaled(60))
@given(seeds, st.integers(1, 3), st.floats(1.5, 20))
def test_t2_how_many_steps_reach_an_accuracy(seed, s, condition):
    """k >= s (beta / lambda) log(D_0 / eps) reaches eps (lambda of the whole space, which is below all others)."""
    problem = random_quadratic(seed, n=8, condition=condition)
    best = min(problem.minimise_on(T)[1] for T in subsets(8, s))
    gap = problem.value(np.zeros(8)) - best
    ratio = problem.curvature().max() / spectrum(problem, np.ones(8, dtype=bool))[0]
    for k in range(1, 8):
        eps = gap * math.exp(-k / (s * ratio))
        assert problem.value(run(catalogue.omp(k), problem, problem.start()).x) - best <= eps * SLACK + 1e-12


@settings(max_examples=scaled(60))
@given(seeds, st.floats(1.5, 1e4))
def test_t3_a_sublinear_rate_by_the_l1_norm(seed, condition):
    """1/D_k >= 1/D_0 + k / (2 beta |w|_1^2) for every w, hence D_k <= 2 beta |w|_1^2 / k."""
    problem, rng = random_quadratic(seed, n=7, condition=condition), np.random.default_rng(seed)
    w_best = problem.minimise_on(np.ones(7, dtype=bool))[0]
    values = [problem.value(state.x) for state in states_of(catalogue.omp(6), problem)]
    for w in (w_best, w_best * rng.random(7), rng.standard_normal(7) * 0.1):
        bend = 2 * problem.curvature().max() * np.abs(w).sum() ** 2
        gaps = np.array(values) - problem.value(w)
        for k, gap in enumerate(gaps):
            if gap > 1e-12:
                assert 1 / gap >= (1 / gaps[0] + k / bend) / SLACK
                assert k == 0 or gap <= bend / k * SLACK


def test_t3_holds_for_the_logistic_loss():
    """beta = max_j h_j, the bound on the curvature that the problem gives."""
    for seed in range(scaled(10)):
        rng = np.random.default_rng([3, seed])
        X = rng.standard_normal((40, 6))
        problem = Logistic(X, (X[:, 0] - X[:, 1] + rng.logistic(size=40) > 0).astype(float), ridge=0.01)
        w = problem.minimise_on(np.ones(6, dtype=bool), None)[0]
        bend = 2 * problem.curvature().max() * np.abs(w).sum() ** 2
        gaps = np.array([problem.value(s.x) for s in states_of(catalogue.omp(5), problem)]) - problem.value(w)
        assert all(1 / gap >= (1 / gaps[0] + k / bend) / SLACK for k, gap in enumerate(gaps))


def test_h4_the_l1_bound_is_tight_up_to_sixteen():
    """H = I, w = B/d everywhere, d = 2k: the best k-sparse point is B^2 / (8 k) away; the bound allows 2 B^2 / k."""
    for k in (1, 3, 8):
        d, B = 2 * k, 3.0
        problem = Quadratic(np.eye(d), np.full(d, B / d))
        gap = problem.value(run(catalogue.omp(k), problem, problem.start()).x) - problem.value(problem.c)
        assert gap == pytest.approx(B**2 / (8 * k)) and gap <= 2 * B**2 / k


# ---- T4: Frank-Wolfe -----------------------------------------------------------------------------------------------


@settings(max_examples=scaled(60))
@given(seeds, st.floats(0.1, 5), st.floats(1.5, 1e3))
def test_t4_frank_wolfe(seed, radius, condition):
    """D_k <= 8 beta B^2 / (k + 2) for every |w|_1 <= B."""
    problem = random_quadratic(seed, n=6, condition=condition)
    rng = np.random.default_rng(seed)
    inside = [np.zeros(6), problem.minimise_on(np.ones(6, dtype=bool))[0], *rng.standard_normal((3, 6))]
    inside = [w * min(1, radius / max(np.abs(w).sum(), 1e-300)) for w in inside]
    least = min(problem.value(w) for w in inside)
    states = states_of(catalogue.frank_wolfe(30, radius), problem)
    for k, state in enumerate(states[1:], start=1):
        bound = 8 * problem.curvature().max() * radius**2 / (k + 2)
        assert problem.value(state.x) - least <= bound * SLACK + 1e-12
        assert np.abs(state.x).sum() <= radius * SLACK and sp.count(state.x != 0) <= k


# ---- T5, T5b: replacement ------------------------------------------------------------------------------------------


def swaps_only(k, start, out, into, judge=None, rounds=6):
    """Replacement from a given support."""
    first = Method("given", (Stage((Phase(Given(tuple(map(int, start))), Exact()),)),))
    return catalogue.replacement(k, rounds=rounds, start=first, out=out, into=into, judge=judge)


class Given:
    """A move to one fixed support."""

    def __init__(self, members):
        self.members = members

    def __call__(self, f, state):
        return np.isin(np.arange(f.layout.n), self.members)


@pytest.mark.parametrize("rule", [(Magnitude(), Gradient()), (Removal(), Gain())])
def test_t5_every_swap_is_a_step_towards_the_target(rule):
    """k >= s + m (kappa^2 - 1), kappa = beta_2 / lambda_{k+s}: D+ <= (1 - 1/(kappa m)) D, m = |S* minus S|.

    By |x| and |g| for any H; by Removal and Gain for a unit diagonal, where the rules are the same.
    """
    swaps = 0
    for seed in range(scaled(300)):
        rng = np.random.default_rng([31, seed])
        problem = random_quadratic(seed, n=7, condition=rng.uniform(1.1, 3))
        problem = problem if isinstance(rule[0], Magnitude) else unit_diagonal(problem)
        k, s = int(rng.integers(2, 6)), int(rng.integers(1, 3))
        kappa = problem.smoothness(2) / problem.strong_convexity(min(k + s, 7))
        states = states_of(swaps_only(k, rng.choice(7, k, replace=False), *rule), problem)[1:]
        best, target = min(((problem.minimise_on(T)[1], i) for i, T in enumerate(subsets(7, s))))
        target = list(subsets(7, s))[target]
        for before, after in pairwise(states):
            m = int((target & ~before.support).sum())
            gap = problem.value(before.x) - best
            if m and gap > 1e-12 and k >= s + m * (kappa**2 - 1):
                swaps += 1
                assert problem.value(after.x) - best <= (1 - 1 / (kappa * m)) * gap + 1e-12
    assert swaps >= scaled(30)


def test_t5b_stuck_points_of_noiseless_problems():
    """A point that no such swap improves, with f(x) > f(w), g(w) = 0, |w|_0 = s: kappa^2 m >= 4 (k - s + m).

    So k > s kappa^2 / 4 (and kappa < 2 if k = s) recovers w. Bad starts, so that some runs do get stuck.
    """
    stuck = recovered = 0
    for seed in range(scaled(500)):
        rng = np.random.default_rng([37, seed])
        problem = random_quadratic(seed, n=6, condition=float(rng.choice([1.5, 3.0, 200.0, 1000.0])))
        s = int(rng.integers(1, 4))
        k = int(rng.integers(s, 5))
        w = np.zeros(6)
        w[rng.choice(6, s, replace=False)] = rng.choice([-1, 1], s) * rng.uniform(0.3, 2, s)
        problem.c = problem.H @ w
        start = rng.choice(6, k, replace=False)
        method = swaps_only(k, start, Magnitude(), Gradient(), WhileDecreasing(1e-13), rounds=100)
        x = run(method, problem, problem.start()).x
        kappa = problem.smoothness(2) / problem.strong_convexity(min(k + s, 6))
        m = int(((w != 0) & ~(x != 0)).sum())
        if problem.value(x) - problem.value(w) > 1e-10:
            stuck += 1
            assert kappa**2 * m >= 4 * (k - s + m) / SLACK
            assert k <= s * kappa**2 / 4 * SLACK
        else:
            recovered += 1
    assert stuck >= scaled(10) and recovered >= scaled(200)


# ---- T6, T7, T8: hard thresholding ---------------------------------------------------------------------------------


@settings(max_examples=scaled(60))
@given(seeds, st.floats(0.1, 0.99), st.integers(1, 5), st.floats(1.5, 1e3))
def test_t6_descent_of_iterative_hard_thresholding(seed, factor, k, condition):
    """f falls by at least (1/step - L)/2 |dx|^2 a round, so min |dx|^2 <= 2 (f_0 - f*) / (M (1/step - L))."""
    problem = random_quadratic(seed, n=6, condition=condition)
    L = problem.smoothness()
    states = states_of(catalogue.iht(k, InverseSmoothness(factor), rounds=30), problem)
    half = (L / factor - L) / 2
    moves = []
    for before, after in pairwise(states):
        moves.append(sp.square_norm(after.x - before.x))
        assert problem.value(after.x) <= problem.value(before.x) - half * moves[-1] + 1e-12
    least = problem.minimise_on(np.ones(6, dtype=bool))[1]
    assert min(moves) <= (problem.value(states[0].x) - least) / (len(moves) * half) * SLACK + 1e-12


@given(seeds, st.integers(2, 9), st.data())
def test_t7_thresholding_is_nearly_a_projection(seed, d, data):
    """|H_k(b) - x|^2 <= nu |b - x|^2 for K-sparse x, nu = 1 + (rho + sqrt((4 + rho) rho))/2."""
    k, K = data.draw(st.integers(1, d - 1)), data.draw(st.integers(1, d))
    if k < K:
        k, K = K, k
    if k >= d:
        k = d - 1
        K = min(K, k)
    rng = np.random.default_rng(seed)
    b, x = rng.standard_normal(d), np.zeros(d)
    x[rng.choice(d, K, replace=False)] = rng.standard_normal(K) * rng.choice([0.1, 1, 3])
    kept = sp.restrict(b, sp.top(np.abs(b), k))
    assert sp.square_norm(kept - x) <= expansion(k, K, d) * sp.square_norm(b - x) * SLACK


def expansion(k, K, d):
    rho = min(K, d - k) / (k - K + min(K, d - k))
    return 1 + (rho + math.sqrt((4 + rho) * rho)) / 2


def test_t7_is_tight():
    """d = 2, k = K = 1, b = (1, 1), x = (0, golden ratio): the tie goes to the first coordinate, nu = 2.618..."""
    golden = (1 + math.sqrt(5)) / 2
    b, x = np.array([1.0, 1.0]), np.array([0.0, golden])
    kept = sp.restrict(b, sp.top(b, 1))
    ratio = sp.square_norm(kept - x) / sp.square_norm(b - x)
    assert ratio == pytest.approx(expansion(1, 1, 2)) == pytest.approx(1 + golden)


@pytest.mark.parametrize("K", [2, 3, 5, 9])
def test_t8_omp_fails_just_above_the_sharp_constant(K):
    """G = [[I, c 1], [c 1', 1]], w = (1, ..., 1, 0), c = (1 +- eps)/K: delta_{K+1} = c sqrt K against 1/sqrt K."""
    for sign in (-1, 1):
        G = np.eye(K + 1)
        G[-1, :-1] = G[:-1, -1] = (1 + sign * 1e-3) / K
        w = np.append(np.ones(K), 0.0)
        result = run(catalogue.omp(K), *(problem := Quadratic(G, G @ w), problem.start()))
        assert result.support[-1] == (sign > 0)
        if sign < 0:
            np.testing.assert_allclose(result.x, w, atol=1e-9)


@settings(max_examples=scaled(40))
@given(seeds, st.integers(1, 4))
def test_htp_descends_until_its_support_repeats(seed, k):
    """Step 1/L: each new support has a smaller minimum, so the supports are finitely many and no cycle is possible."""
    problem = random_quadratic(seed, n=6, condition=100)
    result = run(catalogue.htp(k), problem, problem.start())
    values = [row.value for row in result.trace if row.phase == 1]
    assert result.status.name == "STATIONARY" and (np.diff(values) <= 1e-13).all()
    assert len({row.support for row in result.trace if row.phase == 1}) >= len(values) - 1


@settings(max_examples=scaled(40))
@given(seeds, st.integers(1, 4))
def test_forward_steps_are_a_fraction_of_the_best(seed, k):
    """With k = s steps: the gain is at least (1 - exp(-lambda/beta)) of the gain of the best k coordinates."""
    problem = random_quadratic(seed, n=6, condition=5)
    best = min(problem.minimise_on(T)[1] for T in subsets(6, k))
    start = problem.value(np.zeros(6))
    rate = spectrum(problem, np.ones(6, dtype=bool))[0] / problem.curvature().max()
    gain = start - problem.value(run(catalogue.omp(k), problem, problem.start()).x)
    assert gain >= (1 - math.exp(-rate)) * (start - best) / SLACK
