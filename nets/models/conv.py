"""Conv-2, Conv-4 and Conv-6: VGG cut down, without batch norm (Frankle and Carbin 2019, Figure 2).

Pairs of 3 x 3 convolutions of 64, 128 and 256 channels, each pair halved by max pooling, then 256, 256 and `classes`
units.

    >>> from nets.models import build
    >>> conv2 = build("conv-2", (3, 32, 32))
    >>> sum(p.numel() for p in conv2.parameters() if p.ndim > 1)       # 4,300,992 weights and 650 biases
    4300992

Conv-4 has 2,425,024 weights and 906 biases, Conv-6 2,261,184 and 1,418. (The paper's table says 4.3, 2.4 and 1.7
million; the last does not follow from its list of layers.)
"""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import nn

from nets.models.blocks import Shape, at_least, chain, perceptron, scaled


def conv(depth: int) -> Callable[[Shape, int, float], nn.Module]:
    """The model with `depth` = 2, 4 or 6 convolutions."""

    def built(inputs: Shape, classes: int, width: float) -> nn.Module:
        pairs = depth // 2
        at_least(inputs, 2**pairs, f"conv-{depth}")
        layers: dict[str, nn.Module] = {}
        channels, height, breadth = inputs
        for i in range(1, pairs + 1):
            wide = scaled(32 * 2**i, width)
            for letter in "ab":
                layers[f"conv{i}{letter}"] = nn.Conv2d(channels, wide, 3, padding=1)
                layers[f"conv{i}{letter}_relu"] = nn.ReLU()
                channels = wide
            layers[f"pool{i}"] = nn.MaxPool2d(2)
        places = math.prod(side // 2**pairs for side in (height, breadth))
        hidden = scaled(256, width)
        return chain(**layers, **perceptron([channels * places, hidden, hidden], classes))

    return built
