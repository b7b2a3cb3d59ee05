"""nets.prune: what is asked is met, and the outcome says what happened."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import nets
from nets.catalogue import METHODS, Plan
from nets.data import from_arrays
from nets.recipe import Adam, Constant, Cosine, Milestones, Recipe, Triangle, WarmUp
from nets.training import Network
from nets.weights import ConvolutionsAndLinear, Matrices
from sparsopt.errors import InvalidInput
from sparsopt.result import Status
from tests.conftest import scaled
from tests.networks import MOMENTUM, PLAIN, module
from tests.pruning import DATA, prune


@given(st.floats(0, 1, exclude_max=True), st.sampled_from(sorted(METHODS)))
@settings(max_examples=scaled(25))
def test_sparsity_is_met_exactly(sparsity: float, method: str) -> None:
    """In weights; methods of whole channels count channels unless they are told what is prunable."""
    n, weights = 376, ConvolutionsAndLinear()
    k = round((1 - sparsity) * n)
    if k == 0:
        with pytest.raises(InvalidInput, match="would keep no weight of 376"):
            prune(method, sparsity, epochs=1, prunable=weights)
        return
    outcome = prune(method, sparsity, epochs=1, prunable=weights)
    kept = n if method == "dense" else k
    assert (outcome.prunable, sum(int(mask.sum()) for mask in outcome.masks.values())) == (n, kept)
    assert outcome.sparsity == 1 - kept / n
    for name, mask in outcome.masks.items():
        assert not outcome.model.get_parameter(name)[~mask].any()
        assert outcome.densities[name] == pytest.approx(mask.double().mean().item(), abs=1e-7)


def test_outcome() -> None:
    outcome = prune()
    model = outcome.model.eval()
    right = (model(DATA.test_images).argmax(-1) == DATA.test_labels).double().mean().item()
    assert outcome.accuracy == pytest.approx(right, abs=1e-12) and outcome.status is Status.FINISHED
    loss = MOMENTUM.loss(model(DATA.test_images), DATA.test_labels).item()
    assert outcome.loss == pytest.approx(loss, rel=1e-5)
    assert outcome.cost["steps"] == 3 * (70 // 16) and outcome.cost["seconds"] > 0
    assert [line.split()[0] for line in str(outcome).splitlines()] == ["status", "sparsity", "accuracy", "cost"]
    assert "75 of 376 prunable weights kept" in str(outcome)


def test_pruning_learns() -> None:
    """The easy problem is solved at 80 %: better than chance by far, and than an untrained network."""
    accuracy = prune("imp", 0.8, Recipe(0.01, Cosine(), Adam(), batch=16), epochs=15).accuracy
    assert accuracy > 0.8


def test_accuracy_is_the_last_steps_not_the_best_before_the_target_was_reached() -> None:
    """Mistake 12 of public code. Here the rate is so high that the best epoch is not the last."""
    outcome = prune("gmp", 0.97, dataclasses.replace(PLAIN, learning_rate=2.0), epochs=30, evaluate_every=1)
    measured = outcome.trace.column("accuracy")
    assert len(measured) > 10 and measured[-1] == outcome.accuracy < max(measured)


def test_layers_without_a_weight_are_named() -> None:
    """Mistake 13: layer collapse goes unnoticed."""
    model = module()
    with torch.no_grad():
        model.get_parameter("4.weight").mul_(1e-6)
    outcome = prune("one-shot", 0.9, Recipe(0.0), model=model)
    assert outcome.collapsed == ("4.weight",) and "no weight left in 4.weight" in str(outcome)
    assert prune().collapsed == ()


def test_the_module_is_never_changed_and_a_builder_is_a_function_of_the_seed() -> None:
    model = module()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    prune(model=model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    outcomes = [prune("random", model=lambda seed: module(seed=seed % 97), seed=seed) for seed in (1, 1, 2)]
    weights = [outcome.model.get_parameter("1.weight") for outcome in outcomes]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def test_arrays_rules_entries_and_methods() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 5)).astype("float32"), rng.integers(0, 3, 40)
    outcome = prune(model=nn.Linear(5, 3), data=(X, y), sparsity=0.4)
    assert outcome.sparsity == 1 - 9 / 15 and math.isnan(outcome.accuracy)
    entry = prune(lambda plan: METHODS["random"](dataclasses.replace(plan, k=7)))
    assert sum(int(mask.sum()) for mask in entry.masks.values()) == 7
    plan = Plan(Network(module(), DATA).layout, 11, 5, MOMENTUM)
    whole = prune(METHODS["rigl"](plan), sparsity=0.0)
    assert sum(int(mask.sum()) for mask in whole.masks.values()) == 11 and whole.cost["steps"] == 5
    assert prune(prunable=Matrices(exclude=("1.weight",))).prunable == 88


def test_budget_is_steps_in_all() -> None:
    assert prune("imp", budget=100, epochs=99).cost["steps"] == 99  # 9 trainings of 11
    with pytest.raises(InvalidInput, match="budget of 5 steps is too small for imp"):
        prune("imp", budget=5)
    with pytest.raises(InvalidInput, match="brings its own lengths"):
        prune(METHODS["random"](Plan(Network(module(), DATA).layout, 11, 5)), budget=100)


def test_progress_and_accuracies_along_the_way() -> None:
    seen: list[tuple[int, int]] = []
    outcome = prune("dense", epochs=5, chunk=3, progress=lambda s, t: seen.append((s.cost, len(t))), evaluate_every=4)
    assert seen == [(3, 0), (6, 0), (9, 0), (12, 0), (15, 0), (18, 0), (20, 1)]
    assert len(outcome.trace.column("accuracy")) == 1
    gmp = prune("gmp", epochs=10, evaluate_every=6)
    costs = [row.cost for row in gmp.trace if "accuracy" in row.measured]
    assert len(costs) > 3 and min(np.diff(costs)) >= 6


def test_from_arrays_without_a_test_split_has_no_accuracy() -> None:
    data = from_arrays(DATA.images, DATA.labels)
    outcome = prune(data=data)
    assert math.isnan(outcome.accuracy) and math.isnan(outcome.loss)


def test_learning_rates() -> None:
    assert [Recipe(1.0, Milestones((0.5, 0.75)), batch=1).rate(t, 8) for t in (0, 3, 4, 6, 7, 8, 99)] == pytest.approx(
        [1, 1, 0.1, 0.01, 0.01, 0.01, 0.01]
    )
    assert Recipe(2.0, Constant()).rate(5, 9) == 2.0
    assert Recipe(1.0, Cosine(0.1)).rate(0, 10) == 1.0 and Recipe(1.0, Cosine(0.1)).rate(5, 10) == pytest.approx(0.55)
    assert [Triangle(0.2)(t) for t in (0, 0.1, 0.2, 0.6)] == pytest.approx([0, 0.5, 1, 0.5])
    assert [WarmUp(0.5, Constant())(t) for t in (0, 0.25, 0.5, 0.9)] == [0, 0.5, 1, 1]
    assert WarmUp(0.0, Constant())(0.0) == 1.0
    for recipe in (Recipe(), MOMENTUM, Recipe(0.5, WarmUp(0.1, Triangle()), Adam())):
        assert eval(repr(recipe), vars(nets.recipe)) == recipe
