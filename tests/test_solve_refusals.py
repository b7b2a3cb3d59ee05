"""`solve` refuses in a sentence what makes no sense or what a problem cannot do."""

from __future__ import annotations

import re

import numpy as np
import pytest

from sparsopt import catalogue
from sparsopt.errors import InvalidInput, MissingCapability, NotFinite
from sparsopt.problems import LeastSquares, Quadratic, constrained
from sparsopt.solvers import methods, solve
from sparsopt.state import Layout, State
from tests.regression import PROBLEM, X, Y


@pytest.mark.parametrize(
    ("k", "sentence"),
    [
        (-1, "k = -1 is negative; a non-negative integer is needed"),
        (True, "k = True is a truth value"),
        (np.bool_(False), "k = False is a truth value"),
        (2.0, "k = 2.0 is no integer"),
        (None, "k = None is no integer"),
        ("3", "k = '3' is no integer"),
        (np.array([1, 2]), "is no integer"),
    ],
)
def test_k_that_makes_no_sense(k, sentence):
    with pytest.raises(InvalidInput, match=re.escape(sentence)):
        solve(PROBLEM, k)


def test_numpy_integers_are_integers():
    assert solve(PROBLEM, np.int64(2), "omp").support.sum() == 2


def test_names_that_are_not_there():
    with pytest.raises(InvalidInput, match="unknown method 'opm'; did you mean omp"):
        solve(PROBLEM, 2, method="opm")
    with pytest.raises(InvalidInput, match="unknown method 'forward_greedy'; did you mean forward-greedy"):
        solve(PROBLEM, 2, method="forward_greedy")
    with pytest.raises(InvalidInput, match=r"unknown method 'qqqq'; known are auto, .*forward-greedy"):
        solve(PROBLEM, 99, method="qqqq")
    with pytest.raises(InvalidInput, match=r"method is 7; a name out of sparsopt.methods\(\), a Method such as"):
        solve(PROBLEM, 2, method=7)  # type: ignore[arg-type]


def test_seeds_and_problems_that_make_no_sense():
    with pytest.raises(InvalidInput, match="seed = -1 is negative"):
        solve(PROBLEM, 2, seed=-1)
    with pytest.raises(InvalidInput, match=r"seed = 0\.5 is no integer"):
        solve(PROBLEM, 2, seed=0.5)  # type: ignore[arg-type]
    with pytest.raises(MissingCapability, match=r"ndarray has no layout, .*LeastSquares\(X, y\), Logistic"):
        solve(X, 2)


@pytest.mark.parametrize("method", methods())
def test_a_quadratic_that_falls_without_end_has_no_solution(method):
    """Whatever the method would have looked at; the same coordinate does no harm at k = 0, or without its slope."""
    H, c = np.diag([1.0, 2.0, 0.0, 3.0]), np.array([1.0, 1.0, 0.5, 1.0])
    for k in (1, 2, 4):
        with pytest.raises(NotFinite, match=r"coordinate 2: H\[2, 2\] = 0 and c\[2\] = 0.5; leave that coordinate out"):
            solve(Quadratic(H, c), k, method)
    assert solve(Quadratic(H, c), 0, method).value == 0.0
    assert not solve(Quadratic(H, np.array([1.0, 1.0, 0.0, 1.0])), 1, method).x[2]


def test_bounds_end_a_fall():
    f = constrained(Quadratic(np.diag([1.0, 0.0]), np.array([1.0, 2.0])), 0.0, 3.0)
    assert solve(f, 1).value == pytest.approx(-6.0)


def test_nan_is_refused_before_anything_runs():
    bad = X.copy()
    bad[3, 4] = np.nan
    with pytest.raises(InvalidInput, match="X has 1 entry NaN or infinite, the first at row 3, column 4"):
        solve(LeastSquares(bad, Y), 2)


class Limited:
    """A problem with a gradient and a value, and nothing else."""

    layout = Layout.single(3)

    def start(self, seed):
        return State(np.zeros(3), np.zeros(3, dtype=bool), seed)

    def open(self):
        return self

    def at(self, state):
        return self

    def value(self, x):
        return float(x @ x / 2 - x.sum())

    def gradient(self, x):
        return x - 1


def test_what_a_problem_cannot_do_is_named():
    for name in methods():
        with pytest.raises(MissingCapability, match=r"Limited"):
            solve(Limited(), 2, method=name)
    with pytest.raises(MissingCapability, match=r"Exact of method 'unrestricted' needs minimise_on\(\)"):
        solve(Limited(), 3)
    result = solve(Limited(), 2, method=catalogue.iht(2, step_size=0.5))
    np.testing.assert_allclose(result.x, [1, 1, 0])
    assert result.value == -1.0


class Halfway(Limited):
    """With a minimiser and curvature, but no smoothness: IHT cannot run, OMP can."""

    def minimise_on(self, support, x=None):
        return np.where(support, 1.0, 0.0), -support.sum() / 2

    def curvature(self):
        return np.ones(3)


def test_auto_leaves_out_what_the_problem_cannot_do():
    assert solve(Halfway(), 2).value == -1.0
    with pytest.raises(MissingCapability, match="smoothness"):
        solve(Halfway(), 2, method="iht")
