"""Train, prune, retrain: rates a layer, gradual pruning a layer, and their random control."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nets.catalogue import METHODS, Plan, cost
from nets.catalogue.retraining import imp_layerwise
from nets.models import build
from nets.weights import Weights
from sparsopt import support as sp
from sparsopt.errors import InvalidInput
from sparsopt.method import run
from sparsopt.moves import Keep
from sparsopt.schedules import ERK, RatesTo, Uniform
from sparsopt.state import Layout
from tests.conftest import scaled
from tests.networks import network, plan_of, states

LENET = Layout(("linear1.weight", "linear2.weight", "head.weight"), ((300, 784), (100, 300), (10, 100)))


def counts_of(name: str, plan: Plan) -> RatesTo:
    keep = METHODS[name](plan).stages[2].phases[0].move
    assert isinstance(keep, Keep) and isinstance(keep.k, RatesTo)
    return keep.k


def sizes_of_the_paper(layout: Layout, rates: tuple[float, ...], rounds: int) -> list[tuple[int, ...]]:
    """Round by round as in the authors' code: each layer loses round(rate * what it has)."""
    sizes, table = layout.sizes, []
    for _ in range(rounds):
        sizes = tuple(size - int(np.round(rate * size)) for size, rate in zip(sizes, rates, strict=True))
        table.append(sizes)
    return table


@pytest.mark.parametrize("rounds", [1, 5, 12, 20])
def test_lenet_has_the_layer_sizes_of_the_paper(rounds: int) -> None:
    """Asked for the total of a whole number of rounds, every round's layers are the paper's, to one weight."""
    table = sizes_of_the_paper(LENET, (0.2, 0.2, 0.1), rounds)
    plan = Plan(LENET, sum(table[-1]), 1000)
    schedule = counts_of("imp-layerwise", plan)
    assert schedule.rounds == rounds
    for r in range(rounds):
        assert np.abs(np.subtract(schedule(r, LENET), table[r])).max() <= rounds, "rounding adds up, a weight a round"
    assert sum(schedule(rounds - 1, LENET)) == plan.k


@pytest.mark.parametrize("model, rates", [("conv-2", (0.1, 0.1, 0.2, 0.2, 0.1)), ("lenet-300-100", (0.2, 0.2, 0.1))])
def test_rates_of_the_named_networks(model: str, rates: tuple[float, ...]) -> None:
    """Convolutions 10 %, hidden linear layers 20 %, the output half of that; Conv-6 by a setting."""
    layout = Weights(build(model)).layout
    assert counts_of("imp-layerwise", Plan(layout, layout.n // 10, 100)).rates == rates
    conv6 = Weights(build("conv-6")).layout
    keep: Any = imp_layerwise(Plan(conv6, conv6.n // 10, 100), convolution=0.15).stages[2].phases[0].move
    assert isinstance(keep.k, RatesTo) and keep.k.rates == (0.15,) * 6 + (0.2, 0.2, 0.1)


@given(st.floats(0.001, 1.0), st.integers(1, 50))
@settings(max_examples=scaled(30))
def test_no_layer_loses_more_than_its_rate_and_the_last_round_ends_on_k(density: float, T: int) -> None:
    plan = Plan(LENET, max(1, round(density * LENET.n)), T)
    schedule = counts_of("imp-layerwise", plan)
    before = LENET.sizes
    for r in range(schedule.rounds):
        counts = schedule(r, LENET)
        for b, c, rate in zip(before, counts, schedule.rates, strict=True):
            assert b >= c >= math.floor(b * (1 - rate) ** 1.01) - 1
        before = counts
    assert sum(before) == plan.k
    assert cost(METHODS["imp-layerwise"](plan)) == (1 + (schedule.rounds if plan.k < plan.n else 0)) * T


def test_one_shot_ends_on_the_same_layers() -> None:
    world = network("residual")
    plan = plan_of(world, 0.8)
    once, often = (run(METHODS[name](plan), world, world.start(0)) for name in ("one-shot-layerwise", "imp-layerwise"))
    globally = run(METHODS["one-shot"](plan), world, world.start(0))
    layers = [sp.block_counts(result.support, world.layout) for result in (once, often, globally)]
    assert layers[0] == layers[1] != layers[2]
    assert once.state.cost == 2 * plan.steps < often.state.cost


def test_layerwise_imp_is_layerwise() -> None:
    """In each round each layer keeps its largest: those that go are smaller than those that stay in their layer."""
    world = network("perceptron")
    seen = states(METHODS["imp-layerwise"](plan_of(world, 0.8)), world)[1]
    pruned = 0
    for old, new in itertools.pairwise(seen):
        gone = old.support & ~new.support
        for block in world.layout.slices:
            if gone[block].any():
                pruned += 1
                assert old.x[block][gone[block]].abs().max() <= old.x[block][new.support[block]].abs().min()
    assert pruned > 15


def test_early_rewinding_of_the_layerwise_form() -> None:
    world = network("tied")
    method = imp_layerwise(plan_of(world), early=5)
    seen = states(method, world)[1]
    early = next(state for state in seen if "early" in state.saved).saved["early"]
    rewound = [s for s in seen if s.stage == 2 and s.phase == 1 and s.inner == 0]
    assert early.clock == 5 and rewound
    for state in rewound:
        assert state.clock == 5 and torch.equal(state.x, sp.restrict(early.x, state.support))


def test_gradual_pruning_a_layer() -> None:
    """Uniform and ERK in every round, up to the weight that rounding moves; the plain form competes."""
    world = network("residual")
    plan = plan_of(world, 0.8, steps=60)
    for name, kind in (("gmp-uniform", Uniform), ("gmp-erk", ERK), ("random-pruning", Uniform)):
        result, seen = states(METHODS[name](plan), world)
        assert sp.block_counts(result.support, world.layout) == pytest.approx(kind(plan.k)(0, plan.layout), abs=1)
        for state in seen:
            target = kind(sp.count(state.support))(0, plan.layout)
            assert sp.block_counts(state.support, world.layout) == pytest.approx(target, abs=2), name
    global_ = run(METHODS["gmp"](plan), world, world.start(0)).support
    assert sp.block_counts(global_, world.layout) != Uniform(plan.k)(0, plan.layout)


def test_random_pruning_is_gmp_without_looking() -> None:
    """The same counts at the same steps; what stays does not depend on the weights."""
    world = network("residual")
    plan = plan_of(world, 0.8, steps=60)
    start = world.start(0)
    ours, theirs = (run(METHODS[name](plan), world, start) for name in ("random-pruning", "gmp-uniform"))
    assert [(row.size, row.cost) for row in ours.trace] == [(row.size, row.cost) for row in theirs.trace]
    other = run(METHODS["random-pruning"](plan), world, start.but(x=start.x.flip(0)))
    assert torch.equal(ours.support, other.support) and not torch.equal(ours.support, theirs.support)


@pytest.mark.parametrize("name", ["imp", "imp-layerwise", "one-shot-layerwise"])
def test_nothing_to_prune_is_one_training(name: str) -> None:
    plan = Plan(LENET, LENET.n, 10)
    assert cost(METHODS[name](plan)) == 10
    with pytest.raises(InvalidInput, match="at least 1 is needed to prune at all"):
        METHODS["imp"](dataclasses.replace(plan, k=5), rounds=0)
