"""`check_problem` passes our problems and finds every lie of a problem that tells one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsopt.problems import LeastSquares, Logistic, Problem, check_problem
from tests.conftest import scaled
from tests.problems import data, family, seeds, shapes


@given(seeds, shapes, st.sampled_from([0.0, 0.1]))
@settings(max_examples=scaled(15))
def test_our_problems_pass_their_check(seed, shape, ridge):
    for problem in family(seed, shape, ridge):
        report = check_problem(problem, seed % 1000)
        assert report.ok, str(report)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
def test_the_check_does_not_depend_on_units(dtype, size):
    X, y, labels = data(8, (60, 10))
    for problem in (LeastSquares((X * size).astype(dtype), y / size), Logistic((X * size).astype(dtype), labels)):
        report = check_problem(problem)
        assert report.ok, str(report)


class Wrong(LeastSquares):
    """Least squares with one lie, chosen by name."""

    def __init__(self, lie):
        X, y, _ = data(4, (30, 6))
        super().__init__(X, y, 0.1)
        self.lie = lie

    def gradient(self, x):
        g = super().gradient(x)
        if self.lie == "failing":
            raise RuntimeError("no gradient today")
        return g * (1.001 if self.lie == "gradient" else 1.0)

    def value(self, x):
        return super().value(x) + (0.1 * float(np.cos(x).sum()) if self.lie == "value" else 0.0)

    def hessian_product(self, x, v):
        return super().hessian_product(x, v) + (0.001 * v if self.lie == "hessian" else 0.0)

    def smoothness(self, s=None):
        return super().smoothness(s) * (0.2 if self.lie == "smoothness" else 1.0)

    def strong_convexity(self, s=None):
        return super().strong_convexity(s) * (30.0 if self.lie == "strong" else 1.0)

    def curvature(self):
        return super().curvature() * (0.99 if self.lie == "curvature" else 1.0)

    def minimise_on(self, support, x=None):
        x, value = super().minimise_on(support, x)
        if self.lie == "support":
            return x + 1e-12, value
        if self.lie == "minimiser":
            return x * 1.01, self.value(x * 1.01)
        return x, value * (1.001 if self.lie == "reported" else 1.0)


LIES = {
    "gradient": "value and gradient",
    "value": "value and gradient",
    "hessian": "hessian_product",
    "smoothness": "smoothness",
    "strong": "strong convexity",
    "curvature": "curvature()",
    "support": "support",
    "minimiser": "stationary",
    "reported": "value",
    "failing": "start",
}


@pytest.mark.parametrize(("lie", "claim"), LIES.items())
def test_the_check_finds_every_lie(lie, claim):
    report = check_problem(Wrong(lie))
    assert not report.ok and any(claim in line.claim for line in report.failures), str(report)
    assert "FAIL" in str(report)


def test_the_check_of_a_constant_function():
    report = check_problem(LeastSquares(np.zeros((3, 2)), [1, 2, 3]))
    assert report.ok, str(report)


def test_the_check_passes_without_a_lie_and_says_so():
    report = check_problem(Wrong("none"))
    assert report.ok and str(report).startswith("LeastSquares(n=30, p=6, ridge=0.1, intercept=False): all claims hold")


class Concave(Problem):
    def value(self, x):
        return -float(x @ x) / 2

    def gradient(self, x):
        return -x


def test_the_check_of_a_loss_with_few_capabilities():
    report = check_problem(Concave(3))
    assert [line.claim for line in report.failures] == ["convex along random directions"]
    assert len(report.lines) == 2
