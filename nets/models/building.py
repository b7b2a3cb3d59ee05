"""The table of models, and how one is built from its name.

>>> shape_only("wrn-10-2", (3, 32, 32), 10, 1.0).head
Linear(in_features=128, out_features=10, bias=True)
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable

import torch
from torch import nn

from nets.models.airbench import airbench
from nets.models.blocks import INITIALISATIONS, Shape, initialise, with_dropout
from nets.models.conv import conv
from nets.models.lenet import lenet_5, lenet_300_100
from nets.models.resnet import resnet
from nets.models.transformer import transformer
from nets.models.vgg import vgg
from nets.models.wrn import wrn
from sparsopt.errors import InvalidInput
from sparsopt.names import lookup

__all__ = ["INITIALISATIONS", "build", "names", "shape_only"]

Builder = Callable[[Shape, int, float], nn.Module]

BUILDERS: dict[str, Builder] = {
    "airbench-94": airbench,
    "conv-2": conv(2),
    "conv-4": conv(4),
    "conv-6": conv(6),
    "lenet-300-100": lenet_300_100,
    "lenet-5": lenet_5,
    "resnet-18": resnet(2, (64, 128, 256, 512)),
    "resnet-20": resnet(3, (16, 32, 64)),
    "resnet-32": resnet(5, (16, 32, 64)),
    "resnet-56": resnet(9, (16, 32, 64)),
    "transformer-small": transformer(depth=2, channels=64, heads=4),
    "vgg-11": vgg(11),
    "vgg-16": vgg(16),
    "vgg-19": vgg(19),
    "wrn-16-4": wrn(16, 4),
    "wrn-22-2": wrn(22, 2),
    "wrn-28-10": wrn(28, 10),
    "wrn-40-4": wrn(40, 4),
}
GREYS = ("lenet", "transformer")  # families whose default images are 1 x 28 x 28


def names() -> tuple[str, ...]:
    """The names that `build` knows, besides wrn-DEPTH-FACTOR of every size."""
    return tuple(BUILDERS)


def build(
    name: str, inputs: Shape | None = None, classes: int = 10, seed: int = 0, width: float = 1.0, *,
    init: str = "kaiming-normal", dropout: float = 0.0,
) -> nn.Module:  # fmt: skip
    """A new model, float32 on the CPU, in training mode.

    inputs   (C, H, W) of one image (`data.inputs`); the layers adapt to it. None: 1 x 28 x 28 for the LeNets and the
             transformer, and 3 x 32 x 32 for the others
    classes  number of outputs (logits)
    seed     of the first weights
    width    factor on the channels and hidden units of each layer, rounded, at least one
    init     "kaiming-normal": N(0, 2 / fan_in); "signed-constant": its signs times sqrt(2 / fan_in), as Zhou et al.
             (2019) and Ramanujan et al. (2020) use; "fan-out": convolutions N(0, 2 / fan_out), linear layers uniform,
             as Tanaka et al. (2020)
    dropout  probability with which each hidden linear layer's outputs are dropped (LeNets, Conv-2/4/6)

    Raises InvalidInput for an unknown name, an impossible number, or images that are too small for the model.
    """
    model = shape_only(name, inputs, classes, width)
    return initialise(with_dropout(model, dropout, name), seed, lookup(INITIALISATIONS, init, "initialisation"))


def shape_only(name: str, inputs: Shape | None, classes: int, width: float) -> nn.Module:
    """The model on the meta device: layers and shapes, no memory and no weights."""
    builder = _builder(name)
    if inputs is None:
        inputs = (1, 28, 28) if name.startswith(GREYS) else (3, 32, 32)
    if min(inputs, default=0) < 1 or classes < 1 or not 0 < width < float("inf"):
        raise InvalidInput(f"{name}: inputs={inputs}, classes={classes} and width={width} must all be positive")
    with torch.device("meta"):
        return builder(tuple(inputs), classes, width)


def _builder(name: str) -> Builder:
    if name in BUILDERS:
        return BUILDERS[name]
    sizes = re.fullmatch(r"wrn-(\d{1,4})-(\d{1,3})", name)
    if sizes:
        return wrn(int(sizes[1]), int(sizes[2]))
    close = difflib.get_close_matches(name.lower().replace("_", "-"), BUILDERS, n=3)
    hint = f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(BUILDERS)}, wrn-DEPTH-FACTOR"
    raise InvalidInput(f"unknown model {name!r}; {hint}")
