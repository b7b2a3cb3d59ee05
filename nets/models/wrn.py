"""Wide residual networks WRN-D-K for small images (Zagoruyko and Komodakis 2016).

A 3 x 3 stem of 16 channels and three stages of (D - 4) / 6 blocks with 16 K, 32 K and 64 K channels. In a block batch
norm and ReLU come before each convolution; the shortcut adds what came in, or a 1 x 1 convolution of it (after batch
norm and ReLU) where the shape changes. Batch norm, ReLU, mean and a linear layer close.

    >>> from nets.models import build
    >>> sum(p.numel() for p in build("wrn-22-2").parameters())          # the network of RigL's experiments on CIFAR-10
    1079642
    >>> sum(p.numel() for p in build("wrn-40-4").parameters())          # the paper's Table 4: 8.9 million
    8949210

`width` scales the channels of the stages, not the stem.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from nets.models.blocks import Shape, at_least, chain, convolution, pooled_head, scaled
from sparsopt.errors import InvalidInput


class PreActivation(nn.Module):
    """conv(relu(norm(conv(a)))) + shortcut, a = relu(norm(x)), both convolutions 3 x 3."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(before), convolution(before, after, stride)
        self.norm2, self.conv2 = nn.BatchNorm2d(after), convolution(after, after)
        self.shortcut = None if stride == 1 and before == after else convolution(before, after, stride, kernel=1)

    def forward(self, x: Tensor) -> Tensor:
        active = torch.relu(self.norm1(x))
        inner = self.conv2(torch.relu(self.norm2(self.conv1(active))))
        return inner + (x if self.shortcut is None else self.shortcut(active))


def wrn(depth: int, factor: int) -> Callable[[Shape, int, float], nn.Module]:
    """The model with `depth` = 6 n + 4 layers, `factor` times as wide as ResNet-20 and its kind."""
    blocks, left = divmod(depth - 4, 6)
    if blocks < 1 or left or factor < 1:
        raise InvalidInput(
            f"wrn-{depth}-{factor}: the depth must be 6 n + 4 (10, 16, 22, 28, 34, 40, ...) and the factor at least 1"
        )

    def built(inputs: Shape, classes: int, width: float) -> nn.Module:
        at_least(inputs, 1, f"wrn-{depth}-{factor}")
        before = 16
        layers: dict[str, nn.Module] = {"stem": convolution(inputs[0], before)}
        for i in range(1, 4):
            after, stage = scaled(8 * 2**i * factor, width), {}
            for j in range(1, blocks + 1):
                stage[f"block{j}"] = PreActivation(before, after, stride=2 if i > 1 and j == 1 else 1)
                before = after
            layers[f"stage{i}"] = chain(**stage)
        return chain(**layers, norm=nn.BatchNorm2d(before), relu=nn.ReLU(), **pooled_head(before, classes))

    return built
