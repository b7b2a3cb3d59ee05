"""Mistakes of public pruning code, held against every method that could repeat them; README lists the other tests."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch

import nets
from nets.catalogue import METHODS, Plan
from nets.training import Network
from sparsopt import support as sp
from sparsopt.method import run
from sparsopt.moves import Choose, Everything, Keep, Magnitude, Stay
from tests.networks import ADAM, MOMENTUM, blobs, module, network, plan_of, states

COME_BACK = {  # methods whose weights may return, as their papers want it
    "growth", "rigl", "set", "rigl-accept", "snfs", "granet", "arht", "acdc", "dpf", "top-kast", "force", "movement",
    "soft-filter-pruning", "early-bird", "early-bird-channels",
}  # fmt: skip
every_method = pytest.mark.parametrize("method", METHODS)


def passed(method: str, recipe: Any = MOMENTUM, name: str = "residual") -> tuple[Network, Plan, Any, list[Any]]:
    world = network(name, recipe)
    plan = plan_of(world, 0.8, steps=12)
    return world, plan, *states(METHODS[method](plan), world)


@pytest.mark.parametrize("method", [name for name in METHODS if name not in COME_BACK])
def test_what_is_masked_is_never_scored_again(method: str) -> None:
    """Mistake 1: scores of masked weights enter later rounds. Once below n, supports only shrink."""
    _, _, _, seen = passed(method)
    for old, new in itertools.pairwise(seen):
        assert not (new.support & ~old.support).any(), (new.stage, new.round, new.phase)


@pytest.mark.parametrize("method", sorted(COME_BACK))
def test_those_that_come_back_do(method: str) -> None:
    """The exceptions above are not made by negligence."""
    _, _, _, seen = passed(method)
    assert any((b.support & ~a.support).any() for a, b in itertools.pairwise(seen))


GLOBAL = ("one-shot", "imp", "imp-rewind", "lr-rewinding", "fine-tuning", "gmp", "one-shot-magnitude", "cram", "acdc")


@pytest.mark.parametrize("method", GLOBAL)
def test_global_magnitude_is_global(method: str) -> None:
    """Mistake 9, and 6: every cut keeps the largest of all weights that are left, so that layers' densities differ."""
    world = network("residual")
    plan = plan_of(world, 0.8, steps=12)
    what, cuts = METHODS[method](plan), 0
    _, seen = states(what, world)
    for old, new in itertools.pairwise([world.start(0), *seen]):
        lost, gained = sp.count(old.support & ~new.support), sp.count(new.support & ~old.support)
        if lost and not gained:  # a move saw the weights as they were before
            cuts += 1
            assert torch.equal(new.support, sp.top(abs(old.x), sp.count(new.support), old.support))
    moves = [phase.move for stage in what.stages for phase in stage.phases]
    assert all(isinstance(move, (Keep, Choose, Everything, Stay)) for move in moves)
    scores = [move.by for move in moves if isinstance(move, (Keep, Choose))]
    assert scores and all(score == Magnitude() for score in scores)
    densities = world.weights.densities(seen[-1].support).values()
    assert max(densities) - min(densities) > 0.05 and sp.count(seen[-1].support) == plan.k
    assert cuts


@every_method
@pytest.mark.parametrize("recipe", [MOMENTUM, ADAM], ids=["momentum", "adam"])
def test_nothing_revives_a_masked_weight(method: str, recipe: Any) -> None:
    """Mistake 11: at the end weights are zero off the support, and stay so if training goes on through the mask."""
    world, plan, result, _ = passed(method, recipe, "perceptron")
    state = result.state
    assert not state.x[~state.support].any()
    on = plan.train(5)(world.open(), state.but(stage=0, round=0, phase=0, inner=0))
    assert not on.x[~state.support].any() and torch.equal(on.support, state.support)
    assert method == "dense" or not torch.equal(on.x, state.x)
    slots = [slot for name, slot in on.slots.items() if name.startswith("momentum.") and name.endswith(".x")]
    assert slots and not any(slot[~state.support].any() for slot in slots)


@every_method
def test_the_last_measurement_is_at_the_size_asked_for(method: str) -> None:
    """Mistake 12: an accuracy from before the weights were gone."""
    world = network("perceptron")
    plan = plan_of(world, 0.8, steps=12)
    result = run(METHODS[method](plan), world, world.start(0), measure=lambda s: {"accuracy": world.test(s)[1]})
    last = list(result.trace)[-1]
    assert last.size == (world.layout.n if method == "dense" else plan.k)
    assert last.measured["accuracy"] == world.test(result.state)[1]


def test_patterns_keep_n_of_every_m() -> None:
    """Mistake 3 in N:M: with ties everywhere, two of every four, neither fewer nor more."""
    model = module("perceptron")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.sign() * 0.1)
    recipe = MOMENTUM.__class__(0.0)
    outcome = nets.prune(model, blobs(), "one-shot-magnitude", 0.5, recipe, epochs=1, settings={"pattern": "2:4"})
    for name, mask in outcome.masks.items():
        whole = mask.shape[1] % 4 != 0
        groups = mask.reshape(-1, mask.shape[1] if whole else 4)
        assert (groups.sum(1) == (mask.shape[1] if whole else 2)).all(), name
