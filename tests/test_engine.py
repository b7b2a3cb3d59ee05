"""The engine: masks hold at every step, and it is PyTorch's own training, bit for bit."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from nets.catalogue import METHODS
from nets.data import Batches
from nets.gates import Gate, Masked
from nets.recipe import Recipe
from nets.training import Network, Train
from sparsopt import support as sp
from sparsopt.method import Method, Phase, Stage, parts, run
from sparsopt.moves import Choose, Random
from sparsopt.state import State
from tests.networks import (
    ADAM,
    MOMENTUM,
    NESTEROV,
    PLAIN,
    RECIPES,
    network,
    plan_of,
    rebuilt,
)

# ---- a masked weight never lives -------------------------------------------------------------------------------------


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


# ---- the same numbers as PyTorch -------------------------------------------------------------------------------------


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
