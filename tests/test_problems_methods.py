"""Every method on every kind of problem: it obeys, or says in a sentence why it cannot run."""

from __future__ import annotations

import numpy as np
import pytest

import sparsopt
from sparsopt.catalogue import METHODS
from sparsopt.errors import MissingCapability
from sparsopt.problems import Smooth, constrained, grouped, standardised
from sparsopt.support import allows
from tests.worked import LABELS, losses

ALL = losses(3)
SQUARES = ALL["least squares"]
PROBLEMS = {
    **{name: ALL[name] for name in ("poisson", "cox", "softmax")},
    "callables": Smooth(SQUARES.value, SQUARES.gradient, 7),
    "in a box": constrained(ALL["logistic"], -0.5, 0.5),
    "grouped": grouped(ALL["gamma"], LABELS),
    "standardised": standardised(ALL["squared hinge"]),
}
WITHOUT_SMOOTHNESS = {"iht", "momentum-iht", "aiht", "iht-with-feedback", "regularised-iht"} | {
    "forward-greedy",
    "frank-wolfe",
}
SINGLE_COORDINATES = {"forward-greedy", "frank-wolfe", "foba", "best-swap", "local-search", "splicing", "randomised"}


@pytest.mark.parametrize("name", PROBLEMS)
def test_every_method_obeys_or_refuses(name):
    problem, refused = PROBLEMS[name], set()
    for method in ("auto", *METHODS):
        try:
            result = sparsopt.solve(problem, 2, method)
        except MissingCapability as error:
            refused.add(method)
            assert "smoothness" in str(error) or "single coordinates" in str(error), (method, str(error))
            continue
        assert np.isfinite(result.x).all() and allows(problem.structure, result.support, 2, problem.layout), method
        assert result.lower_bound <= result.value + 1e-12, method
    expected = WITHOUT_SMOOTHNESS if name in ("poisson", "callables", "grouped") else set()
    expected = expected | (SINGLE_COORDINATES if name in ("softmax", "grouped") else set())
    assert expected & set(METHODS) == refused
    assert sparsopt.solve(problem, 2).value < problem.value(np.zeros(problem.layout.n))
