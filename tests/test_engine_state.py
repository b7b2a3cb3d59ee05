"""What is around the engine's numbers: chunks, generators, values and gradients, clocks, memory."""

from __future__ import annotations

import copy
import dataclasses
import gc
from typing import Any

import pytest
import torch
from torch import nn

from nets.catalogue import METHODS
from nets.data import Batches
from nets.engine import Engine
from nets.gates import Gate, Masked, StraightThrough
from nets.recipe import Recipe
from nets.training import Network, Train
from sparsopt import support as sp
from sparsopt.method import Method, Phase, Stage, run
from sparsopt.moves import Choose, Keep, Stay
from sparsopt.state import State
from tests.engines import static
from tests.networks import (
    ADAM,
    MODULES,
    MOMENTUM,
    PLAIN,
    blobs,
    difference,
    module,
    network,
    plan_of,
    rebuilt,
)

# ---- a function of the state -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("recipe", [MOMENTUM, ADAM], ids=["momentum", "adam"])
def test_chunks_change_nothing(name: str, recipe: Recipe) -> None:
    whole = network(name, recipe)
    expected = run(static(17, recipe, 30), whole, whole.start(0)).state
    for chunk in (1, 5, 16, 17, 18):
        world = network(name, recipe, chunk=chunk)
        assert difference(run(static(17, recipe, 30), world, world.start(0)).state, expected) == "", chunk


def test_dropout_is_a_function_of_seed_and_cost_and_the_callers_generator_stays() -> None:
    torch.manual_seed(1)
    before, world = torch.get_rng_state(), network("dropout")
    first = run(static(6), world, world.start(0)).state
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert difference(run(static(6), network("dropout"), world.start(0)).state, first) == ""
    # the order of batches keyed by 0 for both; what is left to differ is dropout
    other = network("dropout", data_seed=0)
    assert difference(run(static(6), other, other.start(0).but(seed=1)).state, first) != ""
    later = run(static(1), other, other.start(0).but(cost=400)).state
    same_batch = 400 % other.batches_of(first, MOMENTUM).steps_per_epoch == 0
    assert same_batch and difference(later.but(cost=1), run(static(1), other, other.start(0)).state) == "x"


def test_fresh_weights_are_a_function_of_the_seed_and_the_module_shares_nothing() -> None:
    """Whatever the caller's generator holds, and whatever becomes of the module's own tensors."""
    model = module("residual")
    world = Network(model, blobs(), recipe=MOMENTUM)
    first, start = world.fresh(1), world.start(0)
    torch.manual_seed(5)
    assert torch.equal(world.fresh(1).x, first.x) and not torch.equal(world.fresh(2).x, first.x)
    assert not torch.equal(first.x, start.x) and first.seed == 1
    before = {name: array.clone() for name, array in start.slots.items()}
    for tensor in (*model.buffers(), *model.parameters()):
        tensor.detach().add_(1)
    assert before.keys() == {"rest", *(f"buffer.{name}" for name, _ in model.named_buffers())}
    assert all(torch.equal(start.slots[name], array) for name, array in before.items())


def test_what_is_measured_are_the_restricted_weights() -> None:
    """Whatever x holds off the support: the test loss and the outputs are those of the module that a user gets."""
    world = network("residual")
    dense = run(static(3), world, world.start(0)).state
    state = dense.but(support=sp.top(dense.x.abs(), world.layout.n // 3))
    images, labels = world.data.test_images, world.data.test_labels
    outputs = world.module(state).eval()(images)
    torch.testing.assert_close(world.outputs(state, images), outputs)
    loss, accuracy = world.test(state)
    assert loss == pytest.approx(nn.functional.cross_entropy(outputs, labels, label_smoothing=0.1).item(), rel=1e-5)
    assert accuracy == pytest.approx((outputs.argmax(1) == labels).double().mean().item())
    assert loss != pytest.approx(world.test(dense)[0], rel=1e-3)


def test_evaluation_leaves_state_and_generator_alone() -> None:
    class AlwaysRandom(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(36, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(nn.functional.dropout(x.flatten(1), 0.5, training=True))

    world = Network(AlwaysRandom(), blobs(), recipe=MOMENTUM)
    state, before = world.start(0), torch.get_rng_state()
    f = world.at(state)
    assert f.value(state.x) == f.value(state.x) and world.test(state) == world.test(state)
    assert torch.equal(f.gradient(state.x), f.gradient(state.x))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_forward_that_fails_leaves_the_generator_alone() -> None:
    world = Network(nn.Sequential(nn.Flatten(), nn.Linear(7, 3)), blobs(), recipe=MOMENTUM)
    before = torch.get_rng_state()
    with pytest.raises(RuntimeError):
        run(static(1), world, world.start(0))
    assert torch.equal(torch.get_rng_state(), before)


def test_gradient_is_that_of_the_next_step() -> None:
    """One step of plain SGD moves x by exactly rate times what scores see."""
    world = network(recipe=PLAIN)
    start = run(static(7, PLAIN), world, world.start(0)).state.but(stage=0)
    slope = world.at(start).gradient(start.x)
    moved = run(static(1, PLAIN), world, start).state.x
    assert torch.equal(moved, start.x.add(slope, alpha=-PLAIN.rate(start.clock, 1)))


def test_value_and_gradient_agree() -> None:
    """Of a module without batch norm and dropout, in double precision, on one batch that is the whole."""
    recipe = Recipe(batch=70)
    world = Network(module("tied").double(), blobs(), recipe=recipe)
    state = world.start(0)
    f, g = world.at(state), world.at(state).gradient(state.x)
    for j in range(0, len(g), 61):
        e = torch.zeros_like(g)
        e[j] = 1e-5
        assert (f.value(state.x + e) - f.value(state.x - e)) / 2e-5 == pytest.approx(g[j].item(), abs=1e-8)


def test_rejected_rounds_find_the_same_f_again() -> None:
    """Batch norm's statistics belong to the state: f at one x is one number, whatever was trained in between."""
    world = network("residual")
    state = run(static(5), world, world.start(0)).state
    value = world.at(state).value(state.x)
    run(static(9), world, state.but(stage=0))
    assert world.at(state).value(state.x) == value


# ---- clocks and engines ----------------------------------------------------------------------------------------------


def asked(world: Network) -> list[int]:
    """The steps whose batches a world is asked for, in order."""
    steps: list[int] = []

    class Recording(Batches):
        def at(self, step: int) -> Any:
            steps.append(step)
            return super().at(step)

    world.batches = Recording
    return steps


def test_no_batch_is_seen_twice_whatever_is_rewound() -> None:
    """Batches are keyed by what was ever trained, so that retraining has a new order, as in the public codes."""
    world = network()
    steps = asked(world)
    run(METHODS["imp-rewind"](plan_of(world, steps=40)), world, world.start(0))
    assert steps == list(range(len(steps))) and len(steps) > 300


def test_rounds_of_training_that_change_nothing_all_run() -> None:
    """Batches are other ones every round, so that a state that comes back is no cycle."""
    world, still = network("dropout"), dataclasses.replace(PLAIN, learning_rate=0.0)
    method = Method("still", (Stage((Phase(Stay(), Train(2, still)),), rounds=5),))
    result = run(method, world, world.start(0))
    assert torch.equal(result.x, world.start(0).x) and len(result.trace) == 5 and result.state.cost == 10


def test_data_seed_is_the_seed_of_the_batches_alone() -> None:
    """Instability analysis: the same start, another order; and the same order for another start."""
    worlds = [network(data_seed=seed) for seed in (5, 5, 6)]
    states = [run(static(5), world, world.start(seed)).state for world, seed in zip(worlds, (0, 1, 0), strict=True)]
    assert torch.equal(states[0].x, states[1].x) and not torch.equal(states[0].x, states[2].x)


def test_an_engine_that_went_through_a_gate_is_as_new() -> None:
    """Training, values and gradients after it do not depend on what the engine did before."""
    world = network()
    method = Method("static", (Stage((Phase(Choose(60), Train(5, MOMENTUM)),)),))
    gated = rebuilt(method, lambda part: StraightThrough() if isinstance(part, Masked) else part)
    both = Method("both", gated.stages + method.stages)
    middle = run(gated, network(), world.start(0)).state
    expected = run(method, network(), middle.but(stage=0)).state
    assert difference(run(both, world, world.start(0)).state, expected, ("stage",)) == ""
    used = network()
    state = used.train(used.start(0).but(support=middle.support), MOMENTUM, StraightThrough(), 3, 3)
    for x in (state.x, sp.restrict(state.x, state.support)):
        assert used.at(state).value(x) == network().at(state).value(x)
        used.train(state, MOMENTUM, StraightThrough(), 1, 3)
        assert torch.equal(used.at(state).gradient(x), network().at(state).gradient(x))


# ---- memory ----------------------------------------------------------------------------------------------------------


def floats(state: State) -> int:
    """Bytes of distinct storages behind a state, masks aside."""
    seen = {}
    for s in (state, *state.saved.values(), *(() if state.before is None else (state.before,))):
        for array in (s.x, *s.slots.values()):
            seen[array.untyped_storage().data_ptr()] = array.untyped_storage().nbytes()
    return sum(seen.values())


@pytest.mark.parametrize(
    "recipe, copies, snapshots", [(PLAIN, 1, 1), (MOMENTUM, 2, 2), (ADAM, 3, 3)], ids=["plain", "momentum", "adam"]
)
def test_a_state_is_as_small_as_its_optimiser_allows(recipe: Recipe, copies: int, snapshots: int) -> None:
    """With momentum 2 copies of the weights, and 2 more a snapshot."""
    world = network("tied", recipe)
    one = 4 * sum(p.numel() for p in world.template.parameters())
    assert floats(run(static(3, recipe), world, world.start(0)).state) <= copies * one + 64
    late = METHODS["imp-rewind"](plan_of(world, steps=40))
    assert floats(run(late, world, world.start(0)).state) <= (copies + snapshots) * one + 128


@pytest.mark.parametrize("gate", [Masked(), StraightThrough()])
def test_the_engine_holds_at_most_five_copies_of_the_weights(gate: Gate) -> None:
    """Parameters, gradient, momentum, mask; and through a gate the weights that the module sees."""
    counted: list[int] = []

    def big() -> dict[int, int]:
        """Address and size of every large piece of memory that a tensor has."""
        tensors = [o for o in gc.get_objects() if type(o) in (torch.Tensor, nn.Parameter)]
        sizes = {o.untyped_storage().data_ptr(): o.untyped_storage().nbytes() for o in tensors}
        return {where: size for where, size in sizes.items() if size >= 30 * 997 * 4}

    class Counts(Batches):
        def at(self, step: int) -> Any:
            counted.append(sum(size for where, size in big().items() if where not in others))
            return super().at(step)

    gc.collect()
    others = big()  # of other tests
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 997), nn.ReLU(), nn.Linear(997, 3, bias=False))

    world = Network(model, blobs(), recipe=MOMENTUM, batches=Counts)
    one = 4 * sum(p.numel() for p in model.parameters())
    method = rebuilt(static(2, k=500), lambda part: gate if isinstance(part, Masked) else part)
    start = world.start(0)
    gc.collect()
    run(method, world, start)
    # not the engine's: the module, the state it starts from, and (masked) that state on its support. The engine's are
    # four on a mask (parameters, gradient, momentum, mask), and one more where the gate shows other weights.
    assert max(counted) <= 7 * one


def test_an_engine_never_touches_the_module() -> None:
    model = module("residual")
    before = copy.deepcopy(model.state_dict())
    grads = [p.grad for p in model.parameters()]
    world = Network(model, blobs(), recipe=MOMENTUM)
    run(
        Method("m", (Stage((Phase(Keep(20), Train(3, MOMENTUM)), Phase(Stay(), Train(2, MOMENTUM)))),)),
        world,
        world.start(0),
    )
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), before.values(), strict=True))
    assert [p.grad for p in model.parameters()] == grads == [None] * len(grads) and model.training
    assert Engine(model, world.weights, world.device).model is not model
