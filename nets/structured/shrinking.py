"""From channels that are zero to a smaller network: plain modules, the same outputs, and what that really saves.

    >>> small = nets.export.shrink(outcome.model, outcome.masks, images)
    >>> print(small)
    parameters ... -> ..., FLOPs ... -> ..., ... -> ... ms a batch of 16 (medians), ...

FLOPs are theory (`nets.flops`), seconds are this machine's; both stand side by side because they never agree.
"""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nets.structured.tracing import CONVOLUTIONS, NORMS, Traced, trace
from nets.weights import check_masks
from sparsopt.errors import DataError, InvalidInput

__all__ = ["Shrunk", "fitted", "latency", "shrink"]

TOLERANCE = 1e-4  # sums in another order, on the largest output


@dataclass(frozen=True)
class Shrunk:
    """A smaller module with the same outputs; pairs are (before, after).

    channels: those that may go at all; flops: of one sample, by theory; seconds: median of a batch of `batch`, in
    evaluation mode on this machine; error: the largest difference of an output.
    """

    model: nn.Module
    channels: tuple[int, int]
    parameters: tuple[int, int]
    flops: tuple[float, float]
    seconds: tuple[float, float]
    batch: int
    error: float

    def __str__(self) -> str:
        (p, q), (f, g), (s, t) = self.parameters, self.flops, self.seconds
        return (
            f"parameters {p:,} -> {q:,}, FLOPs {f:.2g} -> {g:.2g}, {1e3 * s:.3g} -> {1e3 * t:.3g} ms "
            f"a batch of {self.batch} (medians), outputs differ by {self.error:.1g}"
        )


def shrink(model: nn.Module, masks: Mapping[str, Tensor], inputs: Tensor, repeats: int = 11) -> Shrunk:
    """`model` without the channels that the masks (and zeros it has already) have made zero everywhere.

    A channel goes if every weight that makes it is zero: filter, bias, scale and shift in every layer that takes part.
    Each layer keeps at least one, zero or not. masks: parameter name -> boolean; {} for a model with zeros. inputs: a
    batch, on which the outputs are compared in evaluation mode. The model that is given stays as it is.

    Raises InvalidInput for a module that cannot be traced, DataError if the outputs differ.
    """
    masked = copy.deepcopy(model).cpu().eval()
    check_masks(dict(masked.named_parameters(remove_duplicate=False)), masks, type(model).__name__)
    with torch.no_grad():
        for name, mask in masks.items():
            masked.get_parameter(name).mul_(mask.cpu())
    inputs, traced = inputs.cpu(), trace(masked, inputs)
    gone = _removable(masked, traced)
    small = _without(masked, traced, gone)
    with torch.no_grad():
        expected = masked(inputs)
        error = float((small(inputs) - expected).abs().max())
    if not error <= TOLERANCE * max(1.0, float(expected.abs().max())):
        raise DataError(f"the shrunk {type(model).__name__} gives other outputs, by {error:.2g}: it is not returned")
    both = (masked, small)
    a, b = ([f(each) for each in both] for f in (_size, lambda m: _flops(m, inputs)))
    seconds = latency(both, inputs, repeats)
    small.train(model.training)
    return Shrunk(
        small, (traced.count, traced.count - int(gone.sum())), (int(a[0]), int(a[1])), (b[0], b[1]),
        (seconds[0], seconds[1]), len(inputs), error,
    )  # fmt: skip


def latency(models: tuple[nn.Module, ...], inputs: Tensor, repeats: int = 11) -> tuple[float, ...]:
    """Median seconds of a forward pass of `inputs` through each model. They take turns; the first does not count."""
    taken: list[list[float]] = [[] for _ in models]
    with torch.no_grad():
        for turn in range(repeats + 1):
            for model, times in zip(models, taken, strict=True):
                began = time.perf_counter()
                model(inputs)
                if turn:
                    times.append(time.perf_counter() - began)
    return tuple(statistics.median(times) if times else float("nan") for times in taken)


def _size(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def _flops(model: nn.Module, inputs: Tensor) -> float:
    from nets import flops

    return flops.forward(model, inputs, [name for name, _ in model.named_parameters()]).dense


# ---- which -----------------------------------------------------------------------------------------------------------


def _removable(model: nn.Module, traced: Traced) -> np.ndarray:
    """(channels,) those whose every maker is zero, less one wherever a tensor would lose all it has."""
    gone = np.ones(traced.count, dtype=bool)
    for cut in traced.cuts:
        if cut.makes:
            alive = model.get_parameter(cut.name).detach().flatten(1) if _wide(model, cut.name) else None
            rows = (model.get_parameter(cut.name).detach() != 0) if alive is None else (alive != 0).any(1)
            gone[[c for c, row in zip(cut.channels, rows.tolist(), strict=True) if row and c >= 0]] = False
    lost = True
    while lost:
        lost = False
        for cut in traced.cuts:
            if all(c >= 0 and gone[c] for c in cut.channels):
                gone[cut.channels[0]], lost = False, True
    return gone


def _wide(model: nn.Module, name: str) -> bool:
    return model.get_parameter(name).dim() > 1


# ---- without them ----------------------------------------------------------------------------------------------------


def _without(model: nn.Module, traced: Traced, gone: np.ndarray) -> nn.Module:
    """A copy whose tensors have lost these channels, and whose layers know their new sizes."""
    small, kept = copy.deepcopy(model), {}
    for cut in traced.cuts:
        stays = [i for i, c in enumerate(cut.channels) if c < 0 or not gone[c]]
        kept.setdefault(cut.name, []).append((cut.axis, torch.tensor(stays)))
    owners = _owners(small)
    for name, cuts in kept.items():
        new = owners[name][0][1].detach()
        for axis, stays in cuts:
            new = new.index_select(axis, stays)
        _put(owners[name], new.clone())
    for layer, before in zip(small.modules(), model.modules(), strict=True):
        _resize(layer, before)
    return small


def fitted(model: nn.Module, state: Mapping[str, Tensor]) -> nn.Module:
    """A copy of the module, its layers cut to the sizes of a shrunk network's state dict, which it then holds.

    Raises InvalidInput for a state dict of another module, or of a larger one.
    """
    small, sizes = (
        copy.deepcopy(model).cpu(),
        {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()},
    )
    for name in {*sizes, *state}:
        if name not in sizes or name not in state or not _within(tuple(state[name].shape), sizes[name]):
            there, here = (tuple(state[name].shape) if name in state else "nothing"), sizes.get(name, "nothing")
            raise InvalidInput(
                f"{type(model).__name__} has {here} for {name}, the shrunk network {there}: another module"
            )
    for name, held in _owners(small).items():
        if tuple(state[name].shape) != sizes[name]:
            _put(held, state[name].clone())
    for layer, before in zip(small.modules(), model.modules(), strict=True):
        _resize(layer, before)
    small.load_state_dict(state, strict=True)
    return small


def _within(small: tuple[int, ...], large: tuple[int, ...]) -> bool:
    return len(small) == len(large) and all(s <= n for s, n in zip(small, large, strict=True))


def _put(held: list[tuple[nn.Module, Tensor, str]], new: Tensor) -> None:
    """A tensor in the place of another, wherever that is held."""
    old = held[0][1]
    fresh = nn.Parameter(new, old.requires_grad) if isinstance(old, nn.Parameter) else new
    for holder, _, short in held:
        setattr(holder, short, fresh)


def _owners(model: nn.Module) -> dict[str, list[tuple[nn.Module, Tensor, str]]]:
    """Name of a tensor -> (module, tensor, its name there) wherever it is held."""
    first: dict[int, str] = {}
    found: dict[str, list[tuple[nn.Module, Tensor, str]]] = {}
    for path, module in model.named_modules():
        held = (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False))
        for short, tensor in held:
            name = first.setdefault(id(tensor), f"{path}.{short}".lstrip("."))
            found.setdefault(name, []).append((module, tensor, short))
    return found


def _resize(layer: Any, before: Any) -> None:
    if type(layer) in CONVOLUTIONS:
        layer.out_channels, width = layer.weight.shape[:2]
        if before.groups > 1 and before.weight.shape[1] == 1:  # depthwise: as many groups as channels are read
            layer.groups = len(layer.weight) // (len(before.weight) // before.groups)
        layer.in_channels = width * layer.groups
    elif type(layer) is nn.Linear:
        layer.out_features, layer.in_features = layer.weight.shape
    elif type(layer) in NORMS and layer.affine:
        layer.num_features = len(layer.weight)
