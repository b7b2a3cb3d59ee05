"""Early stopping: what is held out, when a stage ends, and what it goes back to."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nets.catalogue import METHODS
from nets.early_stopping import BEST, Plateau, TrainOnPart, part_of
from nets.recipe import SGD, Recipe
from sparsopt.method import Method, Phase, Stage, run
from sparsopt.moves import Stay
from sparsopt.result import Status
from sparsopt.state import State
from tests.networks import MOMENTUM, network, plan_of


@given(st.lists(st.integers(0, 9), min_size=1, max_size=30), st.integers(1, 4))
def test_a_stage_ends_when_the_loss_has_not_fallen_for_so_many_rounds(losses: list[int], patience: int) -> None:
    """And the first round with the least loss so far is the one that is remembered."""
    state, at = State(torch.zeros(1), torch.ones(1, dtype=torch.bool), 0), 0
    judge, status = Plateau(patience), None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nets.early_stopping.part_of", lambda oracle, held_out, seed: oracle)
        for at, loss in enumerate(losses):
            oracle: Any = type("World", (), {"test": lambda self, state, loss=loss: (float(loss), math.nan)})()
            state, status = judge(oracle, state, state.but(x=torch.tensor([float(at)])))
            if status is not None:
                break
    seen = losses[: at + 1]
    assert int(state.saved[BEST].x) == seen.index(min(seen))
    since = at - seen.index(min(seen))
    assert (state.slots["watched"] == np.array([min(seen), since])).all()
    assert (status is Status.PLATEAU) == (since == patience) and since <= patience


def test_what_is_judged_on_is_not_trained_on_and_not_the_test_split() -> None:
    world = network("perceptron", MOMENTUM)
    part = part_of(world, 0.1, seed=3)
    rows = [{tuple(image.flatten().tolist()) for image in images} for images in (
        part.data.images, part.data.test_images, world.data.images, world.data.test_images,
    )]  # fmt: skip
    assert rows[0] | rows[1] == rows[2] and not rows[0] & rows[1] and not rows[1] & rows[3]
    assert len(part.data.test_labels) == 7 and part.data.mean == world.data.mean
    assert part_of(world, 0.1, seed=3) is part and part_of(network("perceptron", MOMENTUM), 0.1, 3) is not part


@pytest.mark.parametrize("name", ["unilth", "unidlth"])
def test_a_first_stage_that_gets_worse_stops_and_goes_back(name: str) -> None:
    """At a rate that is far too high the held-out loss rises: the stage ends before its budget, at its best cycle."""
    hot = Recipe(2.0, optimiser=SGD(0.9, weight_decay=0.0), batch=16)
    world = network("perceptron", hot)
    plan = plan_of(world, 0.5, steps=200)
    method = METHODS[name](plan, cycles=20)
    watched = Method(name, method.stages[:3])
    result = run(watched, world, world.start(0))
    assert result.status is Status.PLATEAU and result.state.cost < 100
    losses = [part_of(world, 0.1, 0).test(state)[0] for state in (result.state, result.state.saved[BEST])]
    assert losses[0] == losses[1] and torch.equal(result.x, result.state.saved[BEST].x)


def test_patience_without_end_is_the_budget() -> None:
    world = network("perceptron", MOMENTUM)
    stage = Stage((Phase(Stay(), TrainOnPart(3, MOMENTUM)),), rounds=4, judge=Plateau(patience=100))
    result = run(Method("watched", (stage,)), world, world.start(0))
    assert result.status is Status.FINISHED and result.state.cost == 12
