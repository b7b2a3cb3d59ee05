"""The convex comparison: published objectives of other packages, honest counters, supports of at most k."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from benchmarks import convex
from benchmarks.convex import ConvexCell, Counted
from benchmarks.designs import PROBLEMS
from sparsopt.problems import LeastSquares


def test_published_objectives() -> None:
    """P7 at its true support and by the lasso, diabetes to degree 3 by scikit-learn, as others measured them."""
    X, y, truth = PROBLEMS["P7"].draw(0)
    assert truth is not None
    chosen = np.isin(np.arange(X.shape[1]), truth)
    assert abs(LeastSquares(X, y).minimise_on(chosen, None)[1] - 3.005532) < 1e-6
    assert abs(_at(ConvexCell("P7", "sklearn-lasso", 0), 25)["refit"] - 7.697) < 1e-3
    for method, value in (("omp", 0.223545), ("sklearn-omp", 0.223545), ("sklearn-lasso", 0.234903)):
        assert abs(_at(ConvexCell("diabetes", method, 0), 10)["refit"] - value) < 1e-6


def _at(cell: ConvexCell, k: int) -> dict[str, Any]:
    return cell._size(PROBLEMS[cell.problem].draw(cell.seed), k, curve=True)


def test_counting_changes_nothing_and_counts_what_omp_does() -> None:
    X, y, _ = PROBLEMS["diabetes"].draw(0)
    plain, counted = LeastSquares(X, y), Counted(LeastSquares(X, y))
    for method in ("omp", "htp", "niht", "foba"):
        x, support, points = convex._solver(method)(counted, 6, 0)
        x0, support0, none = convex._solver(method)(plain, 6, 0)
        assert np.array_equal(support, support0) and np.allclose(x, x0, rtol=1e-12) and points and not none
    counted = Counted(LeastSquares(X, y))
    points = convex._solver("omp")(counted, 6, 0)[2]
    assert (counted.counts.gradients, counted.counts.refits) == (6, 6)
    assert [round(point[0]) for point in points] == [1, 2, 3, 4, 5, 6]
    assert all(a[2] > b[2] and a[1] <= b[1] for a, b in itertools.pairwise(points))


def test_every_convex_method_returns_a_support_of_at_most_k() -> None:
    X, y, _ = PROBLEMS["diabetes-2"].draw(0)
    problem = LeastSquares(X[:, :12], y)
    for method in convex.METHODS:
        x, support, _ = convex._solver(method)(problem, 4, 0)
        assert support.sum() <= 4 and not x[~support].any(), method


def test_methods_that_need_a_minimiser_are_not_asked_where_there_is_none() -> None:
    asked = {
        (cell.problem, cell.method, cell.seed)
        for cell in convex.cells(("wide", "tall", "diabetes"), convex.METHODS, (0, 1))
    }
    assert ("tall", "backward-elimination", 1) in asked and ("wide", "backward-elimination", 0) not in asked
    assert ("diabetes", "omp", 0) in asked and ("diabetes", "omp", 1) not in asked
