"""What the model files share: layers that know the shape they see, and the initialisation.

A model here is a plain `torch.nn.Module` of plain layers, named so that paths read well (`stage2.block1.conv2`); the
last linear layer is always called `head`, for methods that treat the output layer apart.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor, nn

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


def normal(shape: torch.Size, deviation: float, generator: torch.Generator) -> Tensor:
    """N(0, deviation^2)."""
    return torch.empty(shape).normal_(0, deviation, generator=generator)


def signed_constant(shape: torch.Size, deviation: float, generator: torch.Generator) -> Tensor:
    """+deviation or -deviation: the signs that `normal` draws."""
    return torch.where(normal(shape, 1.0, generator) < 0, -deviation, deviation)


def fan_out(shape: torch.Size, deviation: float, generator: torch.Generator) -> Tensor:
    """Convolutions N(0, 2 / fan_out), linear layers PyTorch's own U[-1, 1] / sqrt(fan_in): as in SynFlow's code.

    The linear weights have a largest size here, which matters where weights are pruned by size before training.
    """
    if len(shape) == 2:
        return torch.empty(shape).uniform_(-1, 1, generator=generator) * (deviation / math.sqrt(2))
    return normal(shape, math.sqrt(2 / (shape[0] * math.prod(shape[2:]))), generator)


INITIALISATIONS: dict[str, Callable[..., Tensor]] = {
    "kaiming-normal": normal,
    "signed-constant": signed_constant,
    "fan-out": fan_out,
}


def initialise(model: nn.Module, seed: int, draw: Callable[..., Tensor] = normal) -> nn.Module:
    """Give `model`, built on the meta device, memory and its first weights: a function of (model, seed).

    Weights of convolutions, linear layers and attention's projections have deviation sqrt(2 / fan_in) (He et al. 2015)
    under `draw`, biases are 0; norms start as the identity (weight 1, bias 0, running mean 0, running variance 1). Each
    layer has its own generator, keyed by its name, so that a change to one layer leaves the draws of the others alone.
    """
    model.to_empty(device="cpu")
    for name, layer in model.named_modules():
        generator = seeds.generator("weights", name, seed)
        own = dict(layer.named_parameters(recurse=False))
        if isinstance(layer, nn.Conv2d | nn.Linear | nn.MultiheadAttention):
            _draw(own, draw, generator)
            getattr(layer, "drawn", lambda: None)()
        elif isinstance(layer, nn.BatchNorm2d | nn.LayerNorm):
            layer.reset_parameters()
        elif own:
            layer.reset_parameters(generator)  # type: ignore[operator]
    return model


def _draw(own: dict[str, nn.Parameter], draw: Callable[..., Tensor], generator: torch.Generator) -> None:
    with torch.no_grad():
        for parameter in own.values():
            if parameter.ndim > 1:
                parameter.copy_(draw(parameter.shape, math.sqrt(2 / parameter[0].numel()), generator))
            else:
                parameter.zero_()


def with_dropout(model: nn.Module, probability: float, name: str) -> nn.Module:
    """The model with dropout after the ReLU of each hidden linear layer; parameters keep their names."""
    if probability == 0:
        return model
    hidden = [key for key, _ in model.named_children() if key.startswith("linear") and key.endswith("_relu")]
    if not hidden or not 0 <= probability < 1:
        raise InvalidInput(
            f"{name}: dropout={probability} needs hidden linear layers, which the LeNets and Conv-2/4/6 have, and "
            "0 <= dropout < 1"
        )
    for key in hidden:
        setattr(model, key, chain(relu=nn.ReLU(), dropout=nn.Dropout(probability)))
    return model


def scaled(width: int, factor: float) -> int:
    """`width` times `factor`, rounded, at least 1."""
    return max(1, round(width * factor))
