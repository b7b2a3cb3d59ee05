"""The loss over a few samples of each class: what scores of networks that have not been trained are taken from.

    >>> f = network.at(state).sampled(per_class=10)
    >>> (state.x * f.gradient(state.x)).abs()              # connection sensitivity, SNIP

Which samples is a function of the state's seed and position: another round, other samples; a resumed run, the same.
They are not augmented.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from nets import seeds
from nets.data import DataSet
from nets.engine import Engine
from nets.recipe import Recipe
from nets.weights import Weights
from sparsopt.errors import InvalidInput
from sparsopt.state import Layout, State

CHUNK = 256  # samples at once
MODES = ("train", "eval")


class Opened(Protocol):
    """What it takes to look at a network; `nets.training.Network` has it."""

    data: DataSet
    recipe: Recipe
    weights: Weights

    @property
    def layout(self) -> Layout: ...
    @property
    def engine(self) -> Engine: ...


class Sampled:
    """f(x) = mean of the recipe's loss(outputs / temperature) over `per_class` training samples of each class.

    A class that has fewer gives all it has. mode: "train" takes batch norm's statistics from the samples and lets
    dropout drop; "eval" takes the running statistics.
    """

    def __init__(self, network: Opened, state: State, per_class: int, temperature: float, mode: str) -> None:
        if per_class < 1 or not temperature > 0 or mode not in MODES:
            raise InvalidInput(
                f"per_class = {per_class} and temperature = {temperature} must be positive, mode = {mode!r} one of "
                + ", ".join(MODES)
            )
        self.network, self.state, self.layout = network, state, network.layout
        self.temperature, self.mode = temperature, mode
        rows = balanced(network.data.labels, per_class, *state.key)
        data = network.data
        chunks = data.evaluation(data.images[rows], data.labels[rows], CHUNK, dtype=network.weights.dtype)
        self.chunks = list(chunks)

    def _loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return self.network.recipe.loss(outputs / self.temperature, targets)

    def value(self, x: Tensor) -> float:
        return self.network.engine.mean_loss(self.state, x, self._loss, self.chunks, self.mode)

    def gradient(self, x: Tensor) -> Tensor:
        """(n,), in all of x."""
        return self.network.engine.mean_gradient(self.state, x, self._loss, self.chunks, self.mode)

    def hessian_product(self, x: Tensor, v: Tensor) -> Tensor:
        """H(x) v, (n,)."""
        return self.network.engine.hessian_product(self.state, x, v, self._loss, self.chunks, self.mode)


def balanced(labels: Tensor, per_class: int, *key: int) -> Tensor:
    """Rows of up to `per_class` samples of each class, all in random order: a function of (labels, key)."""
    order = torch.randperm(len(labels), generator=seeds.generator("sampled", *key)).to(labels.device)
    shuffled = labels[order]
    by_class = shuffled.argsort(stable=True)
    sizes = shuffled.bincount()
    starts = (sizes.cumsum(0) - sizes)[shuffled[by_class]]
    chosen = by_class[torch.arange(len(labels), device=labels.device) - starts < per_class]
    return order[chosen.sort().values]
