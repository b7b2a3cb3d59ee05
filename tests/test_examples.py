"""Every example in a docstring runs, and says what it is said to say.

Examples of `nets` are about *a* model, *some* data, *an* outcome: the world below has one of each, small ones, and its
`nets.prune` trains for an epoch of 64 digits unless told otherwise.
"""

from __future__ import annotations

import dataclasses
import doctest
import functools
import importlib
import os
import pkgutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import nets
import sparsopt
from nets.catalogue import METHODS, Plan
from nets.data.batches import Batches
from nets.prune import prune
from nets.recipe import Recipe
from nets.structured import Channels
from nets.training import Network
from sparsopt.method import run
from sparsopt.state import Layout

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE | doctest.IGNORE_EXCEPTION_DETAIL
FINDER = doctest.DocTestFinder()
SHARED = (
    "sparsopt.moves", "sparsopt.fits", "sparsopt.schedules", "sparsopt.method", "nets.plan", "nets.moves",
    "nets.catalogue.retraining", "nets.training", "nets.controls", "nets.local_models", "nets.structured",
)  # fmt: skip

WHOLE = ("nets.export", "nets.structured")  # about whole channels
ON_GPU = ("nets.export.semi_structured",)
LONG = ("nets.structured.scratch", "nets.training", "nets.export", "nets.export.report")  # half a minute each


class Shown(doctest.OutputChecker):
    """An example that shows no output only has to run."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        return want == "" or super().check_output(want, got, optionflags)


def modules() -> list[str]:
    """All modules with an example, and all packages."""
    found = []
    for package in (sparsopt, nets):
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            source = importlib.util.find_spec(info.name)  # type: ignore[attr-defined]
            if source and source.origin and ">>> " in Path(source.origin).read_text("utf-8"):
                found.append(info.name)
    return sorted(found)


@pytest.fixture(scope="session")
def world() -> dict[str, Any]:
    """What examples of `nets` speak of."""
    full = nets.data.load("digits")
    data = dataclasses.replace(full, images=full.images[:64], labels=full.labels[:64])
    model, recipe = nets.models.build("lenet-300-100", inputs=data.inputs, seed=0, width=0.1), Recipe(batch=16)
    network = Network(model, data, recipe=recipe)
    plan = Plan(network.layout, network.layout.n // 10, 8, recipe)
    method = METHODS["one-shot"](plan)
    result = run(method, network, network.start(0))
    images, _ = Batches(data, 16, 0).at(0)
    return {
        **{name: value for module in SHARED for name, value in vars(importlib.import_module(module)).items()},
        "data": data, "model": model, "recipe": recipe, "network": network, "plan": plan, "method": method,
        "state": result.state, "trace": result.trace, "images": images, "my_method": "gmp",
        "outcome": prune(model, data, method="magnitude-at-init", sparsity=0.9, epochs=1),
    }  # fmt: skip


@pytest.fixture(scope="session")
def channels(world: dict[str, Any]) -> dict[str, Any]:
    """The same where whole channels are removed."""
    data, recipe = world["data"], world["recipe"]
    model = nets.models.build("resnet-20", inputs=data.inputs, seed=0, width=0.25)
    outcome = prune(model, data, method="l1-filters", sparsity=0.5, epochs=1)
    rule = Channels().found(model, world["images"])
    network = Network(model, data, recipe=recipe, prunable=rule)
    found = {"network": network, "state": network.start(0), "structure": rule.structure(network.layout)}
    return {**world, "model": model, "outcome": outcome, **found}


@pytest.mark.filterwarnings("ignore:`isinstance:FutureWarning")  # inside torch.onnx
@pytest.mark.parametrize("name", modules())
def test_examples(name: str, request: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if name in ON_GPU and not torch.cuda.is_available():
        pytest.skip("2:4 needs an NVIDIA GPU")
    if name in LONG and os.environ.get("SPARSOPT_PROFILE") != "nightly":
        pytest.skip("long: in the nightly profile")
    given = {"np": np, "sparsopt": sparsopt, "nets": nets, "torch": torch, "nn": nn, "Layout": Layout}
    module = importlib.import_module(name)
    if name.startswith("nets") and not name.startswith(("nets.data", "nets.strong_tickets")):
        known = request.getfixturevalue("channels" if name.startswith(WHOLE) else "world")
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(nets, "prune", functools.partial(_quick, known))
        monkeypatch.setattr(nets.data, "load", lambda name: known["data"])
        given |= {key: value for key, value in known.items() if key not in vars(module)} | {"prune": nets.prune}
    runner = doctest.DocTestRunner(Shown(), optionflags=FLAGS)
    told: list[str] = []
    for test in FINDER.find(module, extraglobs=given):
        runner.run(test, out=told.append)
    assert runner.failures == 0, "".join(told)


def _quick(known: dict[str, Any], model: Any, data: Any, *arguments: Any, **settings: Any) -> Any:
    return prune(model, known["data"], *arguments, **{"epochs": 1, **settings})
