"""The gradient of a perceptron written out: what autograd records, as a dozen lines, and faster products on the CPU.

With h_0 the inputs, z_l = h_(l-1) W_l^T + b_l and h_l = relu(z_l), the slopes d_l of the loss at z_l are

    d_L = (softmax(z_L) - targets) / B          d_(l-1) = (d_l W_l) * [h_(l-1) > 0]
    dW_l = d_l^T h_(l-1)                         db_l = sum of d_l over the batch

Products go through oneDNN where PyTorch has it: for single precision PyTorch asks MKL, which uses half of what AVX-512
processors other than Intel's can do. Sums come in another order than autograd's: equal up to rounding over the
first steps and no more, so this engine is never chosen silently. All gates and optimisers are those of `Engine`.

    Network(model, data, engine="explicit")    # linear layers with ReLU between them, float32, CPU
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from nets import ranks
from nets.engine import Engine
from nets.recipe import Recipe
from nets.sparse.perceptron import linear_layers
from nets.weights import Weights
from sparsopt.errors import MissingCapability

Product = Callable[[Tensor, Tensor, Tensor | None], Tensor]  # (x, W, b) -> x W^T + b


class ExplicitEngine(Engine):
    """`Engine` for a perceptron, with the backward pass written out."""

    def __init__(self, model: nn.Module, weights: Weights, device: torch.device) -> None:
        super().__init__(model, weights, device)
        self.layers = [self.model.get_submodule(name) for name in linear_layers(self.model)]
        self.product = product()

    def backward(self, recipe: Recipe, inputs: Tensor, targets: Tensor) -> None:
        if recipe.precision != "float32":
            return super().backward(recipe, inputs, targets)
        with torch.no_grad():
            hidden = self._hidden(inputs)
            slope = _slope(self._last(hidden[-1]), targets, recipe.label_smoothing)
            for layer, h in zip(reversed(self.layers), reversed(hidden), strict=True):
                _add(layer.weight, self.product(slope.t(), h.t(), None))
                if layer.bias is not None:
                    _add(layer.bias, slope.sum(0))
                if layer is not self.layers[0]:
                    slope = self.product(slope, layer.weight.t(), None)  # type: ignore[operator]
                    slope = torch.ops.aten.threshold_backward(slope, h, 0)  # 0 where h is
        ranks.average(self.slope)

    def predict(self, inputs: Tensor) -> Tensor:
        return self._last(self._hidden(inputs)[-1])

    def _hidden(self, inputs: Tensor) -> list[Tensor]:
        """h_0, ..., h_(L-1)."""
        hidden = [inputs.flatten(1)]
        for layer in self.layers[:-1]:
            hidden.append(self.product(hidden[-1], layer.weight, layer.bias).relu_())  # type: ignore[arg-type]
        return hidden

    def _last(self, h: Tensor) -> Tensor:
        return self.product(h, self.layers[-1].weight, self.layers[-1].bias)  # type: ignore[arg-type]


def kind(engine: str, model: nn.Module, device: torch.device, dtype: torch.dtype) -> type[Engine]:
    """Which engine trains what no other one takes: `ExplicitEngine` for "explicit" and, where it can be, for "auto".

    Raises MissingCapability where "explicit" is asked for and cannot be had.
    """
    if engine != "explicit" and not engine.startswith("auto"):
        return Engine
    reason = _obstacle(model, device, dtype)
    if reason and engine == "explicit":
        raise MissingCapability(f"engine 'explicit' cannot train this network: {reason}; give engine='dense'")
    return Engine if reason else ExplicitEngine


def _obstacle(model: nn.Module, device: torch.device, dtype: torch.dtype) -> str:
    """Why the gradient of this module is not written out here; empty if it is."""
    if device.type != "cpu" or dtype != torch.float32:
        return f"it computes in float32 on the CPU, not in {str(dtype).removeprefix('torch.')} on {device.type}"
    if not linear_layers(model):
        return f"it knows linear layers with ReLU between them, and {type(model).__name__} is something else"
    return ""


def product() -> Product:
    """The faster of PyTorch's two products: oneDNN's where it is built in."""
    if torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return lambda x, weight, bias: torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return nn.functional.linear


def _slope(outputs: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    """Gradient of the mean cross-entropy at the outputs (B, classes)."""
    B, classes = outputs.shape
    right = outputs.new_full((B, 1), smoothing - 1)
    slope = outputs.softmax(1).scatter_add_(1, targets.unsqueeze(1), right)
    return slope.sub_(smoothing / classes).div_(B)


def _add(parameter: Tensor | nn.Module, gradient: Tensor) -> None:
    assert isinstance(parameter, Tensor) and parameter.grad is not None
    parameter.grad.add_(gradient)
