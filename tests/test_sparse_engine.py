"""The sparse engine is the dense one up to rounding, for every recipe it takes, and leaves the others alone."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import nets
from nets.gates import Masked
from nets.recipe import SGD, Adam, Cosine, Recipe
from nets.sparse import available, crossing, threshold, trains
from nets.sparse.perceptron import linear_layers
from nets.sparse.rows import Rows
from nets.training import Network
from nets.weights import ConvolutionsAndLinear
from sparsopt import support as sp
from sparsopt.errors import CheckpointError, InvalidInput, MissingCapability
from sparsopt.method import run
from tests.conftest import scaled
from tests.networks import blobs, difference, states

pytest.importorskip("numba")

HEAVY = Recipe(0.1, optimiser=SGD(0.9, weight_decay=1e-2), batch=20, label_smoothing=0.1)
RECIPES = (
    HEAVY,
    dataclasses.replace(HEAVY, optimiser=SGD(0.9, nesterov=True, weight_decay=1e-3), schedule=Cosine()),
    dataclasses.replace(HEAVY, optimiser=SGD(0.0, weight_decay=0.0), label_smoothing=0.0, batch=7),
)


def perceptron(*widths: int, bias: bool = True, seed: int = 0) -> nn.Module:
    """Flatten, linear layers with ReLU; weights from the seed."""
    layers: list[nn.Module] = [nn.Flatten()]
    for i, (a, b) in enumerate(itertools.pairwise(widths)):
        layers += [nn.ReLU()] * (i > 0) + [nn.Linear(a, b, bias=bias)]
    model, generator = nn.Sequential(*layers), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape, generator=generator) / p.shape[-1] ** 0.5)
    return model


def worlds(model: nn.Module, recipe: Recipe, **options: Any) -> tuple[Network, Network]:
    return tuple(Network(model, blobs(), recipe=recipe, engine=name, **options) for name in ("dense", "sparse"))  # type: ignore[return-value]


SIZE = blobs().images[0].numel()


# ---- the same steps ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", RECIPES, ids=["momentum", "nesterov", "plain"])
@given(st.floats(0, 1), st.integers(0, 99), st.booleans(), st.lists(st.integers(1, 12), max_size=2))
@settings(max_examples=scaled(15))
def test_steps_are_those_of_the_dense_engine(
    recipe: Recipe, density: float, seed: int, bias: bool, hidden: list[int]
) -> None:
    """Weights, biases and momentum after a few steps, twice over: the memory goes in and out, too."""
    dense, sparse = worlds(perceptron(SIZE, *hidden, blobs().classes, bias=bias, seed=seed), recipe)
    state = dense.start(seed)
    state = Masked().enter(state.but(support=sp.uniform((seed, 1), state.x) < density))
    one = two = state
    for steps in (4, 3):
        one, two = (world.train(s, recipe, Masked(), steps, 10) for world, s in ((dense, one), (sparse, two)))
    assert set(one.slots) == set(two.slots) and (one.clock, one.cost, one.inner) == (two.clock, two.cost, two.inner)
    for a, b in ((one.x, two.x), *((one.slots[name], two.slots[name]) for name in one.slots)):
        assert a.dtype == b.dtype and a.shape == b.shape
        assert torch.allclose(a, b, atol=2e-6, rtol=2e-5)
    assert not two.x[~two.support].any()


@pytest.mark.parametrize("batch", [16, 40, 64, 100, 128, 129, 300])
def test_samples_come_in_blocks(batch: int) -> None:
    """Batches that fill a block, several, or leave lanes over, and what they say of test samples in another number."""
    data, model = blobs(310, 131), perceptron(SIZE, 9, 5, blobs().classes)
    recipe = dataclasses.replace(HEAVY, batch=batch)
    dense, sparse = (Network(model, data, recipe=recipe, engine=name) for name in ("dense", "sparse"))
    state = dense.start(0)
    state = Masked().enter(state.but(support=sp.uniform((1,), state.x) < 0.4))
    one, two = (world.train(state, recipe, Masked(), 5, 5) for world in (dense, sparse))
    assert torch.allclose(one.x, two.x, atol=2e-6) and torch.allclose(one.slots["rest"], two.slots["rest"], atol=2e-6)
    assert not torch.equal(one.x, state.x) and two.x[~two.support].count_nonzero() == 0
    judged = Network(model, data, recipe=recipe, engine="auto:skipping:1").test(two)
    assert judged == pytest.approx(dense.test(two), rel=1e-5)


def test_a_layer_that_is_not_pruned_trains_densely() -> None:
    model = perceptron(SIZE, 9, blobs().classes)
    dense, sparse = worlds(model, HEAVY, prunable=ConvolutionsAndLinear(exclude=("3.weight",)))
    state = dense.start(0)
    state = Masked().enter(state.but(support=sp.top(state.x.abs(), 20)))
    one, two = (world.train(state, HEAVY, Masked(), 6, 6) for world in (dense, sparse))
    assert torch.allclose(one.x, two.x, atol=1e-6) and torch.allclose(one.slots["rest"], two.slots["rest"], atol=1e-6)


def test_every_fixed_mask_phase_of_a_method_uses_it() -> None:
    """Dense and sparse IMP agree on the mask of each round as long as rounding does not change an order."""
    import nets.catalogue

    plan = nets.Plan(worlds(perceptron(SIZE, 8, blobs().classes), HEAVY)[0].layout, 20, 12, HEAVY)
    method = nets.catalogue.METHODS["imp"](plan)
    results = [run(method, world, world.start(0)) for world in worlds(perceptron(SIZE, 8, blobs().classes), HEAVY)]
    assert torch.equal(results[0].support, results[1].support)
    assert torch.allclose(results[0].x, results[1].x, atol=1e-5) and not torch.equal(results[0].x, results[1].x)


def test_a_run_in_chunks_is_a_run() -> None:
    import nets.catalogue

    def world(chunk: int | None) -> Network:
        return Network(perceptron(SIZE, 8, blobs().classes), blobs(), recipe=HEAVY, engine="sparse", chunk=chunk)

    method = nets.catalogue.METHODS["rigl"](nets.Plan(world(None).layout, 20, 25, HEAVY))
    expected = run(method, world(None), world(None).start(0))
    result, seen = states(method, world(4))
    assert difference(result.state, expected.state) == ""
    for state in seen[:: max(1, len(seen) // 5)]:
        assert difference(run(method, world(3), state).state, expected.state) == ""


@given(st.lists(st.integers(1, 9), min_size=2, max_size=5), st.floats(0, 1), st.integers(0, 99))
def test_rows_and_units_list_the_same_weights(widths: list[int], density: float, seed: int) -> None:
    generator = np.random.default_rng(seed)
    masks = [generator.random((b, a)) < density for a, b in itertools.pairwise(widths)]
    rows = Rows.of(masks)
    by_row = {(r, int(rows.cols[p])) for r in range(len(rows.ptr) - 1) for p in range(rows.ptr[r], rows.ptr[r + 1])}
    by_unit = {(int(rows.rows[p]), u) for u in range(rows.units) for p in range(rows.starts[u], rows.starts[u + 1])}
    expected, r0, u0 = set(), 0, 0
    for mask in masks:
        expected |= {(r0 + int(r), u0 + int(c)) for r, c in zip(*np.nonzero(mask), strict=True)}
        r0, u0 = r0 + mask.shape[0], u0 + mask.shape[1]
    assert by_row == by_unit == expected
    assert all(
        rows.cols[rows.places[p]] == u for u in range(rows.units) for p in range(rows.starts[u], rows.starts[u + 1])
    )


# ---- what it takes, and what it leaves -----------------------------------------------------------------------------


class Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 3), nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(torch.relu(self.a(x.flatten(1))))


class Twice(Functional):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(torch.relu(self.a(x)) + torch.relu(self.a(-x)))


class Branching(Functional):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(torch.relu(self.a(x))) if x.sum() > 0 else self.b(x)


@pytest.mark.parametrize("model, layers", [
    (nets.models.build("lenet-300-100"), ("linear1", "linear2", "head")),
    (Functional(), ("a", "b")),
    (nn.Sequential(nn.Linear(4, 3), nn.Identity(), nn.ReLU(), nn.Linear(3, 2)), ("0", "3")),
    (nn.Linear(4, 3), ()),
    (Twice(), ()),
    (Branching(), ()),
    (nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2)), ()),
    (nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)), ()),
    (nn.Sequential(nn.Linear(4, 3), nn.Dropout(), nn.ReLU(), nn.Linear(3, 2)), ()),
    (nn.Sequential(nn.Linear(4, 3), nn.ReLU()), ()),
    (nn.Sequential(nn.ReLU(), nn.Linear(4, 3)), ()),
    (nets.models.build("conv-2"), ()),
])  # fmt: skip
def test_perceptrons_are_recognised(model: nn.Module, layers: tuple[str, ...]) -> None:
    assert linear_layers(model) == layers


def test_what_it_cannot_train_goes_to_the_dense_engine() -> None:
    assert trains(HEAVY, Masked())
    for other in (dataclasses.replace(HEAVY, optimiser=Adam()), dataclasses.replace(HEAVY, precision="bfloat16")):
        assert not trains(other, Masked())
    dense, sparse = worlds(perceptron(SIZE, 8, blobs().classes), dataclasses.replace(HEAVY, optimiser=Adam()))
    state = dense.start(0)
    one, two = (world.train(state, world.recipe, Masked(), 3, 3) for world in (dense, sparse))
    assert difference(one, two) == ""


def test_engines_have_names() -> None:
    world = worlds(perceptron(SIZE, 8, blobs().classes), HEAVY)[0]

    def build() -> Any:
        return world.engine

    assert threshold("dense", build, HEAVY) < 0 and threshold("sparse", build, HEAVY) == 1.0
    assert threshold("auto:0.25", build, HEAVY) == 0.25
    with pytest.raises(InvalidInput, match="known are dense, explicit, skipping, sparse, auto"):
        threshold("fast", build, HEAVY)
    attention = Network(nets.models.build("transformer-small", (1, 8, 8)), nets.data.load("digits"))
    assert "something else" in available(attention.template, torch.device("cpu"), torch.float32)
    assert threshold("auto", lambda: attention.engine, HEAVY) < 0
    with pytest.raises(MissingCapability, match="linear layers with ReLU"):
        Network(nets.models.build("transformer-small", (1, 8, 8)), nets.data.load("digits"), engine="sparse")
    assert "float32" in available(world.template, torch.device("cpu"), torch.float64)


def test_a_measured_choice_is_kept_with_the_run(tmp_path: Path) -> None:
    """Another measurement would train other phases sparsely, and a resumed run would end elsewhere."""
    import json

    data, model = nets.data.load("digits"), nets.models.build("lenet-300-100", (1, 8, 8))

    def prune(engine: str) -> Any:
        return nets.prune(model, data, "random", 0.9, HEAVY, out=tmp_path / "run", epochs=0.2, engine=engine)

    one = prune("auto")
    found = json.loads((tmp_path / "run" / "run.json").read_text())["engine"]
    assert found.startswith("auto:") and 0 <= float(found[5:]) <= 1
    path = tmp_path / "run" / "run.json"
    other = "auto:0" if found != "auto:0" else "auto:1"
    assert prune("auto").accuracy == one.accuracy
    with pytest.raises(CheckpointError, match="engine"):
        prune(other)
    assert json.loads(path.read_text())["engine"] == found


def test_the_measurement_is_a_density() -> None:
    world = worlds(perceptron(SIZE, 30, blobs().classes), HEAVY)[0]
    before = world.engine.theta.detach().clone()
    assert 0.0 <= crossing(world.engine, HEAVY) <= 1.0
    assert before.shape == world.engine.theta.shape
