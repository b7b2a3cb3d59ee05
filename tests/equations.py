"""What plain PyTorch loops written from papers' equations share: batches, gradients, masked steps, agreement."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from nets.data import Batches
from nets.gates import (
    Gate,
)
from nets.recipe import SGD, Constant, Recipe
from nets.training import Network, Train
from sparsopt.method import Method, Phase, Stage, run
from sparsopt.moves import Everything
from sparsopt.schedules import Uniform
from sparsopt.state import State

STEPS = 15


HEAVY = Recipe(0.05, Constant(), SGD(0.9, weight_decay=1e-2), batch=16, name="heavy")


def dense(gate: Gate, recipe: Recipe = HEAVY, steps: int = STEPS) -> Method:
    return Method("dense", (Stage((Phase(Everything(), Train(steps, recipe, gate)),)),))


def after(method: Method, world: Network) -> State:
    return run(method, world, world.start(0)).state


def batches(world: Network, recipe: Recipe, steps: int) -> Iterator[tuple[Tensor, Tensor]]:
    source = Batches(world.data, recipe.batch, 0)
    yield from (source.at(step) for step in range(steps))


def prunable(world: Network, model: nn.Module) -> dict[str, nn.Parameter]:
    return {name: p for name, p in model.named_parameters() if name in world.layout.names}


def flat(tensors: Any) -> Tensor:
    return torch.cat([t.detach().reshape(-1) for t in tensors])


def gradients(model: nn.Module, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    loss = cross_entropy(model(batch[0]), batch[1])
    return dict(zip(dict(model.named_parameters()), torch.autograd.grad(loss, list(model.parameters())), strict=True))


def largest(score: Tensor, k: int, within: Tensor | float = 1.0) -> Tensor:
    """A mask of the k largest of those in another mask, by sorting."""
    mask, allowed = torch.zeros(score.numel()), torch.as_tensor(within).expand_as(score) > 0
    mask[score.detach().masked_fill(~allowed, -1.0).reshape(-1).argsort(descending=True, stable=True)[:k]] = 1
    return mask.view_as(score)


def clear(parameters: dict[str, nn.Parameter], mask: dict[str, Tensor], optimiser: torch.optim.Optimizer) -> None:
    """Weights and momentum are zero off the mask."""
    for name, p in parameters.items():
        p.data *= mask[name]
        if p in optimiser.state:
            optimiser.state[p]["momentum_buffer"] *= mask[name]


def training_copy(world: Network) -> tuple[nn.Module, dict[str, nn.Parameter]]:
    """The module in training mode, and its prunable parameters."""
    model = copy.deepcopy(world.template).train()
    return model, prunable(world, model)


def masked_step(
    model: nn.Module,
    parameters: dict[str, nn.Parameter],
    mask: dict[str, Tensor],
    optimiser: torch.optim.Optimizer,
    batch: tuple[Tensor, Tensor],
) -> dict[str, Tensor]:
    """A step on the mask; returns the whole gradient."""
    optimiser.zero_grad()
    cross_entropy(model(batch[0]), batch[1]).backward()
    whole = {name: p.grad.clone() for name, p in parameters.items() if p.grad is not None}
    for name, p in parameters.items():
        p.grad = whole[name] * mask[name]
    optimiser.step()
    return whole


def agree(world: Network, state: State, model: nn.Module, tolerance: float = 1e-6) -> None:
    """x, everything that trains along, and buffers."""
    expected = flat(prunable(world, model).values())
    torch.testing.assert_close(state.x, expected, rtol=tolerance, atol=tolerance)
    trained = world.module(state).state_dict()
    for name, value in model.state_dict().items():
        if name not in world.layout.names:
            torch.testing.assert_close(trained[name], value, rtol=tolerance, atol=tolerance)


def uniform(world: Network, k: int) -> list[int]:
    return list(Uniform(k)(0, world.layout))
