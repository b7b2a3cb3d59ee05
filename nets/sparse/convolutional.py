"""The dense engine with its convolutions made sparse for the length of a phase: any module, any optimiser.

Each plain convolution of the engine's private copy of the module gets a forward pass that costs what its kept weights
cost, batch norm one that knows the new order in memory, and the module one in which batch norm takes ReLU along
(`fusion`); when the phase ends they get their own back. Everything else of a step is the dense engine's. What is no
plain convolution (grouped, transposed, reflecting at the border), and a convolution that keeps too many of its weights,
stays dense.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from nets.engine import Engine
from nets.gates import Gate
from nets.recipe import Recipe
from nets.sparse.convolution import BatchNorm, Pool, SparseConvolution, eligible
from nets.sparse.fusion import fused
from sparsopt.state import State

COPIES = 50  # weights an output for the price of which a dense layer's inputs and outputs change their order in memory


def convolutions(model: nn.Module) -> tuple[str, ...]:
    """Names of the convolutions that can be sparse."""
    return tuple(name for name, layer in model.named_modules() if eligible(layer))


def worthwhile(mask: NDArray[np.bool_], below: float) -> bool:
    """Whether a convolution among sparse ones is faster sparse, `below` being the density where a network is."""
    row = mask[0].size
    return bool(mask.sum() <= len(mask) * (below * row + COPIES))


class ConvolutionalEngine:
    """Trains the module of a dense engine with sparse convolutions. Belongs to one run, as the other.

    below: the density up to which layers are sparse, a little more for small ones; 1: all that can be.
    """

    def __init__(self, dense: Engine, below: float = 1.0) -> None:
        self.dense, self.below, self.pool = dense, below, Pool()
        self.fused = fused(dense.model.train())
        self.known: dict[nn.Module, SparseConvolution] = {}  # plans stay as long as masks do

    def train(self, state: State, recipe: Recipe, gate: Gate, batches: Any, steps: int, total: int) -> State:
        """As `Engine.train`."""
        with self._sparse(state.support):
            return self.dense.train(state, recipe, gate, batches, steps, total)

    @contextlib.contextmanager
    def _sparse(self, support: torch.Tensor) -> Iterator[None]:
        """The module with other forward passes, for masks that do not change."""
        model, changed = self.dense.model, list[nn.Module]()
        masks = {id(model.get_parameter(n)): m.numpy() for n, m in self.dense.weights.blocks(support)}
        try:
            for layer in model.modules():
                forward = self.fused if layer is model and self.fused else self._forward(layer, masks)
                if forward is not None:
                    layer.forward = forward
                    changed.append(layer)
            yield
        finally:
            for layer in changed:
                del layer.forward
            self.pool.free.clear()

    def _forward(self, layer: nn.Module, masks: dict[int, NDArray[np.bool_]]) -> Any:
        """Another forward pass for a layer that is to have one."""
        if type(layer) is nn.BatchNorm2d and "forward" not in vars(layer):
            return BatchNorm(layer, self.pool)
        if not isinstance(layer, nn.Conv2d) or not eligible(layer):
            return None
        mask = masks.get(id(layer.weight))
        if mask is None or not worthwhile(mask, self.below):
            return None
        if layer not in self.known or not np.array_equal(self.known[layer].mask, mask):
            self.known[layer] = SparseConvolution(layer, mask, self.pool)
        return self.known[layer]
