"""Channels against hand-counted ones, shrunk networks against masked ones, and structured methods in whole runs."""

from __future__ import annotations

import copy
import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st
from torch import Tensor, nn

import nets
from nets.catalogue import METHODS, Plan
from nets.recipe import SGD
from nets.structured import ByLayer, Channels, FilterNorms, Filters, Slimming, latency, shrink, trace
from nets.structured.scratch import BUDGETS, scratch
from nets.training import Network, Train
from nets.weights import Weights
from sparsopt import support as sp
from sparsopt.errors import DataError, InvalidInput
from sparsopt.method import Method, Phase, Stage, run
from sparsopt.moves import Stay
from sparsopt.state import Layout, State
from tests.conftest import scaled
from tests.networks import CLASSES, MOMENTUM, blobs, difference, module, states

HEAD = (nn.AdaptiveAvgPool2d(1), nn.Flatten())


def conv(before: int, after: int, groups: int = 1, bias: bool = False, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, stride, padding=1, groups=groups, bias=bias)


class Block(nn.Module):
    """A ResNet block: its own channels in the middle, the stage's at the end."""

    def __init__(self, before: int, after: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1, self.norm1 = conv(before, after, stride=stride), nn.BatchNorm2d(after)
        self.conv2, self.norm2 = conv(after, after), nn.BatchNorm2d(after)
        self.shortcut: nn.Module = nn.Identity()
        if before != after:
            self.shortcut = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))

    def forward(self, x: Tensor) -> Tensor:
        return (self.norm2(self.conv2(self.norm1(self.conv1(x)).relu())) + self.shortcut(x)).relu()


class Dense(nn.Module):
    """Concatenations, as in DenseNet; the norm after one sees both parts."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.norm = conv(1, 3, bias=True), conv(3, 5), nn.BatchNorm2d(8)
        self.three, self.head = conv(8, 4, bias=True), nn.Linear(4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        a = torch.relu(self.one(x))
        b = self.three(self.norm(torch.cat([a, self.two(a)], dim=1)))
        return self.head(torch.nn.functional.gelu(b).mean(dim=(2, 3)))


class Gated(nn.Module):
    """Squeeze and excitation: the sigmoid's channels stay, and so do those that it multiplies; the squeezed may go."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.squeeze, self.excite = conv(1, 4, bias=True), nn.Conv2d(4, 2, 1), nn.Conv2d(2, 4, 1)
        self.head = nn.Linear(4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        h = self.stem(x)
        gate = torch.sigmoid(self.excite(torch.relu(self.squeeze(h.mean((2, 3), keepdim=True)))))
        return self.head((h * gate).mean((2, 3)))


class Direct(nn.Module):
    """A weight that the forward pass also takes by itself: none of its rows and columns may go."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.own = conv(1, 4, bias=True), nn.Linear(144, 6)
        self.more, self.head = nn.Linear(6, 5), nn.Linear(5, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.nn.functional.max_pool2d(self.stem(x).relu(), 1)
        h = h.view(h.size(0), -1)
        return self.head(self.more(self.own(h).relu())) + self.own.weight.sum()


def pooled(*layers: nn.Module) -> Callable[[], nn.Module]:
    """Layers, the mean over places, and a linear head on the last convolution's channels."""
    *_, last = (layer for layer in nn.Sequential(*layers).modules() if isinstance(layer, nn.Conv2d))
    return lambda: copy.deepcopy(nn.Sequential(*layers, *HEAD, nn.Linear(last.out_channels, CLASSES)))


def flat(*layers: nn.Module) -> Callable[[], nn.Module]:
    return lambda: copy.deepcopy(nn.Sequential(nn.Flatten(), *layers))


ZOO: dict[str, tuple[Callable[[], nn.Module], int]] = {  # and how many channels may go, counted by hand
    "resnet": (pooled(conv(1, 4), nn.BatchNorm2d(4), nn.ReLU(), Block(4, 4), Block(4, 6, 2)), 4 + 4 + 6 + 6),
    "grouped": (pooled(conv(1, 6), nn.BatchNorm2d(6), conv(6, 4, 2, True), nn.ReLU()), 3 + 2),
    "depthwise": (pooled(conv(1, 4), conv(4, 8, 4, True), nn.BatchNorm2d(8), nn.ReLU6(), conv(8, 5)), 4 + 5),
    "dense": (Dense, 3 + 5 + 4),
    "flattened": (
        lambda: nn.Sequential(conv(1, 3, bias=True), nn.MaxPool2d(2), *flat(nn.Linear(27, 5), nn.Linear(5, 3))()),  # type: ignore[misc]
        3 + 5,
    ),
    "gated": (Gated, 2),
    "direct": (Direct, 5),
    "tied": (lambda: module("tied"), 8),
    "residual": (lambda: module("residual"), 2 + 4),
    "sigmoid": (flat(nn.Linear(36, 4), nn.Sigmoid(), nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)), 6),
    "normalised": (
        flat(nn.Linear(36, 4), nn.LayerNorm(4), nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 3)),
        6,
    ),
    "no affine": (pooled(conv(1, 4), nn.BatchNorm2d(4, affine=False), conv(4, 3)), 3),
}
every_module = pytest.mark.parametrize("name", ZOO)


def lived_in(name: str, seed: int = 0) -> nn.Module:
    """A module whose norms have seen data: nothing in it is a default."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = ZOO[name][0]()
        for layer in model.modules():
            getattr(layer, "reset_parameters", lambda: None)()
        for layer in model.modules():
            if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                assert layer.running_mean is not None and layer.running_var is not None
                layer.running_mean.normal_()
                layer.running_var.uniform_(0.5, 2)
                if layer.affine:
                    layer.weight.data.uniform_(0.5, 2)
                    layer.bias.data.normal_()
    return model.eval()


IMAGES = blobs().test_images


def without(model: nn.Module, gone: Any) -> tuple[nn.Module, dict[str, Tensor]]:
    """The masks of a choice of channels, and the model with them applied. gone(count) -> channels to remove."""
    rule = Channels().found(model, IMAGES)
    weights = Weights(model, rule)
    labels = rule.structure(weights.layout).units(weights.layout.n)
    keep = torch.from_numpy(~np.isin(labels, list(gone(int(labels.max()) + 1))))
    masks, masked = dict(weights.blocks(keep)), copy.deepcopy(model)
    with torch.no_grad():
        for block, mask in masks.items():
            masked.get_parameter(block).mul_(mask)
    return masked, masks


# ---- which channels there are --------------------------------------------------------------------------------------


@every_module
def test_channels_are_those_counted_by_hand(name: str) -> None:
    assert trace(lived_in(name), IMAGES).count == ZOO[name][1]


@every_module
@given(st.data())
@profile(max_examples=scaled(10))
def test_shrunk_networks_say_what_masked_ones_say(name: str, data: Any) -> None:
    """Any channels of any module: outputs, parameters that really went, and a plain module that trains on."""
    model = lived_in(name)
    gone = data.draw(st.sets(st.integers(0, ZOO[name][1] - 1)))
    masked, masks = without(model, lambda count: gone)
    original = copy.deepcopy(model.state_dict())
    small = shrink(model, masks, IMAGES, repeats=0)
    with torch.no_grad():
        torch.testing.assert_close(small.model(IMAGES), masked(IMAGES), rtol=1e-5, atol=1e-5)
    assert all(torch.equal(model.state_dict()[key], value) for key, value in original.items())
    assert (small.parameters[1] < small.parameters[0]) == (small.channels[1] < small.channels[0])
    assert small.channels[0] - small.channels[1] <= len(gone) and small.flops[1] <= small.flops[0]
    layers = [type(layer) for layer in small.model.modules()]
    assert layers == [type(layer) for layer in model.modules()]
    small.model.train()
    small.model(IMAGES).square().sum().backward()
    reloaded = copy.deepcopy(small.model)
    reloaded.load_state_dict(small.model.state_dict(), strict=True)


@every_module
def test_every_channel_alone_takes_something_with_it(name: str) -> None:
    """Where a layer keeps others: one channel less, exactly."""
    model = lived_in(name)
    for channel in range(ZOO[name][1]):
        _, masks = without(model, lambda count, c=channel: {c})
        small = shrink(model, masks, IMAGES, repeats=0)
        assert small.channels == (ZOO[name][1], ZOO[name][1] - 1) and small.parameters[1] < small.parameters[0]


def test_layers_keep_one_channel() -> None:
    """All masked: the network is a constant, and still one."""
    model = lived_in("resnet")
    masked, masks = without(model, range)
    small = shrink(model, masks, IMAGES, repeats=0)
    assert small.channels == (20, 4) and torch.allclose(small.model(IMAGES), masked(IMAGES), atol=1e-6)


def test_sizes_of_a_shrunk_network_by_hand() -> None:
    model = lived_in("depthwise")
    _, masks = without(model, lambda count: {0, 2, 3, 4})  # three of the four depthwise channels, one of the last five
    small: Any = shrink(model, masks, IMAGES, repeats=0).model
    assert (small[0].out_channels, small[1].in_channels, small[1].out_channels, small[1].groups) == (1, 1, 2, 1)
    assert (small[2].num_features, small[4].in_channels, small[4].out_channels) == (2, 2, 4)
    assert tuple(small[4].weight.shape) == (4, 2, 3, 3) and small[-1].in_features == 4


def test_half_a_channel_stays() -> None:
    """A filter without weights whose norm still has a shift is not zero behind it."""
    model = lived_in("resnet")
    _, masks = without(model, lambda count: {0, 1})
    partial = {name: mask for name, mask in masks.items() if "1.bias" not in name}
    assert shrink(model, partial, IMAGES, repeats=0).channels[1] > shrink(model, masks, IMAGES, repeats=0).channels[1]


def test_models_of_the_house() -> None:
    """ResNet-20: 448 channels are 3 stages' and 9 blocks'; the transformer's hidden units."""
    for name, shape, count in (("resnet-20", (3, 32, 32), 448), ("transformer-small", (1, 28, 28), 512)):
        model = nets.models.build(name, shape, 10).eval()
        images = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
        rule = Channels().found(model, shape)
        weights = Weights(model, rule)
        labels = rule.structure(weights.layout).units(weights.layout.n)
        assert labels.max() + 1 == trace(model, images).count == count
        masks = dict(weights.blocks(torch.from_numpy(labels % 2 == 0)))
        small = shrink(model, masks, images, repeats=1)
        assert small.channels == (count, count // 2) and small.error < 1e-4 and min(small.seconds) > 0
        assert small.flops[1] < 0.75 * small.flops[0] and "->" in str(small)


def test_what_cannot_be_traced_or_pruned() -> None:
    class Branching(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(InvalidInput, match="Branching cannot be traced"):
        trace(Branching(), IMAGES)
    with pytest.raises(InvalidInput, match="Attention has no channel"):
        Channels().found(module("attention"), IMAGES)
    with pytest.raises(InvalidInput, match="must see the whole module"):
        Weights(module("residual"), Channels())
    frozen = lived_in("depthwise")
    frozen.get_parameter("4.weight").requires_grad_(False)
    assert trace(frozen, IMAGES).count == 4


def test_outputs_that_differ_are_not_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    import nets.structured.shrinking as shrinking

    monkeypatch.setattr(shrinking, "_resize", lambda layer, before: setattr(layer, "eps", 0.5))
    with pytest.raises(DataError, match="other outputs"):
        shrink(lived_in("resnet"), {}, IMAGES)


def test_latency_is_measured() -> None:
    class Slow(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            for _ in range(300):
                x = x + 1
            return x

    fast, slow = latency((nn.Identity(), Slow()), IMAGES, 3)
    assert 0 < fast < slow


def test_exclude_and_scaled() -> None:
    model = lived_in("resnet")
    whole = Channels().found(model, IMAGES)
    some = Channels(exclude=("0.weight",)).found(model, IMAGES)
    assert {cut.name for cut in whole.making} - {cut.name for cut in some.making} >= {"0.weight", "1.weight", "1.bias"}
    assert max(max(cut.channels) for cut in some.making) == max(max(cut.channels) for cut in whole.making)
    scaled_only = Channels(scaled=True).found(lived_in("depthwise"), IMAGES)
    assert {cut.name for cut in scaled_only.making} == {"0.weight", "1.weight", "1.bias", "2.weight", "2.bias"}


# ---- structures and scores -----------------------------------------------------------------------------------------


@given(st.integers(0, 2**31))
@profile(max_examples=scaled(50))
def test_filters_by_brute_force(seed: int) -> None:
    """Global: k largest norms. By layer: shares exact in all, none off by one or more, the best of each layer."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 6, 3)
    starts = np.cumsum([0, *sizes])
    rows = [tuple(range(a, b)) for a, b in itertools.pairwise(starts.tolist())]
    widths = rng.integers(1, 4, 3)
    layers = tuple(np.repeat(range(3), sizes).tolist())
    filters = Filters((*rows, rows[0]), (*widths.tolist(), 1), layers)
    n, groups = int(sizes @ widths + sizes[0]), int(sizes.sum())
    layout, score, k = Layout.single(n), rng.random(n), int(rng.integers(0, groups + 1))
    labels = filters.units(n)
    norms = [np.linalg.norm(score[labels == g]) for g in range(groups)]
    best = set(sorted(range(groups), key=lambda g: -norms[g])[:k])
    assert set(labels[filters(score, k, layout)]) == best and filters.size(filters(score, k, layout)) == k
    assert filters(score, k, layout).sum() <= filters.most(k)
    chosen = ByLayer(filters)(score, k, layout)
    kept = set(labels[chosen].tolist())
    assert len(kept) == k == filters.size(chosen) and (np.isin(labels, list(kept)) == chosen).all()
    for row in rows:
        mine = [g for g in row if g in kept]
        assert abs(len(mine) - k * len(row) / groups) < 1
        assert set(mine) == set(sorted(row, key=lambda g: -norms[g])[: len(mine)])
    torch_chosen = ByLayer(filters)(torch.from_numpy(score), k, layout)
    assert (torch_chosen.numpy() == chosen).all()
    within = np.isin(labels, list(kept))
    fewer = ByLayer(filters)(score, k // 2, layout, within)
    assert filters.size(fewer) == k // 2 and not (fewer & ~within).any()


def test_norms_of_filters() -> None:
    """|filter|_1 and |filter|_2 of Li et al. and He et al.; biases and norms have no say."""
    layout = Layout(("w", "b"), ((2, 3), (2,)))
    x = np.array([3.0, -4.0, 0.0, 2.0, 2.0, 2.5, 100.0, -100.0])
    filters = Filters(((0, 1), (0, 1)), (3, 1), (0, 0))
    for power, winner in ((1.0, 0), (2.0, 0)):
        f = type("F", (), {"layout": layout})
        score = FilterNorms(power)(f, State(x, x != 0))
        norms = sp.group_norms(score, filters.units(8))
        assert np.allclose(norms**2, [(abs(x[:3]) ** power).sum(), (abs(x[3:6]) ** power).sum()])
        assert filters(score, 1, layout)[winner * 3]


# ---- runs ----------------------------------------------------------------------------------------------------------

STRUCTURED = ("l1-filters", "network-slimming", "soft-filter-pruning", "thinet", "early-bird-channels")


@pytest.mark.parametrize("method", STRUCTURED)
@pytest.mark.parametrize("name", ["resnet", "dense", "depthwise"])
@pytest.mark.parametrize("sparsity", [0.25, 0.5])
def test_a_run_removes_channels_exactly_and_shrinks(method: str, name: str, sparsity: float) -> None:
    """Whole channels, as many as asked for, weights that stay zero under momentum, the same outputs when shrunk."""
    model = lived_in(name)
    outcome = nets.prune(model, blobs(), method, sparsity, MOMENTUM, epochs=2)
    rule = METHODS[method].prunable.found(model, IMAGES)  # type: ignore[attr-defined]
    channels = int(rule.structure(Weights(model, rule).layout).units(0).max()) + 1
    kept = round((1 - sparsity) * channels)
    assert outcome.prunable == channels and outcome.sparsity == pytest.approx(1 - kept / channels)
    assert f"({kept} of {channels} prunable channels kept)" in str(outcome)
    small = shrink(outcome.model, outcome.masks, IMAGES, repeats=0)
    assert small.channels[0] - small.channels[1] >= channels - kept - 2  # a layer keeps its last
    right = (small.model.eval()(IMAGES).argmax(1) == blobs().test_labels).double().mean().item()
    assert right == pytest.approx(outcome.accuracy)


@pytest.mark.parametrize("method", STRUCTURED)
def test_structured_runs_resume_from_every_state(method: str) -> None:
    model = lived_in("resnet")
    rule = METHODS[method].prunable.found(model, IMAGES)  # type: ignore[attr-defined]
    world = Network(model, blobs(), prunable=rule, recipe=MOMENTUM, chunk=3)
    structure = rule.structure(world.layout)
    plan = Plan(world.layout, 11, 10, MOMENTUM, structure)
    result, seen = states(METHODS[method](plan), world)
    assert structure.size(result.support) == 11 and not result.x[~result.support].any()
    for state in seen[::2]:
        again = run(METHODS[method](plan), Network(model, blobs(), prunable=rule, recipe=MOMENTUM), state)
        assert difference(again.state, result.state) == ""


def test_soft_pruning_lets_filters_come_back() -> None:
    """Every cut sets whole filters to zero, and some that were zero are in a later choice."""
    model = lived_in("resnet")
    rule = Channels().found(model, IMAGES)
    world = Network(model, blobs(), prunable=rule, recipe=MOMENTUM)
    plan = Plan(world.layout, 16, 200, MOMENTUM, rule.structure(world.layout))
    _, seen = states(METHODS["soft-filter-pruning"](plan), world)
    cuts = [state for state in seen if not state.support.all() and state.inner == 0]
    assert len(cuts) == 20 and all(plan.structure.size(s.support) == 16 for s in cuts)  # type: ignore[attr-defined]
    for state in cuts:
        off = dict(world.weights.blocks(~state.support))
        for name, w in world.weights.blocks(state.x):
            assert not w[off[name]].any() or (w.dim() == 1 and state is not cuts[-1])
    assert any((new.support & ~old.support).any() for old, new in itertools.pairwise(cuts))


def test_slimming_presses_scales_alone() -> None:
    layout = Layout(("conv.weight", "norm.weight", "norm.bias"), ((2, 2), (2,), (2,)))
    gate, v = Slimming(layout, 0.1), torch.tensor([1.0, -1, 1, 1, 2, -3, 1, 1])
    g = torch.zeros(8)
    gate.gradient(g, v, gate.context(State(v, v != 0)))
    assert torch.allclose(g, torch.tensor([0.0, 0, 0, 0, 0.1, -0.1, 0, 0]))


def test_controls_of_channels() -> None:
    for control in ("reinit", "inverted"):
        outcome = nets.prune(lived_in("resnet"), blobs(), f"l1-filters+{control}", 0.5, MOMENTUM, epochs=1)
        assert outcome.sparsity == 0.5 and outcome.unit == "channels"
    with pytest.raises(InvalidInput, match=r"\+shuffle.*single weights"):
        nets.prune(lived_in("resnet"), blobs(), "l1-filters+shuffle", 0.5, MOMENTUM, epochs=1)
    with pytest.raises(InvalidInput, match="would keep no channel of 20"):
        nets.prune(lived_in("resnet"), blobs(), "l1-filters", 0.99, MOMENTUM, epochs=1)


def test_other_methods_prune_the_weights_of_channels_one_by_one() -> None:
    outcome = nets.prune(lived_in("resnet"), blobs(), "magnitude-at-init", 0.5, MOMENTUM, epochs=1, prunable=Channels())
    assert outcome.unit == "weights" and "1.weight" in outcome.masks
    assert sum(int(m.sum()) for m in outcome.masks.values()) == round(0.5 * outcome.prunable)


# ---- early-bird tickets ----------------------------------------------------------------------------------------------


def test_an_early_bird_s_ticket_is_a_smaller_network_and_trains_alike() -> None:
    """Drawn once the channels have settled, counted as channels; shrunk it has the same outputs, and after the same
    steps on the same batches still."""
    model, data = lived_in("resnet"), blobs()
    rule = Channels(scaled=True).found(model, IMAGES)
    world = Network(model, data, prunable=rule, recipe=MOMENTUM)
    structure = rule.structure(world.layout)
    method = METHODS["early-bird-channels"](Plan(world.layout, 10, 200, MOMENTUM, structure))
    result, seen = states(method, world)
    looks = [state for state in seen if state.stage == 0 and state.phase == 0 and not state.support.all()]
    drawn = next(state for state in seen if state.stage == 1)
    assert drawn.ended == "SUPPORT_STABLE" and len(looks) < 40 and "recent" not in drawn.slots
    last = [np.unique(structure.units(world.layout.n)[state.support.numpy()]) for state in (*looks, drawn)][-5:]
    assert all(len(set(one) ^ set(last[-1])) <= 0.1 * 20 and len(one) == 10 for one in last)

    masks = dict(world.weights.blocks(drawn.support))
    ticket = world.module(drawn)
    small = shrink(ticket, masks, IMAGES, repeats=0)
    still = dataclasses.replace(MOMENTUM, optimiser=SGD(0.9, weight_decay=0.0))
    on = Method("on", (Stage((Phase(Stay(), Train(12, still)),)),))
    masked = run(on, world, world.start(0).but(x=drawn.x * drawn.support, support=drawn.support, slots={
        name: array for name, array in drawn.slots.items() if not name.startswith("momentum")
    }))  # fmt: skip
    shrunken = Network(small.model, data, recipe=still)
    alone = run(on, shrunken, shrunken.start(0))
    with torch.no_grad():
        one, two = (net.module(found.state).eval()(IMAGES) for net, found in ((world, masked), (shrunken, alone)))
    torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-3)
    assert structure.size(result.support) == 10 and small.parameters[1] < 0.6 * small.parameters[0]


# ---- from scratch --------------------------------------------------------------------------------------------------


def test_scratch_training_has_the_same_epochs_or_the_same_operations() -> None:
    """Liu et al.'s code: int(epochs * flops before / flops after). Weights are fresh, and a function of the seed."""
    model = lived_in("resnet")
    _, masks = without(model, lambda count: range(0, count, 2))
    small = shrink(model, masks, IMAGES, repeats=0)
    data = blobs()
    same: dict[str, Any] = {"recipe": MOMENTUM}
    short, long = (scratch(small, data, 4, budget, **same) for budget in BUDGETS)
    per_epoch = len(data.labels) // MOMENTUM.batch
    assert short.cost["steps"] == 4 * per_epoch and short.sparsity == 0
    assert long.cost["steps"] == round(4 * small.flops[0] / small.flops[1] * per_epoch) > short.cost["steps"]
    shapes = {name: p.shape for name, p in small.model.named_parameters()}
    assert {name: p.shape for name, p in short.model.named_parameters()} == shapes
    still = dataclasses.replace(MOMENTUM, learning_rate=0.0)
    one, again, other = (scratch(small, data, 1, seed=seed, recipe=still).model for seed in (0, 0, 1))
    weights = [dict(m.named_parameters())["0.weight"] for m in (one, again, other, small.model)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2]) and not torch.equal(weights[0], weights[3])
    with pytest.raises(InvalidInput, match="budget of scratch training"):
        scratch(small, data, 1, "equal")


# ---- one shot ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", ["global", "uniform", "erk"])
def test_one_shot_is_a_dense_training_cut_once(scope: str) -> None:
    data = blobs()
    dense = nets.prune(module("residual"), data, "dense", 0.0, MOMENTUM, epochs=2)
    cut = nets.prune(module("residual"), data, "one-shot-magnitude", 0.6, MOMENTUM, epochs=2, settings={"scope": scope})
    every = torch.cat([dense.model.get_parameter(n).detach().flatten().abs() for n in cut.masks])
    for name, mask in cut.masks.items():
        w = dense.model.get_parameter(name).detach()
        assert torch.equal(cut.model.get_parameter(name), w * mask)
        if scope == "global":
            assert torch.equal(mask, w.abs() >= every.sort(descending=True).values[round(0.4 * len(every)) - 1])


def test_two_of_four() -> None:
    outcome = nets.prune(
        module("dropout"), blobs(), "one-shot-magnitude", 0.9, MOMENTUM, epochs=1, settings={"pattern": "2:4"}
    )
    for mask in outcome.masks.values():
        assert (mask.reshape(-1, 4).sum(1) == 2).all()
    assert outcome.sparsity == 0.5
    with pytest.raises(InvalidInput, match="give n:m, such as 2:4"):
        METHODS["one-shot-magnitude"](Plan(Layout.single(8), 4, 10), pattern="half")  # type: ignore[call-arg]
