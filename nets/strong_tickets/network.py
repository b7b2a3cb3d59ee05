"""Targets: a network's steps with float64 weights, from arrays, or from a trained PyTorch module.

>>> target = dense_network((2, 3, 1), "relu", [np.ones((3, 2)), np.ones((1, 3))])
>>> target(np.ones((1, 2)))
array([[6.]])
>>> from nets.models import build
>>> from_module(build("lenet-300-100", (1, 8, 8))).size
50610
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import nn

from nets.models.resnet import Block
from nets.strong_tickets.source import Floats
from nets.strong_tickets.steps import (
    Activation,
    Conv,
    Dense,
    Flatten,
    MaxPool,
    MeanPool,
    Residual,
    Step,
    linear_steps,
    walk,
)
from sparsopt.errors import InvalidInput, MissingCapability


@dataclass(frozen=True, eq=False)
class Network:
    """A target: steps, and a weight and a bias for each linear one, float64."""

    steps: tuple[Step, ...]
    weights: tuple[Floats, ...]
    biases: tuple[Floats, ...]

    def __post_init__(self) -> None:
        linears = linear_steps(self.steps)
        if not len(linears) == len(self.weights) == len(self.biases):
            raise InvalidInput(f"{len(linears)} linear steps, {len(self.weights)} weights, {len(self.biases)} biases")
        for step, weight, bias in zip(linears, self.weights, self.biases, strict=True):
            if weight.shape != (step.outputs, step.inputs, *step.taps) or bias.shape != (step.outputs,):
                raise InvalidInput(f"{step} does not fit a weight {weight.shape} and a bias {bias.shape}")
            if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
                raise InvalidInput(f"{step}: weights and biases must be finite")

    def __repr__(self) -> str:
        return f"Network({self.steps!r}, {self.size} parameters)"

    @cached_property
    def linears(self) -> tuple[Any, ...]:
        return linear_steps(self.steps)

    @property
    def size(self) -> int:
        return sum(w.size for w in (*self.weights, *self.biases))

    def __call__(self, x: Floats) -> Floats:
        layers = iter(zip(self.weights, self.biases, strict=True))

        def layer(step: Any, x: Floats) -> Floats:
            weight, bias = next(layers)
            return step.linear(weight, x) + step.per_channel(bias)

        return walk(self.steps, np.asarray(x, dtype=np.float64), layer)

    def but(self, **changes: Any) -> Network:
        return replace(self, **changes)


def dense_network(widths: tuple[int, ...], activation: str, weights: Any, biases: Any = None) -> Network:
    """A fully connected network with one activation between the layers."""
    steps: list[Step] = []
    for inputs, outputs in itertools.pairwise(widths):
        steps += [Dense(inputs, outputs), Activation(activation)]
    arrays = tuple(np.asarray(w, dtype=np.float64) for w in weights)
    zeros = tuple(np.zeros(w.shape[0]) for w in arrays) if biases is None else tuple(
        np.asarray(b, dtype=np.float64) for b in biases)  # fmt: skip
    return Network(tuple(steps[:-1]), arrays, zeros)


def balanced(network: Network) -> Network:
    """The same function with equally large weights in all layers, for fully connected ReLU and leaky ReLU networks.

    Layer l is multiplied by g / max |W_l|, g the geometric mean of the maxima, and its bias by what has come together
    so far. A weight must be within reach of its items, so that the largest one of all decides.
    """
    fits = (Activation("relu"), Activation("leaky"), Flatten())
    if not all(step in fits or step.linear_steps() == (step,) for step in network.steps):
        raise MissingCapability(f"only chains of linear steps, relu and leaky can be balanced, not {network}")
    sizes = np.array([np.abs(w).max() for w in network.weights])
    factors = np.exp(np.log(sizes).mean()) / sizes
    factors[-1] = 1 / factors[:-1].prod()
    so_far = np.cumprod(factors)
    so_far[-1] = 1.0
    weights = tuple(w * factor for w, factor in zip(network.weights, factors, strict=True))
    return network.but(weights=weights, biases=tuple(b * p for b, p in zip(network.biases, so_far, strict=True)))


# ---- from PyTorch --------------------------------------------------------------------------------------------------


def from_module(module: nn.Module, scaling: tuple[Any, Any] | None = None) -> Network:
    """The network that a module computes in evaluation mode.

    Takes chains of Linear, Conv2d (square, ungrouped), ReLU, LeakyReLU (slope 0.01), Tanh, Sigmoid, pools that do not
    overlap, Flatten, BatchNorm2d behind a convolution (folded into it), Dropout, and this project's residual blocks.
    scaling   (scale, shift) a channel, as `DataSet.scaling` gives: the network then takes raw values x, and
              scale * x + shift is folded into the first layer, which must be dense

    Raises MissingCapability for other layers.
    """
    pieces = _simplified(list(_pieces(module)))
    steps = tuple(step for step, _, _ in pieces if step is not None)
    arrays = [pair for _, pair, inner in pieces for pair in ([pair] if pair else inner)]
    network = Network(steps, tuple(w for w, _ in arrays), tuple(b for _, b in arrays))
    return network if scaling is None else _on_raw_inputs(network, *scaling)


Piece = tuple[Step | None, tuple[Floats, Floats] | None, list[tuple[Floats, Floats]]]


def _pieces(module: nn.Module) -> Iterator[Piece]:
    if isinstance(module, nn.Sequential):
        for child in module:
            yield from _pieces(child)
        return
    reader = READERS.get(type(module))
    if reader is None:
        raise MissingCapability(
            f"a target cannot hold a {type(module).__name__}; it can hold {', '.join(k.__name__ for k in READERS)}"
        )
    yield from reader(module)


def _array(tensor: torch.Tensor | None, size: int) -> Floats:
    return np.zeros(size) if tensor is None else tensor.detach().cpu().double().numpy()


def _read_linear(m: Any) -> Iterator[Piece]:
    yield Dense(m.in_features, m.out_features), (_array(m.weight, 0), _array(m.bias, m.out_features)), []


def _read_convolution(m: Any) -> Iterator[Piece]:
    kernel, stride, padding = (n[0] if isinstance(n, tuple) else n for n in (m.kernel_size, m.stride, m.padding))
    plain = (*m.kernel_size, *m.stride, *m.padding) == (kernel, kernel, stride, stride, padding, padding)
    if not plain or m.groups != 1 or m.dilation != (1, 1) or m.padding_mode != "zeros":
        raise MissingCapability(f"{m}: a target's convolutions are square, ungrouped, undilated and padded by zeros")
    step = Conv(m.in_channels, m.out_channels, kernel, stride, padding)
    yield step, (_array(m.weight, 0), _array(m.bias, m.out_channels)), []


def _read_norm(m: Any) -> Iterator[Piece]:
    scale = _array(m.weight, 0) / np.sqrt(_array(m.running_var, 0) + m.eps)
    yield None, (scale, _array(m.bias, 0) - scale * _array(m.running_mean, 0)), []


def _read_max(m: Any) -> Iterator[Piece]:
    if m.kernel_size != m.stride or m.padding:
        raise MissingCapability(f"{m}: a target's pools do not overlap and have no padding")
    yield MaxPool(m.kernel_size), None, []


def _read_mean(m: Any) -> Iterator[Piece]:
    if m.output_size != 1:
        raise MissingCapability(f"{m}: a target's adaptive pool is a mean over all places")
    yield MeanPool(), None, []


def _read_leaky(m: Any) -> Iterator[Piece]:
    if m.negative_slope != 0.01:
        raise MissingCapability(f"{m}: leaky ReLU has slope 0.01 here")
    yield Activation("leaky"), None, []


def _read_block(m: Any) -> Iterator[Piece]:
    chain = nn.Sequential(m.conv1, m.norm1, nn.ReLU(), m.conv2, m.norm2)
    inner, shortcut = (_simplified(list(_pieces(part))) for part in (chain, nn.Sequential(m.shortcut)))
    steps = Residual(*(tuple(s for s, _, _ in part if s is not None) for part in (inner, shortcut)))
    yield steps, None, [pair for _, pair, _ in (*inner, *shortcut) if pair]
    yield Activation("relu"), None, []


def _constant(step: Step | None) -> Callable[[Any], Iterator[Piece]]:
    return lambda m: iter([(step, None, [])] if step else [])


READERS: dict[type[nn.Module], Callable[[Any], Iterator[Piece]]] = {
    nn.Linear: _read_linear,
    nn.Conv2d: _read_convolution,
    nn.BatchNorm2d: _read_norm,
    nn.ReLU: _constant(Activation("relu")),
    nn.LeakyReLU: _read_leaky,
    nn.Tanh: _constant(Activation("tanh")),
    nn.Sigmoid: _constant(Activation("sigmoid")),
    nn.MaxPool2d: _read_max,
    nn.AdaptiveAvgPool2d: _read_mean,
    nn.Flatten: _constant(Flatten()),
    nn.Dropout: _constant(None),
    nn.Identity: _constant(None),
    Block: _read_block,
}


def _simplified(pieces: list[Piece]) -> list[Piece]:
    """Batch norms folded into the convolution before them."""
    done: list[Piece] = []
    for step, pair, inner in pieces:
        if step is None and pair is not None:
            before, weights, _ = done.pop() if done else (None, None, [])
            if not isinstance(before, Conv) or weights is None:
                raise MissingCapability("batch norm is folded into a convolution right before it; there is none")
            scale, shift = pair
            done.append((before, (weights[0] * scale[:, None, None, None], weights[1] * scale + shift), []))
        else:
            done.append((step, pair, inner))
    return done


def _on_raw_inputs(network: Network, scale: Any, shift: Any) -> Network:
    """network(scale * x + shift) as a network of x: x are (channels, places) values in the first layer's order."""
    first, weight = network.linears[0], network.weights[0]
    if isinstance(first, Conv):
        raise MissingCapability("a padded convolution cannot take the scaling of its inputs: pass scaled inputs")
    per = first.inputs // len(np.ravel(scale))
    a, b = (np.repeat(np.asarray(v, dtype=np.float64).ravel(), per) for v in (scale, shift))
    bias = network.biases[0] + weight @ b
    return network.but(weights=(weight * a, *network.weights[1:]), biases=(bias, *network.biases[1:]))
