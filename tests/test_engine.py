"""The engine: masks hold at every step, and it is PyTorch's own training, bit for bit."""

from __future__ import annotations

import copy
import gc
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from nets.catalogue import METHODS
from nets.data import Batches
from nets.engine import Engine
from nets.gates import Gate, Masked, StraightThrough
from nets.recipe import Recipe
from nets.training import Network, Train
from sparsopt import support as sp
from sparsopt.method import Method, Phase, Stage, parts, run
from sparsopt.moves import Choose, Everything, Keep, Random, Stay
from sparsopt.state import State
from tests.networks import (
    ADAM,
    MODULES,
    MOMENTUM,
    NESTEROV,
    PLAIN,
    RECIPES,
    blobs,
    difference,
    module,
    network,
    plan_of,
    rebuilt,
)

# ---- a masked weight never lives -----------------------------------------------------------------------------------


class Watch:
    """Counts, after every optimiser step of the process, numbers off the mask that are not zero."""

    def __init__(self) -> None:
        self.mask: torch.Tensor | None = None
        self.steps = self.alive = 0

    def after_step(self, optimiser: Any, *_: Any) -> None:
        (theta,) = optimiser.param_groups[0]["params"]
        if self.mask is None:
            return
        n, off = len(self.mask), self.mask == 0
        memory = [v for v in optimiser.state[theta].values() if v.shape == theta.shape]
        self.steps += 1
        self.alive += sum(int(v[:n][off].count_nonzero()) for v in (theta.detach(), *memory))


WATCH = Watch()


class Watched(Masked):
    def gradient(self, g: torch.Tensor, v: torch.Tensor, c: torch.Tensor) -> None:
        super().gradient(g, v, c)
        WATCH.mask = c


class ForgetsTheMomentum(Watched):
    """A common mistake: the weights are masked when the support changes, the momentum is not."""

    def enter(self, state: State) -> State:
        return state.but(x=sp.restrict(state.x, state.support))


class MasksOnlyTheWeights(Watched):
    """Another: the gradient is not masked during training."""

    def gradient(self, g: torch.Tensor, v: torch.Tensor, c: torch.Tensor) -> None:
        WATCH.mask = c


@contextmanager
def watching() -> Iterator[Watch]:
    WATCH.__init__()
    handle = register_optimizer_step_post_hook(WATCH.after_step)
    try:
        yield WATCH
    finally:
        handle.remove()


def through(method: Method, gate: Gate) -> Method:
    return rebuilt(method, lambda part: gate if type(part) is Masked else part)


@pytest.mark.parametrize(
    "name, recipe",
    [
        ("perceptron", MOMENTUM),
        ("perceptron", NESTEROV),
        ("perceptron", PLAIN),
        ("perceptron", ADAM),
        ("tied", MOMENTUM),
        ("residual", ADAM),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_no_masked_weight_or_optimiser_slot_is_ever_non_zero(name: str, recipe: Recipe) -> None:
    """The count over whole runs of every method that trains on a mask: 0."""
    world = network(name, recipe)
    for entry in METHODS.values():
        method = entry(plan_of(world, steps=15))
        with watching() as watch:
            run(through(method, Watched()), world, world.start(0))
        masked = any(isinstance(p, Train) and type(p.through) is Masked and p.steps for p in parts(method))
        assert watch.alive == 0
        assert watch.steps > 0 or not masked


@pytest.mark.parametrize("wrong", [ForgetsTheMomentum(), MasksOnlyTheWeights()])
def test_the_watch_sees_momentum_that_revives_masked_weights(wrong: Gate) -> None:
    """Mistake 11 of public code: what `Masked` is there for."""
    world = network()
    with watching() as watch:
        run(through(METHODS["gmp"](plan_of(world)), wrong), world, world.start(0))
    assert watch.alive > 0


# ---- the same numbers as PyTorch -----------------------------------------------------------------------------------


def by_hand(world: Network, model: nn.Module, recipe: Recipe, steps: int, masks: dict[str, torch.Tensor]) -> nn.Module:
    """The loop that everyone writes: torch.optim on the module's own parameters, gradients masked.

    The parameters lie in memory as the engine's do, because the last bit of a kernel may depend on the alignment.
    """
    x, rest = world.weights.flatten(model)
    flat = torch.cat([x, rest])
    for name, view in (*world.weights.blocks(flat[: len(x)]), *world.weights.blocks_of_rest(flat[len(x) :])):
        model.get_parameter(name).data = view
    torch_sgd = {"lr": 0.0, "weight_decay": recipe.optimiser.weight_decay, "foreach": False}
    if recipe is ADAM:
        optimiser: Any = torch.optim.Adam(model.parameters(), **torch_sgd)
    else:
        more = {"momentum": recipe.optimiser.momentum, "nesterov": recipe.optimiser.nesterov}
        optimiser = torch.optim.SGD(model.parameters(), **torch_sgd, **more)
    batches = Batches(world.data, recipe.batch, 0)
    loss = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
    model.train()
    parameters = dict(model.named_parameters())
    for step in range(steps):
        inputs, targets = batches.at(step)
        optimiser.param_groups[0]["lr"] = recipe.rate(step, steps)
        optimiser.zero_grad()
        loss(model(inputs), targets).backward()
        for name, mask in masks.items():
            parameters[name].grad.mul_(mask)
        optimiser.step()
    return model


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
@pytest.mark.parametrize("name", ["perceptron", "tied", "residual", "attention", "recurrent"])
@pytest.mark.parametrize("sparsity", [0.0, 0.7])
def test_training_is_a_plain_pytorch_loop(name: str, recipe: Recipe, sparsity: float) -> None:
    """To the last bit: SGD with momentum, Nesterov, decay, none, and Adam; whole or on a mask."""
    world, steps = network(name, recipe), 25
    k = plan_of(world, sparsity).k
    method = Method("static", (Stage((Phase(Choose(k, Random()), Train(steps, recipe)),)),))
    result = run(method, world, world.start(0))
    masks = dict(world.weights.blocks(result.support))
    model = copy.deepcopy(world.template)
    with torch.no_grad():
        for block, mask in masks.items():
            dict(model.named_parameters())[block].mul_(mask)
    expected = by_hand(world, model, recipe, steps, masks).state_dict()
    ours = world.module(result.state).state_dict()
    assert list(ours) == list(expected)
    for key, value in ours.items():
        assert torch.equal(value, expected[key]), key


# ---- what is around the numbers ------------------------------------------------------------------------------------


def static(steps: int, recipe: Recipe = MOMENTUM, k: int | None = None) -> Method:
    phases = (Phase(Everything() if k is None else Choose(k, Random()), Train(steps, recipe)),)
    return Method("static", (Stage(phases),))


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


# ---- modules that are not plain ------------------------------------------------------------------------------------


class Odd(nn.Module):
    """Buffers of every kind, and a parameter that the loss does not see."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.unused = nn.Linear(36, 6), nn.Linear(6, 3), nn.Linear(5, 5)
        self.register_buffer("nothing", None)
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64), persistent=False)
        self.register_buffer("scale", torch.ones(6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.calls = self.calls + 1  # replaced, not changed in place
            self.scale.mul_(0.99)
        return self.b(self.a(x.flatten(1)).relu() * self.scale)


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


# ---- memory --------------------------------------------------------------------------------------------------------


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


# ---- clocks and engines --------------------------------------------------------------------------------------------


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
