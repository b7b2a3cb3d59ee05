"""Sparse convolutions are dense ones up to rounding: every geometry, every mask, whole networks, resumed runs."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

import nets
from nets.gates import Masked
from nets.recipe import SGD, Adam, Recipe
from nets.sparse import ConvolutionalEngine, available, engine_of, fusion, threshold
from nets.sparse.convolution import BatchNorm, Pool, SparseConvolution, eligible, images, innermost, planes
from nets.sparse.convolutional import convolutions, worthwhile
from nets.sparse.fusion import fused
from nets.sparse.taps import Geometry, Taps
from nets.training import Network
from nets.weights import ConvolutionsAndLinear
from sparsopt import support as sp
from sparsopt.method import run
from tests.conftest import scaled
from tests.networks import blobs, difference, states

pytest.importorskip("numba")

HEAVY = Recipe(0.1, optimiser=SGD(0.9, weight_decay=1e-2), batch=20, label_smoothing=0.1)
SHAPES = st.tuples(*[st.integers(1, 4)] * 4, *[st.integers(1, 9)] * 2)  # in, out, kernel, image


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def error(found: torch.Tensor | None, expected: torch.Tensor | None) -> float:
    """Largest difference, relative to the largest number."""
    assert found is not None and expected is not None and found.shape == expected.shape
    found, expected = found.detach(), expected.detach()
    return float((found - expected).abs().max() / expected.abs().max().clamp_min(1e-30)) if found.numel() else 0.0


# ---- one layer -----------------------------------------------------------------------------------------------------


@given(
    SHAPES, st.sampled_from([1, 2, 3]), st.integers(0, 2), st.integers(1, 2), st.floats(0, 1),
    st.sampled_from([16, 17, 31, 32, 50, 64, 79, 128, 150]), st.booleans(), st.integers(0, 99),
)  # fmt: skip
@settings(max_examples=scaled(60))
def test_a_convolution_and_its_gradients(
    shape: Any, stride: int, padding: int, dilation: int, density: float, count: int, bias: bool, seed: int
) -> None:
    """Against float64; rows without weights, odd sizes and what is left of a batch included."""
    inputs, outputs, height, width, H, W = shape
    layer = nn.Conv2d(inputs, outputs, (height, width), stride, padding, dilation, bias=bias)
    geometry = Geometry(layer.stride, layer.padding, layer.dilation)  # type: ignore[arg-type]
    assume(min(geometry.outputs((H, W), (height, width))) >= 1)
    mask = random(*layer.weight.shape, seed=seed) < torch.tensor(density).logit() * 2
    layer.weight.data = random(*layer.weight.shape, seed=seed + 1) * mask
    exact = nn.Conv2d(inputs, outputs, (height, width), stride, padding, dilation, bias=bias).double()
    exact.load_state_dict(layer.state_dict())
    x = random(count, inputs, H, W, seed=seed).requires_grad_()
    x64 = x.detach().double().requires_grad_()
    y, y64 = SparseConvolution(layer, mask.numpy(), Pool())(x), exact(x64)
    d = random(*y64.shape, seed=seed + 2)
    y.backward(d)
    y64.backward(d.double())
    assert innermost(y) and error(y, y64) < 2e-6
    assert error(x.grad, x64.grad) < 2e-6
    assert exact.weight.grad is not None and layer.weight.grad is not None
    assert error(layer.weight.grad, exact.weight.grad * mask) < 1e-5
    assert not layer.weight.grad[~mask].any()
    if bias:
        assert error(layer.bias.grad, exact.bias.grad) < 1e-5  # type: ignore[union-attr]


@given(SHAPES, st.sampled_from([1, 2, 3]), st.integers(0, 3), st.integers(1, 2), st.integers(0, 99))
def test_taps_list_every_product_once(shape: Any, stride: int, padding: int, dilation: int, seed: int) -> None:
    """Forward and backward, as (output, pixel, input, pixel, weight), against the definition."""
    inputs, outputs, height, width, H, W = shape
    geometry = Geometry((stride, stride), (padding, padding), (dilation, dilation))
    h, w = geometry.outputs((H, W), (height, width))
    assume(min(h, w) >= 1)
    mask = np.random.default_rng(seed).random((outputs, inputs, height, width)) < 0.5
    expected = set()
    for number, (o, i, a, b) in enumerate(zip(*np.nonzero(mask), strict=True)):
        for y in range(h):
            for x in range(w):
                up, left = y * stride + a * dilation - padding, x * stride + b * dilation - padding
                if 0 <= up < H and 0 <= left < W:
                    expected.add((int(o * h * w + y * w + x), int(i * H * W + up * W + left), number))
    forward, backward = (kind(mask, (H, W), geometry) for kind in (Taps.forward, Taps.backward))
    assert products(forward) == sorted(expected)
    assert products(backward) == sorted((x, y, number) for y, x, number in expected)


def products(taps: Taps) -> list[tuple[int, int, int]]:
    rows, pixels = taps.ptr.shape[1] - 1, len(taps.kind)
    return sorted(
        (r * pixels + pixel, int(taps.at[pixel] + taps.offset[q]), int(taps.number[q]))
        for pixel in range(pixels)
        for r in range(rows)
        for q in range(taps.ptr[taps.kind[pixel], r], taps.ptr[taps.kind[pixel], r + 1])
    )


@given(st.integers(1, 3), st.integers(1, 6), st.integers(1, 6), st.integers(16, 40), st.sampled_from([0.1, None]))
def test_batch_norm(channels: int, height: int, width: int, count: int, momentum: float | None) -> None:
    """Outputs, gradients and running statistics against float64, over two batches."""
    layer, exact = (nn.BatchNorm2d(channels, momentum=momentum) for _ in range(2))
    exact.double()
    for one in (layer, exact):
        one.weight.data.copy_(random(channels, seed=1))
        one.bias.data.copy_(random(channels, seed=2))
    for seed in (3, 4):
        x = images((random(channels, height, width, count, seed=seed) * 3 + 5).contiguous()).requires_grad_()
        x64 = x.detach().double().requires_grad_()
        y, y64 = BatchNorm(layer, Pool())(x), exact(x64)
        d = random(*y.shape, seed=seed)
        y.backward(d)
        y64.backward(d.double())
        assert error(y, y64) < 1e-5 and x.grad is not None and x64.grad is not None
        assert torch.allclose(x.grad.double(), x64.grad, atol=1e-5, rtol=1e-5)
    for name, value in exact.state_dict().items():
        assert torch.allclose(layer.state_dict()[name].double(), value.double(), rtol=1e-5, atol=1e-6), name
    assert error(layer.weight.grad, exact.weight.grad) < 1e-3 and error(layer.bias.grad, exact.bias.grad) < 1e-3


def test_layers_do_themselves_what_the_kernels_cannot() -> None:
    layer, norm = nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3)
    ours = SparseConvolution(layer, np.ones(layer.weight.shape, bool), Pool())
    for x in (random(15, 2, 5, 5), random(2, 5, 5)):
        assert torch.equal(ours(x), layer(x))
    with pytest.raises(RuntimeError, match="greater than"):
        ours(random(16, 2, 2, 2))
    x = random(16, 3, 4, 4)
    assert torch.equal(BatchNorm(norm, Pool())(x), nn.BatchNorm2d(3)(x))
    norm.eval()
    assert torch.allclose(BatchNorm(norm, Pool())(images(planes(x))), norm(x), atol=1e-6)


@given(st.integers(1, 3), st.integers(1, 6), st.integers(16, 40), st.booleans(), st.booleans())
def test_batch_norm_takes_an_addition_and_relu_along(
    channels: int, side: int, count: int, adds: bool, contiguous: bool
) -> None:
    """Against the three operations of PyTorch in float64, both summands' gradients included."""
    layer, exact = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels).double()
    x = images(random(channels, side, side, count, seed=3).contiguous()).requires_grad_()
    other = random(count, channels, side, side, seed=4)
    other = (other if contiguous else images(planes(other))).requires_grad_()
    x64, other64 = (a.detach().double().requires_grad_() for a in (x, other))
    y = BatchNorm(layer, Pool())(x, other if adds else None, True)
    y64 = torch.relu(exact(x64) + (other64 if adds else 0))
    d = random(*y.shape, seed=5)
    y.backward(d)
    y64.backward(d.double())
    assert torch.allclose(y.double(), y64, atol=1e-5)
    pairs = [(x, x64), (layer.weight, exact.weight), (layer.bias, exact.bias), *([(other, other64)] if adds else [])]
    for a, b in pairs:
        assert a.grad is not None and b.grad is not None
        assert torch.allclose(a.grad.double(), b.grad, atol=1e-4, rtol=1e-4)


def test_a_nan_stays_one() -> None:
    x = random(16, 2, 3, 3)
    x[0, 0, 0, 0] = torch.nan
    y = BatchNorm(nn.BatchNorm2d(2), Pool())(images(planes(x)), None, True)
    assert y[:, 0].isnan().all() and not y[:, 1].isnan().any()


def test_memory_is_used_again_when_nobody_looks_at_it_any_more() -> None:
    pool = Pool()
    one, other = pool.empty(2, 3), pool.empty(3, 2)
    view, places = one[1], {one.data_ptr(), other.data_ptr()}
    del one, other
    assert len(places) == 2 and pool.empty(6).data_ptr() in places - {view.data_ptr() - 12}
    del view
    again = pool.empty(6), pool.empty(6)
    assert {a.data_ptr() for a in again} == places and pool.empty(7).shape == (7,)


# ---- networks ------------------------------------------------------------------------------------------------------


class Shared(nn.Module):
    """Two convolutions that share a weight, one used twice, a grouped one, one that reflects at the border."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.a, self.b = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, 2, 1)
        self.b.weight = self.a.weight
        self.norm, self.grouped = nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3, padding=1, groups=2)
        self.reflecting = nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect")
        self.head = nn.Linear(4, blobs().classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.norm(self.stem(x)).relu()
        h = self.a(self.a(h).tanh()) + h
        h = self.reflecting(self.grouped(self.b(h).relu()))
        return self.head(h.mean((2, 3)))


def smooth() -> nn.Module:
    """A residual network whose slopes have no kinks, so that rounding cannot switch a unit."""

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1, self.norm1 = nn.Conv2d(4, 6, 3, 2, 1, bias=False), nn.BatchNorm2d(6)
            self.shortcut = nn.Conv2d(4, 6, 1, 2, bias=False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.tanh(self.norm1(self.conv1(x)) + self.shortcut(x))

    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Tanh(), Block(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(6, blobs().classes),
    )  # fmt: skip


MODELS = {"shared": Shared, "smooth": smooth}


def model(name: str, seed: int = 0) -> nn.Module:
    made, generator = MODELS[name](), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in made.parameters():
            p.copy_(torch.randn(p.shape, generator=generator) / max(p[0].numel(), 4) ** 0.5)
    return made


@pytest.mark.parametrize("name", MODELS)
@given(st.floats(0, 1), st.integers(0, 99))
@settings(max_examples=scaled(10))
def test_steps_are_those_of_the_dense_engine(name: str, density: float, seed: int) -> None:
    """Weights, momentum and running statistics after a few steps, twice over; what is pruned stays zero."""
    dense, sparse = (Network(model(name, seed), blobs(), recipe=HEAVY, engine=e) for e in ("dense", "sparse"))
    state = dense.start(seed)
    one = two = state = Masked().enter(state.but(support=sp.uniform((seed, 1), state.x) < density))
    for steps in (3, 2):
        one, two = (w.train(s, HEAVY, Masked(), steps, 5) for w, s in ((dense, one), (sparse, two)))
    assert set(one.slots) == set(two.slots) and (one.clock, one.cost, one.inner) == (two.clock, two.cost, two.inner)
    for a, b in ((one.x, two.x), *((one.slots[n], two.slots[n]) for n in one.slots)):
        assert a.dtype == b.dtype and torch.allclose(a, b, atol=3e-5, rtol=1e-4)
    assert not two.x[~two.support].any()


def test_resnet_20_is_as_near_to_float64_as_the_dense_one_is() -> None:
    """One gradient at 10 % density. Rounding switches units of ReLU, here and there alike."""
    data, recipe = nets.data.load("digits"), Recipe(batch=50)
    made = nets.models.build("resnet-20", (1, 8, 8), 10, 0)
    start = Network(made, data).start(0)
    support = sp.uniform((0,), start.x) < 0.1

    def slope(engine: str, kind: torch.dtype) -> torch.Tensor:
        world = Network(made.to(kind), data, recipe=recipe, engine=engine)
        own = world.start(0)
        own = Masked().enter(own.but(support=support))
        still = dataclasses.replace(recipe, learning_rate=1.0, optimiser=SGD(0.0, weight_decay=0.0))
        return (own.x - world.train(own, still, Masked(), 1, 1).x).double()

    exact = slope("dense", torch.float64)
    dense, sparse = ((slope(e, torch.float32) - exact).norm() / exact.norm() for e in ("dense", "sparse"))
    assert sparse < max(1e-5, 5 * dense)


def test_adam_trains_convolutions_too() -> None:
    """Compared where there is a gradient: where there is none but rounding, Adam makes whole steps of it."""
    recipe = dataclasses.replace(HEAVY, optimiser=Adam(), learning_rate=0.01)
    dense, sparse = (Network(model("smooth"), blobs(), recipe=recipe, engine=e) for e in ("dense", "sparse"))
    state = Masked().enter(dense.start(0).but(support=sp.uniform((0,), dense.start(0).x) < 0.3))
    one, two = (world.train(state, recipe, Masked(), 3, 3) for world in (dense, sparse))
    clear = one.slots["momentum.exp_avg_sq.x"] > 1e-8
    assert torch.allclose(one.x[clear], two.x[clear], atol=1e-5) and not torch.equal(one.x, two.x)
    assert clear.sum() > 10 and not two.x[~two.support].any()


def test_a_run_in_chunks_is_a_run() -> None:
    import nets.catalogue

    def world(chunk: int | None) -> Network:
        return Network(model("shared"), blobs(), recipe=HEAVY, engine="sparse", chunk=chunk)

    method = nets.catalogue.METHODS["imp"](nets.Plan(world(None).layout, 20, 12, HEAVY))
    expected = run(method, world(None), world(None).start(0))
    result, seen = states(method, world(4))
    assert difference(result.state, expected.state) == ""
    for state in seen[:: max(1, len(seen) // 4)]:
        assert difference(run(method, world(3), state).state, expected.state) == ""


def test_layers_get_their_own_forward_back() -> None:
    """Also when a phase fails; and the module that was given is never touched."""
    given_model = model("shared")
    world = Network(given_model, blobs(), recipe=HEAVY)
    engine = ConvolutionalEngine(world.engine)
    state = world.start(0)
    with engine._sparse(state.support):
        changed = {n for n, m in world.engine.model.named_modules() if "forward" in vars(m)}
        assert changed == {"", "stem", "a", "b", "norm"}
    with pytest.raises(ZeroDivisionError), engine._sparse(state.support):
        raise ZeroDivisionError
    for one in (given_model, world.engine.model):
        assert not any("forward" in vars(m) for m in one.modules())


def test_plans_stay_as_long_as_masks_do() -> None:
    world = Network(model("smooth"), blobs(), recipe=HEAVY)
    engine, state = ConvolutionalEngine(world.engine), world.start(0)
    batches = world.batches_of(state, HEAVY)
    engine.train(state, HEAVY, Masked(), batches, 1, 1)
    known = dict(engine.known)
    engine.train(state, HEAVY, Masked(), batches, 1, 1)
    assert all(engine.known[layer] is known[layer] for layer in known)
    support = state.support.clone()
    support[0] = False
    engine.train(Masked().enter(state.but(support=support)), HEAVY, Masked(), batches, 1, 1)
    assert sum(engine.known[layer] is not known[layer] for layer in known) == 1


# ---- batch norm and ReLU in one ------------------------------------------------------------------------------------


def calls(made: nn.Module) -> int:
    """How many norms take ReLU along; 0 where the module is left as it is."""
    graph = fusion._graph(made)
    if graph is None or fused(made) is None:
        return 0
    relus = [node for node in graph.nodes if fusion._is_relu(made, node)]
    return sum(fusion._fuse(made, graph, node) for node in relus)


class Odd(nn.Module):
    """Norms with ReLU behind them, and something else."""

    def __init__(self, kind: str = "") -> None:
        super().__init__()
        self.norm, self.other, self.kind, self.steps = nn.BatchNorm2d(2), nn.BatchNorm2d(2), kind, 0
        if kind == "hook":
            self.norm.register_forward_hook(lambda module, inputs, output: None)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.norm(x)
        if self.kind == "branch" and x.sum() > 0:
            return h
        if self.kind == "draws" and torch.rand(1) < 0.5:
            return h
        if self.kind == "counts":
            self.steps += 1
        if self.kind == "seen twice":
            return torch.relu(h) + h
        if self.kind == "twice the same":
            return torch.relu(h + h)
        if self.kind == "constant":
            return torch.relu(h + 1)
        if self.kind == "two norms":
            return torch.relu(self.other(x) + h)
        return torch.relu(h)


@pytest.mark.parametrize("kind, count", [
    ("", 1), ("two norms", 1), ("branch", 0), ("draws", 0), ("counts", 0), ("hook", 0), ("seen twice", 0),
    ("twice the same", 0), ("constant", 0),
])  # fmt: skip
def test_only_what_the_graph_tells_completely_is_fused(kind: str, count: int) -> None:
    before = torch.get_rng_state()
    assert calls(Odd(kind)) == count
    assert torch.equal(before, torch.get_rng_state())


def test_norms_of_the_models_take_relu_along() -> None:
    """All of ResNet-20 and VGG-11 but the shortcuts'."""
    assert calls(nets.models.build("resnet-20", (3, 32, 32))) == 19
    assert calls(nets.models.build("vgg-11", (3, 32, 32))) == 8
    assert fused(nets.models.build("conv-2", (1, 8, 8))) is None


# ---- which -----------------------------------------------------------------------------------------------------------


def test_what_can_be_sparse() -> None:
    assert convolutions(model("shared")) == ("stem", "a", "b")
    assert not eligible(nn.Conv2d(1, 1, 3, padding="same")) and not eligible(nn.Conv1d(1, 1, 3))
    conv = nets.models.build("conv-2", (1, 8, 8))
    assert available(conv, torch.device("cpu"), torch.float32) == ""
    assert isinstance(engine_of(Network(conv, nets.data.load("digits")).engine), ConvolutionalEngine)


def test_layers_that_keep_too_much_stay_dense() -> None:
    full, stem = np.ones((4, 64, 3, 3), bool), np.ones((16, 3, 3, 3), bool)
    assert worthwhile(full, 1.0) and not worthwhile(full, 0.3) and worthwhile(stem, 0.3)
    kept = np.arange(full.size).reshape(full.shape) % 3 == 0
    assert worthwhile(kept, 0.3) and not worthwhile(kept, 0.2)
    world = Network(model("smooth"), blobs(), recipe=HEAVY, prunable=ConvolutionsAndLinear(exclude=("0.weight",)))
    with (engine := ConvolutionalEngine(world.engine))._sparse(world.start(0).support):
        assert "forward" not in vars(world.engine.model.get_submodule("0")) and len(engine.known) == 2


def test_the_measurement_is_a_density_and_kept_with_the_run(tmp_path: Path) -> None:
    import json

    data, conv = nets.data.load("digits"), nets.models.build("conv-2", (1, 8, 8), width=0.1)
    assert 0 <= threshold("auto", lambda: Network(conv, data).engine, HEAVY, (1, 8, 8)) <= 1
    one = nets.prune(conv, data, "random", 0.9, HEAVY, out=tmp_path / "run", epochs=0.2, engine="auto")
    found = json.loads((tmp_path / "run" / "run.json").read_text())["engine"]
    assert found.startswith("auto:") and 0 <= float(found[5:]) <= 1
    again = nets.prune(conv, data, "random", 0.9, HEAVY, out=tmp_path / "run", epochs=0.2, engine="auto")
    assert again.accuracy == one.accuracy


def test_the_benchmark_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import json

    from benchmarks.__main__ import main

    assert main(["speed", "--convolutions", "--quick", "--out", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "16 -> 32 at 32 x 32, 1 x 1, stride 2" in shown and "A training step of ResNet-20" in shown
    found = json.loads((tmp_path / "convolutions.json").read_text())
    assert len(found["layers"]) == 8 and all(one["sparse"] > 0 for one in found["layers"] + found["steps"])
