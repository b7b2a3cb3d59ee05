"""`solve`: what comes back, and methods of one's own."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

from sparsopt import catalogue, support
from sparsopt.certificates import Certificates
from sparsopt.errors import InvalidResult
from sparsopt.exact import enumerate_supports
from sparsopt.fits import Exact
from sparsopt.method import Method, Phase, Stage, run
from sparsopt.moves import Everything, Keep
from sparsopt.problems import LeastSquares, Logistic, Quadratic
from sparsopt.result import Result, Status, Trace
from sparsopt.solvers import methods, solve
from sparsopt.state import State
from tests.regression import PROBLEM, X, Y
from tests.toys import Quadratic as Toy
from tests.toys import random_quadratic

# ---- what comes back -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["auto", *catalogue.METHODS])
@pytest.mark.parametrize("k", [0, 1, 3, 9, 10, 99])
def test_every_name_and_every_k(name, k):
    result = solve(PROBLEM, k, method=name)
    assert support.count(result.support) <= min(k, 10) and (result.x[~result.support] == 0).all()
    assert result.value == PROBLEM.value(result.x) and result.lower_bound <= result.value + 1e-12 and result.gap >= 0
    assert (result.status is Status.CLIPPED) == (k >= 10)


def test_the_answer_is_right_and_proved():
    result = solve(PROBLEM, 3)
    assert np.flatnonzero(result.support).tolist() == [0, 3, 6] and result.status is Status.BEST_OF_SEVERAL
    assert result.value == pytest.approx(enumerate_supports(PROBLEM, 3)[1], rel=1e-12)
    assert result.gap <= 0.05 * result.value


def test_k_is_zero():
    result = solve(PROBLEM, 0)
    assert not result.x.any() and not result.support.any() and result.status is Status.FINISHED
    assert result.value == pytest.approx(Y @ Y / 160) and result.gap == pytest.approx(0, abs=1e-12)


def test_k_is_everything():
    """The unrestricted minimiser, on the full support, and a status that says so. Never an index error."""
    for k in (10, 11, 10**9):
        result = solve(PROBLEM, k, method="iht")
        np.testing.assert_allclose(result.x, np.linalg.lstsq(X, Y, rcond=None)[0], rtol=1e-9)
        assert result.support.all() and "nothing is sparse" in str(result.status)
        assert result.certificates.k == 10 and result.gap <= 1e-9


def test_certificates_are_of_the_point_that_is_returned():
    result = solve(PROBLEM, 3, method="htp")
    other = Certificates(PROBLEM, result.x, result.support, 3)
    assert (result.value, result.lower_bound, result.gap) == (other.value, other.lower_bound, other.gap)
    assert result.certificates.feasible


def test_certificates_wait_until_they_are_asked_for(monkeypatch):
    asked = []
    monkeypatch.setattr(LeastSquares, "strong_convexity", lambda *a: asked.append(1) or 0.0)
    result = solve(PROBLEM, 3, method="omp")
    assert not asked
    assert result.lower_bound <= result.value and asked


def test_print_tells_what_happened():
    lines = str(solve(PROBLEM, 3, method="omp")).splitlines()
    assert [line.split()[0] for line in lines] == ["method", "status", "support", "value", "lower", "shown", "phases"]
    assert lines[2].endswith("3 of 10 coordinates (3 non-zero)") and re.search(r"\(gap \S+\)", lines[4])
    unbounded = Quadratic(np.diag([1.0, 1.0, 0.0]), [1.0, 2.0, 0.0])
    assert str(solve(unbounded, 1, method="omp")).splitlines()[4] == "lower bound  none known"
    assert "auto" in str(solve(PROBLEM, 3))
    assert re.fullmatch(r"time +\S+ s", str(solve(PROBLEM, 3)).splitlines()[-1])  # phases were not counted


def test_support_is_not_the_number_of_non_zeros():
    """A repeated column can be selected and weigh nothing; both numbers are reported."""
    result = solve(Quadratic(np.eye(3), [1.0, 0.0, 0.0]), 2, method="omp")
    assert support.count(result.support) == 2 and "2 of 3 coordinates (1 non-zero)" in str(result)


def test_seeds_matter_to_random_methods_only():
    values = {solve(PROBLEM, 3, "randomised", seed=seed).value for seed in range(10)}
    assert len(values) > 1 and solve(PROBLEM, 3, "randomised", seed=4).value in values
    assert solve(PROBLEM, 3, "randomised", 4).value == solve(PROBLEM, 3, "randomised", 4).value


def test_auto_is_no_worse_than_its_parts():
    for seed in range(10):
        problem = random_problem(seed)
        best = min(solve(problem, 4, name).value for name in ("omp", "htp"))
        assert solve(problem, 4).value <= best + 1e-12 * abs(best)


def random_problem(seed):
    toy = random_quadratic(seed, n=12, condition=200)
    return Quadratic(toy.H, toy.c)


def test_auto_is_a_run_that_went_on():
    """For an f without a search of its own: the trace is that of a start and of the swaps after it."""
    problem = random_problem(1)
    problem.portfolio = None
    result = solve(problem, 4, seed=7)
    assert result.state.seed == 7 and max(row.stage for row in result.trace) == 1 and result.seconds > 0


@pytest.mark.parametrize("make", [lambda X, y: LeastSquares(X, y), lambda X, y: Logistic(X, y > 0, ridge=0.01)])
def test_constant_zero_and_repeated_columns(make):
    bad = X.copy()
    bad[:, 0], bad[:, 1], bad[:, 2] = 7.0, 0.0, bad[:, 3]
    for name in methods():
        result = solve(make(bad, Y), 4, method=name)
        assert np.isfinite(result.x).all() and support.count(result.support) <= 4


# ---- methods of one's own --------------------------------------------------------------------------------------------


def test_a_method_object():
    mine = Method("mine", (Stage((Phase(Everything(), Exact()), Phase(Keep(3), Exact()))),))
    result = solve(PROBLEM, 3, method=mine)
    assert result.method is mine and np.flatnonzero(result.support).tolist() == [0, 3, 6]
    np.testing.assert_array_equal(result.x, run(mine, PROBLEM, PROBLEM.start()).x)
    faster = solve(PROBLEM, 3, method=catalogue.iht(3, step_size=1.0))
    assert np.flatnonzero(faster.support).tolist() == [0, 3, 6]


class Fixed:
    """A solver that is no method."""

    def __init__(self, x, chosen):
        self.x, self.chosen = np.array(x, dtype=float), np.array(chosen)

    def solve(self, problem, k, seed):
        return Result(State(self.x, self.chosen, seed), Status.FINISHED, Trace(), self, 0.0)


def test_any_object_that_solves():
    result = solve(Toy(np.eye(2), [1.0, 2.0]), 1, method=Fixed([0, 2], [False, True]), seed=3)
    assert result.state.seed == 3 and result.value == Toy(np.eye(2), [1.0, 2.0]).value(np.array([0.0, 2.0]))
    assert str(result).startswith("method       <tests.test_solve.Fixed object")
    assert str(dataclasses.replace(result, method=catalogue.omp(1))).startswith("method       omp\n")


def test_results_are_checked_whoever_made_them():
    problem = Toy(np.eye(3), [1.0, 2.0, 3.0])
    with pytest.raises(InvalidResult, match="'iht' returned a support of 2 coordinates for k = 1; was it built for"):
        solve(problem, 1, method=catalogue.iht(2))
    with pytest.raises(InvalidResult, match="'Fixed' returned 1 non-zero weights off its support"):
        solve(problem, 1, method=Fixed([0, 2, 1], [False, True, False]))


@pytest.mark.parametrize("entry", [catalogue.iht, catalogue.iht_with_feedback, catalogue.htp])
def test_divergence_is_a_status_and_the_result_is_feasible(entry):
    result = solve(PROBLEM, 3, method=entry(3, step_size=1e6))
    assert support.count(result.support) == 3 and (result.x[~result.support] == 0).all()
    assert np.isfinite(result.x).all()
    if entry is not catalogue.htp:
        assert result.status is Status.NOT_FINITE


def test_divergence_in_mid_round_keeps_the_largest():
    @dataclasses.dataclass(frozen=True)
    class Break:
        def __call__(self, oracle, state):
            return state.but(x=state.x * np.nan)

    stages = (Stage((Phase(Everything(), Exact()), Phase(Everything(), Break()))),)
    result = solve(Toy(np.eye(3), [1.0, -3.0, 2.0]), 2, method=Method("broken", stages))
    assert result.x.tolist() == [0, -3, 2] and result.support.tolist() == [False, True, True]
    assert result.status is Status.NOT_FINITE
