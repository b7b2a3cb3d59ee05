"""Exchanges of two: the gains are those of refits, what is left out is left out, and the whole ends where none pays."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsopt.hard_instances import decoys
from sparsopt.portfolio import quadratic, twos
from sparsopt.portfolio.auto import Auto
from sparsopt.portfolio.tableau import Tableau
from sparsopt.problems import LeastSquares
from sparsopt.solvers import solve
from tests.conftest import scaled

SEEDS = st.integers(0, 10**6)


def problem(seed: int, n: int = 40, p: int = 9, rho: float = 1.0) -> LeastSquares:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p)) + rho * rng.standard_normal((n, 1))
    X[:, 1:] += rho * X[:, :-1]
    return LeastSquares(X, X[:, : p // 2].sum(axis=1) + 3 * rng.standard_normal(n))


def tableau(f: LeastSquares, S: list[int]) -> Tableau:
    p = f.p
    return Tableau(f.hessian_block(np.arange(p)), -f.gradient(np.zeros(p)), np.isin(np.arange(p), S))


def least(f: LeastSquares, S: set[int]) -> float:
    return f.minimise_on(np.isin(np.arange(f.p), list(S)), None)[1]


@given(SEEDS, st.integers(2, 5))
@settings(max_examples=scaled(20))
def test_a_gain_is_the_difference_of_two_refits(seed: int, k: int) -> None:
    f = problem(seed)
    S = set(np.random.default_rng(seed).choice(9, k, replace=False).tolist())
    for look in (twos.leaving, twos.entering):
        found = look(tableau(f, sorted(S)))
        assert len(found.come) == len(found.gone) <= 2 and set(found.gone) <= S and not set(found.come) & S
        after = S - set(found.gone) | set(found.come)
        assert found.gain == pytest.approx(least(f, S) - least(f, after), rel=1e-6, abs=1e-9)


@given(SEEDS)
@settings(max_examples=scaled(10))
def test_each_table_is_that_of_brute_force(seed: int) -> None:
    """Leaving: any two out, then greedily in. Entering: the pairs of one and its best partner, then any two out."""
    f, S = problem(seed, p=8), {1, 4, 6}
    t, here = tableau(f, sorted(S)), least(f, S)

    def refilled(S: set[int], away: set[int]) -> float:
        for _ in range(2):
            S = S | {min(set(range(8)) - S - away, key=lambda j: least(f, S | {j}))}
        return least(f, S)

    pairs = [set(pair) for pair in itertools.combinations(sorted(S), 2)]
    assert twos.leaving(t).gain == pytest.approx(here - min(refilled(S - pair, pair) for pair in pairs), abs=1e-9)
    others = [j for j in range(8) if j not in S]
    reached = min(
        least(f, five - set(gone))
        for i in others
        for five in [S | {i, min(set(others) - {i}, key=lambda j: least(f, S | {i, j}))}]
        for gone in itertools.combinations(sorted(five), 2)
    )
    assert twos.entering(t).gain == pytest.approx(here - reached, abs=1e-9)


@given(SEEDS)
@settings(max_examples=scaled(10))
def test_exchanges_end_where_none_pays_and_never_above_where_they_began(seed: int) -> None:
    f = problem(seed, p=14)
    t = tableau(f, [0, 3, 7, 9])
    t.polish(1e-12)
    before = t.value
    changed = twos.exchanged(t, 1e-10)
    assert t.value < before if changed else t.value == before
    assert t.inside.sum() == 4 and t.best_swap()[0] <= 1e-10


def test_columns_that_agree_and_columns_of_zeros() -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((50, 6))
    f = LeastSquares(np.hstack([X, X, np.zeros((50, 2))]), X[:, :4].sum(axis=1) + rng.standard_normal(50))
    t = tableau(f, [4, 5, 7])
    before = t.value
    assert twos.exchanged(t, 1e-10) and t.value < before
    assert len(set(np.flatnonzero(t.inside) % 6)) == 3 and not t.inside[12:].any()


def test_decoys_are_not_taken_for_clear() -> None:
    """Orderly rests ask for more than noise would: the search goes on although no exchange of two pays."""
    for seed in range(3):
        hard = decoys(6, seed=seed)
        assert hard.solved(solve(hard.problem, hard.k).x)


def test_a_clear_answer_ends_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 60))
    f = LeastSquares(X, X[:, :5].sum(axis=1) + rng.standard_normal(400))
    whole = solve(f, 5, Auto(effort=2)).value
    monkeypatch.setattr(quadratic.Search, "stages", None)
    assert solve(f, 5).value == pytest.approx(whole, rel=1e-12)
    with pytest.raises(TypeError):
        solve(f, 5, Auto(effort=2))  # more effort is asked for because the first answer is not trusted


@pytest.mark.parametrize("p", [20, 300])
def test_who_watches_sees_the_answer_and_changes_nothing(p: int) -> None:
    f, seen = problem(1, n=60, p=p, rho=0.3), []
    plain, watched = solve(f, 4), solve(f, 4, Auto(watch=seen.append))
    assert np.array_equal(plain.x, watched.x) and watched.method == plain.method
    assert seen and set(seen[-1]) == set(np.flatnonzero(plain.support))
    assert min(least(f, set(S.tolist())) for S in seen) == pytest.approx(plain.value)
