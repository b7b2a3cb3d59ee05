"""2:4 sparsity, the pattern of single weights that some hardware runs faster: NVIDIA GPUs from Ampere on.

>>> fast = semi_structured(outcome.model, outcome.masks, images)            # on such a GPU; else it says what works
>>> fast.model, fast.layers, fast.seconds

In half precision. Of every four weights that follow each other along a layer's inputs at most two are kept
(`nets prune --method one-shot-magnitude --set pattern=2:4`). PyTorch has kernels for linear layers, none for
convolutions. No file format of its own is needed: a packed file has one bit a position, four bits for every four
weights, which is what the hardware's indices take (two of two bits), and is converted where it is loaded.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from nets.structured.shrinking import latency
from sparsopt.errors import DataError, InvalidInput, MissingCapability

__all__ = ["SemiStructured", "is_two_of_four", "layers_of_two_of_four", "semi_structured"]

OLDEST = (8, 0)  # compute capability: Ampere
TOLERANCE = 2e-2  # of sums in half precision in another order, on the largest output
HOW = "nets prune --method one-shot-magnitude --set pattern=2:4 makes such masks"


@dataclass(frozen=True)
class SemiStructured:
    """A module on the GPU in half precision whose `layers` run on 2:4 kernels. seconds: (dense half, 2:4) a batch."""

    model: nn.Module
    layers: tuple[str, ...]
    seconds: tuple[float, float]
    error: float


def is_two_of_four(mask: Tensor) -> bool:
    """Whether at most two of every four that follow each other along the last axis are kept, and something is removed.

    >>> is_two_of_four(torch.tensor([[True, False, True, False]])), is_two_of_four(torch.ones(1, 4).bool())
    (True, False)
    """
    if mask.dim() != 2 or mask.shape[1] % 4:
        return False
    return bool((mask.reshape(-1, 4).sum(1) <= 2).all())


def layers_of_two_of_four(model: nn.Module, masks: Mapping[str, Tensor]) -> tuple[str, ...]:
    """The linear layers with a 2:4 mask. Raises InvalidInput where there is none, and says why."""
    linear = {
        name: masks[f"{name}.weight".lstrip(".")]
        for name, module in model.named_modules()
        if type(module) is nn.Linear and f"{name}.weight".lstrip(".") in masks
    }
    found = tuple(name for name, mask in linear.items() if is_two_of_four(mask))
    if not found:
        what = f"none of the masks of its linear layers ({', '.join(linear)}) is 2:4" if linear else "no mask is of one"
        raise InvalidInput(f"2:4 kernels are for linear layers, and {what}; {HOW}")
    return found


def semi_structured(model: nn.Module, masks: Mapping[str, Tensor], inputs: Tensor, repeats: int = 21) -> SemiStructured:
    """The module with its 2:4 layers as `torch.sparse.to_sparse_semi_structured` has them, in half precision.

    Outputs are compared with the same module in half precision without the kernels. Raises InvalidInput for masks that
    are not 2:4, MissingCapability where there is no GPU with such kernels, DataError if the outputs differ.
    """
    layers = layers_of_two_of_four(model, masks)
    _check_device()
    dense = copy.deepcopy(model).eval().half().cuda()
    fast, batch = copy.deepcopy(dense), inputs.half().cuda()
    with torch.no_grad():
        for name in layers:
            layer: Any = fast.get_submodule(name)
            try:
                layer.weight = nn.Parameter(
                    torch.sparse.to_sparse_semi_structured(layer.weight.data), requires_grad=False
                )
            except (RuntimeError, ValueError) as error:
                raise MissingCapability(f"{name} has no 2:4 kernel: {str(error).splitlines()[0]}") from error
        expected = dense(batch)
        error = float((fast(batch) - expected).abs().max())
    if not error <= TOLERANCE * max(1.0, float(expected.abs().max())):
        raise DataError(f"2:4 kernels give other outputs, by {error:.2g}: the module is not returned")
    before, after = latency((_Waiting(dense), _Waiting(fast)), batch, repeats)
    return SemiStructured(fast, layers, (before, after), error)


class _Waiting(nn.Module):
    """A module that returns when the GPU is done."""

    def __init__(self, of: nn.Module) -> None:
        super().__init__()
        self.of = of

    def forward(self, x: Tensor) -> Tensor:
        y = self.of(x)
        torch.cuda.synchronize()
        return y


def _check_device() -> None:
    if torch.cuda.is_available() and torch.cuda.get_device_capability() >= OLDEST:
        return
    here = torch.cuda.get_device_name() if torch.cuda.is_available() else "this machine has no CUDA device"
    raise MissingCapability(
        f"2:4 kernels need an NVIDIA GPU of compute capability 8.0 or above (Ampere), and {here}. What works here: "
        "packed keeps the pattern in a small file, which can be loaded and converted on such a GPU"
    )
