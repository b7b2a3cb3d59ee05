"""A large sparse X costs X and O(p) of memory beside it, in every loss; measured by what Python allocates."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import scipy.sparse

import sparsopt
from sparsopt.problems import Cox, Huber, LeastSquares, Logistic, Poisson, sparse_design

ROWS, COLUMNS, A_COLUMN = 20_000, 10_000, 100


@pytest.fixture(scope="module")
def X():
    """10^6 entries, 12 MB."""
    draws = np.random.default_rng(0)
    rows = draws.integers(0, ROWS, COLUMNS * A_COLUMN, dtype=np.int32)
    ends = np.arange(0, COLUMNS * A_COLUMN + 1, A_COLUMN, dtype=np.int32)
    matrix = scipy.sparse.csc_matrix((draws.standard_normal(rows.size), rows, ends), shape=(ROWS, COLUMNS))
    matrix.sum_duplicates()
    return matrix


@pytest.mark.parametrize("kind", [LeastSquares, Logistic, Huber, Poisson, Cox])
def test_a_sparse_x_is_never_copied(monkeypatch, X, kind):
    monkeypatch.setattr(sparse_design, "BLOCK", 1 << 18)
    eta = np.asarray(X[:, :5].sum(axis=1)).ravel()
    arguments = {
        LeastSquares: (eta,),
        Logistic: (eta + np.random.default_rng(1).standard_normal(ROWS) > 0,),
        Huber: (eta,),
        Poisson: (np.round(np.exp(np.minimum(eta, 3))),),
        Cox: (np.exp(-eta), np.ones(ROWS, dtype=bool)),
    }[kind]
    tracemalloc.start()
    problem = kind(X, *arguments, ridge=1e-3)
    result = sparsopt.solve(problem, 5, "omp")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert result.support[:5].all()
    assert peak < 0.8 * X.data.nbytes, f"{peak / 1e6:.1f} MB beside an X of {X.data.nbytes / 1e6:.0f} MB"
