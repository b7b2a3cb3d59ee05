"""The networks that pruning is studied on, by name.

    >>> import nets.models
    >>> nets.models.names()
    ('conv-2', 'conv-4', 'conv-6', 'lenet-300-100', 'lenet-5', 'resnet-18', 'resnet-20', 'resnet-32', 'resnet-56', \
'vgg-11', 'vgg-16', 'vgg-19')
    >>> model = nets.models.build("resnet-20", inputs=(3, 32, 32), classes=10, seed=0)
    >>> narrow = nets.models.build("resnet-20", width=0.5)      # half the channels in each layer

The first weights are a function of (name, inputs, classes, width, seed), and PyTorch's global generator is neither
read nor moved. Convolutions and linear layers draw from N(0, 2 / fan_in) (He et al. 2015), biases are 0, batch norm is
the identity. open_lth draws weights alike, but starts batch norm's weights from U[0, 1] and leaves biases to PyTorch's
default, U[-1, 1] / sqrt(fan_in).

Parameters at 3 x 32 x 32 (LeNets: 1 x 28 x 28) and 10 classes:

    lenet-300-100  266,610     conv-2  4,301,642     vgg-11   9,228,362     resnet-20     272,474
    lenet-5        431,080     conv-4  2,425,930     vgg-16  14,724,042     resnet-32     466,906
                               conv-6  2,262,602     vgg-19  20,035,018     resnet-56     855,770
                                                                            resnet-18  11,173,962
"""

from __future__ import annotations

import difflib
from collections.abc import Callable

import torch
from torch import nn

from nets.models.blocks import Shape, initialise
from nets.models.conv import conv
from nets.models.lenet import lenet_5, lenet_300_100
from nets.models.resnet import resnet
from nets.models.vgg import vgg
from sparsopt.errors import InvalidInput

__all__ = ["build", "names"]

BUILDERS: dict[str, Callable[[Shape, int, float], nn.Module]] = {
    "conv-2": conv(2),
    "conv-4": conv(4),
    "conv-6": conv(6),
    "lenet-300-100": lenet_300_100,
    "lenet-5": lenet_5,
    "resnet-18": resnet(2, (64, 128, 256, 512)),
    "resnet-20": resnet(3, (16, 32, 64)),
    "resnet-32": resnet(5, (16, 32, 64)),
    "resnet-56": resnet(9, (16, 32, 64)),
    "vgg-11": vgg(11),
    "vgg-16": vgg(16),
    "vgg-19": vgg(19),
}


def names() -> tuple[str, ...]:
    """The names that `build` knows."""
    return tuple(BUILDERS)


def build(name: str, inputs: Shape | None = None, classes: int = 10, seed: int = 0, width: float = 1.0) -> nn.Module:
    """A new model, float32 on the CPU, in training mode.

    inputs   (C, H, W) of one image (`data.inputs`); the layers adapt to it. None: 1 x 28 x 28 for the LeNets, and
             3 x 32 x 32 for the others
    classes  number of outputs (logits)
    seed     of the first weights
    width    factor on the channels and hidden units of each layer, rounded, at least one

    Raises InvalidInput for an unknown name, an impossible number, or images that are too small for the model.
    """
    if name not in BUILDERS:
        close = difflib.get_close_matches(name.lower().replace("_", "-"), BUILDERS, n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(BUILDERS)}"
        raise InvalidInput(f"unknown model {name!r}; {hint}")
    if inputs is None:
        inputs = (1, 28, 28) if name.startswith("lenet") else (3, 32, 32)
    if min(inputs, default=0) < 1 or classes < 1 or not 0 < width < float("inf"):
        raise InvalidInput(f"{name}: inputs={inputs}, classes={classes} and width={width} must all be positive")
    with torch.device("meta"):  # draws nothing and allocates nothing; `initialise` does both
        model = BUILDERS[name](tuple(inputs), classes, width)
    return initialise(model, seed)
