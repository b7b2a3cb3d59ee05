"""What each channel contributes to the outputs of the layers that read it, at sampled places.

>>> read, *_ = contributions(network, state, structure, layer=np.arange(4), samples=Samples(), key=(0, 0))
>>> read.name, read.X                     # every row adds up to one output of that layer, less its bias

Each image is asked for a few outputs, of a random filter at a random place: ThiNet takes ten images of each class and
ten outputs of each image.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nets import seeds
from nets.structured.groups import Filters
from nets.structured.tracing import trace
from sparsopt.errors import InvalidInput, MissingCapability, NotFinite
from sparsopt.state import State

if TYPE_CHECKING:
    from nets.training import Network

__all__ = ["Read", "Samples", "contributions"]

FEW = 32  # images whose patches are unfolded at a time
Key = tuple[int, ...]


@dataclass(frozen=True)
class Samples:
    """images: of each class, as far as there are; places: outputs of each image, and of each call of a shared layer."""

    images: int = 10
    places: int = 10

    def __post_init__(self) -> None:
        if self.images < 1 or self.places < 1:
            raise InvalidInput(f"{self}: at least one image of each class and one place are needed")


@dataclass(frozen=True)
class Read:
    """A weight that reads channels of a layer. X: (samples, channels) their parts of its outputs.

    columns: for each index of its axis 1 the column of X, -1 for a channel of another layer.
    """

    name: str
    columns: NDArray[np.intp]
    X: NDArray[np.float64]


def contributions(
    network: Network, state: State, structure: Filters, layer: NDArray[np.intp], samples: Samples, key: Key
) -> list[Read]:
    """One `Read` for each weight that reads some of the channels `layer`, at the state's weights, in evaluation mode.

    Raises MissingCapability where the inputs of such a weight cannot be seen (convolutions of volumes, layers that are
    used as plain tensors).
    """
    engine, data = network.engine, network.data
    columns, rows = _readers(network, structure, layer), _images(network, samples.images, key)
    found: dict[str, list[Tensor]] = {name: [] for name in columns}
    of = {id(engine.model.get_parameter(name)): name for name in columns}
    hooks = [
        module.register_forward_pre_hook(_sampler(found[of[id(weight)]], samples.places, key), with_kwargs=True)
        for module in engine.model.modules()
        if (weight := getattr(module, "weight", None)) is not None and id(weight) in of
    ]
    try:
        with engine._at(state, state.x, "eval"), torch.no_grad():
            for picked in rows.split(FEW):
                ((inputs, _),) = data.evaluation(data.images[picked], data.labels[picked], dtype=state.x.dtype)
                engine.model(inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return [Read(name, columns[name], _summed(name, parts, columns[name], len(layer))) for name, parts in found.items()]


def _readers(network: Network, structure: Filters, layer: NDArray[np.intp]) -> dict[str, NDArray[np.intp]]:
    """Weight -> for each index of its axis 1 which channel of the layer it reads, -1 for none."""
    cuts = trace(network.template, network.samples()).cuts
    made = {cut.name: cut.channels for cut in cuts if cut.makes}
    number = {
        there: here
        for name, row in zip(network.layout.names, structure.rows, strict=True)
        for there, here in zip(made[name], row, strict=True)
    }
    place = {channel: i for i, channel in enumerate(layer.tolist())}
    found = {
        cut.name: np.array([place.get(number.get(c, -1), -1) for c in cut.channels])
        for cut in cuts
        if cut.axis == 1 and not cut.makes
    }
    return {name: columns for name, columns in found.items() if (columns >= 0).any()}


def _images(network: Network, count: int, key: Key) -> Tensor:
    """The first `count` images of each class in an order that is a function of the key."""
    labels = network.data.labels.cpu().numpy()
    order = np.argsort(seeds.keys(len(labels), "images", *key), kind="stable")
    shuffled = labels[order]
    picked = [order[np.flatnonzero(shuffled == label)[:count]] for label in np.unique(labels)]
    return torch.from_numpy(np.concatenate(picked)).to(network.data.labels.device)


def _sampler(found: list[Tensor], places: int, key: Key) -> Callable[..., None]:
    """A hook that takes `places` outputs of each image apart: (images * places, channels that one filter reads)."""
    from nets.probes import _inputs_of

    def take(module: Any, arguments: tuple[Tensor, ...], named: dict[str, Tensor]) -> None:
        inputs, inputs_of = (arguments[0] if arguments else named["input"]), _inputs_of(module)
        if inputs_of is None:
            return
        u = inputs_of(module, inputs.detach())  # (groups, images * positions, d)
        count, weight = len(inputs), module.weight.detach().flatten(1)
        positions = u.shape[1] // count
        image = np.repeat(np.arange(count), places)
        where, which = (seeds.keys(len(image), word, len(found), *key) for word in ("places", "filters"))
        vector = image * positions + (where % np.uint64(positions)).astype(np.intp)
        output = (which % np.uint64(len(weight))).astype(np.intp)
        group = output // (len(weight) // u.shape[0])
        taken = u[group, vector] * weight[output]
        found.append(taken.view(len(taken), module.weight.shape[1], -1).sum(2).double().cpu())

    return take


def _summed(name: str, parts: list[Tensor], columns: NDArray[np.intp], count: int) -> NDArray[np.float64]:
    """(samples, channels of the layer), what a flattened channel has at several places added up."""
    if not parts:
        raise MissingCapability(
            f"thinet asks what {name} receives, and sees only inputs of nn.Linear, nn.Conv1d and nn.Conv2d; for other "
            "layers l1-filters, network-slimming and soft-filter-pruning look at the channel's own weights"
        )
    parts_of = torch.cat(parts).numpy()
    if not np.isfinite(parts_of).all():
        raise NotFinite(f"the inputs of {name} are NaN or infinite: has training diverged before?")
    inside = columns >= 0
    return parts_of[:, inside] @ np.eye(count)[columns[inside]]
