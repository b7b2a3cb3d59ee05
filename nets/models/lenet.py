"""The two LeNets of the pruning literature.

>>> from nets.models import build
>>> sum(p.numel() for p in build("lenet-300-100", (1, 28, 28)).parameters())     # 266,200 weights, 410 biases
266610
>>> sum(p.numel() for p in build("lenet-5", (1, 28, 28)).parameters())
431080
"""

from __future__ import annotations

import math

from torch import nn

from nets.models.blocks import Shape, at_least, chain, perceptron, scaled


def lenet_300_100(inputs: Shape, classes: int, width: float) -> nn.Module:
    """Linear layers of 300, 100 and `classes` units (LeCun et al. 1998). Takes inputs of every shape."""
    return chain(**perceptron([math.prod(inputs), scaled(300, width), scaled(100, width)], classes))


def lenet_5(inputs: Shape, classes: int, width: float) -> nn.Module:
    """5 x 5 convolutions of 20 and 50 channels, each halved by max pooling, then 500 hidden units.

    The sizes are those of Caffe's example, which Han et al. (2015) and all after them prune; ReLU follows the
    convolutions too, where Caffe's has none. Images below 16 x 16, of which unpadded 5 x 5 convolutions leave nothing,
    are padded by 2.
    """
    at_least(inputs, 4, "lenet-5")
    channels, height, breadth = inputs
    padding = 0 if min(height, breadth) >= 16 else 2
    after = math.prod(((side - 4 + 2 * padding) // 2 - 4 + 2 * padding) // 2 for side in (height, breadth))
    first, second = scaled(20, width), scaled(50, width)
    return chain(
        conv1=nn.Conv2d(channels, first, 5, padding=padding),
        relu1=nn.ReLU(),
        pool1=nn.MaxPool2d(2),
        conv2=nn.Conv2d(first, second, 5, padding=padding),
        relu2=nn.ReLU(),
        pool2=nn.MaxPool2d(2),
        **perceptron([second * after, scaled(500, width)], classes),
    )
