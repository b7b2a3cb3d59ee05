"""Targets without biases: a constant unit in every hidden layer carries them, through pools, flattening and blocks.

>>> from nets.strong_tickets.network import dense_network
>>> target = dense_network((1, 2, 1), "relu", [[[1.0], [2.0]], [[1.0, 1.0]]], [[0.5, 0.0], [3.0]])
>>> augment(target).weights[0].tolist(), augment(target).weights[1].tolist()
([[1.0, 0.5], [2.0, 0.0], [0.0, 1.0]], [[1.0, 1.0, 3.0]])
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from nets.strong_tickets.network import Network
from nets.strong_tickets.source import Floats
from nets.strong_tickets.steps import Activation, Step, linear_steps


def augment(target: Network) -> Network:
    """The same function of (x, 1), without biases.

    With c the constant's value in front of a step (1 in the input, then phi(c)):  [[W, b/c], [0, 1/c]], the last layer
    [W, b/c], and [[W, b/c], [0, 0]] where another branch of a block carries the constant. Constants of convolutions sit
    at the tap that always meets an input, and are as many units as places where they have been flattened.
    """
    widening = Widening(zip(target.weights, target.biases, strict=True))
    steps, _, _ = widening.chain(target.steps, 0, 1.0, "drop")
    weights = tuple(widening.weights)
    return Network(steps, weights, tuple(np.zeros(len(w)) for w in weights))


def augmented(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """The steps of `augment`."""
    linears = linear_steps(steps)
    nothing = ((np.zeros((s.outputs, s.inputs, *s.taps)), np.zeros(s.outputs)) for s in linears)
    return Widening(nothing).chain(steps, 0, 1.0, "drop")[0]


class Widening:
    """Walks through steps, with the number of channels and the constant's value in front of each.

    goes_on says what a step does with the constant: "keep" it, end it at "zero", or "drop" its unit.
    """

    def __init__(self, pairs: Iterator[tuple[Floats, Floats]]) -> None:
        self.pairs, self.weights = pairs, list[Floats]()

    def chain(self, steps: tuple[Step, ...], channels: int, value: float, goes_on: str) -> tuple[Any, int, float]:
        """Widened steps, and channels and value behind them; `goes_on` is for the last linear step."""
        last = max((n for n, step in enumerate(steps) if step.linear_steps()), default=-1)
        done = []
        for n, step in enumerate(steps):
            new, channels, value = step.widened(self, channels, value, goes_on if n == last else "keep")
            done.append(new)
        return tuple(done), channels, value

    def linear(self, step: Any, channels: int, value: float, goes_on: str) -> tuple[Any, int, float]:
        """One linear step; its weights are kept in order."""
        weight, bias = next(self.pairs)
        places, extra = step.inputs // channels if channels else 1, int(goes_on != "drop")
        wide = np.zeros((step.outputs + extra, step.inputs + places, step.area))
        wide[: step.outputs, : step.inputs] = weight.reshape(step.outputs, step.inputs, -1)
        wide[: step.outputs, step.inputs, step.centre] = bias / value
        if goes_on == "keep":
            wide[step.outputs, step.inputs, step.centre] = 1 / value
        self.weights.append(wide.reshape(*wide.shape[:2], *step.taps))
        new = replace(step, inputs=step.inputs + places, outputs=step.outputs + extra)
        return new, step.outputs, 1.0


def activations(steps: tuple[Step, ...]) -> Iterator[Activation]:
    """All activations, those in blocks too."""
    for step in steps:
        yield from step.activations()


def copied(steps: tuple[Step, ...], copies: int) -> tuple[Step, ...]:
    """The steps for units that come in copies, from the first linear step on."""
    first = next(n for n, step in enumerate(steps) if step.linear_steps())
    return (*steps[: first + 1], *(step.copied(copies) for step in steps[first + 1 :]))
