"""Local models of networks against the loss itself where it is quadratic, and against data of single layers."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import sparsopt
from nets import probes
from nets.local_models import (
    Diagonal,
    Fisher,
    GaussNewton,
    Hutchinson,
    Layerwise,
    LocalFit,
    LocalScore,
    Pursuit,
    Rows,
    Solve,
    SolveEach,
    Surgeon,
    SurgeonUpdate,
    Sweep,
    SweepUpdate,
)
from nets.training import Network
from sparsopt import support as sp
from sparsopt.errors import InvalidInput, MissingCapability, NotFinite
from sparsopt.fits import Exact, Restrict
from sparsopt.method import Method, Phase, Stage, run
from sparsopt.moves import Keep, Magnitude, Removal
from sparsopt.problems import Quadratic
from tests.networks import blobs, module, network
from tests.worlds import draw, torch_world


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
        np.testing.assert_allclose(model.hessian_columns(np.arange(model.p)), H, rtol=1e-9, atol=1e-10)
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
