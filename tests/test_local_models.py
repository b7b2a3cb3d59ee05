"""Local models against dense linear algebra, closed forms, enumeration, and the loss itself where it is quadratic."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import sparsopt
from nets import probes
from nets.local_models import (
    BlockQuadratic,
    Dense,
    Diagonal,
    Fisher,
    GaussNewton,
    Hutchinson,
    Layerwise,
    LocalFit,
    LocalScore,
    LowRank,
    Part,
    Pursuit,
    Rows,
    Solve,
    SolveEach,
    Surgeon,
    SurgeonUpdate,
    Sweep,
    SweepUpdate,
)
from nets.local_models.rows import divided
from nets.local_models.sweep import swept
from nets.training import Network
from sparsopt import catalogue as convex
from sparsopt import support as sp
from sparsopt.errors import InvalidInput, MissingCapability, NotFinite
from sparsopt.fits import Exact, Restrict
from sparsopt.method import Method, Phase, Stage, run
from sparsopt.moves import Keep, Magnitude, Removal
from sparsopt.problems import Quadratic
from sparsopt.schedules import Linear
from sparsopt.state import Layout, State
from tests.conftest import scaled
from tests.networks import blobs, module, network
from tests.worlds import draw, torch_world

some = settings(max_examples=scaled(30))


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


def dense_hessian(f: BlockQuadratic) -> np.ndarray:
    return f.hessian_columns(np.arange(f.p))


# ---- the quadratic -------------------------------------------------------------------------------------------------


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


# ---- optimal brain surgeon -----------------------------------------------------------------------------------------


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


# ---- CHITA ---------------------------------------------------------------------------------------------------------


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


# ---- the sweep -----------------------------------------------------------------------------------------------------


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


# ---- exact counts ------------------------------------------------------------------------------------------------


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


# ---- on networks ---------------------------------------------------------------------------------------------------


def test_gradients_are_those_of_mini_batches() -> None:
    """Against autograd on a module of its own, in evaluation mode: batch norm as in evaluation, dropout off."""
    for name in ("perceptron", "residual", "recurrent", "attention", "dropout"):
        world = network(name).open()
        state = world.start(0)
        A = world.at(state).gradients(state.x, 3, 5, (7, 0))
        picked = probes.chosen(len(world.data.labels), 15, (7, 0)).reshape(3, 5)
        model = module(name).eval()
        for row, rows in zip(A, picked, strict=True):
            model.zero_grad()
            ((inputs, targets),) = world.data.evaluation(world.data.images[rows], world.data.labels[rows])
            world.recipe.loss(model(inputs), targets).backward()
            own = torch.cat([model.get_parameter(n).grad.reshape(-1) for n in world.layout.names])  # type: ignore[union-attr]
            np.testing.assert_allclose(row, own.numpy(), rtol=1e-4, atol=1e-6)


def test_probes_leave_no_trace() -> None:
    """State, generator and the engine's next step are as without them."""
    world = network("dropout").open()
    state, generator = world.start(0), torch.get_rng_state()
    before = world.train(state, world.recipe, _masked(), 3, 10)
    f = world.at(state)
    f.gradients(state.x, 4, 2, (0, 0))
    f.square_roots(state.x, 4, (0, 0))
    f.grams(state.x, 10, (0, 0))
    assert torch.equal(generator, torch.get_rng_state())
    assert torch.equal(world.train(state, world.recipe, _masked(), 3, 10).x, before.x)
    assert not any(module._forward_pre_hooks for module in world.engine.model.modules())


def _masked() -> Any:
    from nets.gates import Masked

    return Masked()


def test_samples_come_round_evenly() -> None:
    drawn = probes.chosen(7, 21, (1, 2))
    assert sorted(drawn[:7]) == list(range(7)) and np.bincount(drawn).tolist() == [3] * 7
    assert not np.array_equal(probes.chosen(50, 50, (1, 2)), probes.chosen(50, 50, (1, 3)))


def test_a_probe_is_taken_once_for_move_and_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    world, calls = network("perceptron"), []
    original = probes.gradients
    monkeypatch.setattr(probes, "gradients", lambda *args: calls.append(args) or original(*args))
    of = Fisher(4, 2)
    phase = Phase(Keep(50, LocalScore(Surgeon(), of)), LocalFit(SurgeonUpdate(), of, steps=3))
    result = run(Method("once", (Stage((phase,), rounds=2),)), world, world.start(0))
    assert len(calls) == 2 and result.state.cost == 6 and result.state.clock == 0


@pytest.mark.parametrize("seed", range(5))
def test_on_a_linear_layer_the_model_is_the_loss(seed: int) -> None:
    """Squared loss, one output: Gauss-Newton and layerwise matrices are the Hessian X'X / n; at its minimum the local
    model differs from the loss by a constant."""
    X, y, w, _, _ = draw(seed)
    best = np.linalg.lstsq(X, y, rcond=None)[0]
    world = torch_world(X, y, best)
    state = world.start(0)
    f = world.at(state)
    H = X.T @ X / len(y)
    for of in (GaussNewton(len(y), 1e-13, None), Layerwise(len(y), 1e-13)):
        model = of(f, state)
        np.testing.assert_allclose(dense_hessian(model), H, rtol=1e-9, atol=1e-10)
        assert model.value(w) == pytest.approx(f.value(torch.from_numpy(w)) - f.value(state.x), rel=1e-8, abs=1e-10)


def test_hutchinson_is_the_diagonal_of_the_hessian() -> None:
    """Unbiased: the mean of 4,000 draws against second differences of the loss; negative curvature counts as none."""
    world = network("dropout").open()
    state = world.start(0)
    f = world.at(state)
    where = torch.arange(0, world.layout.n, 60)
    few = state.but(support=torch.zeros(world.layout.n, dtype=torch.bool).index_fill(0, where, True), x=state.x * 0)
    h = Hutchinson(4000, 5, 1e-9)(f, few).curvature()[where.numpy()]
    loss, step, zero = f.sampled(5, 1.0, "eval"), 0.05, torch.zeros(world.layout.n)
    for j, found in zip(where, h, strict=True):
        e = zero.index_fill(0, j, step)
        second = float((loss.gradient(e)[j] - loss.gradient(-e)[j]) / (2 * step))
        assert found == pytest.approx(max(second, 0.0), abs=2e-3)


@pytest.mark.parametrize("seed", range(8))
def test_on_a_quadratic_loss_the_least_harmful_weight_goes(seed: int) -> None:
    """Brain damage finds the weight whose removal alone raises the true loss least; the surgeon, after refitting."""
    X, y, _, _, _ = draw(seed)
    p = X.shape[1]
    world = torch_world(X, y, np.linalg.lstsq(X, y, rcond=None)[0])
    state = world.start(0)
    f, of = world.at(state), GaussNewton(len(y), 1e-12, None)
    without = [torch.arange(p) != j for j in range(p)]
    plain = min(range(p), key=lambda j: f.value(sp.restrict(state.x, without[j])))
    refit = sparsopt.LeastSquares(X, y).minimise_on
    refitted = min(range(p), key=lambda j: refit(without[j].numpy())[1])
    for by, expected in ((Removal(), plain), (Surgeon(), refitted)):
        kept = Keep(p - 1, LocalScore(by, of))(f, state)
        assert torch.nonzero(~kept).item() == expected


@pytest.mark.parametrize("seed", range(6))
def test_pruning_a_linear_layer_is_sparsopt_on_its_data(seed: int) -> None:
    """The two worlds: whatever method, on the network's local model as on LeastSquares itself."""
    X, y, _, k, _ = draw(seed)
    world = torch_world(X, y, np.linalg.lstsq(X, y, rcond=None)[0])
    problem = sparsopt.LeastSquares(X, y)
    for of in (GaussNewton(len(y), 1e-13, None), Layerwise(len(y), 1e-13)):
        for name in ("backward-elimination", "omp"):
            expected = sparsopt.solve(problem, k, name)
            for move in (Solve(k, of, name), SolveEach(k, of, name)):
                phase = Phase(move, LocalFit(Exact(), of))
                found = run(Method("local", (Stage((phase,)),)), world, world.start(0))
                assert np.array_equal(found.support.numpy(), expected.support)
                np.testing.assert_allclose(found.x.numpy(), expected.x, atol=1e-7)


class Convolutional(nn.Module):
    """Every kind of layer whose inputs are seen: groups, dilation, circular and "same" padding, one dimension."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(1, 4, 3, padding=1, stride=2)
        self.b = nn.Conv2d(4, 6, 3, padding=2, dilation=2, groups=2, padding_mode="circular")
        self.c = nn.Conv1d(6, 4, 3, padding="same", dilation=2, groups=2)
        self.d = nn.Linear(9, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.c(input=self.b(self.a(x).relu()).relu().flatten(2)[..., :9])
        return self.d(h).mean(1)


def test_gram_matrices_predict_outputs_of_every_layer() -> None:
    """(w - w0)' G (w - w0) summed over rows is the squared change of the layer's own outputs, by running the layer."""
    torch.manual_seed(0)
    model = Convolutional().double().eval()
    data = blobs()
    world = Network(model, data).open()
    state = world.start(0)
    grams = world.at(state).grams(state.x, 70, (0, 0))
    inputs: dict[str, torch.Tensor] = {}
    for name, layer_ in model.named_children():
        keep = lambda m, args, named, name=name: inputs.update({name: args[0] if args else named["input"]})  # noqa: E731
        layer_.register_forward_pre_hook(keep, with_kwargs=True)
    ((images, _),) = data.evaluation(data.images, data.labels, dtype=torch.float64)
    model(images)
    for (name, layer_), gram in zip(model.named_children(), grams, strict=True):
        assert gram is not None and gram.shape[0] == getattr(layer_, "groups", 1)
        delta = torch.randn_like(layer_.weight)  # type: ignore[arg-type]
        before = layer_(inputs[name])
        with torch.no_grad():
            layer_.weight += delta  # type: ignore[operator]
        change = (layer_(inputs[name]) - before).square().sum().item() / 70
        rows = delta.numpy().reshape(gram.shape[0], -1, gram.shape[2])
        assert change == pytest.approx(float(np.einsum("grd,gde,gre->", rows, gram, rows)), rel=1e-9), name


def test_what_is_not_seen_falls_back_to_magnitude() -> None:
    attention = {"attention.in_proj_weight", "attention.out_proj.weight"}
    recurrent = {"lstm.weight_ih_l0", "lstm.weight_hh_l0"}
    for name, unseen in (("residual", set()), ("attention", attention), ("recurrent", recurrent)):
        world = network(name).open()
        state = world.start(0)
        grams = dict(zip(world.layout.names, world.at(state).grams(state.x, 70, (0, 0)), strict=True))
        assert {block for block, gram in grams.items() if gram is None} == unseen
        model = Layerwise()(world.at(state), state)
        score = Removal()(model, model.here())
        for block, where in zip(world.layout.names, world.layout.slices, strict=True):
            if block in unseen:
                np.testing.assert_allclose(score[where], state.x[where].double().square().numpy() / 2)


def test_uses_of_a_shared_weight_add_up() -> None:
    world, model = network("tied").open(), module("tied").eval()
    seen: list[torch.Tensor] = []
    for name in ("again", "other"):
        model.get_submodule(name).register_forward_pre_hook(lambda m, args: seen.append(args[0]))
    ((images, _),) = world.data.evaluation(world.data.images, world.data.labels)
    model(images)
    assert len(seen) == 3  # twice itself, once the other
    uses, state = torch.cat(seen).detach().double(), world.start(0)
    gram = world.at(state).grams(state.x, 70, (0, 0))[1]
    np.testing.assert_allclose(gram[0], (uses.T @ uses / 70).numpy(), rtol=1e-5, atol=1e-6)


def test_wanda_is_weight_times_norm_of_input() -> None:
    """|w_ij| |X_j|_2 by brute force on a layer, compared within each row; exactly as many in each row."""
    world = network("dropout").open()
    state = world.start(0)
    move = Keep(100, LocalScore(Removal(), Layerwise(70, 1e-12)), Rows())
    kept = world.weights.blocks(move(world.at(state), state))
    ((images, _),) = world.data.evaluation(world.data.images, world.data.labels)
    W = world.module(state).get_parameter(kept[0][0]).detach()
    score = W.abs() * images.flatten(1).norm(dim=0)
    for row, mask in zip(score, kept[0][1], strict=True):
        assert torch.equal(mask, sp.top(row, int(mask.sum())))
    sizes = kept[0][1].sum(1)
    assert sizes.max() - sizes.min() <= 1 and sum(int(mask.sum()) for _, mask in kept) == 100


def test_inputs_that_are_always_zero_and_inputs_that_are_not_finite() -> None:
    world = Network(module("perceptron"), dataclasses.replace(blobs(), images=torch.zeros(70, 1, 6, 6))).open()
    state = world.start(0)
    model = Layerwise()(world.at(state), state)
    assert isinstance(model.parts[0].curvature, Diagonal)
    bad = network("perceptron").open()
    state = bad.start(0)
    broken = state.x.clone()
    broken[:] = torch.inf
    with pytest.raises(NotFinite, match=r"inputs of .* NaN or infinite"):
        bad.at(state).grams(broken, 10, (0, 0))
    with pytest.raises(NotFinite, match="gradient for the local model"):
        bad.at(state).gradients(broken, 2, 2, (0, 0))


def test_settings_that_make_no_sense() -> None:
    for wrong in (lambda: Fisher(damping=0.0), lambda: Fisher(block=0), lambda: Layerwise(damping=float("inf"))):
        with pytest.raises(InvalidInput, match=r"damping|block"):
            wrong()
    with pytest.raises(InvalidInput, match="steps = -1"):
        LocalFit(Exact(), Fisher(), -1)
    world = network("perceptron").open()
    state = world.start(0)
    with pytest.raises(InvalidInput, match="at least 1"):
        world.at(state).gradients(state.x, 0, 1, (0, 0))
    with pytest.raises(InvalidInput, match="give the sum"):
        Sweep(lambda round, layout: (1, 2, 3), Layerwise())(world.at(state), state)
    with pytest.raises(InvalidInput, match="give the sum"):
        Solve(lambda round, layout: (1, 2, 3), Fisher())(world.at(state), state)
    method = Method("local", (Stage((Phase(Keep(1, LocalScore(Removal(), Fisher())), Restrict()),)),))
    with pytest.raises(MissingCapability, match=r"Fisher .* needs gradients"):
        run(method, Quadratic(np.eye(2), np.ones(2)), Quadratic(np.eye(2), np.ones(2)).start())


def test_every_part_is_a_dataclass_that_python_can_read_back() -> None:
    for part in (
        Keep(5, LocalScore(Surgeon(), Fisher(block=None))), LocalFit(SweepUpdate(), Layerwise(), 3),
        Solve(5, GaussNewton(7), Pursuit()), SolveEach(5, Layerwise(), "omp", Magnitude(), Rows()),
        Sweep(5, Layerwise()),
    ):  # fmt: skip
        scope = {**globals(), "Elements": sp.Elements}
        assert eval(repr(part), scope) == part and hash(part) == hash(eval(repr(part), scope))
