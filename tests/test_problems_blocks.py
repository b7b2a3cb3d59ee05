"""Columns for repeated use: dense, sparse and in pieces, they compute the same."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from sparsopt import Logistic, solve
from sparsopt.problems import blocks
from sparsopt.problems.blocks import DenseBlock, SparseBlock
from sparsopt.problems.designs import design
from tests.conftest import scaled


def matrix(seed: int, density: float) -> Any:
    rng = np.random.default_rng(seed)
    X = np.where(rng.random((40, 9)) < density, rng.standard_normal((40, 9)), 0.0)
    X[:, 4] = 3.0  # constant
    return X


@settings(max_examples=scaled(30))
@given(st.integers(0, 10**6), st.sampled_from([0.03, 0.5]), st.booleans())
def test_sparse_and_dense_agree_with_the_definition(seed: int, density: float, centred: bool) -> None:
    X, rng = matrix(seed, density), np.random.default_rng(seed)
    C, S, weight = rng.permutation(9)[:6], np.array([1, 3]), rng.uniform(0, 1, 40)
    A = design(X, np.float64(1 / 40), centred).take(C)
    w, r = rng.standard_normal(6), rng.standard_normal(40)
    mean = X[:, C].mean(axis=0) if centred else np.zeros(6)
    varies = X[:, C].std(axis=0) > 0 if centred else np.ones(6)
    block: Any
    for block in (DenseBlock(A), SparseBlock(sparse.csc_matrix(X[:, C] * varies), mean * varies)):
        assert np.allclose(block.dot(w), A @ w, atol=1e-12)
        assert np.allclose(block.tdot(r), A.T @ r, atol=1e-12)
        assert np.allclose(block.cross(block, weight), A.T @ (weight[:, None] * A), atol=1e-12)
        assert np.allclose(block.cross(block.part(S), weight), A.T @ (weight[:, None] * A[:, S]), atol=1e-12)
        assert np.allclose(block.squares(weight), weight @ A**2, atol=1e-12)


def test_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    A, weight = matrix(0, 0.5), np.linspace(0, 1, 40)
    whole = DenseBlock(A)
    monkeypatch.setattr(blocks, "ROWS", 50)
    monkeypatch.setattr(blocks, "KEPT", 0)
    pieces = DenseBlock(A)
    assert np.allclose(pieces.cross(pieces, weight), A.T @ (weight[:, None] * A), atol=1e-13)
    assert np.allclose(pieces.squares(weight), weight @ A**2, atol=1e-13)
    assert np.allclose(whole.squares(weight), weight @ A**2, atol=1e-13)


@pytest.mark.parametrize("centred", [False, True])
def test_designs_choose_by_what_is_stored(centred: bool) -> None:
    few, many = (design(sparse.csc_matrix(matrix(1, density)), np.float64(1 / 40), centred) for density in (0.02, 0.5))
    C = np.array([0, 2, 3])
    some: Any
    assert isinstance(few.block(C), SparseBlock)
    assert isinstance(many.block(C), DenseBlock)
    for some in (few, many):
        for j in (C, np.array([4, 5])):
            block, w = some.block(j), np.arange(1.0, j.size + 1)
            assert np.allclose(block.dot(w), some.take(j) @ w, atol=1e-12)


def test_logistic_regression_on_columns_that_stay_sparse() -> None:
    """The same answer as on the dense matrix, the other road through every stage."""
    rng = np.random.default_rng(2)
    X = np.where(rng.random((300, 260)) < 0.06, rng.standard_normal((300, 260)), 0.0)
    z = 6 * X[:, :5].sum(axis=1) + 0.3
    y = rng.random(300) < 1 / (1 + np.exp(-z))
    dense, thin = (solve(Logistic(form, y, ridge=1e-2, intercept=True), 5) for form in (X, sparse.csr_matrix(X)))
    assert np.array_equal(dense.support, thin.support)
    assert thin.value == pytest.approx(dense.value, rel=1e-10)
