"""CrAM and STR against plain loops written from their papers' equations alone."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from nets.catalogue import METHODS, Plan
from nets.catalogue.compressible import decay_for, soft_threshold
from nets.gates import (
    CompressionAware,
    Gate,
    SoftThreshold,
)
from sparsopt.method import Method, Stage, run
from tests.equations import HEAVY, STEPS, after, agree, batches, dense, flat, gradients, prunable
from tests.networks import network, plan_of, states


@pytest.mark.parametrize("share", [0.0, 1.0, 0.5])
def test_cram_is_its_equation(share: float) -> None:
    """g(C(w + rho g(w))) on the support of C, + share * g(w); batch norm keeps the statistics of the first pass."""
    world, k, rho = network("perceptron", HEAVY), 50, 0.05
    model = copy.deepcopy(world.template)
    optimiser = torch.optim.SGD(model.parameters(), 0.05, 0.9, weight_decay=1e-2)
    for batch in batches(world, HEAVY, STEPS):
        model.train()
        first = gradients(model, batch)
        ascended = copy.deepcopy(model)
        for name, p in ascended.named_parameters():
            p.data += rho * first[name]
        inside = prunable(world, ascended)
        threshold = flat(inside.values()).abs().topk(k).values[-1]
        C = {name: (p.abs() >= threshold).float() for name, p in inside.items()}
        for name, p in inside.items():
            p.data *= C[name]
        second = gradients(ascended, batch)
        for name, p in model.named_parameters():
            p.grad = second[name] * C.get(name, 1.0) + share * first[name]
        optimiser.step()
    agree(world, after(dense(CompressionAware(k, rho, share)), world), model)


def test_cram_without_ascent_and_cut_is_sgd() -> None:
    world = network("residual", HEAVY)
    sgd = after(dense(Gate()), world)
    same = after(dense(CompressionAware(world.layout.n, radius=0.0, dense=0.0)), world)
    assert torch.equal(same.x, sgd.x) and all(torch.equal(same.slots[name], a) for name, a in sgd.slots.items())
    assert not torch.equal(after(dense(CompressionAware(5)), world).x, sgd.x)


def test_after_the_cut_cram_corrects_the_statistics_of_batch_norm_and_nothing_else() -> None:
    world = network("residual", HEAVY)
    _, seen = states(METHODS["cram"](Plan(world.layout, 40, 60, HEAVY)), world)
    trained, last = seen[-2], seen[-1]
    assert last.cost - trained.cost == 3 and torch.equal(last.x, trained.x * last.support)
    assert torch.equal(last.slots["rest"], trained.slots["rest"])
    assert not torch.equal(last.slots["buffer.norm.running_var"], trained.slots["buffer.norm.running_var"])


def test_str_is_its_equation() -> None:
    """W = sign(V) relu(|V| - sigmoid(s)), everything by autograd and one SGD, s with a decay of its own."""
    world, start, decay = network("residual", HEAVY), -3.0, 0.3
    model = copy.deepcopy(world.template)
    s = {name: nn.Parameter(torch.tensor(start)) for name in world.layout.names}
    groups = [{"params": list(model.parameters())}, {"params": list(s.values()), "weight_decay": decay}]
    optimiser = torch.optim.SGD(groups, 0.05, 0.9, weight_decay=1e-2)

    def soft() -> dict[str, Tensor]:
        inside = prunable(world, model).items()
        return {name: p.sign() * torch.relu(p.abs() - torch.sigmoid(s[name])) for name, p in inside}

    model.train()
    for inputs, targets in batches(world, HEAVY, STEPS):
        optimiser.zero_grad()
        cross_entropy(functional_call(model, soft(), (inputs,)), targets).backward()
        optimiser.step()
    state = after(dense(SoftThreshold(world.layout, start, decay, momentum=0.9)), world)
    agree(world, state.but(x=state.slots["latent"]), model)
    torch.testing.assert_close(state.slots["thresholds"], torch.stack(list(s.values())).detach())
    torch.testing.assert_close(state.x, flat(soft().values()))
    moved = state.slots["thresholds"] - start
    assert (moved > 0.1).all() and moved.unique().numel() == len(moved) and (state.x == 0).any()


def test_str_with_a_threshold_of_zero_is_sgd() -> None:
    world = network("residual", HEAVY)
    assert torch.equal(after(dense(SoftThreshold(world.layout, -1e4, 0.0)), world).x, after(dense(Gate()), world).x)


def test_str_is_measured_as_it_will_be() -> None:
    """In the middle of a run, what is tested are the shrunk weights, not the variables behind them."""
    world = network("residual", HEAVY)
    state = after(dense(SoftThreshold(world.layout, start=0.0)), world)
    assert not state.x.any() and state.slots["latent"].any()
    assert not any(p.any() for p in prunable(world, world.module(state)).values())


@pytest.mark.parametrize("sparsity", [0.3, 0.85])
def test_the_decay_of_str_is_found_by_bisection(sparsity: float) -> None:
    """It leaves k weights, or nearly so, where the entry's own guess leaves others; the entry cuts to k anyhow."""
    world = network("perceptron", HEAVY)
    plan = plan_of(world, sparsity, steps=60)

    def left(decay: float | None) -> int:
        soft: Any = soft_threshold(plan, decay=decay).stages[0].phases[0]
        return int(after(Method("soft", (Stage((soft,)),)), world).x.count_nonzero())

    found = decay_for(world, plan)
    assert abs(left(found) - plan.k) < 0.03 * plan.n < 0.1 * plan.n < abs(left(None) - plan.k)
    result = run(soft_threshold(plan, decay=found), world, world.start(0))
    assert int(result.support.sum()) == plan.k
