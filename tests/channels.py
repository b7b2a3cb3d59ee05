"""Modules with channels of every kind, how many of them may go, and masks that take some away."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nets.structured import Channels
from nets.weights import Weights
from tests.networks import CLASSES, blobs, module

HEAD = (nn.AdaptiveAvgPool2d(1), nn.Flatten())


def conv(before: int, after: int, groups: int = 1, bias: bool = False, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, stride, padding=1, groups=groups, bias=bias)


class Block(nn.Module):
    """A ResNet block: its own channels in the middle, the stage's at the end."""

    def __init__(self, before: int, after: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1, self.norm1 = conv(before, after, stride=stride), nn.BatchNorm2d(after)
        self.conv2, self.norm2 = conv(after, after), nn.BatchNorm2d(after)
        self.shortcut: nn.Module = nn.Identity()
        if before != after:
            self.shortcut = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))

    def forward(self, x: Tensor) -> Tensor:
        return (self.norm2(self.conv2(self.norm1(self.conv1(x)).relu())) + self.shortcut(x)).relu()


class Dense(nn.Module):
    """Concatenations, as in DenseNet; the norm after one sees both parts."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.norm = conv(1, 3, bias=True), conv(3, 5), nn.BatchNorm2d(8)
        self.three, self.head = conv(8, 4, bias=True), nn.Linear(4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        a = torch.relu(self.one(x))
        b = self.three(self.norm(torch.cat([a, self.two(a)], dim=1)))
        return self.head(torch.nn.functional.gelu(b).mean(dim=(2, 3)))


class Gated(nn.Module):
    """Squeeze and excitation: the sigmoid's channels stay, and so do those that it multiplies; the squeezed may go."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.squeeze, self.excite = conv(1, 4, bias=True), nn.Conv2d(4, 2, 1), nn.Conv2d(2, 4, 1)
        self.head = nn.Linear(4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        h = self.stem(x)
        gate = torch.sigmoid(self.excite(torch.relu(self.squeeze(h.mean((2, 3), keepdim=True)))))
        return self.head((h * gate).mean((2, 3)))


class Direct(nn.Module):
    """A weight that the forward pass also takes by itself: none of its rows and columns may go."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.own = conv(1, 4, bias=True), nn.Linear(144, 6)
        self.more, self.head = nn.Linear(6, 5), nn.Linear(5, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.nn.functional.max_pool2d(self.stem(x).relu(), 1)
        h = h.view(h.size(0), -1)
        return self.head(self.more(self.own(h).relu())) + self.own.weight.sum()


def pooled(*layers: nn.Module) -> Callable[[], nn.Module]:
    """Layers, the mean over places, and a linear head on the last convolution's channels."""
    *_, last = (layer for layer in nn.Sequential(*layers).modules() if isinstance(layer, nn.Conv2d))
    return lambda: copy.deepcopy(nn.Sequential(*layers, *HEAD, nn.Linear(last.out_channels, CLASSES)))


def flat(*layers: nn.Module) -> Callable[[], nn.Module]:
    return lambda: copy.deepcopy(nn.Sequential(nn.Flatten(), *layers))


ZOO: dict[str, tuple[Callable[[], nn.Module], int]] = {  # and how many channels may go, counted by hand
    "resnet": (pooled(conv(1, 4), nn.BatchNorm2d(4), nn.ReLU(), Block(4, 4), Block(4, 6, 2)), 4 + 4 + 6 + 6),
    "grouped": (pooled(conv(1, 6), nn.BatchNorm2d(6), conv(6, 4, 2, True), nn.ReLU()), 3 + 2),
    "depthwise": (pooled(conv(1, 4), conv(4, 8, 4, True), nn.BatchNorm2d(8), nn.ReLU6(), conv(8, 5)), 4 + 5),
    "dense": (Dense, 3 + 5 + 4),
    "flattened": (
        lambda: nn.Sequential(conv(1, 3, bias=True), nn.MaxPool2d(2), *flat(nn.Linear(27, 5), nn.Linear(5, 3))()),  # type: ignore[misc]
        3 + 5,
    ),
    "gated": (Gated, 2),
    "direct": (Direct, 5),
    "tied": (lambda: module("tied"), 8),
    "residual": (lambda: module("residual"), 2 + 4),
    "sigmoid": (flat(nn.Linear(36, 4), nn.Sigmoid(), nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)), 6),
    "normalised": (
        flat(nn.Linear(36, 4), nn.LayerNorm(4), nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 3)),
        6,
    ),
    "no affine": (pooled(conv(1, 4), nn.BatchNorm2d(4, affine=False), conv(4, 3)), 3),
}
every_module = pytest.mark.parametrize("name", ZOO)


def lived_in(name: str, seed: int = 0) -> nn.Module:
    """A module whose norms have seen data: nothing in it is a default."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = ZOO[name][0]()
        for layer in model.modules():
            getattr(layer, "reset_parameters", lambda: None)()
        for layer in model.modules():
            if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                assert layer.running_mean is not None and layer.running_var is not None
                layer.running_mean.normal_()
                layer.running_var.uniform_(0.5, 2)
                if layer.affine:
                    layer.weight.data.uniform_(0.5, 2)
                    layer.bias.data.normal_()
    return model.eval()


IMAGES = blobs().test_images


def without(model: nn.Module, gone: Any) -> tuple[nn.Module, dict[str, Tensor]]:
    """The masks of a choice of channels, and the model with them applied. gone(count) -> channels to remove."""
    rule = Channels().found(model, IMAGES)
    weights = Weights(model, rule)
    labels = rule.structure(weights.layout).units(weights.layout.n)
    keep = torch.from_numpy(~np.isin(labels, list(gone(int(labels.max()) + 1))))
    masks, masked = dict(weights.blocks(keep)), copy.deepcopy(model)
    with torch.no_grad():
        for block, mask in masks.items():
            masked.get_parameter(block).mul_(mask)
    return masked, masks
