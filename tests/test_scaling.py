"""`benchmarks speed --scaling`: slopes of known curves, sizes that are what they say, and a table of all costs.

That costs are linear is counted here, not timed: batches, optimiser steps and reads grow exactly with what was asked.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim.optimizer import register_optimizer_step_post_hook

from benchmarks.__main__ import main
from benchmarks.speed import scaling
from nets.catalogue import METHODS
from nets.data import Batches
from sparsopt.method import run
from tests.networks import MOMENTUM, network, plan_of


@given(st.floats(0.2, 3), st.floats(1e-6, 1e3), st.lists(st.integers(2, 10**7), min_size=2, max_size=6, unique=True))
def test_the_slope_of_a_power_is_its_exponent(power: float, factor: float, sizes: list[int]) -> None:
    line = scaling.Line("x", tuple(sizes), tuple(factor * n**power for n in sizes))
    assert line.slope == pytest.approx(power, rel=1e-6)


@pytest.mark.parametrize("weights", [10_000, 100_000, 1_000_000])
def test_networks_have_about_the_weights_they_should(weights: int) -> None:
    assert scaling._network(weights).layout.n == pytest.approx(weights, rel=0.02)


def test_every_cost_is_measured_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["speed", "--scaling", "--quick", "--out", str(tmp_path)]) == 0
    costs = json.loads((tmp_path / "scaling.json").read_text())["costs"]
    assert len(costs) == 4 and all(min(cost["seconds"]) > 0 for cost in costs.values())
    assert costs["finished cells found, by cells"]["sizes"] == [5, 10, 20, 40]
    assert "slope" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["imp", "rigl", "acdc", "dpf", "gmp"])
def test_steps_are_what_a_run_pays_for(name: str) -> None:
    """Twice the steps are twice the batches and twice the optimiser's steps; what lies between phases stays."""
    counts: list[tuple[int, int, int]] = []
    for steps in (20, 40):
        asked: list[int] = []
        taken: list[Any] = []

        class Counting(Batches):
            def at(self, step: int) -> Any:
                asked.append(step)  # noqa: B023
                return super().at(step)

        world = network(recipe=MOMENTUM, batches=Counting)
        handle = register_optimizer_step_post_hook(lambda *_: taken.append(None))  # noqa: B023
        result = run(METHODS[name](plan_of(world, sparsity=0.5, steps=steps)), world, world.start(0))
        handle.remove()
        counts.append((len(asked), len(taken), result.state.cost))
    (asked_1, taken_1, cost_1), (asked_2, taken_2, cost_2) = counts
    assert taken_1 == cost_1 and taken_2 == cost_2 == 2 * cost_1
    assert taken_1 <= asked_1 <= 2 * taken_1 and asked_2 <= 2 * asked_1  # RigL looks at a gradient for every swap
    assert torch.is_grad_enabled()
