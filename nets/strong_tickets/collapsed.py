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
    return first.with_one(x)
