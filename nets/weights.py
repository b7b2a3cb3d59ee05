"""Which of a network's tensors are prunable, and the two-way street between tensors and the flat vector x.

x holds the prunable weights, block after block; every other trainable parameter is in `rest`; what no gradient changes
(buffers, and parameters with `requires_grad=False`) is kept by name as a constant. What is prunable is a rule
(path of a module, module, name of its parameter) -> bool; the default takes the weights of convolutions, linear layers
and attention projections, no biases and no normalisation. The rule and its result fix the denominator of "sparsity".

    >>> weights = Weights(nets.models.build("lenet-300-100", (1, 28, 28)))
    >>> weights.layout.n
    266200
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import ParametrizationList

from sparsopt.errors import InvalidInput
from sparsopt.state import Layout

Rule = Callable[[str, nn.Module, str], bool]  # (name of the module, module, name of its parameter) -> prunable?

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
LARGE = 0.25  # share of a network's matrices that nobody should leave dense without knowing
PROJECTIONS = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")


@dataclass(frozen=True)
class ConvolutionsAndLinear:
    """Weights of convolutions, linear layers and attention projections, except parameters named in `exclude`.

    exclude: full parameter names, such as "fc.weight" (VGG's classifier, which open_lth leaves dense).
    """

    exclude: tuple[str, ...] = ()

    def __call__(self, path: str, module: nn.Module, name: str) -> bool:
        full = f"{path}.{name}".lstrip(".")
        if full in self.exclude:
            return False
        if isinstance(module, ParametrizationList) or name == "weight_orig":
            raise InvalidInput(
                f"{full} belongs to a weight that is computed from other tensors, so pruning it would prune something "
                "else: make the weight plain (torch.nn.utils.parametrize.remove_parametrizations, or "
                f"torch.nn.utils.prune.remove), or leave it dense with ConvolutionsAndLinear(exclude=({full!r},))"
            )
        if isinstance(module, nn.MultiheadAttention):
            return name in PROJECTIONS
        return isinstance(module, (*CONVOLUTIONS, nn.Linear, nn.Bilinear)) and name == "weight"


@dataclass(frozen=True)
class Matrices:
    """Every parameter with two or more dimensions: also recurrent and embedding weights."""

    exclude: tuple[str, ...] = ()

    def __call__(self, path: str, module: nn.Module, name: str) -> bool:
        return f"{path}.{name}".lstrip(".") not in self.exclude and getattr(module, name).dim() >= 2


@dataclass(frozen=True)
class BatchNormScales:
    """The scales of batch norm, one a channel: "sparsity" counts channels (network slimming, early-bird tickets).

    A channel whose scale is zero passes a constant, its shift, which a later bias can take over.
    """

    def __call__(self, path: str, module: nn.Module, name: str) -> bool:
        return isinstance(module, nn.modules.batchnorm._BatchNorm) and name == "weight"


class Weights:
    """The prunable part of a module's trainable parameters as one vector, and the rest beside it.

    A parameter that several modules share is one block, under the name where it comes first. A frozen one
    (`requires_grad=False`) is neither pruned nor trained, and not in the denominator of "sparsity".
    """

    def __init__(self, model: nn.Module, rule: Rule = ConvolutionsAndLinear()) -> None:
        chosen = {
            id(parameter): _input_axis(module)
            for path, module in model.named_modules()
            for name, parameter in module.named_parameters(recurse=False)
            if rule(path, module, name)
        }
        everything = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.prunable = [name for name, p in everything.items() if id(p) in chosen]
        self.other = [name for name, p in everything.items() if id(p) not in chosen]
        if not self.prunable:
            raise InvalidInput(
                f"no parameter of {type(model).__name__} is prunable by {rule}; those that train are "
                f"{list(everything)[:8]}. Give a rule (module name, module, parameter name) -> bool, such as Matrices()"
            )
        kinds = {p.dtype for p in everything.values()}
        if len(kinds) > 1:
            raise InvalidInput(f"parameters of several types {kinds}: convert the model to one, as by model.float()")
        self.dtype = kinds.pop()
        shapes = tuple(tuple(everything[name].shape) for name in self.prunable)
        self.layout = Layout(tuple(self.prunable), shapes, tuple(chosen[id(everything[n])] for n in self.prunable))
        self.shapes_of_rest = [tuple(everything[name].shape) for name in self.other]

    def overlooked(self, model: nn.Module) -> str:
        """A sentence that names the matrices (two or more dimensions) that are trained and not prunable, where they
        hold a large share of all of the module's; else ""."""
        sizes = {name: p.numel() for name, p in model.named_parameters() if name in self.other and p.dim() >= 2}
        dense, n = sum(sizes.values()), self.layout.n
        if dense < LARGE * (dense + n):
            return ""
        largest = sorted(sizes, key=lambda name: -sizes[name])
        names = ", ".join(largest[:3]) + (f" and {len(largest) - 3} more" if len(largest) > 3 else "")
        return (
            f"{names} {'hold' if len(largest) > 1 else 'holds'} {dense / (dense + n):.0%} of the weights of "
            f"{type(model).__name__} and stay dense, as only convolutions, linear layers and attention projections are "
            "prunable by default: prunable=Matrices() prunes them too, prunable=ConvolutionsAndLinear() means it so"
        )

    def flatten(self, model: nn.Module) -> tuple[Tensor, Tensor]:
        """Copies of x (n,) and rest (r,) of a module of this shape."""
        parameters = dict(model.named_parameters())
        return self._concatenate(parameters, self.prunable), self._concatenate(parameters, self.other)

    def _concatenate(self, parameters: Mapping[str, Tensor], names: list[str]) -> Tensor:
        if not names:
            return torch.empty(0, dtype=self.dtype)
        return torch.cat([parameters[name].detach().reshape(-1) for name in names])

    @staticmethod
    def constants(model: nn.Module) -> dict[str, Tensor]:
        """The module's own tensors that no gradient changes, by name: buffers and frozen parameters."""
        frozen = {name: p.detach() for name, p in model.named_parameters() if not p.requires_grad}
        return dict(model.named_buffers()) | frozen

    def write(self, model: nn.Module, x: Tensor, rest: Tensor, constants: Mapping[str, Tensor]) -> None:
        """Copy x, rest and constants into the module's own tensors."""
        parameters, own = dict(model.named_parameters()), self.constants(model)
        with torch.no_grad():
            for name, values in (*self.blocks(x), *self.blocks_of_rest(rest)):
                parameters[name].copy_(values)
            for name, values in constants.items():
                own[name].copy_(values)

    def blocks(self, x: Tensor) -> list[tuple[str, Tensor]]:
        """(name, view of x in the parameter's shape) for every prunable parameter."""
        layout = self.layout
        return [
            (name, x[block].view(shape))
            for name, block, shape in zip(layout.names, layout.slices, layout.shapes, strict=True)
        ]

    def blocks_of_rest(self, rest: Tensor) -> list[tuple[str, Tensor]]:
        """The same for the other parameters."""
        views, start = [], 0
        for name, shape in zip(self.other, self.shapes_of_rest, strict=True):
            size = int(torch.Size(shape).numel())
            views.append((name, rest[start : start + size].view(shape)))
            start += size
        return views

    def densities(self, support: Tensor) -> dict[str, float]:
        """Fraction of each block that the support keeps."""
        return {name: mask.float().mean().item() for name, mask in self.blocks(support)}


def check_masks(tensors: Mapping[str, Tensor], masks: Mapping[str, Tensor], owner: str) -> None:
    """Raises InvalidInput for a mask that belongs to none of the owner's tensors, or to one of another shape."""
    for name, mask in masks.items():
        if name not in tensors or tensors[name].shape != mask.shape:
            known = f"a {tuple(tensors[name].shape)} tensor" if name in tensors else "no tensor of that name"
            raise InvalidInput(f"mask {name!r} {tuple(mask.shape)} does not belong to {owner}: it has {known}")


def _input_axis(module: Any) -> int:
    """The axis of a weight along which its inputs run: where N:M patterns live."""
    return 1 if isinstance(module, CONVOLUTIONS) else -1
