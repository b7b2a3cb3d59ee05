"""The gradient of a perceptron written out: what autograd records, as a dozen lines, and faster products on the CPU.

With h_0 the inputs, z_l = h_(l-1) W_l^T + b_l and h_l = relu(z_l), the slopes d_l of the loss at z_l are

    d_L = (softmax(z_L) - targets) / B          d_(l-1) = (d_l W_l) * [h_(l-1) > 0]
    dW_l = d_l^T h_(l-1)                         db_l = sum of d_l over the batch

Products go through oneDNN where PyTorch has it: for single precision PyTorch asks MKL, which uses half of what AVX-512
processors other than Intel's can do. With plain masks and SGD a layer's weight moves as soon as its gradient is known,
while that is in the cache; other gates and optimisers are those of `Engine`. Sums come in another order than
autograd's: equal up to rounding over the first steps and no more, so this engine is never chosen silently.

    Network(model, data, engine="explicit")    # linear layers with ReLU between them, float32, CPU
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from nets import ranks
from nets.engine import Engine, own_generator, plain
from nets.gates import Gate
from nets.recipe import SGD, Recipe
from nets.sparse.perceptron import linear_layers
from nets.weights import Weights
from sparsopt.errors import MissingCapability
from sparsopt.state import State

SMALL = 1 << 20  # multiplications below which a product costs oneDNN more to prepare than to do
Gradients = Iterator[tuple[str, Tensor]]
Product = Callable[[Tensor, Tensor, Tensor | None], Tensor]  # (x, W, b) -> x W^T + b


class ExplicitEngine(Engine):
    """`Engine` for a perceptron, with the backward pass written out."""

    chunk = 256  # of inputs that stay in the cache while they are normalised and multiplied

    def __init__(self, model: nn.Module, weights: Weights, device: torch.device) -> None:
        super().__init__(model, weights, device)
        self.names = linear_layers(self.model)
        self.layers = [self.model.get_submodule(name) for name in self.names]
        self.product = product()

    def train(self, state: State, recipe: Recipe, gate: Gate, batches: Any, steps: int, total: int) -> State:
        """As `Engine.train`."""
        sgd = recipe.optimiser
        if not isinstance(sgd, SGD) or not plain(recipe, gate) or ranks.count() > 1:
            return super().train(state, recipe, gate, batches, steps, total)
        self.load(state)
        optimiser = self._load_optimiser(recipe, state)
        memory = optimiser.state[self.theta].get("momentum_buffer", self.slope)
        weights, speeds, masks = self._blocks(self.theta.detach()), self._blocks(memory), self._masks(state)
        with torch.no_grad(), own_generator(self.device):
            for step in range(steps):
                rate = recipe.rate(state.clock + step, total)
                for name, slope in self._gradients(recipe, *batches.at(state.cost + step)):
                    if name in masks:
                        slope.mul_(masks[name])
                    _descend(weights[name], slope, speeds[name], sgd, rate)
        return self._trained(state, recipe, optimiser, steps).but(x=self.theta.detach()[: self.n].clone())

    def backward(self, recipe: Recipe, inputs: Tensor, targets: Tensor) -> None:
        if recipe.precision != "float32":
            return super().backward(recipe, inputs, targets)
        slopes = self._blocks(self.slope)
        with torch.no_grad():
            for name, gradient in self._gradients(recipe, inputs, targets):
                slopes[name].add_(gradient)
        ranks.average(self.slope)

    def _gradients(self, recipe: Recipe, inputs: Tensor, targets: Tensor) -> Gradients:
        """(name, gradient) of each parameter, from the last layer to the first; it may be changed once it is here."""
        hidden = self._hidden(inputs)
        slope = _slope(self._last(hidden[-1]), targets, recipe.label_smoothing)
        for name, layer, h in zip(reversed(self.names), reversed(self.layers), reversed(hidden), strict=True):
            above = slope
            if layer is not self.layers[0]:
                slope = self.product(above, layer.weight.t(), None)  # type: ignore[operator]
                slope = torch.ops.aten.threshold_backward(slope, h, 0)  # 0 where h is
            if layer.bias is not None:
                yield f"{name}.bias", above.sum(0)
            yield f"{name}.weight", self.product(above.t(), h.t(), None)

    def _blocks(self, vector: Tensor) -> dict[str, Tensor]:
        """Views of a vector like theta, by the names of parameters."""
        n = self.n
        return dict([*self.weights.blocks(vector[:n]), *self.weights.blocks_of_rest(vector[n:])])

    def _masks(self, state: State) -> dict[str, Tensor]:
        """Of the blocks that have zeros, in numbers."""
        masks = self.weights.blocks(state.support)
        return {name: mask.to(self.theta.dtype) for name, mask in masks if not mask.all()}

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
    """The fastest of PyTorch's products: oneDNN's where it is built in, but for small ones."""
    usual = nn.functional.linear
    if not (torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")):
        return usual
    large = torch.ops.mkldnn._linear_pointwise

    def multiplied(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if len(x) * weight.numel() < SMALL:
            return usual(x, weight, bias)
        return large(x, weight, bias, "none", [], "")

    return multiplied


def _descend(parameter: Tensor, slope: Tensor, speed: Tensor, sgd: SGD, rate: float) -> None:
    """torch.optim.SGD on one parameter; slope is used up."""
    if sgd.weight_decay:
        slope.add_(parameter, alpha=sgd.weight_decay)
    if sgd.momentum:
        speed.mul_(sgd.momentum).add_(slope)
        slope = slope.add_(speed, alpha=sgd.momentum) if sgd.nesterov else speed
    parameter.add_(slope, alpha=-rate)


def _slope(outputs: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    """Gradient of the mean cross-entropy at the outputs (B, classes)."""
    B, classes = outputs.shape
    right = outputs.new_full((B, 1), smoothing - 1)
    slope = outputs.softmax(1).scatter_add_(1, targets.unsqueeze(1), right)
    return slope.sub_(smoothing / classes).div_(B) if smoothing else slope.div_(B)
