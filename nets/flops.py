"""Floating-point operations, counted by one convention and shared out over the weights that do them.

A multiply-add is 2 operations. Counted are matrix products and convolutions, by the formulas of
`torch.utils.flop_counter`: linear layers, convolutions, attention (projections and both products), recurrent layers.
Biases, norms, activations and pooling are not. A sparse layer costs its density times what it costs dense.

A training step costs three forward passes of its batch: forward, gradient of the activations, gradient of the weights.
Where a gate needs the gradient of all weights (DPF) the last one is dense: 2 sparse + 1 dense (Evci et al. 2020).
A gradient that a score takes counts as a dense step. What judges and tests look at is not counted.

    >>> model = nets.models.build("lenet-300-100", (1, 28, 28))
    >>> forward(model, torch.zeros(1, 1, 28, 28), ["linear1.weight", "head.weight"])
    Forward(weights=(470400.0, 2000.0), others=60000.0)
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from nets.gates import Masked
from nets.plan import evaluations
from sparsopt.method import Method
from sparsopt.result import Trace

__all__ = ["Forward", "forward", "spent"]


@dataclass(frozen=True)
class Forward:
    """Operations of one forward pass of one sample. weights: one number a block of the layout; others: the rest."""

    weights: tuple[float, ...]
    others: float

    @property
    def dense(self) -> float:
        """With all weights."""
        return sum(self.weights) + self.others

    def sparse(self, densities: Sequence[float]) -> float:
        """With these shares of the blocks' weights."""
        return math.fsum(f * density for f, density in zip(self.weights, densities, strict=True)) + self.others


def forward(model: nn.Module, inputs: Tensor, names: Sequence[str]) -> Forward:
    """Operations of `model`, a sample on average, shared out over the parameters `names`. The model stays as it is."""
    model = copy.deepcopy(model).cpu().eval()
    count = _Count({name: model.get_parameter(name) for name in names})
    # with gradients attention is not fused into one operation, and the mathematical form of it has formulas
    with torch.random.fork_rng(devices=[]), torch.enable_grad(), sdpa_kernel(SDPBackend.MATH), count:
        model(inputs.cpu())
    samples = len(inputs)
    return Forward(tuple(count.of[name] / samples for name in names), count.others / samples)


class _Count(TorchDispatchMode):
    """Adds up the operations, by the parameter whose memory takes part in them."""

    def __init__(self, parameters: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.owner = {p.untyped_storage().data_ptr(): (name, p.numel()) for name, p in parameters.items()}
        self.of = dict.fromkeys(parameters, 0.0)
        self.others = 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        formula = FORMULAS.get(func._overloadpacket)
        if formula is not None:
            self._add(float(formula(*args, **(kwargs or {}), out_val=out)), args)
        return out

    def _add(self, flops: float, args: Sequence[Any]) -> None:
        storages = (arg.untyped_storage().data_ptr() for arg in args if isinstance(arg, Tensor))
        owners = dict(self.owner[storage] for storage in storages if storage in self.owner)
        for name, size in owners.items():
            self.of[name] += flops * size / sum(owners.values())
        if not owners:
            self.others += flops


def _recurrent(inputs: Tensor, from_input: Tensor, from_hidden: Tensor, *_: Any, **__: Any) -> float:
    """An LSTM layer in one operation: a matrix product with both weights in every step (T, N) of the input."""
    return 2.0 * inputs.shape[0] * inputs.shape[1] * (from_input.numel() + from_hidden.numel())


FORMULAS: dict[Any, Any] = {**flop_registry, torch.ops.aten.mkldnn_rnn_layer: _recurrent}


def spent(method: Method, trace: Trace, one: Forward, batch: int) -> dict[str, float]:
    """What a run has cost: "flops" with the masks of their time, "dense_flops" if the same steps had all weights.

    trace: rows measure "flops", one forward pass of a sample with the mask of that phase. batch: samples of a gradient,
    and of a step at most. Everything that led to a mask is in it, whatever became of the weights.
    """
    sparse, taken, before, dense_step = 0.0, 0, 0, sum(Masked.passes) * one.dense
    for row in trace:
        sparse += evaluations(method.stages[row.stage].phases[row.phase].move) * batch * dense_step
        fit = method.stages[row.stage].phases[row.phase].fit
        recipe, gate = getattr(fit, "recipe", None), getattr(fit, "through", Masked())
        samples = (row.cost - before) * min(batch, batch if recipe is None else recipe.batch)
        if samples > 0:
            on_support, on_all = gate.passes
            sparse += samples * (on_support * row.measured.get("flops", math.nan) + on_all * one.dense)
        taken, before = taken + samples, row.cost
    return {"flops": sparse, "dense_flops": taken * dense_step}
