"""What theory promises about a user's own result: for every kind of problem, and no more than holds."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

import sparsopt
from sparsopt import hard_instances
from sparsopt.errors import InvalidInput
from sparsopt.guarantees import (
    report,
)
from sparsopt.guarantees.reports import Bracket
from sparsopt.problems import LeastSquares, Logistic, Quadratic

SEEDS = st.integers(0, 10**6)


def users(kind: str) -> Any:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 20))
    y = X[:, :3] @ [3.0, 2.0, 1.0] + 0.3 * rng.standard_normal(400)
    return LeastSquares(X, y) if kind == "squares" else Logistic(X, y > 0, ridge=0.05)


@pytest.mark.parametrize("kind", ["squares", "logistic"])
@pytest.mark.parametrize(
    ("method", "k", "names"),
    [("omp", 5, "T2 T3"), ("replacement", 12, "T5"), ("frank-wolfe", 5, "T4"), ("iht", 5, "T6a"), ("htp", 5, "")],
)
def test_reports(kind: str, method: str, k: int, names: str) -> None:
    f = users(kind)
    result = sparsopt.solve(f, k, method)
    found = report(f, result)
    silent = {line.split(":")[0] for line in found.silent}
    assert {verdict.theorem for verdict in found.verdicts} | silent >= set(names.split())
    assert found.holds and all(verdict.slack >= -verdict.rounding for verdict in found.verdicts)
    for bracket in (found.smoothness, found.strong_convexity, found.condition):
        assert bracket.low <= bracket.high
    text = str(found)
    for verdict in found.verdicts:
        assert f"{verdict.promised:.8g}" in text and verdict.statement in text
    assert f"f(x) = {result.value:.8g}" in text and str(result.certificates.standing) in text
    if not found.verdicts:
        assert "No theorem promises anything" in text


def test_a_report_is_of_a_result_of_this_problem() -> None:
    f, other = Quadratic(np.eye(3), np.ones(3)), Quadratic(np.eye(4), np.ones(4))
    with pytest.raises(InvalidInput, match=r"the result has 4 coordinates, but Quadratic\(p=3\) has 3"):
        report(f, sparsopt.solve(other, 1))
    for nothing in (np.ones(3), None, "omp"):
        with pytest.raises(
            InvalidInput, match=r"is no Result; report\(problem, sparsopt.solve\(problem, k\)\) has one"
        ):
            report(f, nothing)  # type: ignore[arg-type]


@given(st.integers(0, 10**6), st.integers(1, 3))
def test_intervals_of_a_report_hold_the_restricted_eigenvalues(seed: int, k: int) -> None:
    """Over all supports of size k: the largest eigenvalue, the smallest, and the worst ratio of one support's two."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((12, 6)) + rng.exponential() * rng.standard_normal((12, 1))
    f = LeastSquares(X, rng.standard_normal(12), ridge=float(10 ** rng.uniform(-3, 0)))
    H = f.hessian_block(np.arange(6))
    values = np.array([np.linalg.eigvalsh(H[np.ix_(S, S)])[[0, -1]] for S in itertools.combinations(range(6), k)])
    found, sure = report(f, sparsopt.solve(f, k, "omp")), 1 + 1e-12
    smallest, largest = values[:, 0].min(), values[:, 1].max()
    for bracket, truth in ((found.smoothness, largest), (found.strong_convexity, smallest)):
        assert bracket.low <= truth * sure and truth <= bracket.high * sure
    assert found.condition.low <= (values[:, 1] / values[:, 0]).max() * sure
    assert largest / smallest <= found.condition.high * sure


def test_a_report_of_replacement_on_good_data_promises_something() -> None:
    f = users("squares")
    found = report(f, sparsopt.solve(f, 12, "replacement"))
    verdict = next(v for v in found.verdicts if v.theorem == "T5")
    three = f.minimise_on(np.arange(20) < 3, None)[1]
    assert verdict.promised <= three and verdict.achieved <= three


def test_a_report_says_what_random_draws_cost() -> None:
    f = users("squares")
    found = report(f, sparsopt.solve(f, 5, "randomised"))
    assert "on average over draws" in found.silent[0]


def test_a_report_on_a_hard_instance_promises_little_and_holds() -> None:
    hard = hard_instances.decoys(4)
    found = report(hard.problem, sparsopt.solve(hard.problem, 4, "omp"), [np.where(hard.truth, 1.0, 0.0)])
    assert found.holds and all(verdict.promised > hard.target for verdict in found.verdicts)


def kinds() -> dict[str, Any]:
    """One problem of every kind that a user may have, on the same rows."""
    rng = np.random.default_rng(1)
    X = rng.standard_normal((60, 30)) * np.geomspace(0.2, 5, 30)
    eta = X[:, :3] @ [2.0, 1.0, 1.0]
    y, labels = eta + 0.3 * rng.standard_normal(60), eta > 0
    squares = LeastSquares(X, y, 0.01, intercept=True)
    return {
        "wide": LeastSquares(X[:20], y[:20]),
        "weights": LeastSquares(X, y, 0.01, True, rng.uniform(0.1, 2, 60)),
        "sparse": LeastSquares(sparse.csr_array(np.where(rng.random(X.shape) < 0.3, X, 0.0)), y, 0.01, True),
        "single precision": LeastSquares(X.astype(np.float32), y.astype(np.float32), 0.01),
        "logistic": Logistic(X, labels, 0.01),
        "outputs": sparsopt.MultiOutput(X, np.column_stack([y, X[:, 0]]), 0.01),
        "classes": sparsopt.Softmax(X, np.digitize(y, np.quantile(y, [0.3, 0.7])), 0.01),
        "groups": sparsopt.grouped(squares, [i // 3 for i in range(30)]),
        "always": sparsopt.preselected(squares, [4]),
        "per group": sparsopt.per_group(squares, [i // 3 for i in range(30)], 1),
        "poisson": sparsopt.Poisson(X, rng.poisson(np.exp(np.clip(eta / 3, -2, 2))) + 0.0, 0.01),
        "huber": sparsopt.Huber(X, y, ridge=0.01),
        "box": sparsopt.constrained(squares, 0.0),
        "standardised": sparsopt.standardised(squares),
    }


@pytest.mark.parametrize("kind", kinds())
def test_every_kind_of_problem_has_a_report(kind: str) -> None:
    """No promise is broken, each comes with its constants, and where none can be made the reason is said."""
    problem = kinds()[kind]
    for method in ("auto", "omp", "ols", "replacement", "iht", "htp"):
        try:
            result = sparsopt.solve(problem, 3, method)
        except sparsopt.MissingCapability:
            continue
        found = report(problem, result)
        text = str(found)
        assert found.holds and found.value == pytest.approx(result.value, rel=1e-5)
        assert all(verdict.note for verdict in found.verdicts if verdict.theorem not in ("T6a", "T6b"))
        assert all(line.split(": ", 1)[1] for line in found.silent) and "Not about what this method does" in text
        spoken = {verdict.theorem for verdict in found.verdicts}
        if kind in ("poisson", "box"):
            assert not spoken and ("no bound on its curvature" in text or "confined" in text or not found.silent)
        elif method == "omp" and kind not in ("always", "per group"):
            assert spoken >= {"T2", "T3"}


def test_a_promise_of_omp_does_not_see_units() -> None:
    """By gain: in units in which every curvature is 1, so a column in millimetres promises as much."""
    rng, size = np.random.default_rng(0), np.geomspace(0.01, 100, 20)
    X = rng.standard_normal((100, 20))
    y = X[:, :3] @ [3.0, 2.0, 1.0] + rng.standard_normal(100)
    one, two = (report(f, sparsopt.solve(f, 5, "omp")) for f in (LeastSquares(X, y), LeastSquares(X / size, y)))
    for mine, other in zip(one.verdicts, two.verdicts, strict=True):
        assert mine.promised == pytest.approx(other.promised, rel=1e-6)


def test_groups_promise_what_their_rows_do() -> None:
    """T2 of a grouped problem by hand: lambda and beta of blocks in units of curvature 1."""
    f = kinds()["groups"]
    result = sparsopt.solve(f, 3, "omp")
    w = f.minimise_on(np.arange(30) < 3)[0]
    root = np.sqrt(f.curvature())
    H = f.hessian_block(np.arange(30)) / np.outer(root, root)
    beta = max(np.linalg.eigvalsh(H[3 * i : 3 * i + 3, 3 * i : 3 * i + 3])[-1] for i in range(10))
    S = np.flatnonzero(result.support | (w != 0))
    lam = np.linalg.eigvalsh(H[np.ix_(S, S)])[0]
    start, least = f.value(np.zeros(30)), f.value(w)
    verdict = next(v for v in report(f, result, [w]).verdicts if v.theorem == "T2")
    assert verdict.promised == pytest.approx(least + (start - least) * math.exp(-3 * lam / beta), rel=1e-9)


def test_a_vacuous_promise_is_called_so() -> None:
    """Twenty rows, thirty columns: lambda is 0 for a target on all of them."""
    f = kinds()["wide"]
    dense = f.minimise_on(np.ones(30, dtype=bool))[0]
    verdicts = {v.theorem: v for v in report(f, sparsopt.solve(f, 3, "omp"), [dense]).verdicts}
    assert "lambda = 0" in verdicts["T2"].note and "vacuous here" in verdicts["T2"].note
    assert verdicts["T2"].promised == pytest.approx(f.value(np.zeros(30)))
    assert str(Bracket(2.0, math.inf)) == "[2, inf]" and str(Bracket(3.0, 3.0)) == "3"


def test_a_point_that_no_exchange_improves_has_the_promise_of_swaps() -> None:
    """Whoever found it: `auto` here, on columns that are nearly uncorrelated."""
    rng = np.random.default_rng(5)
    X = np.linalg.qr(rng.standard_normal((50, 12)))[0] * math.sqrt(50) + 0.01 * rng.standard_normal((50, 12))
    f = LeastSquares(X, X @ rng.standard_normal(12) + rng.standard_normal(50))
    other = f.minimise_on(np.arange(12) % 6 == 0)[0]
    found = report(f, sparsopt.solve(f, 6, "auto"), [other])
    verdict = next(v for v in found.verdicts if v.theorem == "T5")
    assert verdict.promised == pytest.approx(f.value(other)) and verdict.holds and "kappa" in verdict.note


def test_data_without_noise_promise_recovery() -> None:
    rng = np.random.default_rng(6)
    X = np.linalg.qr(rng.standard_normal((60, 15)))[0] * 8 + 0.2 * rng.standard_normal((60, 15))
    f = LeastSquares(X, X[:, [2, 7, 9]] @ [1.0, -2.0, 1.5])
    for method in ("omp", "ols"):
        result = sparsopt.solve(f, 3, method)
        verdicts = {v.theorem: v for v in report(f, result).verdicts}
        assert verdicts["T8"].holds and verdicts["T8"].promised < 1e-20 and "delta" in verdicts["T8"].note
