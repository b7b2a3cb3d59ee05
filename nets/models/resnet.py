"""Residual networks for small images: ResNet-20, 32, 56 (He et al. 2016, section 4.2), and ResNet-18 with their stem.

A 3 x 3 stem without pooling, stages of basic blocks of which all but the first halve the image, the mean over all
places and one linear layer. ResNet-20, 32 and 56 have three stages of 16, 32 and 64 channels; ResNet-18 four of 64,
128, 256 and 512.

    >>> from nets.models import build
    >>> sum(p.numel() for p in build("resnet-20", (3, 32, 32)).parameters())
    272474

Where a block changes the shape, the shortcut is a 1 x 1 convolution with batch norm (option B). He et al. use zeros
there on CIFAR (option A: 269,722 parameters); the lottery-ticket literature, open_lth and ResNet-18 itself use
option B, and their numbers are the ones to compare with.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from nets.models.blocks import Shape, at_least, chain, convolution, normalised_convolution, pooled_head, scaled


class Block(nn.Module):
    """relu(norm(conv(relu(norm(conv(x))))) + shortcut(x)), both convolutions 3 x 3."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = convolution(before, after, stride)
        self.norm1 = nn.BatchNorm2d(after)
        self.conv2 = convolution(after, after)
        self.norm2 = nn.BatchNorm2d(after)
        self.shortcut = nn.Identity()
        if stride != 1 or before != after:
            self.shortcut = chain(conv=convolution(before, after, stride, kernel=1), norm=nn.BatchNorm2d(after))

    def forward(self, x: Tensor) -> Tensor:
        inner = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(self.norm2(self.conv2(inner)) + self.shortcut(x))


def resnet(blocks: int, channels: tuple[int, ...]) -> Callable[[Shape, int, float], nn.Module]:
    """The model with `blocks` blocks a stage, and one stage an entry of `channels`."""

    def built(inputs: Shape, classes: int, width: float) -> nn.Module:
        at_least(inputs, 1, "resnet")
        widths = [scaled(each, width) for each in channels]
        before = widths[0]
        layers: dict[str, nn.Module] = {"stem": normalised_convolution(inputs[0], before)}
        for i, after in enumerate(widths, start=1):
            stage: dict[str, nn.Module] = {}
            for j in range(1, blocks + 1):
                stage[f"block{j}"] = Block(before, after, stride=2 if i > 1 and j == 1 else 1)
                before = after
            layers[f"stage{i}"] = chain(**stage)
        return chain(**layers, **pooled_head(before, classes))

    return built
