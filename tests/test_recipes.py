"""Recipes of papers: their numbers, that each one runs, and what a call may change."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
import torch

import nets
import nets.recipe
import nets.weights
from nets.catalogue import METHODS, Plan
from nets.plan import configured
from nets.recipe import SGD, Adam, Triangle
from nets.recipes import FAST, RECIPES, Published
from nets.weights import Weights
from sparsopt.errors import InvalidInput
from tests.networks import MOMENTUM


def rates(name: str, *epochs: float) -> list[float]:
    paper = RECIPES[name]
    return [paper.recipe.rate(round(1000 * epoch), round(1000 * paper.epochs)) for epoch in epochs]


def test_rates_at_the_papers_epochs() -> None:
    """Right before and right after each milestone."""
    assert rates("renda-resnet-20", 0, 90.99, 91, 135.99, 136, 181) == pytest.approx([0.1, 0.1, 1e-2, 1e-2, 1e-3, 1e-3])
    assert rates("synflow-vgg-16", 59.9, 60, 119.9, 120) == pytest.approx([0.1, 1e-2, 1e-2, 1e-3])
    assert rates("synflow-resnet-18", 59.9, 60, 120) == pytest.approx([0.01, 0.002, 0.0004])
    assert rates("acdc-resnet-20", 64.9, 65, 125, 185) == pytest.approx([0.1, 1e-2, 1e-3, 1e-4])
    assert rates("open-lth-resnet-20", 79.9, 80, 120) == pytest.approx([0.1, 1e-2, 1e-3])
    assert rates("gsm-lenet-300-100", 0, 2.5, 5, 40, 160) == pytest.approx([0, 1.5e-2, 3e-2, 3e-3, 3e-6])
    assert rates("lth-conv-4", 0, 33) == [3e-4, 3e-4] and rates("lth-lenet-300-100", 54) == [1.2e-3]
    rigl = RECIPES["rigl-wrn-22-2"].recipe
    steps = [rigl.rate(step, 97_656) for step in (0, 29_999, 30_000, 60_000, 90_000)]
    assert steps == pytest.approx([0.1, 0.1, 0.02, 0.004, 0.0008])


def test_other_numbers_of_the_papers() -> None:
    """As read: decay, batch, momentum, epochs."""
    asked: dict[str, tuple[float, int, float]] = {  # decay, batch, epochs
        "renda-resnet-56": (2e-4, 128, 182), "synflow-vgg-16": (1e-4, 128, 160), "rigl-wrn-22-2": (5e-4, 128, 250),
        "acdc-resnet-20": (5e-4, 128, 200), "gsm-lenet-300-100": (5e-4, 256, 200), "lth-conv-2": (0.0, 60, 27),
        "open-lth-lenet-300-100": (0.0, 128, 40), "open-lth-vgg-16": (1e-4, 128, 160),
    }  # fmt: skip
    for name, expected in asked.items():
        paper = RECIPES[name]
        assert (paper.recipe.optimiser.weight_decay, paper.recipe.batch, paper.epochs) == expected, name
    assert RECIPES["rigl-wrn-22-2"].recipe.optimiser == SGD(0.9, True, 5e-4)
    assert isinstance(RECIPES["lth-conv-6"].recipe.optimiser, Adam) and RECIPES["lth-conv-6"].settings["convolution"]


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_can_be_followed(name: str) -> None:
    """Its model takes its data, its method has its settings, its weights exist; repr is Python; it says its source."""
    paper = RECIPES[name]
    inputs = {"mnist": (1, 28, 28), "cifar10": (3, 32, 32), "digits": (1, 8, 8)}[paper.data]
    model = nets.models.Named(paper.model, inputs)
    layout = Weights(nets.models.building.shape_only(paper.model, inputs, 10, 1.0), paper.prunable).layout
    assert layout.n == model.weights(paper.prunable) and paper.data in nets.data.names()
    for full in getattr(paper.prunable, "exclude", ()):
        assert model.weights() > layout.n and full in model(0).state_dict(), full
    method = configured(METHODS[paper.method], paper.settings)(Plan(layout, layout.n // 10, 400, paper.recipe))
    assert method.stages and all(0 < sparsity < 1 for sparsity in paper.sparsities)
    names = {**vars(nets.recipe), **vars(nets.weights), "Published": Published}
    assert eval(repr(paper), names) == paper and paper.method in str(paper)
    assert name in ("adam", "sgd") or "read" in paper.source or "recalled" in paper.source
    assert "no paper" in paper.source or name.startswith(("lth", "open-lth")) or paper.recipe.name in name


def test_a_recipe_by_name_sets_what_the_call_does_not() -> None:
    data = nets.data.from_arrays(torch.rand(120, 3, 8, 8), torch.arange(120) % 10)

    def steps(**options: Any) -> Any:
        small = nets.models.Named("conv-6", (3, 8, 8), width=0.2)
        return nets.prune(small, data, sparsity=0.5, recipe="lth-conv-6", **{"epochs": 1, **options})

    paper, other = steps(), steps(method="random")
    assert paper.cost["steps"] > other.cost["steps"] == 2
    conv, hidden, head = (paper.densities[f"{name}.weight"] for name in ("conv3b", "linear2", "head"))
    assert hidden < conv < head, "the layer rates of Conv-6"
    assert steps(method="imp-layerwise+reinit").densities == paper.densities, "settings stay under a control"
    changed = steps(settings={"convolution": 0.3}).densities
    assert changed["conv3b.weight"] < conv
    excluded = nets.prune("vgg-11", data_of(16), sparsity=0.5, recipe=vgg(), epochs=0.5, method="magnitude-at-init")
    assert "head.weight" not in excluded.masks and excluded.cost["steps"] == 1


def data_of(side: int) -> Any:
    return nets.data.from_arrays(torch.rand(64, 3, side, side), torch.arange(64) % 10)


def vgg() -> Published:
    paper = RECIPES["open-lth-vgg-16"]
    return dataclasses.replace(paper, recipe=dataclasses.replace(paper.recipe, batch=32))


def test_the_default_is_adam_and_a_recipe_of_ones_own_changes_only_the_training() -> None:
    data = nets.data.from_arrays(torch.rand(80, 1, 8, 8), torch.arange(80) % 10)
    one = nets.prune("lenet-300-100", data, "random", epochs=1)
    two = nets.prune("lenet-300-100", data, "random", epochs=1, recipe="adam")
    three = nets.prune("lenet-300-100", data, "random", epochs=1, recipe=RECIPES["adam"].recipe)
    weights = [outcome.model.get_parameter("head.weight") for outcome in (one, two, three)]
    assert torch.equal(weights[0], weights[1]) and torch.equal(weights[0], weights[2])
    assert one.cost["steps"] == 1 and nets.prune("lenet-300-100", data, "random", recipe=MOMENTUM).cost["steps"] == 100
    with pytest.raises(InvalidInput, match="unknown recipe 'renda'; did you mean renda-resnet-"):
        nets.prune("lenet-300-100", data, recipe="renda")


def test_recipes_on_the_command_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from nets.__main__ import main

    arguments = ["--recipe", "lth-lenet-300-100", "--data", "digits", "--epochs", "0.3", "--sparsity", "0.5"]
    assert main(["prune", *arguments, "--out", str(tmp_path), "--batch", "100"]) == 0
    text = (tmp_path / "run.json").read_text()
    assert "imp-layerwise" in text and "learning_rate=0.0012" in text and "batch=100" in text
    assert (
        main(["prune", "--recipe", "sgd", "--epochs", "0.3", "--method", "random+shuffle", "--validation", "0.2"]) == 0
    )
    assert "validation" not in capsys.readouterr().err
    assert main(["methods"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in (*RECIPES, "+small-dense", "wrn-22-2", "transformer-small"))


# ---- airbench ------------------------------------------------------------------------------------------------------


def test_airbench_has_the_numbers_of_its_source_for_the_mean_loss() -> None:
    """rate 11.5 per 1,024 summed losses over 1 + 1 / (1 - momentum); decay 0.0153 relative to it; 0.2, 1, 0.07."""
    paper = RECIPES["airbench"]
    recipe, scale = paper.recipe, 1024 * (1 + 1 / (1 - 0.85))
    theirs, decay = 11.5 / scale, 0.0153 * 1024 / scale / (11.5 / scale)  # of the summed loss, as in their code
    assert recipe.learning_rate == pytest.approx(1024 * theirs)
    assert recipe.optimiser.weight_decay == pytest.approx(decay / 1024)
    assert dataclasses.replace(recipe.optimiser, weight_decay=0.0) == SGD(0.85, True, 0.0)
    total = math.ceil(50_000 // 1024 * paper.epochs)
    for step, factor in ((0, 0.2), (int(0.23 * total), 1.0), (total, 0.07)):
        assert recipe.schedule(step / total) == pytest.approx(factor, abs=0.02)
    assert (recipe.batch, recipe.label_smoothing, paper.epochs) == (1024, 0.2, 9.9)


def test_a_triangle_that_starts_and_ends_at_nothing_is_what_it_was() -> None:
    for progress in (0.0, 0.07, 0.2, 0.33, 0.999):
        plain = progress / 0.2 if progress < 0.2 else (1 - progress) / (1 - 0.2)
        assert Triangle(0.2)(progress) == plain


def test_airbench_enters_no_table() -> None:
    """A comparison or a target refuses it by name, whatever its other numbers; no setting and no target has it."""
    from benchmarks.networks import NetworkCell
    from benchmarks.recipes import FAMILIES, setting
    from benchmarks.reproduce import TARGETS

    fast = RECIPES["airbench"]
    with pytest.raises(InvalidInput, match=r"airbench.*no protocol"):
        NetworkCell("cifar10", "resnet-20", "imp", 0.9, 0, 10, recipe=fast.recipe)
    with pytest.raises(InvalidInput, match="no recipe for model 'airbench-94'"):
        setting("cifar10", fast.model)
    recipes = [family.recipe for family in FAMILIES.values()]
    recipes += [recipe for target in TARGETS.values() for _, cell in target.cells([0]) for recipe in (cell.recipe,)]
    assert not {recipe.name for recipe in recipes} & set(FAST) and {fast.recipe.name} <= set(FAST)
    assert not {target.model for target in TARGETS.values()} & {fast.model}
