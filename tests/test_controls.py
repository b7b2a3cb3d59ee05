"""Controls: what they keep, what they draw anew, and that they draw at all."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nets.catalogue import METHODS
from nets.controls import Reinitialise, reinitialised
from nets.training import Network
from sparsopt import support as sp
from sparsopt.errors import InvalidInput, MissingCapability
from sparsopt.method import run
from sparsopt.state import State
from tests.networks import ADAM, MODULES, MOMENTUM, blobs, difference, module, network, plan_of
from tests.toys import random_quadratic


def trained(name: str = "residual") -> tuple[Network, State]:
    world = network(name, ADAM)
    return world, run(METHODS["one-shot"](plan_of(world)), world, world.start(0)).state


def test_reinitialise_keeps_the_support_and_draws_everything_else_anew() -> None:
    world, state = trained()
    new = Reinitialise()(world, state)
    assert torch.equal(new.support, state.support) and (new.clock, new.cost) == (0, state.cost)
    on = state.support
    assert not new.x[~on].any() and not (new.x[on] == world.start(0).x[on]).any()
    assert not any(name.startswith("momentum.") for name in new.slots)
    assert torch.equal(new.slots["buffer.norm.running_mean"], torch.zeros(8)), "statistics of batch norm start anew"
    assert state.slots["buffer.norm.running_mean"].any()


@pytest.mark.parametrize("name", MODULES)
def test_fresh_weights_are_a_function_of_the_seed_for_every_module(name: str) -> None:
    world = network(name)
    before = torch.get_rng_state()
    one, same, other = world.fresh(1), world.fresh(1), world.fresh(2)
    assert torch.equal(before, torch.get_rng_state())
    assert difference(one, same) == "" and not torch.equal(one.x, other.x)
    for (block, a), (_, b) in zip(world.weights.blocks(one.x), world.weights.blocks(world.start(0).x), strict=True):
        assert not torch.equal(a, b), block
        assert 0.5 < a.std() / b.std() < 2, f"{block}: drawn at another scale"


def test_wholes_are_reset_after_their_parts() -> None:
    """As when they were built: attention sets the bias of its output layer, a linear layer, to zero."""
    world = network("attention")
    fresh = dict(world.weights.blocks_of_rest(world.fresh(1).slots["rest"]))
    assert not fresh["attention.out_proj.bias"].any() and fresh["head.bias"].any()


def test_a_builder_is_asked_for_its_own_first_weights() -> None:
    world = Network(lambda seed: module("residual", seed % 1000), blobs(), recipe=MOMENTUM)
    assert torch.equal(world.fresh(7).x, world.start(7).x)


def test_weights_that_cannot_be_drawn_anew_are_refused() -> None:
    """A control that silently kept some weights would be none."""

    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale, self.layer = nn.Parameter(torch.ones(1)), nn.Linear(36, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(x.flatten(1)) * self.scale

    with pytest.raises(InvalidInput, match=r"Own '' has parameters and no reset_parameters.*seed -> module"):
        Network(Own(), blobs()).fresh(1)


def test_imp_reinit_is_imp_and_its_control() -> None:
    world = network()
    plan = plan_of(world)
    imp = run(METHODS["imp"](plan), world, world.start(0))
    control = run(METHODS["imp-reinit"](plan), world, world.start(0))
    assert torch.equal(control.support, imp.support) and not torch.equal(control.x, imp.x)
    alone = run(reinitialised(plan.steps, plan.recipe), world, imp.state.but(stage=0))
    assert torch.equal(alone.x, control.x)
    assert sp.count(control.support) == plan.k


def test_a_convex_problem_has_no_fresh_weights() -> None:
    problem = random_quadratic(0)
    with pytest.raises(MissingCapability, match=r"Reinitialise .* needs fresh"):
        run(reinitialised(3, MOMENTUM), problem, problem.start(0))
