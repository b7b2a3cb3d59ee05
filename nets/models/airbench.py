"""The small wide network of airbench94, which learns CIFAR-10 in about ten passes (Jordan 2024, arXiv:2404.00498).

A 2 x 2 stem, three groups (convolution, halving, norm, GELU, convolution, norm, GELU) of 64, 256 and 256 channels, the
largest value over all places, outputs times 1/9. Convolutions of 3 x 3 start as the identity on their first channels;
norms have a shift and no scale, and forget fast.

    >>> from nets.models import build
    >>> model = build("airbench-94")
    >>> sum(p.numel() for p in model.parameters() if p.requires_grad)
    1971640

With `whitened(model, images)` the stem is, as theirs, no weight but a measurement of the images. What else makes their
code fast and is not here: `nets.recipes`, "airbench".
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from nets.models.blocks import Shape, at_least, chain, scaled

KERNEL, SAMPLES, SHIFT = 2, 5000, 5e-4  # of the whitening, as read in the author's code


class IdentityConvolution(nn.Conv2d):
    """3 x 3 without bias, whose first filters pass their channel on; the others are drawn as anywhere."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__(before, after, 3, padding=1, bias=False)

    def drawn(self) -> None:
        """After the first weights were drawn."""
        nn.init.dirac_(self.weight.data[: self.in_channels])


class Times(nn.Module):
    """x times a number."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


def airbench(inputs: Shape, classes: int, width: float) -> nn.Module:
    """The network, for images of 16 x 16 or more."""
    at_least(inputs, 16, "airbench-94")
    channels, *sides = inputs
    before = 2 * channels * KERNEL**2
    layers: dict[str, nn.Module] = {"stem": nn.Conv2d(channels, before, KERNEL), "gelu": nn.GELU()}
    for i, after in enumerate((64, 256, 256), start=1):
        layers[f"group{i}"] = _group(before, wide := scaled(after, width))
        before = wide
    left = [(side - KERNEL + 1) // 8 for side in sides]
    layers |= {"pool": nn.MaxPool2d((left[0], left[1])), "flatten": nn.Flatten()}
    return chain(**layers, head=nn.Linear(before, classes, bias=False), times=Times(1 / 9))


def _group(before: int, after: int) -> nn.Module:
    return chain(
        conv1=IdentityConvolution(before, after), pool=nn.MaxPool2d(2), norm1=_norm(after), gelu1=nn.GELU(),
        conv2=IdentityConvolution(after, after), norm2=_norm(after), gelu2=nn.GELU(),
    )  # fmt: skip


def _norm(channels: int) -> nn.Module:
    norm = nn.BatchNorm2d(channels, eps=1e-12, momentum=0.4)
    norm.weight.requires_grad_(False)
    return norm


@torch.no_grad()
def whitened(model: Any, images: Tensor) -> nn.Module:
    """The model with a stem that whitens 2 x 2 patches of normalised images (N, C, H, W), and does not train.

    Filters are +-e_i / sqrt(lambda_i + 5e-4), of the eigenvectors e_i of the patches' second moments, largest first.
    """
    columns = nn.functional.unfold(images[:SAMPLES].float(), KERNEL)
    patches = columns.transpose(1, 2).reshape(-1, columns.shape[1])
    values, vectors = torch.linalg.eigh((patches.T @ patches / len(patches)).double())
    filters = (vectors / (values + SHIFT).sqrt()).T.flip(0).to(patches.dtype)
    model.stem.weight.copy_(torch.cat([filters, -filters]).view_as(model.stem.weight))
    model.stem.weight.requires_grad_(False)
    return model
