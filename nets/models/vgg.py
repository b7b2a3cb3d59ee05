"""VGG-11, 16 and 19 as pruned on CIFAR: batch norm after each convolution and a single linear layer.

Five groups of 3 x 3 convolutions with max pooling between them (Simonyan and Zisserman 2015, configurations A, D and
E), then the mean over what is left, 2 x 2 places on CIFAR.

    >>> from nets.models import build
    >>> sum(p.numel() for p in build("vgg-16", (3, 32, 32)).parameters())
    14724042

The convolutions have no biases: batch norm would subtract them again. Codes that keep them (open_lth, for one) count
4,224 more for VGG-16.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from nets.models.blocks import Shape, at_least, chain, normalised_convolution, pooled_head, scaled

GROUPS = {11: (1, 1, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
CHANNELS = (64, 128, 256, 512, 512)


def vgg(depth: int) -> Callable[[Shape, int, float], nn.Module]:
    """The model with `depth` layers that have weights. Images need 16 x 16 pixels for the four poolings."""

    def built(inputs: Shape, classes: int, width: float) -> nn.Module:
        at_least(inputs, 16, f"vgg-{depth}")
        layers: dict[str, nn.Module] = {}
        before = inputs[0]
        for i, (count, channels) in enumerate(zip(GROUPS[depth], CHANNELS, strict=True), start=1):
            if i > 1:
                layers[f"pool{i - 1}"] = nn.MaxPool2d(2)
            after = scaled(channels, width)
            for j in range(1, count + 1):
                layers[f"conv{i}_{j}"] = normalised_convolution(before, after)
                before = after
        return chain(**layers, **pooled_head(before, classes))

    return built
