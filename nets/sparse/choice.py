"""Which engine trains what: from a name, or from a measurement.

    dense      autograd; whatever a module is
    explicit   perceptrons: the gradient written out (`nets.explicit`)
    skipping   perceptrons, fixed masks: inputs that are zero cost nothing (`nets.sparse.skipping`)
    sparse     perceptrons and convolutions, fixed masks: weights that are zero cost nothing (`nets.sparse`)
    auto       sparse up to a density, above it the fastest of the others, as measured: "auto:skipping:0.2"
    captured   on CUDA the step as one graph (`nets.captured`)

What an engine cannot train is left to the dense or explicit one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from nets.data import Batches, DataSet
from nets.engine import Engine
from nets.explicit import kind
from nets.gates import Masked
from nets.recipe import Recipe
from nets.sparse.engine import available, seconds, threshold, trains
from nets.sparse.perceptron import linear_layers
from nets.sparse.skipping import SkippingEngine
from nets.sparse.zeros import mostly_zero, skips
from nets.weights import Weights
from sparsopt import support as sp
from sparsopt.errors import MissingCapability
from sparsopt.state import State

TRIED = 10  # steps


@dataclass(frozen=True)
class Choice:
    """name: as a run records it, so that it resumes as it began; usual: trains whatever nothing else does; skipping:
    whether fixed masks with more than `below` of the weights go to the skipping engine; the others go to the sparse."""

    name: str
    usual: type[Engine]
    skipping: bool = False
    below: float = -1.0


def choose(
    engine: str, model: nn.Module, weights: Weights, device: torch.device, data: DataSet, recipe: Recipe
) -> Choice:
    """The choice that a name stands for; "auto" measures.

    Raises InvalidInput for an unknown name, MissingCapability where an engine is asked for and cannot be had.
    """
    name, *found = engine.split(":")
    usual = kind(engine, model, device, weights.dtype)

    def build() -> Engine:
        return usual(model, weights, device)

    if name in ("captured", "explicit"):
        return Choice(engine, usual)
    if name == "skipping":
        reason = _obstacle(model, device, weights, data)
        if reason:
            raise MissingCapability(f"engine 'skipping' cannot train this network: {reason}; give engine='dense'")
        return Choice(engine, usual, True)
    if name == "auto" and not found and not trains(recipe, Masked(), model):
        return Choice("auto:-1", usual)  # nothing to measure
    rival = float("inf")
    if name == "auto" and not found and mostly_zero(data) and not _obstacle(model, device, weights, data):
        rival = _measured(build, data, recipe)
    below = threshold(engine, build, recipe, data.inputs, rival)
    skipping = "skipping" in found or rival < float("inf")
    return Choice(f"auto:{'skipping:' * skipping}{below:g}" if name == "auto" else engine, usual, skipping, below)


def _obstacle(model: nn.Module, device: torch.device, weights: Weights, data: DataSet) -> str:
    if not linear_layers(model):
        return f"it trains linear layers with ReLU between them, and {type(model).__name__} is something else"
    if not skips(Batches(data, 1)):
        return "it takes images as they are, without augmentation"
    return available(model, device, weights.dtype)


def _measured(build: Callable[[], Engine], data: DataSet, recipe: Recipe) -> float:
    """Seconds of a step of the skipping engine, inf if it is not faster than the usual one."""
    dense = build()
    x = dense.theta.detach()[: dense.n].clone()
    state = State(x, sp.everything(x), 0, slots=dense.contents())
    batches = Batches(data, recipe.batch)
    usual, skipping = (seconds(one, state, recipe, batches, TRIED) for one in (dense, SkippingEngine(dense)))
    return skipping if skipping < usual else float("inf")
