"""What the model files share: layers that know the shape they see, and the initialisation.

A model here is a plain `torch.nn.Module` of plain layers, named so that paths read well (`stage2.block1.conv2`); the
last linear layer is always called `head`, for methods that treat the output layer apart.
"""

from __future__ import annotations

import math
from collections import OrderedDict

import torch
from torch import nn

from nets import seeds
from sparsopt.errors import InvalidInput

Shape = tuple[int, ...]  # (C, H, W)


def chain(**layers: nn.Module) -> nn.Sequential:
    """A Sequential whose layers have names."""
    return nn.Sequential(OrderedDict(layers))


def convolution(inputs: int, outputs: int, stride: int = 1, kernel: int = 3) -> nn.Conv2d:
    """A convolution that keeps height and width (at stride 1), without bias: batch norm follows and has one."""
    return nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)


def normalised_convolution(inputs: int, outputs: int) -> nn.Sequential:
    """3 x 3 convolution, batch norm, ReLU."""
    return chain(conv=convolution(inputs, outputs), norm=nn.BatchNorm2d(outputs), relu=nn.ReLU())


def pooled_head(channels: int, classes: int) -> dict[str, nn.Module]:
    """Mean over all places, then the linear output layer."""
    return {"pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), "head": nn.Linear(channels, classes)}


def perceptron(widths: list[int], classes: int) -> dict[str, nn.Module]:
    """Flatten, then linear layers of the given widths (the first is the number of inputs) with ReLU, and the output."""
    layers: dict[str, nn.Module] = {"flatten": nn.Flatten()}
    for i in range(1, len(widths)):
        layers |= {f"linear{i}": nn.Linear(widths[i - 1], widths[i]), f"linear{i}_relu": nn.ReLU()}
    return layers | {"head": nn.Linear(widths[-1], classes)}


def at_least(inputs: Shape, side: int, name: str) -> None:
    """Raise unless images of shape `inputs` have at least `side` rows and columns."""
    if len(inputs) != 3 or min(inputs[1:]) < side:
        raise InvalidInput(
            f"{name} needs images (C, H, W) of at least {side} x {side} pixels, not {inputs}; "
            "lenet-300-100 takes every shape, conv-2 images from 2 x 2"
        )


def initialise(model: nn.Module, seed: int) -> nn.Module:
    """Give `model`, built on the meta device, memory and its first weights: a function of (model, seed).

    Weights of convolutions and linear layers ~ N(0, 2 / fan_in) (He et al. 2015), biases 0; batch norm starts as the
    identity (weight 1, bias 0, running mean 0, running variance 1). Each layer has its own generator, keyed by its
    name, so that a change to one layer leaves the draws of the others alone.
    """
    model.to_empty(device="cpu")
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            with torch.no_grad():
                deviation = math.sqrt(2 / layer.weight[0].numel())
                layer.weight.normal_(0, deviation, generator=seeds.generator("weights", name, seed))
                if layer.bias is not None:
                    layer.bias.zero_()
        elif isinstance(layer, nn.BatchNorm2d):
            layer.reset_parameters()
    return model


def scaled(width: int, factor: float) -> int:
    """`width` times `factor`, rounded, at least 1."""
    return max(1, round(width * factor))
