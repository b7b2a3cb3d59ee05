"""Floating-point operations: closed forms of every layer, and what runs with changing masks have cost."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import nets
from nets.catalogue import METHODS
from nets.flops import Forward, forward, spent
from nets.gates import Averaging, CompressionAware, Masked, StraightThrough
from nets.training import Train
from nets.weights import Matrices, Weights
from sparsopt.method import Method, Phase, Stage
from sparsopt.moves import Choose, Everything, Gradient, Keep, Stay
from sparsopt.result import Row, Trace
from tests.networks import MODULES, MOMENTUM, blobs, module, network, plan_of

DATA = blobs()


def counted(model: nn.Module, inputs: torch.Tensor, rule: Any = Matrices()) -> dict[str, float]:
    names = Weights(model, rule).layout.names
    found = forward(model, inputs, names)
    return dict(zip(names, found.weights, strict=True)) | {"others": found.others}


# ---- closed forms: 2 a multiply-add, nothing for biases, norms, activations and pooling ------------------------------


def test_lenet_300_100() -> None:
    model = nets.models.build("lenet-300-100")
    assert counted(model, torch.zeros(3, 1, 28, 28)) == {
        "linear1.weight": 2 * 784 * 300, "linear2.weight": 2 * 300 * 100, "head.weight": 2 * 1000, "others": 0,
    }  # fmt: skip


@pytest.mark.parametrize("stride, padding, dilation, groups", [(1, 1, 1, 1), (2, 1, 1, 2), (1, 0, 2, 4), (3, 2, 1, 1)])
def test_convolutions(stride: int, padding: int, dilation: int, groups: int) -> None:
    layer = nn.Conv2d(4, 8, 3, stride, padding, dilation, groups)
    side = (9 + 2 * padding - 2 * dilation - 1) // stride + 1
    expected = 2 * side * side * 8 * (4 // groups) * 9
    assert counted(nn.Sequential(layer, nn.BatchNorm2d(8), nn.ReLU()), torch.zeros(2, 4, 9, 9)) == {
        "0.weight": expected, "others": 0
    }  # fmt: skip


def test_transposed_and_one_dimensional_convolutions() -> None:
    assert counted(nn.ConvTranspose2d(3, 5, 2, stride=2), torch.zeros(1, 3, 4, 4))["weight"] == 2 * 16 * 3 * 5 * 4
    assert counted(nn.Conv1d(3, 5, 3), torch.zeros(1, 3, 10))["weight"] == 2 * 8 * 3 * 5 * 3


@pytest.mark.parametrize("fused", [True, False])
def test_lstm(fused: bool) -> None:
    """Of T steps each multiplies by both weights, whether PyTorch runs it as one operation or as many."""
    model = nn.LSTM(6, 4, batch_first=True)

    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = model

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.lstm(x)[0][:, -1]

    torch._C._set_mkldnn_enabled(fused)
    try:
        found = counted(Last(), torch.zeros(3, 7, 6))
    finally:
        torch._C._set_mkldnn_enabled(True)
    assert found == {"lstm.weight_ih_l0": 2 * 7 * 16 * 6, "lstm.weight_hh_l0": 2 * 7 * 16 * 4, "others": 0}


@pytest.mark.parametrize("need_weights", [True, False])
def test_attention(need_weights: bool) -> None:
    """Projections belong to their weights; q k and the weighted sum, L L d multiply-adds each, to none."""

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.attention(x, x, x, need_weights=need_weights)[0]

    assert counted(Model(), torch.zeros(3, 5, 8)) == {
        "attention.in_proj_weight": 2 * 5 * 8 * 24, "attention.out_proj.weight": 2 * 5 * 64, "others": 2 * 2 * 25 * 8
    }  # fmt: skip


def test_a_shared_weight_is_paid_for_each_time_and_what_is_not_prunable_to_others() -> None:
    found = counted(module("tied"), torch.zeros(1, 1, 6, 6))
    assert found["again.weight"] == 3 * 2 * 64
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    assert forward(model, torch.zeros(1, 4), ["1.weight"]) == Forward((16.0,), 32.0)


@pytest.mark.parametrize("name", MODULES)
def test_the_model_and_the_generator_stay(name: str) -> None:
    model, generator = module(name), torch.get_rng_state()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    assert forward(model, DATA.images[:2], Weights(model, MODULES[name][1]).layout.names).dense > 0
    assert torch.equal(torch.get_rng_state(), generator) and model.training
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_resnet_20() -> None:
    """Stage by stage: places times 3 x 3 taps times pairs of channels, the two 1 x 1 shortcuts, the head."""
    model = nets.models.build("resnet-20")
    found = forward(model, torch.zeros(1, 3, 32, 32), Weights(model).layout.names)
    stages = 32**2 * 9 * (3 * 16 + 6 * 16**2), 16**2 * (9 * (16 * 32 + 5 * 32**2) + 16 * 32)
    assert found.dense == 2 * (sum(stages) + 8**2 * (9 * (32 * 64 + 5 * 64**2) + 32 * 64) + 640)


# ---- runs ------------------------------------------------------------------------------------------------------------


def row(stage: int, phase: int, cost: int, now: float) -> Row:
    return Row(stage, 0, phase, 0, "", 0.0, 0, cost, {"flops": now})


def test_densities_and_passes_along_a_run() -> None:
    """By hand: ten dense steps, five masked, four of each other gate, and a move that took a gradient."""
    gates = [Masked(), Masked(), StraightThrough(), Averaging(), CompressionAware(k=3)]
    steps = [10, 5, 4, 4, 4]
    moves = [Everything(), Keep(3), Stay(), Stay(), Choose(3, Gradient())]
    phases = [Phase(move, Train(n, MOMENTUM, gate)) for move, n, gate in zip(moves, steps, gates, strict=True)]
    method = Method("own", (Stage(tuple(phases)),))
    trace = Trace([row(0, i, sum(steps[: i + 1]), 100.0 if i == 0 else 30.0) for i in range(5)])
    one, b = Forward((80.0, 10.0), 10.0), MOMENTUM.batch
    masked, dense_gradient, twice = 3 * 30, 2 * 30 + 100, 4 * 30 + 2 * 100
    expected = b * (10 * 300 + 5 * masked + 8 * dense_gradient + 4 * twice + 300)
    assert spent(method, trace, one, b) == {"flops": expected, "dense_flops": 27 * 300 * b}
    assert spent(method, trace, one, 10)["flops"] == expected * 10 / b, "fewer samples than a batch"
    assert one.sparse((0.5, 1.0)) == 60.0 and one.dense == 100.0


@pytest.mark.parametrize("name", MODULES)
def test_dense_training_costs_what_dense_training_costs(name: str) -> None:
    outcome = nets.prune(module(name), DATA, "dense", recipe=MOMENTUM, epochs=2, prunable=MODULES[name][1])
    one = forward(module(name), DATA.images[:2], tuple(outcome.masks))
    expected = 3 * one.dense * outcome.cost["steps"] * 16
    assert outcome.cost["flops"] == pytest.approx(expected) and outcome.cost["dense_flops"] == pytest.approx(expected)


def test_pruning_with_the_masks_of_their_time() -> None:
    """IMP in rounds: a geometric series; a random mask: its own density from the first step; one-shot: half of each."""
    world = network()
    n, T = world.layout.n, 3 * (70 // 16)
    per_step = 3 * 16 * 2  # a perceptron: 2 operations a weight and sample
    for method in ("random", "one-shot", "imp"):
        outcome = nets.prune(module(), DATA, method, 0.8, MOMENTUM, epochs=3)
        sizes = [r.size for r in outcome.trace if r.cost > 0]
        costs = [r.cost for r in outcome.trace if r.cost > 0]
        paid = sum(size * (c - before) for size, c, before in zip(sizes, costs, [0, *costs], strict=False))
        k = round(0.2 * n)
        if method == "random":
            assert paid == k * T
        if method == "one-shot":
            assert paid == (n + k) * T
        # layers of a perceptron cost alike a weight, so that the total size is enough
        assert outcome.cost["flops"] == pytest.approx(per_step * paid), method
        assert outcome.cost["dense_flops"] == pytest.approx(per_step * n * outcome.cost["steps"])
        assert f"{outcome.cost['flops']:.3g} FLOPs" in str(outcome)


def test_gradients_that_choose_are_paid_for() -> None:
    outcome = nets.prune(module(), DATA, "snip", 0.8, MOMENTUM, epochs=3)
    once = 3 * 16 * 2 * outcome.prunable
    trained = once * outcome.cost["steps"] * (1 - outcome.sparsity)
    assert outcome.cost["gradients"] > 0
    assert outcome.cost["flops"] == pytest.approx(trained + outcome.cost["gradients"] * once)


@pytest.mark.parametrize("method", ["dpf", "rigl", "acdc"])
def test_the_cost_of_a_resumed_run_is_that_of_a_whole_one(method: str, tmp_path: Path) -> None:
    whole = nets.prune(module(), DATA, method, 0.8, MOMENTUM, epochs=10)
    seen = 0

    def interrupt(*_: object) -> None:
        nonlocal seen
        seen += 1
        if seen % 9 == 0:
            raise KeyboardInterrupt

    for _ in range(100):
        try:
            again = nets.prune(module(), DATA, method, 0.8, MOMENTUM, epochs=10, out=tmp_path, progress=interrupt)
            break
        except KeyboardInterrupt:
            pass
    assert seen > 9 and {**again.cost, "seconds": 0} == {**whole.cost, "seconds": 0}
    assert 0 < whole.cost["flops"] < whole.cost["dense_flops"] and math.isfinite(whole.cost["flops"])


def test_methods_have_gates_that_say_their_passes() -> None:
    for name, entry in METHODS.items():
        for stage in entry(plan_of(network(), 0.8, 40)).stages:
            for phase in stage.phases:
                assert sum(getattr(phase.fit, "through", Masked()).passes) in (3, 6), name
