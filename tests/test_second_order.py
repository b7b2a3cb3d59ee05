"""Second-order pruning as catalogue entries: what is chosen, what it costs, and where it beats magnitude."""

from __future__ import annotations

import dataclasses
import itertools
import os
from typing import Any

import numpy as np
import pytest
import torch

import nets
from nets.catalogue import Plan, cost, second_order
from nets.local_models import Fisher, Layerwise, LocalFit, LocalScore, Pursuit, Rows, Solve, Surgeon, SurgeonUpdate
from nets.plan import scoring
from nets.recipe import Adam, Cosine, Recipe
from nets.training import Network, Train
from sparsopt import support as sp
from sparsopt.fits import Exact, Restrict
from sparsopt.method import Method, Phase, Stage, run
from sparsopt.moves import Everything, Keep, Magnitude
from sparsopt.state import Layout, State
from tests.networks import MOMENTUM, blobs, difference, module, network, plan_of, states

METHODS = second_order.METHODS
every = pytest.mark.parametrize("name", METHODS)


def models_of(method: Method) -> list[Any]:
    return [p.fit.of for stage in method.stages for p in stage.phases if isinstance(p.fit, LocalFit)]


@every
def test_supports_are_nested_and_weights_off_them_zero(name: str) -> None:
    """Mistakes 1 and 11: neither a masked score nor an update of survivors nor momentum brings a weight back."""
    world = network("residual")
    _, seen = states(METHODS[name](plan_of(world, 0.9, steps=30)), world)
    for old, new in itertools.pairwise(seen):
        assert not (new.support & ~old.support).any()
        for slot, array in new.slots.items():
            if slot.startswith("momentum.") and slot.endswith(".x"):
                assert not array[~new.support].any()
        assert not new.x[~new.support].any()


@every
def test_one_shot_is_a_training_and_a_model(name: str) -> None:
    """retrain=0: the weights that were trained, pruned once; paid are T steps and what the model takes."""
    world = network("perceptron")
    plan = plan_of(world, 0.8, steps=12)
    method = METHODS[name](plan, rounds=1, retrain=0.0)
    (of,) = models_of(method)
    samples = of.samples if isinstance(of, Layerwise) else of.batches * of.size
    expected = 12 + -(-samples // plan.recipe.batch)
    assert cost(method) == expected and scoring(method) == 0
    result = run(method, world, world.start(0))
    dense = run(Method("d", (Stage((Phase(Everything(), plan.train(12)),)),)), world, world.start(0)).state
    assert result.state.cost == expected and result.state.clock == 12 and sp.count(result.support) == plan.k
    kept = result.x[result.support]
    moved = not torch.equal(kept, dense.x[result.support])
    assert moved == (name not in ("obd", "wanda"))  # which only choose


@every
def test_same_seed_same_run(name: str) -> None:
    world = network("residual")
    plan = plan_of(world, 0.8, steps=20)
    one, two = (run(METHODS[name](plan), world, world.start(3)).state for _ in range(2))
    assert difference(one, two) == ""


@pytest.mark.parametrize("steps", [1, 2, 7, 60, 2000])
def test_models_fit_into_the_second_training(steps: int) -> None:
    """At most a quarter of a round's steps (one at least); with time, the published 500 batches of 16."""
    plan = Plan(Layout.single(1000), 100, steps)
    for name, entry in METHODS.items():
        method = entry(plan)
        for of, phase in zip(models_of(method), _fits(method), strict=True):
            samples = of.samples if isinstance(of, Layerwise) else of.batches * of.size
            assert 1 <= samples <= phase.steps * plan.recipe.batch
            assert phase.steps <= max(1, steps // 5 // 4), name
            if steps == 2000:
                assert samples == (1024 if isinstance(of, Layerwise) else 8000)
    big = Plan(Layout.single(20_000_000), 100, 2000)
    (of,) = models_of(second_order.woodfisher(big))
    assert of.batches * 20_000_000 <= 2**28 and of.size == 16  # memory


def _fits(method: Method) -> list[LocalFit]:
    return [p.fit for stage in method.stages for p in stage.phases if isinstance(p.fit, LocalFit)]


def test_the_end_of_the_learning_rate_schedule_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retraining takes the last rates of the schedule again, in order, whatever the models cost."""
    rates: list[float] = []
    world = network("tied", dataclasses.replace(MOMENTUM, schedule=Cosine()))
    rate = type(world.recipe).rate
    monkeypatch.setattr(type(world.recipe), "rate", lambda r, c, t: rates.append(rate(r, c, t)) or rates[-1])
    plan = plan_of(world, 0.5, steps=40)
    for retrain in (1.0, 0.5):
        rates.clear()
        method = second_order.wanda(plan, retrain=retrain)
        run(method, world, world.start(0))
        once = [rate(world.recipe, t, 40) for t in range(40)]
        again = sum(p.fit.steps * s.rounds for s in method.stages[1:] for p in s.phases if isinstance(p.fit, Train))
        start = 40 - round(40 * retrain)
        assert rates[:40] == once and rates[40:][:again] == once[start : start + again]


def test_chita_in_several_stages_is_no_worse_on_the_loss() -> None:
    """CHITA++: a new model a stage. Medians over seeds, on a small trained network."""
    losses: dict[int, list[float]] = {1: [], 5: []}
    for seed in range(3):
        world = Network(module("perceptron", seed), blobs(300, 30), recipe=MOMENTUM)
        plan = plan_of(world, 0.85, steps=100)
        for rounds, found in losses.items():
            method = second_order.chita(plan, rounds=rounds, retrain=0.0)
            state = run(method, world, world.start(seed)).state
            found.append(world.at(state).value(state.x))
    assert np.median(losses[5]) < np.median(losses[1])


def trained(world: Network, steps: int) -> State:
    method = Method("dense", (Stage((Phase(Everything(), Train(steps, world.recipe)),)),))
    return run(method, world, world.start(0)).state.but(stage=0, round=0, phase=0)


def pruned(world: Network, state: State, phase: Phase) -> State:
    return run(Method("one", (Stage((phase,)),)), world, state).state


def test_chita_on_a_network_is_at_most_what_others_reach_on_its_model() -> None:
    """On one and the same local model of a trained network: below magnitude and WoodFisher, refitted or not."""
    world = Network(module("perceptron"), blobs(300, 30), recipe=MOMENTUM)
    state = trained(world, 200)
    for block in (None, 50):
        of = Fisher(60, 4, 1e-4, block)
        model = of(world.open().at(state), state)
        for k in (20, 80, 200):
            phases = (
                Phase(Keep(k, Magnitude()), Restrict()),
                Phase(Keep(k, Magnitude()), LocalFit(Exact(), of)),
                Phase(Keep(k, LocalScore(Surgeon(), of)), LocalFit(SurgeonUpdate(), of)),
                Phase(Keep(k, LocalScore(Surgeon(), of)), LocalFit(Exact(), of)),
                Phase(Solve(k, of, Pursuit()), LocalFit(Exact(), of)),
            )
            values = [model.value(pruned(world, state, phase).x.double().numpy()) for phase in phases]
            assert values[-1] <= min(values) * (1 + 1e-4)


REAL = os.environ.get("SPARSOPT_DATA")
ADAM = Recipe(1e-3, Cosine(), Adam(), 64)


@pytest.mark.skipif(not REAL, reason="needs SPARSOPT_DATA")
def test_on_mnist_curvature_beats_magnitude_without_retraining() -> None:
    """LeNet-300-100, one epoch, then one shot at 95 %: CHITA far above magnitude; layerwise far above uniform Wanda."""
    data = nets.data.load("mnist")
    world = Network(nets.models.build("lenet-300-100", inputs=data.inputs, seed=0), data, recipe=ADAM)
    state = trained(world, 900)
    k = world.layout.n // 20
    fisher, inputs = Fisher(200, 16, 1e-5, 200), Layerwise()
    phases = {
        "magnitude": Phase(Keep(k), Restrict()),
        "chita": Phase(Solve(k, fisher, Pursuit(rounds=3)), LocalFit(Exact(), fisher)),
        "wanda": Phase(Keep(k, Magnitude(), Rows()), Restrict()),
        "layerwise": Phase(Solve(k, inputs, Pursuit(rounds=3, structure=Rows())), LocalFit(Exact(), inputs)),
    }
    accuracy = {name: world.test(pruned(world, state, phase))[1] for name, phase in phases.items()}
    assert accuracy["chita"] > accuracy["magnitude"] + 0.1 and accuracy["layerwise"] > accuracy["wanda"] + 0.1
