"""nets.prune refuses in a sentence what it cannot mean or do."""

from __future__ import annotations

import dataclasses
import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from nets.recipe import SGD, Adam, Recipe
from sparsopt.errors import InvalidInput, NotFinite
from tests.networks import PLAIN, module
from tests.pruning import DATA, prune


@pytest.mark.parametrize("sparsity", [1.0, -0.1, math.nan, math.inf, 2, "0.9", None, 0.9999])
def test_impossible_sparsities(sparsity: Any) -> None:
    wrong = r"(is no fraction|would keep no weight of 376); give 0 <= sparsity <= 0\.9973"
    with pytest.raises(InvalidInput, match=rf"sparsity = {re.escape(repr(sparsity))} {wrong}"):
        prune(sparsity=sparsity)


def test_a_model_and_data_that_are_none() -> None:
    with pytest.raises(InvalidInput, match=r"model = 3: give an nn.Module, .* a name of nets.models.names\(\)"):
        prune(model=3)
    with pytest.raises(InvalidInput, match=r"data = 'mnist' is a name; give nets.data.load\('mnist'\)"):
        prune(data="mnist")


@pytest.mark.parametrize("epochs", [0, -1, math.nan, math.inf])
def test_impossible_lengths(epochs: float) -> None:
    with pytest.raises(InvalidInput, match="must have a positive length"):
        prune(epochs=epochs)


@pytest.mark.parametrize("wrong, near", [("impp", "imp"), ("IMP-rewind", "imp-rewind"), ("rigl_accept", "rigl-accept")])
def test_unknown_methods_get_the_near_ones(wrong: str, near: str) -> None:
    with pytest.raises(InvalidInput, match=f"unknown network method '{wrong}'; did you mean .*{near}"):
        prune(wrong)
    with pytest.raises(InvalidInput, match="known are dense, random"):
        prune("qqqqq")


def test_data_and_weights_that_are_not_finite() -> None:
    bad = dataclasses.replace(DATA, images=DATA.images.clone().index_fill(0, torch.tensor([3]), math.nan))
    with pytest.raises(InvalidInput, match=r"DataSet\('blobs'.* contains NaN"):
        prune(data=bad)
    with pytest.raises(InvalidInput, match="X contains NaN"):
        prune(data=(bad.images.numpy(), bad.labels.numpy()))
    for name in ("4.weight", "4.bias"):
        model = module()
        model.get_parameter(name).data.flatten()[0] = math.inf
        with pytest.raises(InvalidInput, match="weights of Sequential contain NaN or infinite"):
            prune(model=model)


class Pair(nn.Module):
    """Gives something else than one row of numbers an input."""

    def __init__(self, how: Any) -> None:
        super().__init__()
        self.layer, self.how = nn.Linear(36, 3), how

    def forward(self, x: torch.Tensor) -> Any:
        return self.how(self.layer(x.flatten(1)))


def test_a_module_that_does_not_take_the_data() -> None:
    with pytest.raises(InvalidInput, match=r"Sequential does not take inputs \(1, 6, 6\) of .*cannot be multiplied"):
        prune(model=nn.Sequential(nn.Flatten(), nn.Linear(7, 3)))
    with pytest.raises(InvalidInput, match=r"Linear gives outputs of shape \(2, 1, 6, 3\) .* at least 3 columns"):
        prune(model=nn.Linear(6, 3))
    with pytest.raises(InvalidInput, match=r"Sequential gives outputs of shape \(2, 2\) .* at least 3 columns"):
        prune(model=nn.Sequential(nn.Flatten(), nn.Linear(36, 2)))
    with pytest.raises(InvalidInput, match="Pair gives outputs of type tuple"):
        prune(model=Pair(lambda out: (out, out)))
    with pytest.raises(InvalidInput, match="no parameter of ReLU is prunable"):
        prune(model=nn.ReLU())


def test_divergence_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(NotFinite, match=r"training diverged after step \d+: .* Give a learning rate below 1e\+20"):
            prune(recipe=dataclasses.replace(PLAIN, learning_rate=1e20), out=tmp_path)
    assert not (tmp_path / "result.json").exists()


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: Recipe(learning_rate=-1), "learning_rate = -1"),
        (lambda: Recipe(learning_rate=math.nan), "learning_rate = nan"),
        (lambda: Recipe(batch=0), "batch = 0"),
        (lambda: Recipe(label_smoothing=2), "label_smoothing = 2"),
        (lambda: Recipe(precision="float16"), "known are float32, tfloat32, bfloat16"),
        (lambda: SGD(momentum=1.0), "momentum"),
        (lambda: SGD(momentum=0.0, nesterov=True), "above 0 with nesterov"),
        (lambda: Adam(beta1=1.0), "beta"),
    ],
)
def test_recipes_refuse_what_they_cannot_mean(make: Any, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        make()


def test_a_device_that_is_not_there() -> None:
    with pytest.raises(InvalidInput, match="device 'nonsense' cannot be used here"):
        prune(device="nonsense")
