"""The collapsed network: what a ticket's masks amount to, written as a network of the target's depth.

Two masked random layers that realise one linear map are that map; so a ticket of depth 2L (or L + 1) *is* a network of
depth L, exactly, and everything about the ticket (error, certificate, accuracy) can be read off it. For ReLU and leaky
ReLU the two agree to rounding; for tanh and sigmoid up to a remainder that the certificate adds.

Units may come in copies (`OneMore` keeps several of each hidden unit): unit i has copies i * c ... i * c + c - 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nets.strong_tickets.gadget import Signed
from nets.strong_tickets.network import Network
from nets.strong_tickets.source import Floats
from nets.strong_tickets.steps import Step, walk


@dataclass(frozen=True, eq=False)
class Collapsed:
    """steps are the target's; layers one a linear step; copies of that layer's outputs.

    augmented  the target has been given a constant unit (see `augment`), and inputs get a 1
    """

    steps: tuple[Step, ...]
    layers: tuple[Signed, ...]
    copies: tuple[int, ...]
    augmented: bool = False

    def __call__(self, x: Floats) -> Floats:
        layers = iter(self.layers)
        x = np.asarray(x, dtype=np.float64)

        def layer(step: Any, x: Floats) -> Floats:
            signed = next(layers)
            y = step.linear(signed.positive, np.maximum(x, 0.0)) + step.per_channel(signed.bias)
            return y - step.linear(signed.negative, np.maximum(-x, 0.0)) if (x < 0).any() else y

        return walk(self.steps, with_one(self.steps, x) if self.augmented else x, layer)


def with_one(steps: tuple[Step, ...], x: Floats) -> Floats:
    """x with a constant channel 1 behind its own."""
    first = next(linear for step in steps for linear in step.linear_steps())
    return np.concatenate([x, first.constants(x)], axis=1)


def augment(target: Network, activation: Any) -> Network:
    """The same function without biases: a constant unit in every hidden layer carries them.

    With c the constant's value (1 in the input, phi(1) in hidden layers):  [[W, b/c], [0, 1/c]], the last layer
    [W, b/c]. Constants of convolutions sit at the tap that always meets an input.
    """
    weights, biases, value = [], [], 1.0
    last = len(target.weights) - 1
    for l, (step, weight, bias) in enumerate(zip(target.linears, target.weights, target.biases, strict=True)):
        hidden = int(l < last)
        wide = np.zeros((step.outputs + hidden, step.inputs + 1, step.area))
        wide[: step.outputs, : step.inputs] = weight.reshape(step.outputs, step.inputs, -1)
        wide[: step.outputs, step.inputs, step.centre] = bias / value
        if hidden:
            wide[step.outputs, step.inputs, step.centre] = 1 / value
        weights.append(wide.reshape(*wide.shape[:2], *step.taps))
        biases.append(np.zeros(len(wide)))
        value = float(activation(np.ones(1))[0])
    wider = widened(target.steps, iter(range(len(weights))), last)
    return Network(wider, tuple(weights), tuple(biases))


def widened(steps: tuple[Step, ...], numbers: Any, last: int) -> tuple[Step, ...]:
    """The steps with one more input in every linear step and one more output in all but the last."""
    from dataclasses import replace

    return tuple(
        replace(step, inputs=step.inputs + 1, outputs=step.outputs + int(next(numbers) < last))  # type: ignore[call-arg]
        if step.linear_steps()
        else step
        for step in steps
    )
