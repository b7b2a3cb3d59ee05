"""Criteria and the choice of k, number by number: what is counted, with how many rows, and which k wins."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.special import gammaln

import sparsopt
from sparsopt import AIC, BIC, EBIC, GIC, CrossValidation, Data, LeastSquares, Logistic
from sparsopt.choosing import default_ks
from sparsopt.errors import InvalidInput, MissingCapability


def data(seed: int = 0, n: int = 40, p: int = 6) -> tuple[Any, Any]:
    rng = np.random.default_rng([43, seed])
    X = rng.standard_normal((n, p))
    return X, 2.0 + X[:, 1] - X[:, 4] + 0.5 * rng.standard_normal(n)


# ---- what is counted -----------------------------------------------------------------------------------------------


def test_weights_cost_and_features_are_drawn() -> None:
    """Several weights a feature: each of them costs, and the number of supports is that of features."""
    n, p, k, weights = 100, 20, 3, 9
    assert AIC().penalty(k, n, p, weights) == 18
    assert BIC().penalty(k, n, p, weights) == pytest.approx(9 * math.log(100))
    assert EBIC().penalty(k, n, p, weights) == pytest.approx(9 * math.log(100) + 2 * math.log(math.comb(20, 3)))
    assert GIC(2.5).penalty(k, n, p, weights) == pytest.approx(2.5 * 9 * math.log(20) * math.log(math.log(100)))


@pytest.mark.parametrize("gamma", [-0.01, 1.01, math.nan])
def test_gamma_is_a_share(gamma: float) -> None:
    with pytest.raises(InvalidInput, match="from 0"):
        EBIC(gamma)


def test_groups_are_counted_as_groups() -> None:
    X, y = data()
    problem = sparsopt.grouped(LeastSquares(X, y, intercept=True), [0, 0, 1, 1, 2, 2])
    x = problem.minimise_on(np.array([1, 1, 0, 0, 1, 1], dtype=bool))[0]
    residual = y - X @ x - problem.intercept(x)
    fit = 40 * math.log(residual @ residual / 40)
    assert EBIC()(problem, x) == pytest.approx(fit + 4 * math.log(40) + 2 * math.log(3), rel=1e-12)


def test_outputs_share_a_likelihood() -> None:
    """Two outputs: 2 n log of the mean square, and a feature costs two weights."""
    X, y = data()
    problem = sparsopt.MultiOutput(X, np.column_stack([y, 2 * y - X[:, 0]]), 0.3)
    x = problem.minimise_on(np.repeat(np.arange(6) < 2, 2))[0]
    loss = problem.value(x) - 0.15 * float(x @ x)
    assert AIC()(problem, x) == pytest.approx(80 * math.log(2 * loss) + 8, rel=1e-12)


@pytest.mark.parametrize("loss", [LeastSquares, Logistic])
def test_weights_that_are_repetitions_choose_as_repeated_rows(loss: Any) -> None:
    X, y = data(1)
    y = y if loss is LeastSquares else y > 2.0
    times = np.random.default_rng(0).integers(1, 4, len(y))
    total = int(times.sum())
    weighted = loss(X, y, 0.01, True, times)
    repeated = loss(np.repeat(X, times, axis=0), np.repeat(y, times), 0.01, True)
    for criterion in ("aic", "bic", "ebic", "gic"):
        one = sparsopt.choose(weighted, range(6), criterion, "omp", samples=total)
        two = sparsopt.choose(repeated, range(6), criterion, "omp")
        assert one.k == two.k
        np.testing.assert_allclose(one.scores, two.scores, rtol=1e-8)
        assert np.abs(sparsopt.choose(weighted, range(6), criterion, "omp").scores - two.scores).max() > 1
    for rows, problem in ((9, weighted), (total, repeated)):
        wanted = default_ks(rows, 6)
        assert list(sparsopt.choose(problem, method="omp", samples=rows).path.ks) == list(wanted)


def test_the_loss_of_a_perfect_fit_is_not_minus_infinity() -> None:
    X, _ = data()
    exact = LeastSquares(X, 3 * X[:, 2])
    x = exact.minimise_on(np.arange(6) == 2)[0]
    null = float(np.mean((3 * X[:, 2]) ** 2)) / 2
    assert BIC()(exact, x) >= 40 * math.log(2 * 1e-14 * null) + math.log(40) - 1e-6


def test_what_has_no_rows_or_no_ridge_has_no_criterion() -> None:
    for problem in (SimpleNamespace(samples=3), SimpleNamespace(ridge=0.0)):
        with pytest.raises(MissingCapability, match="number of samples"):
            BIC()(problem, np.zeros(2))


def test_default_sizes_by_their_formula() -> None:
    """0 .. n / (log p log log n), but at least 1, below n, and at most p."""
    for n, p in ((1000, 500), (442, 65), (72, 7129), (3000, 200)):
        most = int(n / (math.log(p) * max(math.log(math.log(n)), 1.0)))
        assert list(default_ks(n, p)) == list(range(min(most, p) + 1))
    assert list(default_ks(1000, 20)) == list(range(21))
    X, y = data()
    grouped = sparsopt.grouped(LeastSquares(X, y), [0, 0, 1, 1, 2, 2])
    assert sparsopt.choose(grouped, method="omp").path.ks == (0, 1, 2, 3)  # of groups, of which there are three
    assert list(default_ks(2, 2)) == [0, 1] and list(default_ks(1, 1)) == [0, 1]


# ---- which k wins --------------------------------------------------------------------------------------------------


class Drawn(CrossValidation):
    """Cross-validation with these held-out losses, (folds, sizes)."""

    table: Any = None

    def scores(self, data: Data, ks: list[int], method: Any, seed: int) -> Any:
        return np.array(self.table)


def drawn(table: Any, slack: float) -> Drawn:
    rule = Drawn(folds=len(table), slack=slack)
    object.__setattr__(rule, "table", table)
    return rule


@pytest.mark.parametrize(("slack", "k"), [(0.0, 3), (0.9, 3), (1.1, 2), (1e9, 1)])
def test_the_rule_of_standard_errors(slack: float, k: int) -> None:
    """Means 3, 1.5, 1; the error of the best is that of 0, 1, 2 over three folds: 1/sqrt(3) = .577."""
    table = [[3.0, 0.5, 0.0], [3.0, 1.5, 1.0], [3.0, 2.5, 2.0]]
    table = [[a, 1.6 + 9 * (b - 1.5), c] for a, b, c in table]  # the second varies much more, which plays no role
    found = sparsopt.choose(Data(*data()), [1, 2, 3], drawn(table, slack), "omp")
    assert found.errors == pytest.approx([0.0, 9 / math.sqrt(3), 1 / math.sqrt(3)])
    assert found.scores == pytest.approx([3.0, 1.6, 1.0])
    assert found.k == (3 if slack == 1.0 else k)
    assert int(found.result.support.sum()) == found.k


def test_ties_go_to_the_smallest_k_and_the_text_points_at_it() -> None:
    found = sparsopt.choose(Data(*data()), [1, 2, 4], drawn([[2.0, 1.0, 1.0]] * 2, 0.0), "omp")
    assert found.k == 2 and int(found.result.support.sum()) == 2
    marked = [line.split()[0] for line in str(found).splitlines() if "<-" in line]
    assert marked == ["2"] and "chose k = 2" in str(found)


class Spy:
    """A solver that notes how it was called."""

    name = "spy"

    def __init__(self) -> None:
        self.calls: list[tuple[int, int, int]] = []

    def solve(self, problem: Any, k: int, seed: int) -> Any:
        self.calls.append((problem.samples, k, seed))
        return sparsopt.solve(problem, k, "omp", seed)


def test_method_and_seed_reach_every_fit() -> None:
    spy = Spy()
    sparsopt.choose(Data(*data()), [1, 2], CrossValidation(4), spy, seed=7)
    assert sorted({rows for rows, _, _ in spy.calls}) == [30, 40] and {seed for _, _, seed in spy.calls} == {7}
    assert {k for _, k, _ in spy.calls} >= {1, 2} and len(spy.calls) >= 10
    sparsopt.choose(LeastSquares(*data()), [1, 2], method=(plain := Spy()))
    assert {seed for _, _, seed in plain.calls} == {0}


def test_whole_groups_are_dealt_by_their_mean() -> None:
    """Groups of 1 to 6 rows: sorted by mean y, every second one in a fold."""
    groups = np.repeat(np.arange(6), [6, 1, 5, 2, 4, 3])
    y = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])[groups]
    parts = CrossValidation(2).parts(y, groups)
    assert [sorted(set(groups[part].tolist())) for part in parts] == [[0, 2, 4], [1, 3, 5]]
    for folds in (1, 7):
        with pytest.raises(InvalidInput, match="folds"):
            CrossValidation(folds).parts(y, groups)
    assert len(CrossValidation(6).parts(y, groups)) == 6
    with pytest.raises(InvalidInput, match="one label a row"):
        CrossValidation(2).parts(y, groups[:-1])


def test_log_of_the_number_of_supports_is_exact_for_large_p() -> None:
    p, k = 10**6, 300
    supports = gammaln(p + 1) - gammaln(k + 1) - gammaln(p - k + 1)
    assert EBIC(0.5).penalty(k, 1000, p) == pytest.approx(k * math.log(1000) + supports, rel=1e-12)
