"""Channels against hand-counted ones, and shrunk networks against masked ones."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st
from torch import Tensor, nn

import nets
from nets.structured import Channels, latency, shrink, trace
from nets.structured.scratch import BUDGETS, scratch
from nets.weights import Weights
from sparsopt.errors import DataError, InvalidInput
from tests.channels import IMAGES, ZOO, every_module, lived_in, without
from tests.conftest import scaled
from tests.networks import MOMENTUM, blobs, module


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
