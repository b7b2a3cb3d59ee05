"""Sparse convolution and batch norm for PyTorch, on tensors whose images are innermost in memory.

Such a tensor still is (N, C, H, W) to everybody: ReLU, sums, pooling and linear layers take it as it is, and what they
return is mostly stored like their input. So a network changes its order of memory at its first sparse convolution and
keeps it, and a layer that is left dense only pays for a copy.
"""

from __future__ import annotations

import math
import weakref
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from nets.sparse.taps import Geometry, Size, Taps
from sparsopt.state import Array

LEAST = 16  # images in a batch


def planes(x: Tensor) -> Tensor:
    """(N, C, H, W) -> contiguous [C, H, W, N]: a view where memory has this order already."""
    return x.permute(1, 2, 3, 0).contiguous()


def images(x: Tensor) -> Tensor:
    """The view back."""
    return x.permute(3, 0, 1, 2)


def innermost(x: Tensor) -> bool:
    """Whether the images of a batch are innermost in memory."""
    return x.dim() == 4 and x.dtype == torch.float32 and x.permute(1, 2, 3, 0).is_contiguous()


def eligible(layer: nn.Module) -> bool:
    """Plain convolutions, without groups, of zero-padded images."""
    return (
        type(layer) is nn.Conv2d
        and layer.groups == 1
        and layer.padding_mode == "zeros"
        and not isinstance(layer.padding, str)
        and "forward" not in vars(layer)
    )


def _flat(x: Tensor) -> Array:
    return x.detach().numpy().reshape(-1)


def _rows(x: Tensor) -> Array:
    """One row a channel, whatever is behind."""
    return x.numpy() if x.dim() == 1 else x.flatten(1).numpy()


@dataclass(frozen=True)
class Pool:
    """Memory for activations that is used again: fresh pages from the system cost more than what is done there."""

    free: dict[int, list[Array]] = field(default_factory=dict)

    def empty(self, *shape: int) -> Tensor:
        """As `torch.empty`. The memory comes back when the last tensor that looks at it is gone."""
        size = math.prod(shape)
        known = self.free.setdefault(size, [])
        memory = known.pop() if known else np.empty(size, np.float32)
        lease = memory[:]
        weakref.finalize(lease, known.append, memory).atexit = False
        return torch.from_numpy(lease).view(shape)


@dataclass(frozen=True)
class Plan:
    """A mask on images of one size: taps both ways, for `kept` weights at the places `where` of the weight tensor."""

    outputs: Size
    where: Tensor
    onward: tuple[Any, ...]
    back: tuple[Any, ...]

    @classmethod
    def of(cls, mask: NDArray[np.bool_], inputs: Size, geometry: Geometry) -> Plan:
        taps = (Taps.forward(mask, inputs, geometry), Taps.backward(mask, inputs, geometry))
        onward, back = ((t.kind, t.at, t.ptr, t.offset, t.number) for t in taps)
        where = torch.from_numpy(np.flatnonzero(mask))
        return cls(geometry.outputs(inputs, mask.shape[2:]), where, onward, back)  # type: ignore[arg-type]


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, plan: Plan, pool: Pool) -> Tensor:
        from nets.sparse.planes import gather

        x, values = planes(x), weight.detach().reshape(-1)[plan.where].numpy()
        y = pool.empty(len(weight), *plan.outputs, x.shape[3])
        start = np.zeros(128 * len(weight), np.float32) if bias is None else np.repeat(_flat(bias), 128)
        gather(_flat(x), _flat(y), values, start, plan.onward, x.shape[3])
        ctx.save_for_backward(x)
        ctx.rest = values, plan, weight.shape, pool
        return images(y)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d: Tensor) -> Any:  # type: ignore[override]
        from nets.sparse.planes import dots, gather

        (x,), (values, plan, shape, pool) = ctx.saved_tensors, ctx.rest
        d, N = planes(d), x.shape[3]
        of_x = of_weight = of_bias = None
        if ctx.needs_input_grad[0]:
            slopes = pool.empty(*x.shape)
            gather(_flat(d), _flat(slopes), values, np.zeros(128 * len(x), np.float32), plan.back, N)
            of_x = images(slopes)
        if ctx.needs_input_grad[1]:
            sums = np.zeros((len(values), 16), np.float32)
            dots(_flat(x), _flat(d), sums.reshape(-1), plan.onward, N)
            of_weight = x.new_zeros(shape)
            of_weight.view(-1)[plan.where] = torch.from_numpy(sums.sum(1))
        if ctx.needs_input_grad[2]:
            of_bias = d.flatten(1).sum(1)
        return of_x, of_weight, of_bias, None, None


class _BatchNorm(torch.autograd.Function):
    """max(norm(x) + other, floor); other may be None, and the floor minus infinity."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        other: Tensor | None,
        weight: Tensor,
        bias: Tensor,
        epsilon: float,
        floor: float,
        pool: Pool,
    ) -> Any:
        from nets.sparse.planes import normalise

        x, more = planes(x), x.new_empty((x.shape[1], 0)) if other is None else planes(other)
        y, found = pool.empty(*x.shape), x.new_empty((3, len(x)))
        parameters = _rows(weight.detach()), _rows(bias.detach())
        normalise(_rows(x), _rows(more), _rows(y), *parameters, epsilon, np.float32(floor), found.numpy())
        out = images(y)
        ctx.save_for_backward(x, images(x) if math.isinf(floor) else out, weight.detach(), found)
        ctx.rest = other is not None, np.float32(floor), pool
        mean, variance, _ = found
        ctx.mark_non_differentiable(mean, variance)
        return out, mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d: Tensor, *_: Tensor) -> Any:  # type: ignore[override]
        from nets.sparse.planes import normalise_backward

        (x, out, weight, found), (adds, floor, pool) = ctx.saved_tensors, ctx.rest
        slopes, of_both = pool.empty(*x.shape), x.new_empty((2, len(x)))
        of_other = pool.empty(*x.shape) if adds else x.new_empty((len(x), 0))
        known = _rows(x), _rows(planes(out)), _rows(planes(d))
        normalise_backward(known, _rows(slopes), _rows(of_other), _rows(weight), found.numpy(), floor, of_both.numpy())
        return images(slopes), images(of_other) if adds else None, *of_both, None, None, None


class SparseConvolution:
    """The forward pass of a convolution whose weight has a fixed mask; plans are made for each size of image."""

    def __init__(self, layer: nn.Conv2d, mask: NDArray[np.bool_], pool: Pool) -> None:
        self.layer, self.mask, self.pool, self.plans = layer, mask, pool, dict[Size, Plan]()
        self.geometry = Geometry(layer.stride, layer.padding, layer.dilation)  # type: ignore[arg-type]

    def __call__(self, x: Tensor) -> Tensor:
        """Densely where it cannot be done: few images, other types, a kernel larger than the image."""
        size: Any = tuple(x.shape[2:])
        if x.dim() != 4 or len(x) < LEAST or x.dtype != torch.float32 or not self._fits(size):
            return nn.Conv2d.forward(self.layer, x)
        if size not in self.plans:
            self.plans[size] = Plan.of(self.mask, size, self.geometry)
        plan = self.plans[size]
        return _Convolution.apply(x, self.layer.weight, self.layer.bias, plan, self.pool)  # type: ignore[return-value]

    def _fits(self, size: Size) -> bool:
        return min(self.geometry.outputs(size, self.mask.shape[2:])) >= 1  # type: ignore[arg-type]


class BatchNorm:
    """The forward pass of batch norm in training, where images are innermost; elsewhere the layer's own."""

    def __init__(self, layer: nn.BatchNorm2d, pool: Pool) -> None:
        self.layer, self.pool = layer, pool

    def __call__(self, x: Tensor, other: Tensor | None = None, rectified: bool = False) -> Tensor:
        """norm(x), with an addition and ReLU behind it for those who ask (`fusion`)."""
        layer = self.layer
        fits = other is None or (other.shape == x.shape and other.dtype == x.dtype)
        if not layer.training or layer.weight is None or not innermost(x) or not fits:
            y = nn.BatchNorm2d.forward(layer, x)
            y = y if other is None else y + other
            return torch.relu(y) if rectified else y
        rest = layer.weight, layer.bias, layer.eps, 0.0 if rectified else -math.inf, self.pool
        y, mean, variance = _BatchNorm.apply(x, other, *rest)  # type: ignore[misc]
        self._remember(mean, variance, x.numel() // len(mean))
        return y

    def _remember(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """The running statistics, of which the variance is the unbiased one."""
        layer = self.layer
        if layer.running_mean is None or layer.running_var is None or layer.num_batches_tracked is None:
            return
        layer.num_batches_tracked.add_(1)
        rate = 1.0 / float(layer.num_batches_tracked) if layer.momentum is None else layer.momentum
        layer.running_mean.lerp_(mean, rate)
        layer.running_var.lerp_(variance * (count / (count - 1)), rate)
