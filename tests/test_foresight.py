"""Steps computed before they are asked for change nothing but the number of passes over X."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from scipy.linalg import hadamard

import sparsopt
from sparsopt import LeastSquares
from sparsopt.hard_instances import decoys
from sparsopt.problems import foresight
from sparsopt.state import Array

NAMES = ("omp", "ols", "foba", "replacement", "gradient-pursuit", "oscillation", "forward-greedy")


@pytest.fixture(autouse=True, scope="module")
def small() -> Iterator[None]:
    """Look ahead on small problems, too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(foresight, "LEAST", 0)
        yield


def plainly(problem: Any, k: int, name: str) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(foresight, "LEAST", 1 << 60)
        return sparsopt.solve(problem, k, name)


def greedy(A: Array, y: Array, k: int, ridge: float) -> list[int]:
    """Orthogonal matching pursuit, word by word."""
    S: list[int] = []
    w = np.empty(0)
    for _ in range(k):
        gain = (A.T @ (y - A[:, S] @ w)) ** 2 / ((A**2).sum(axis=0) + ridge * len(y))
        gain[S] = -1.0
        S.append(int(gain.argmax()))
        G = A[:, S].T @ A[:, S] + ridge * len(y) * np.eye(len(S))
        w = np.linalg.solve(G, A[:, S].T @ y)
    return S


def same(one: Any, two: Any, tolerance: float = 1e-12) -> None:
    """The same supports phase by phase, and the same point."""
    assert [row.support for row in one.trace.rows] == [row.support for row in two.trace.rows]
    assert np.array_equal(one.support, two.support)
    assert np.abs(one.x - two.x).max() <= tolerance * np.abs(two.x).max(initial=1e-300)
    assert one.value == pytest.approx(two.value, rel=10 * tolerance, abs=1e-14)


@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.1]), st.floats(0.0, 0.95))
def test_it_is_the_plain_rule(seed: int, ridge: float, rho: float) -> None:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((60, 90)) + np.sqrt(rho / (1 - rho)) * rng.standard_normal((60, 1))
    X *= rng.uniform(0.1, 10, 90)
    y = X[:, :8] @ rng.standard_normal(8) + 3 * rng.standard_normal(60)
    result = sparsopt.solve(LeastSquares(X, y, ridge), 25, "omp")
    order = greedy(X, y, 25, ridge)
    supports = [np.isin(np.arange(90), order[: t + 1]) for t in range(25)]
    assert [row.support for row in result.trace.rows] == [sparsopt.support.digest(S) for S in supports]
    assert np.array_equal(result.support, supports[-1])


@given(st.integers(0, 10**6), st.sampled_from(NAMES), st.booleans(), st.booleans(), st.sampled_from([0.0, 0.05]))
def test_every_method_does_what_it_did(seed: int, name: str, intercept: bool, weighted: bool, ridge: float) -> None:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((24, 30)) + rng.standard_normal((24, 1))
    y = X[:, :4].sum(axis=1) + rng.standard_normal(24)
    problem = LeastSquares(X, y, ridge, intercept, rng.integers(1, 3, 24) if weighted else None)
    one, two = sparsopt.solve(problem, 9, name), plainly(problem, 9, name)
    assert np.array_equal(one.support, two.support)
    assert one.value == pytest.approx(two.value, rel=1e-9)


@given(st.integers(0, 10**6), st.sampled_from(["omp", "fully-corrective"]))
def test_ties_fall_as_they_would_have(seed: int, name: str) -> None:
    """Orthogonal columns of signs, twice, and few different correlations: all numbers are exact, and most gains tie."""
    rng = np.random.default_rng(seed)
    H = hadamard(16).astype(float)
    X = np.concatenate([H, H], axis=1)[:, rng.permutation(32)]
    y = H @ rng.integers(-2, 3, 16)
    problem = LeastSquares(X, y.astype(float))
    same(sparsopt.solve(problem, 9, name), plainly(problem, 9, name))


@pytest.mark.parametrize("form", [np.asfortranarray, sparse.csr_matrix, np.float32])
def test_every_kind_of_matrix(form: Any) -> None:
    rng = np.random.default_rng(3)
    X = rng.standard_normal((80, 120)) * (rng.random((80, 120)) < 0.4)
    y = X[:, :10] @ rng.uniform(1, 2, 10) + rng.standard_normal(80)
    problem = LeastSquares(form(X), y, intercept=True)
    result = sparsopt.solve(problem, 30, "omp")
    same(result, plainly(problem, 30, "omp"), 1e-5 if form is np.float32 else 1e-12)


def test_torch() -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(4)
    X, y = rng.standard_normal((80, 120)), rng.standard_normal(80)
    one, two = (LeastSquares(X, y) for X in (torch.from_numpy(X), X))
    same(sparsopt.solve(one, 30, "omp"), plainly(two, 30, "omp"))


def test_more_steps_than_the_data_have_rank() -> None:
    rng = np.random.default_rng(5)
    X = rng.standard_normal((12, 5)) @ rng.standard_normal((5, 40))
    problem = LeastSquares(X, rng.standard_normal(12))
    result = sparsopt.solve(problem, 20, "omp")
    assert result.value == pytest.approx(plainly(problem, 20, "omp").value, rel=1e-9)


def passes(problem: Any, k: int, name: str, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many columns each pass over X had."""
    found: list[int] = []
    original = type(problem.design)._transposed

    def counted(design: Any, r: Array) -> Array:
        found.append(1 if r.ndim == 1 else r.shape[1])
        return original(design, r)

    monkeypatch.setattr(type(problem.design), "_transposed", counted)
    sparsopt.solve(problem, k, name)
    return found


def test_few_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """50 steps in 4 passes (the first, 3 or 4 with 16 residuals), and one for the certificate."""
    rng = np.random.default_rng(6)
    X = rng.standard_normal((400, 1200))
    y = X[:, :50] @ rng.choice([-1, 1], 50) + rng.standard_normal(400)
    widths = passes(LeastSquares(X, y), 50, "omp", monkeypatch)
    assert len(widths) <= 9
    assert max(widths) == foresight.WIDEST


def test_decoys(monkeypatch: pytest.MonkeyPatch) -> None:
    """All are equally good: who is first in order comes in, by a gradient that was computed for this step alone."""
    problem = decoys(6, 40).problem
    same(sparsopt.solve(problem, 12, "omp"), plainly(problem, 12, "omp"))
    assert passes(problem, 12, "omp", monkeypatch).count(1) >= 12


def test_wrong_guesses_become_rare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a method goes its own way, at most log2(k) passes are wasted, and no more than that."""
    rng = np.random.default_rng(7)
    X = rng.standard_normal((100, 200)) + rng.standard_normal((100, 1))
    y = X[:, :30] @ rng.standard_normal(30)
    widths = passes(LeastSquares(X, y), 60, "ols", monkeypatch)
    assert sum(width == foresight.WIDEST for width in widths) <= 8


def test_results_hold_no_block() -> None:
    """A result keeps its own x alive, not those of the steps that were computed with it."""
    rng = np.random.default_rng(8)
    X, y = rng.standard_normal((100, 150)), rng.standard_normal(100)
    x = sparsopt.solve(LeastSquares(X, y), 10, "omp").x
    assert x.base is None
    assert x.flags.writeable


def test_large_blocks_are_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Residuals, gradients and candidates stay below a fixed number of numbers."""
    monkeypatch.setattr(foresight, "ROOM", 500)
    rng = np.random.default_rng(9)
    X, y = rng.standard_normal((100, 150)), rng.standard_normal(100)
    problem = LeastSquares(X, y)
    assert max(passes(problem, 20, "omp", monkeypatch)) <= 500 // 150
