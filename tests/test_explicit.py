"""The explicit engine is the dense one up to rounding: every gate and optimiser, any perceptron."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import nets
from nets.catalogue import METHODS
from nets.engine import Engine
from nets.explicit import ExplicitEngine, product
from nets.gates import CompressionAware, Gate, Masked, StraightThrough
from nets.recipe import SGD, Adam, Cosine, Recipe
from nets.training import Network
from nets.weights import ConvolutionsAndLinear
from sparsopt import support as sp
from sparsopt.errors import MissingCapability
from sparsopt.method import run
from tests.conftest import scaled
from tests.networks import blobs, difference, states
from tests.test_sparse_engine import SIZE, perceptron

HEAVY = Recipe(0.1, optimiser=SGD(0.9, weight_decay=1e-2), batch=20, label_smoothing=0.1)
RECIPES = (
    HEAVY,
    dataclasses.replace(HEAVY, optimiser=SGD(0.9, nesterov=True, weight_decay=1e-3), schedule=Cosine()),
    dataclasses.replace(HEAVY, optimiser=Adam(weight_decay=1e-3), learning_rate=1e-3),
    dataclasses.replace(HEAVY, optimiser=SGD(0.0, weight_decay=0.0), label_smoothing=0.0, batch=7),
)
GATES = (Masked(), StraightThrough(), CompressionAware(10), Gate())


@pytest.mark.parametrize("recipe", RECIPES, ids=["momentum", "nesterov", "adam", "plain"])
@given(st.floats(0, 1), st.integers(0, 99), st.booleans(), st.sampled_from(GATES), st.lists(st.integers(1, 12)))
@settings(max_examples=scaled(15))
def test_steps_are_those_of_the_dense_engine(
    recipe: Recipe, density: float, seed: int, bias: bool, gate: Gate, hidden: list[int]
) -> None:
    """Weights, biases and momentum after a few steps, twice over, and the loss there."""
    model = perceptron(SIZE, *hidden[:2], 6, blobs().classes, bias=bias, seed=seed)
    dense, explicit = (Network(model, blobs(), recipe=recipe, engine=name) for name in ("dense", "explicit"))
    assert isinstance(explicit.open().engine, ExplicitEngine) and not isinstance(dense.engine, ExplicitEngine)
    state = dense.start(seed)
    one = two = gate.enter(state.but(support=sp.uniform((seed, 1), state.x) < density))
    for steps in (4, 3):
        one, two = (world.train(s, recipe, gate, steps, 10) for world, s in ((dense, one), (explicit, two)))
    assert set(one.slots) == set(two.slots) and (one.clock, one.cost) == (two.clock, two.cost)
    tolerance = 1e-4 if isinstance(recipe.optimiser, Adam) else 2e-6  # Adam divides by what may be rounding
    for a, b in ((one.x, two.x), *((one.slots[name], two.slots[name]) for name in one.slots)):
        assert torch.allclose(a, b, atol=tolerance, rtol=2e-5)
    assert dense.test(one) == pytest.approx(explicit.test(one), rel=1e-5)


def test_a_run_in_chunks_is_a_run() -> None:
    """Bit for bit, wherever it was interrupted: weights that move as their gradients come remember nothing else."""

    def world(chunk: int | None) -> Network:
        return Network(perceptron(SIZE, 8, 3), blobs(), recipe=HEAVY, engine="explicit", chunk=chunk)

    method = METHODS["rigl"](nets.Plan(world(None).layout, 20, 25, HEAVY))
    expected = run(method, world(None), world(None).start(0))
    result, seen = states(method, world(4))
    assert difference(result.state, expected.state) == ""
    for state in seen[:: max(1, len(seen) // 5)]:
        assert difference(run(method, world(3), state).state, expected.state) == ""


@pytest.mark.parametrize("recipe", [RECIPES[0], RECIPES[1], RECIPES[3]], ids=["momentum", "nesterov", "plain"])
def test_a_weight_that_moves_at_once_moves_as_with_all_others(recipe: Recipe) -> None:
    """The short way under masks and the one for any gate, with a layer that is not pruned and large enough products."""
    data, model = blobs(300, 10), perceptron(SIZE, 200, 60, 3)
    recipe = dataclasses.replace(recipe, batch=290)
    world = Network(
        model, data, recipe=recipe, engine="explicit", prunable=ConvolutionsAndLinear(exclude=("3.weight",))
    )
    state = world.start(0)
    state = Masked().enter(state.but(support=sp.top(state.x.abs(), 900)))
    one = world.train(state, recipe, Masked(), 5, 5)
    two = Engine.train(world.engine, state, recipe, Masked(), world.batches_of(state, recipe), 5, 5)
    assert set(one.slots) == set(two.slots) and not torch.equal(one.x, state.x)
    for a, b in ((one.x, two.x), *((one.slots[name], two.slots[name]) for name in one.slots)):
        assert torch.allclose(a, b, atol=2e-6, rtol=2e-5)


def test_nothing_is_lost_in_half_precision() -> None:
    """Autocast is autograd's business: bit for bit the dense engine's."""
    recipe = dataclasses.replace(HEAVY, precision="bfloat16")
    worlds = [Network(perceptron(SIZE, 6, 3), blobs(), recipe=recipe, engine=name) for name in ("dense", "explicit")]
    one, two = (world.train(world.start(0), recipe, Masked(), 3, 3) for world in worlds)
    assert difference(one, two) == ""


def test_it_says_what_it_cannot_train() -> None:
    with pytest.raises(MissingCapability, match="linear layers with ReLU"):
        Network(nets.models.build("conv-2", (1, 8, 8)), nets.data.load("digits"), engine="explicit")
    network = Network(nets.models.build("conv-2", (1, 8, 8)), nets.data.load("digits"), engine="auto")
    assert not isinstance(network.engine, ExplicitEngine)
    assert isinstance(Network(perceptron(SIZE, 6, 3), blobs(), engine="auto").engine, ExplicitEngine)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.booleans())
def test_the_product_is_a_product(rows: int, inner: int, columns: int, turned: bool) -> None:
    generator = torch.Generator().manual_seed(rows)
    x, w = (torch.randn(n, inner, generator=generator) for n in (rows, columns))
    x, w = (a.t().contiguous().t() if turned else a for a in (x, w))
    assert torch.allclose(product()(x, w, None).double(), x.double() @ w.double().t(), atol=1e-4)
