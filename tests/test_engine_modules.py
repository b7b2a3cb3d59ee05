"""Engines on modules, numbers and batches that are not plain."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from nets.catalogue import METHODS
from nets.recipe import Recipe
from nets.training import Network
from sparsopt import support as sp
from sparsopt.method import run
from tests.engines import Odd, static
from tests.networks import ADAM, MOMENTUM, PLAIN, blobs, difference, module, network, plan_of


def test_buffers_that_are_none_not_persistent_or_replaced() -> None:
    model = Odd()
    world = Network(model, blobs(), recipe=MOMENTUM, chunk=3)
    result = run(static(10), world, world.start(0))
    assert result.state.slots["buffer.calls"].item() == 10 and "buffer.nothing" not in result.state.slots
    torch.testing.assert_close(result.state.slots["buffer.scale"], torch.full((6,), 0.99**10))
    trained: Any = world.module(result.state)
    assert trained.calls.item() == 10 and trained.nothing is None and model.calls.item() == 0
    whole = Network(Odd(), blobs(), recipe=MOMENTUM)
    whole.template.load_state_dict(model.state_dict())
    assert difference(run(static(10), whole, whole.start(0)).state, result.state) == ""


def test_a_parameter_without_gradient_only_decays() -> None:
    world = Network(Odd(), blobs(), recipe=PLAIN)
    before, after = world.start(0), run(static(10, PLAIN), world, world.start(0)).state
    (block,) = (b for name, b in zip(world.layout.names, world.layout.slices, strict=True) if name == "unused.weight")
    assert torch.equal(after.x[block], before.x[block]) and not torch.equal(after.x, before.x)


@pytest.mark.parametrize("recipe", [MOMENTUM, ADAM], ids=["momentum", "adam"])
def test_frozen_parameters_stay(recipe: Recipe) -> None:
    """`requires_grad=False`: neither pruned, nor trained, nor decayed, nor counted."""
    model = module("residual")
    model.get_submodule("grouped").requires_grad_(False)
    model.get_submodule("norm").requires_grad_(False)
    world = Network(model, blobs(), recipe=recipe)
    assert "grouped.weight" not in world.layout.names and len(world.layout.names) == 3
    trained = world.module(run(METHODS["gmp"](plan_of(world)), world, world.start(0)).state)
    for name, p in trained.named_parameters():
        frozen = name.startswith(("grouped", "norm"))
        assert torch.equal(p, model.get_parameter(name)) == frozen and p.requires_grad != frozen


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_types_of_number(dtype: torch.dtype) -> None:
    world = Network(module().to(dtype), blobs(), recipe=MOMENTUM, chunk=4)
    result = run(METHODS["rigl"](plan_of(world)), world, world.start(0))
    assert result.x.dtype == dtype and sp.count(result.support) == plan_of(world).k
    assert all(p.dtype == dtype for p in world.module(result.state).parameters())


def test_a_batch_above_the_number_of_samples_is_all_of_them() -> None:
    world = Network(module(), blobs(), recipe=Recipe(batch=1000))
    inputs, _ = world.batches_of(world.start(0), world.recipe).at(0)
    assert len(inputs) == 70
    assert math.isfinite(world.test(run(static(3, world.recipe), world, world.start(0)).state)[0])


def test_bfloat16_is_a_named_change_of_numbers() -> None:
    half = Recipe(0.05, precision="bfloat16", batch=16)
    worlds = [network(recipe=recipe) for recipe in (half, half, Recipe(0.05, batch=16))]
    a, b, c = (run(static(5, w.recipe), w, w.start(0)).state for w in worlds)
    assert difference(a, b) == "" and difference(a, c) != "" and a.x.dtype == torch.float32
