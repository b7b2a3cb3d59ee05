"""The quadratics of local models, and what minimises them, against dense linear algebra and enumeration."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import sparsopt
from nets.local_models import (
    BlockQuadratic,
    Dense,
    LocalFit,
    LowRank,
    Part,
    Pursuit,
    Rows,
    Surgeon,
    SurgeonUpdate,
    Sweep,
    SweepUpdate,
)
from nets.local_models.rows import divided
from nets.local_models.sweep import swept
from sparsopt import catalogue as convex
from sparsopt import support as sp
from sparsopt.errors import NotFinite
from sparsopt.fits import Exact, Restrict
from sparsopt.moves import Keep, Magnitude, Removal
from sparsopt.problems import Quadratic
from sparsopt.schedules import Linear
from sparsopt.state import Layout, State
from tests.conftest import scaled

some = settings(max_examples=scaled(30))


def dense_hessian(f: BlockQuadratic) -> np.ndarray:
    return f.hessian_columns(np.arange(f.p))


@st.composite
def models(draw: Any, most: int = 9) -> BlockQuadratic:
    """Blocks of every kind, with rows that share a Hessian and coordinates that are no variables."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(2, most))
    A = rng.standard_normal((draw(st.integers(1, 12)), n))
    x0 = rng.standard_normal(n) * (rng.random(n) < 0.9)
    kind = draw(st.sampled_from(["one", "two", "rows", "dense", "alive"]))
    if kind == "one":
        return BlockQuadratic(Layout.single(n), x0, [Part(LowRank(A, 0.1), np.arange(n)[None])])
    if kind == "two":
        cut = draw(st.integers(1, n - 1))
        pieces = (np.arange(cut), np.arange(cut, n))
        return BlockQuadratic(Layout.single(n), x0, [Part(LowRank(A[:, piece], 0.05), piece[None]) for piece in pieces])
    if kind == "dense":
        return BlockQuadratic(Layout.single(n), x0, [Part(Dense(A.T @ A + 0.1 * np.eye(n)), np.arange(n)[None])])
    d = draw(st.integers(1, 4))
    G = rng.standard_normal((d, d + 2))
    x0, square = rng.standard_normal(3 * d), np.arange(3 * d).reshape(3, d)
    alive = rng.random((3, d)) < 0.7 if kind == "alive" else None
    if alive is not None:
        x0[~alive.ravel()] = 0
    return BlockQuadratic(Layout(("w",), ((3, d),)), x0, [Part(Dense(G @ G.T + 0.1 * np.eye(d)), square, alive)])


@given(models(), st.integers(0, 1000))
@some
def test_block_inverse_is_the_dense_inverse(f: BlockQuadratic, seed: int) -> None:
    """Woodbury, Cholesky and shared factors against numpy.linalg.inv of the whole matrix, on the variables."""
    H, alive = dense_hessian(f), f.here().support
    F = np.linalg.inv(H[np.ix_(alive, alive)])
    v = np.random.default_rng(seed).standard_normal(f.p) * alive
    np.testing.assert_allclose(f.inverse_diagonal()[alive], np.diag(F), rtol=1e-8)
    np.testing.assert_allclose(f.inverse_product(v)[alive], F @ v[alive], rtol=1e-8, atol=1e-9)
    assert not f.inverse_diagonal()[~alive].any() and not f.inverse_product(v)[~alive].any()
    np.testing.assert_allclose(f.curvature(), np.diag(H), rtol=1e-12)
    np.testing.assert_allclose(f.smoothness(), np.linalg.eigvalsh(H)[-1], rtol=0 if alive.all() else 10, atol=1e-9)


@given(models(), st.integers(0, 1000))
@some
def test_the_restricted_minimiser_has_no_gradient(f: BlockQuadratic, seed: int) -> None:
    support = np.random.default_rng(seed).random(f.p) < 0.5
    x, value = f.minimise_on(support)
    assert np.abs(f.gradient(x)[support]).max(initial=0) < 1e-8 and not x[~support].any()
    d = x - f.x0
    assert value == pytest.approx(d @ dense_hessian(f) @ d / 2, abs=1e-10)


def test_single_precision_gradients_give_nearly_the_same() -> None:
    A = np.random.default_rng(0).standard_normal((30, 80))
    exact, single = LowRank(A, 1e-3), LowRank(A.astype(np.float32), 1e-3)
    v = np.random.default_rng(1).standard_normal((1, 80))
    np.testing.assert_allclose(single.product(v), exact.product(v), rtol=1e-4, atol=1e-4)
    few = np.arange(10)
    mine, theirs = (H.restricted(few).solve(v[:, few]) for H in (single, exact))
    np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(single.matrix(), exact.matrix(), atol=1e-5)


def test_sparsopt_accepts_the_problem() -> None:
    """By name, with everything that `solve` attaches; the portfolio finds what enumeration finds."""
    rng = np.random.default_rng(3)
    x0 = rng.standard_normal(9)
    f = BlockQuadratic(Layout.single(9), x0, [Part(LowRank(rng.standard_normal((5, 9)), 0.1), np.arange(9)[None])])
    H = dense_hessian(f)
    best = sparsopt.solve(Quadratic(H, H @ x0, float(x0 @ H @ x0) / 2), 3, "branch-and-bound").value
    for name in ("auto", "omp", "htp", "iht", "niht", "replacement", "backward-elimination", "foba"):
        assert sparsopt.solve(f, 3, name).value >= best - 1e-9
    assert sparsopt.solve(f, 3).value == pytest.approx(best)


@given(models(), st.integers(0, 1000))
@some
def test_the_surgeon_is_the_exact_constrained_minimiser(f: BlockQuadratic, seed: int) -> None:
    """One removed weight: the update is argmin on the rest, and the score is what that costs."""
    state = f.here()
    j = int(np.random.default_rng(seed).choice(np.flatnonzero(state.support)))
    support = state.support.copy()
    support[j] = False
    updated = SurgeonUpdate()(f, state.but(support=support)).x
    exact, cost = f.minimise_on(support)
    np.testing.assert_allclose(updated, exact, atol=1e-8)
    assert Surgeon()(f, state)[j] == pytest.approx(cost, rel=1e-7, abs=1e-10)
    assert Removal()(f, state)[j] >= cost - 1e-10  # brain damage, which lets nothing move


@given(models(), st.integers(0, 1000))
@some
def test_the_sum_of_updates_is_no_better_than_the_joint_minimiser(f: BlockQuadratic, seed: int) -> None:
    state = f.here()
    k = int(np.random.default_rng(seed).integers(0, sp.count(state.support) + 1))
    chosen = state.but(support=Keep(k, by=Surgeon())(f, state))
    summed, joint = SurgeonUpdate()(f, chosen).x, Exact()(f, chosen)
    assert joint.value <= f.value(summed) + 1e-10 and not summed[~chosen.support].any()


def test_the_surgeon_one_at_a_time_is_backward_elimination() -> None:
    """Hassibi and Stork's loop, a new inverse after every removal, and sparsopt's backward elimination by what a
    removal costs after refitting: the same supports in the same order, on 30 problems."""
    for seed in range(30):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(3, 10))
        A, x0 = rng.standard_normal((20, n)), rng.standard_normal(n)
        state, order = State(x0, np.ones(n, dtype=bool)), []
        for left in range(n - 1, 0, -1):
            alive = np.flatnonzero(state.support)
            f = BlockQuadratic(Layout.single(n), state.x, [Part(LowRank(A[:, alive], 1e-9), alive[None])])
            state = SurgeonUpdate()(f, state.but(support=Keep(left, by=Surgeon())(f, state)))
            order.append(state.support.copy())
        H = A.T @ A / 20 + 1e-9 * np.eye(n)
        support = np.ones(n, dtype=bool)
        for found in order:  # brute force: refit without each
            without = [support & (np.arange(n) != j) for j in np.flatnonzero(support)]
            support = min(without, key=lambda S: Quadratic(H, H @ x0).minimise_on(S)[1])
            assert np.array_equal(support, found)
        last = sparsopt.solve(Quadratic(H, H @ x0), 1, convex.backward_elimination(Linear(n, 1, n - 1), Surgeon2(H)))
        assert np.array_equal(last.support, order[-1])


@dataclasses.dataclass(frozen=True)
class Surgeon2:
    """The surgeon's score from a dense inverse on the support, for a plain `Quadratic`."""

    H: Any

    def __call__(self, f: Any, state: State) -> np.ndarray:
        S = np.flatnonzero(state.support)
        score = np.zeros(len(state.x))
        score[S] = state.x[S] ** 2 / (2 * np.diag(np.linalg.inv(self.H[np.ix_(S, S)])))
        return score


@given(models(8), st.integers(0, 7))
@some
def test_pursuit_is_at_most_magnitude_and_surgeon_and_at_least_the_truth(f: BlockQuadratic, k: int) -> None:
    state = f.here()
    k = min(k, sp.count(state.support))
    result = Pursuit().solve(f, k, 0)
    kept = [state.but(support=Keep(k, by=by)(f, state)) for by in (Magnitude(), Surgeon())]
    values = [f.value(fit(f, chosen).x) for chosen in kept for fit in (Restrict(), SurgeonUpdate(), Exact())]
    assert f.value(result.x) <= min(values) + 1e-9 and sp.count(result.support) == k
    every = itertools.combinations(range(f.p), k)
    truth = min(f.minimise_on(np.isin(np.arange(f.p), S))[1] for S in every)
    assert f.value(result.x) >= truth - 1e-9


def test_how_often_the_truth_is_found() -> None:
    """The fast search in more than half of hard small problems (its guarantee holds in all), the portfolio in most."""
    hits = np.zeros(2)
    for seed in range(40):
        rng = np.random.default_rng(seed)
        A, x0 = rng.standard_normal((12, 10)), rng.standard_normal(10)
        f = BlockQuadratic(Layout.single(10), x0, [Part(LowRank(A, 0.01), np.arange(10)[None])])
        truth = min(f.minimise_on(np.isin(np.arange(10), S))[1] for S in itertools.combinations(range(10), 4))
        hits += [sparsopt.solve(f, 4, method).value <= truth + 1e-9 for method in (Pursuit(), "auto")]
    assert hits[0] > 20 and hits[1] > 35


def layer(seed: int, rows: int = 3, d: int = 6) -> tuple[np.ndarray, np.ndarray, BlockQuadratic]:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((4 * d, d)) + rng.standard_normal((1, d))
    W, H = rng.standard_normal((rows, d)), X.T @ X / len(X) + 0.01 * np.eye(d)
    square = np.arange(rows * d).reshape(rows, d)
    return W, H, BlockQuadratic(Layout(("w",), ((rows, d),)), W.ravel(), [Part(Dense(H), square)])


@given(st.integers(0, 10_000), st.integers(1, 7))
@some
def test_the_sweep_is_exact_for_prefixes_and_never_better_than_least_squares(seed: int, block: int) -> None:
    """Where all that leaves comes before all that stays, each step is the surgeon's with all free that may be."""
    W, H, f = layer(seed)
    rng = np.random.default_rng(seed)
    kept = rng.random(W.shape) < 0.6
    value = f.value(swept(W, kept, H, block).ravel())
    assert value >= f.minimise_on(kept.ravel())[1] - 1e-10
    prefix = np.arange(6) >= rng.integers(0, 6, 3)[:, None]
    np.testing.assert_allclose(swept(W, prefix, H, block).ravel(), f.minimise_on(prefix.ravel())[0], atol=1e-9)


@given(st.integers(0, 10_000), st.integers(0, 18), st.integers(1, 7))
@some
def test_the_move_and_the_fit_of_a_sweep_are_one_sweep(seed: int, k: int, block: int) -> None:
    """The published code does both at once: here written out, row by row, as a loop."""
    W, H, f = layer(seed)
    world = Fixed(f)
    state = Sweep(k, world.model, block)(world, f.here())
    x = LocalFit(SweepUpdate(block), world.model)(world, f.here().but(support=state)).x
    assert sp.count(state) == k
    np.testing.assert_allclose(x.reshape(W.shape), _published(W, H, k, block), atol=1e-9)


def _published(W: np.ndarray, H: np.ndarray, k: int, block: int) -> np.ndarray:
    """SparseGPT's loop with the counts of this project, from the inverse's upper Cholesky factor by NumPy."""
    U = np.linalg.cholesky(np.linalg.inv(H)).T
    W, d = W.copy(), W.shape[1]
    starts = list(range(0, d, block))
    counts = divided(k, np.array([len(W) * min(block, d - s) for s in starts]))
    for start, count in zip(starts, counts, strict=True):
        stop = min(start + block, d)
        score = W[:, start:stop] ** 2 / np.diag(U)[start:stop] ** 2
        flat = np.zeros(score.size, dtype=bool)
        flat[np.argsort(-score.ravel(), kind="stable")[:count]] = True
        kept = flat.reshape(score.shape)
        for j in range(start, stop):
            for r in range(len(W)):
                if not kept[r, j - start]:
                    error = W[r, j] / U[j, j]
                    W[r, j:] -= error * U[j, j:]
                    W[r, j] = 0.0
    return W


class Fixed:
    """An oracle whose local model is given."""

    def __init__(self, f: BlockQuadratic) -> None:
        self.f, self.layout = f, f.layout

    def at(self, state: State) -> Fixed:
        return self

    def model(self, f: Any, state: State) -> BlockQuadratic:
        return self.f


def test_a_singular_or_infinite_hessian_is_named() -> None:
    with pytest.raises(NotFinite, match=r"cannot be inverted .* more damping"):
        swept(np.ones((1, 2)), np.array([[True, False]]), np.zeros((2, 2)))
    with pytest.raises(NotFinite, match="cannot be inverted"):
        swept(np.ones((1, 2)), np.array([[True, False]]), np.full((2, 2), np.inf))
    with pytest.raises(NotFinite, match=r"singular .* more damping"):
        Dense(-np.eye(2)).inverse_diagonal()


@given(st.lists(st.integers(0, 20), min_size=1, max_size=8), st.integers(0, 200))
def test_division_is_exact_proportional_and_feasible(sizes: list[int], total: int) -> None:
    counts = divided(total, np.array(sizes))
    assert counts.sum() == min(total, sum(sizes)) and (counts <= sizes).all() and (counts >= 0).all()
    share = min(total, sum(sizes)) * np.array(sizes) / max(sum(sizes), 1)
    assert (np.abs(counts - share) < 1).all()


@given(st.integers(0, 10_000), st.integers(0, 30), st.booleans())
def test_rows_keep_equal_shares_of_their_best(seed: int, k: int, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    layout = Layout(("a", "b"), ((3, 4), (2, 5)))
    score, within = rng.standard_normal(22), rng.random(22) < 0.8
    score = np.round(score) * (not ties)
    chosen = Rows()(score, k, layout, within)
    assert chosen.sum() == min(k, within.sum()) and not (chosen & ~within).any()
    start = 0
    for rows, d in layout.shapes:
        for _ in range(rows):
            row = slice(start, start + d)
            assert abs(chosen[row].sum() - min(k, within.sum()) * within[row].sum() / max(within.sum(), 1)) < 2
            assert np.array_equal(chosen[row], sp.top(score[row], int(chosen[row].sum()), within[row]))
            start += d
    torch_chosen = Rows()(torch.from_numpy(score), k, layout, torch.from_numpy(within))
    assert np.array_equal(torch_chosen.numpy(), chosen)
