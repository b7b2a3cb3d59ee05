"""Training that costs what the kept weights cost: engines for fixed masks, on the CPU.

That of perceptrons is here: below a density of three quarters it is faster than the dense one, at 5 % about ten times.
Networks with convolutions have theirs in `convolutional.py`. Both compute the same steps with sums in another order:
equal up to rounding over the first steps, and no more than that, so they are never chosen silently.

    Network(model, data, engine="sparse")      # wherever it can
    Network(model, data, engine="auto")        # where a measurement says that it is faster

They take plain masks in float32, and linear layers with ReLU between them trained by SGD, or any module with plain
convolutions. Everything else is left to the dense engine.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nets.data import DataSet
from nets.engine import MOMENTUM, Engine, plain
from nets.gates import Gate, Masked
from nets.recipe import SGD, Recipe
from nets.sparse.convolutional import ConvolutionalEngine, convolutions
from nets.sparse.perceptron import linear_layers
from nets.sparse.rows import Rows
from nets.sparse.zeros import NonZeros, in_order, mostly_zero, rows_of, skips
from nets.weights import Weights
from sparsopt import support as sp
from sparsopt.errors import InvalidInput, MissingCapability
from sparsopt.state import Array, State

BUFFER_OF_SGD = f"{MOMENTUM}momentum_buffer"
SAMPLED = (0.5, 0.1)  # densities at which `crossing` measures
STEPS = 10
CHUNK = 128  # samples evaluated together


def available(model: nn.Module, device: torch.device, dtype: torch.dtype) -> str:
    """Why the sparse engine cannot train this module here; empty if it can."""
    if device.type != "cpu" or dtype != torch.float32:
        return f"it computes in float32 on the CPU, not in {str(dtype).removeprefix('torch.')} on {device.type}"
    if not linear_layers(model) and not convolutions(model):
        known = "linear layers with ReLU between them, or plain convolutions"
        return f"it trains {known}, and {type(model).__name__} is something else"
    try:
        import numba  # noqa: F401
    except ImportError:
        return "it needs Numba: pip install numba"
    return ""


def trains(recipe: Recipe, gate: Gate, model: nn.Module | None = None) -> bool:
    """Whether the sparse engine knows this recipe and gate; with convolutions in the model also Adam."""
    known = isinstance(recipe.optimiser, SGD) or (model is not None and not linear_layers(model))
    return known and plain(recipe, gate)


def threshold(
    engine: str, build: Callable[[], Engine], recipe: Recipe, inputs: tuple[int, ...] = (), rival: float = math.inf
) -> float:
    """The density up to which phases go to the sparse engine: of "dense", "sparse", "auto", or "auto:0.43" as measured.

    rival: seconds of a step of what trains the others, if that is not the dense engine.

    Raises InvalidInput for another name, MissingCapability where "sparse" is asked for and cannot be had; "auto" is
    then "dense". `build` makes an engine to look at and measure with, for inputs of that shape; it is not kept.
    """
    name, _, measured = engine.partition(":")
    if name not in ("dense", "sparse", "auto"):
        raise InvalidInput(f"engine = {engine!r}: known are dense, explicit, skipping, sparse, auto, captured")
    if name == "dense":
        return -1.0
    dense = build()
    reason = available(dense.model, dense.device, dense.theta.dtype)
    if name == "sparse" and reason:
        raise MissingCapability(f"engine 'sparse' cannot train this network: {reason}; give engine='dense'")
    if reason or name == "sparse":
        return -1.0 if reason else 1.0
    return float(measured.rpartition(":")[2]) if measured else round(crossing(dense, recipe, inputs, rival), 2)


def engine_of(dense: Engine, below: float = 1.0) -> SparseEngine | ConvolutionalEngine:
    """The sparse engine for the module of a dense one; below: `threshold`."""
    return SparseEngine(dense) if linear_layers(dense.model) else ConvolutionalEngine(dense, below)


class SparseEngine:
    """Trains the perceptron of a dense engine in compressed rows. Belongs to one run, as the other."""

    def __init__(self, dense: Engine) -> None:
        self.dense, self.weights = dense, dense.weights
        self.layers = [_Layer.of(dense.model, self.weights, name) for name in linear_layers(dense.model)]
        self.work: tuple[Array, Array] = np.empty((0, 0), np.float32), np.empty((0, 0), np.float32)

    def train(self, state: State, recipe: Recipe, gate: Gate, batches: Any, steps: int, total: int) -> State:
        """As `Engine.train`."""
        from nets.sparse.kernels import Sgd, step
        from nets.sparse.kernels import steps as known

        sgd = recipe.optimiser
        assert isinstance(sgd, SGD)
        x, rest, memory, masks = self._opened(state)
        where, net = self._net(masks, x, rest, memory)
        fixed = np.float32(sgd.momentum), sgd.nesterov, np.float32(sgd.weight_decay), np.float32(recipe.label_smoothing)
        rates = np.array([recipe.rate(state.clock + t, total) for t in range(steps)], np.float32)
        if skips(batches) and mostly_zero(batches.data):
            rows, entries = rows_of(batches, state.cost, steps), NonZeros.of(batches.data, batches.data.images).arrays()
            work = self._work(where.units, batches.size)
            known(rows, batches.data.labels.numpy(), rates, entries, net, Sgd(np.float32(0), *fixed), *work)
        else:
            for t in range(steps):
                inputs, targets = batches.at(state.cost + t)
                samples = inputs.reshape(len(targets), -1).numpy()
                work = self._work(where.units, len(targets))
                step(samples, targets.numpy(), net, Sgd(rates[t], *fixed), *work)
        self._scatter(masks, net.vals, net.bias, x, rest)
        if sgd.buffers:
            self._scatter(masks, net.mom, net.bias_mom, *memory)
        return closed(state, x, rest, memory if sgd.buffers else (), steps)

    def evaluate(
        self, state: State, x: Tensor, recipe: Recipe, data: DataSet, images: Tensor, labels: Tensor
    ) -> tuple[float, float]:
        """(mean loss, accuracy) on some images of the data set, at the cost of the weights that are not zero."""
        from nets.sparse.kernels import evaluate

        arrays = x.numpy(), state.slots["rest"].numpy()
        where, net = self._net([layer.weight(*arrays) != 0 for layer in self.layers], *arrays, arrays)
        smoothing, entries = np.float32(recipe.label_smoothing), NonZeros.of(data, images).arrays()
        rows, work = in_order(len(labels), CHUNK), self._work(where.units, CHUNK)
        loss, right = evaluate(rows, labels.numpy(), entries, net, smoothing, *work)
        return loss / len(labels), right / len(labels)

    def _net(self, masks: list[Array], x: Array, rest: Array, memory: tuple[Array, ...]) -> tuple[Rows, Any]:
        """Where the weights are, and copies of them."""
        from nets.sparse.kernels import Net

        where = Rows.of(masks)
        vals, bias = self._gather(masks, x, rest)
        mom, bias_mom = self._gather(masks, *memory)
        has_bias = np.repeat([layer.bias is not None for layer in self.layers], [len(mask) for mask in masks])
        return where, Net(
            vals, mom, np.empty(max(len(vals), len(bias)), np.float32), where.cols, where.ptr, bias, bias_mom, has_bias,
            where.starts, where.places, where.rows, where.first, where.inputs,
        )  # fmt: skip

    def _opened(self, state: State) -> tuple[Array, Array, tuple[Array, ...], list[Array]]:
        """Copies of x, rest and the momentum of both, and each layer's mask."""
        x, rest = state.x.numpy().copy(), state.slots["rest"].numpy().copy()
        memory = tuple(self._memory(state, part, len(where)) for part, where in (("x", x), ("rest", rest)))
        return x, rest, memory, [layer.mask(state.support.numpy()) for layer in self.layers]

    @staticmethod
    def _memory(state: State, part: str, size: int) -> Array:
        found = state.slots.get(f"{BUFFER_OF_SGD}.{part}")
        return np.zeros(size, np.float32) if found is None else found.numpy().copy()

    def _work(self, units: int, batch: int) -> tuple[Array, Array]:
        """Two arrays (units, at least the batch) as kernels take them."""
        size = next((size for size in (16, 32, 64) if batch <= size), -(-batch // 128) * 128)
        if self.work[0].shape != (units, size):
            self.work = aligned(units * size).reshape(units, size), aligned(units * size).reshape(units, size)
        return self.work

    def _gather(self, masks: list[Array], x: Array, rest: Array) -> tuple[Array, Array]:
        """Kept weights and biases of all layers out of vectors like x and rest."""
        parts = [layer.weight(x, rest)[mask] for layer, mask in zip(self.layers, masks, strict=True)]
        biases = [
            np.zeros(len(mask), np.float32) if layer.bias is None else rest[layer.bias]
            for layer, mask in zip(self.layers, masks, strict=True)
        ]
        return np.concatenate(parts), np.concatenate(biases)

    def _scatter(self, masks: list[Array], vals: Array, bias: Array, x: Array, rest: Array) -> None:
        """The way back, into vectors like x and rest."""
        k = r = 0
        for layer, mask in zip(self.layers, masks, strict=True):
            kept, rows = int(mask.sum()), len(mask)
            layer.weight(x, rest)[mask] = vals[k : k + kept]
            if layer.bias is not None:
                rest[layer.bias] = bias[r : r + rows]
            k, r = k + kept, r + rows


def aligned(size: int) -> Array:
    """Zeros that begin where a cache line does: a vector of sixteen then never lies in two."""
    return torch.zeros(size).numpy()


def closed(state: State, x: Array, rest: Array, memory: tuple[Array, ...], steps: int) -> State:
    """The state after `steps` steps that ended at these; memory: the momentum of x and rest, if there is one."""
    slots = {**state.slots, "rest": torch.from_numpy(rest), f"{MOMENTUM}step": torch.zeros(())}
    slots |= {
        f"{BUFFER_OF_SGD}.{part}": torch.from_numpy(array) for part, array in zip(("x", "rest"), memory, strict=False)
    }
    return state.but(x=torch.from_numpy(x), slots=slots, clock=state.clock + steps, cost=state.cost + steps)


@dataclass(frozen=True)
class _Layer:
    """A linear layer: where its weight and bias are in x or rest."""

    shape: tuple[int, int]
    block: slice
    prunable: bool
    bias: slice | None

    @classmethod
    def of(cls, model: nn.Module, weights: Weights, name: str) -> _Layer:
        layer, others = model.get_submodule(name), _places(weights)
        prunable = dict(zip(weights.layout.names, weights.layout.slices, strict=True))
        block = prunable.get(f"{name}.weight")
        shape = (int(layer.out_features), int(layer.in_features))  # type: ignore[arg-type]
        where = others[f"{name}.weight"] if block is None else block
        return cls(shape, where, block is not None, others.get(f"{name}.bias"))

    def weight(self, x: Array, rest: Array) -> Array:
        """A view of the layer's weight."""
        return (x if self.prunable else rest)[self.block].reshape(self.shape)

    def mask(self, support: Array) -> Array:
        return support[self.block].reshape(self.shape) if self.prunable else np.ones(self.shape, bool)


def _places(weights: Weights) -> dict[str, slice]:
    """Where each other parameter is in rest."""
    sizes = [math.prod(shape) for shape in weights.shapes_of_rest]
    ends = np.cumsum(sizes, dtype=int)
    return {name: slice(int(end) - size, int(end)) for name, size, end in zip(weights.other, sizes, ends, strict=True)}


# ---- which is faster -----------------------------------------------------------------------------------------------


def crossing(dense: Engine, recipe: Recipe, inputs: tuple[int, ...] = (), rival: float = math.inf) -> float:
    """The density below which the sparse engine is the fastest one here, from a measurement of some 0.3 s.

    rival: seconds of a step of a faster engine that trains denser phases in the place of the dense one.

    inputs: shape of one sample. With convolutions it takes as long as eighteen steps.
    """
    steps = STEPS if linear_layers(dense.model) else 1
    sparse, x = engine_of(dense), dense.theta.detach()[: dense.n].clone()
    state = State(x, sp.everything(x), 0, slots=dense.contents())
    batches = _Fixed(inputs or _features(dense.model), recipe.batch)
    usual = seconds(dense, state, recipe, batches, steps) if rival == math.inf else rival
    high, low = (
        seconds(sparse, state.but(support=sp.uniform((0,), x) < density), recipe, batches, steps) for density in SAMPLED
    )
    slope = (high - low) / (SAMPLED[0] - SAMPLED[1])
    return min(1.0, max(0.0, SAMPLED[1] + (usual - low) / max(slope, 1e-12)))


def seconds(engine: Any, state: State, recipe: Recipe, batches: Any, count: int) -> float:
    """Of a step, without what a phase costs once: the best of five runs, after one that compiles."""
    still, state = dataclasses.replace(recipe, learning_rate=0.0), state.but(x=state.x * state.support)

    def timed(steps: int) -> float:
        began = time.thread_time()  # this thread's: another process that takes turns on the core is no part of a step
        engine.train(state, still, Masked(), batches, steps, STEPS)
        return time.thread_time() - began

    timed(count)
    return max(0.0, min(timed(count) for _ in range(5)) - min(timed(0) for _ in range(5))) / count


def _features(model: nn.Module) -> tuple[int, ...]:
    return (int(model.get_submodule(linear_layers(model)[0]).in_features),)  # type: ignore[arg-type]


class _Fixed:
    """One random batch, always."""

    def __init__(self, shape: tuple[int, ...], size: int) -> None:
        generator = torch.Generator().manual_seed(0)
        self.batch = torch.rand((size, *shape), generator=generator), torch.zeros(size, dtype=torch.int64)

    def at(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self.batch
