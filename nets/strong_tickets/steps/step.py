"""What a step is, and how values, or what is known about them, walk through a sequence of steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Layer = Callable[[Any, Any], Any]  # (linear step, value) -> value


class Known(Protocol):
    """Something that is known, at one place of two networks, for all inputs of a domain: see `certificate`."""

    def mapped(self, step: Step) -> Known:
        """Behind a linear map (a mean, a reshaping)."""
        ...

    def activated(self, step: Any) -> Known:
        """Behind an activation."""
        ...

    def pooled(self, step: Step) -> Known:
        """Behind maxima of windows."""
        ...

    def __add__(self, other: Any) -> Known: ...


@dataclass(frozen=True)
class Step:
    """The identity. Values are (N, units) or (N, channels, height, width)."""

    def apply(self, x: Floats) -> Floats:
        """The step's values; monotone in every coordinate."""
        return x

    def difference(self, least: Floats, most: Floats) -> tuple[Floats, Floats]:
        """Bounds on apply(f + d) - apply(f), from bounds on d."""
        return self.apply(least), self.apply(most)

    gain = 1.0  # Lipschitz constant for Euclidean norms

    def nonnegative(self, before: bool) -> bool:
        """Whether the output is never negative, if the input is or is not."""
        return before

    def walk(self, x: Any, layer: Layer) -> Any:
        return self.apply(x)

    def bound(self, b: Any, layer: Layer) -> Any:
        """What is known behind the step, from what is known before it (a `Known`)."""
        return b.mapped(self)

    def linear_steps(self) -> tuple[Any, ...]:
        """The linear steps in it, in the order in which they are met."""
        return ()

    def signs(self, before: bool) -> Iterator[bool]:
        """For each linear step in it, whether its inputs are never negative, if those of this step are or are not."""
        yield from ()

    def activations(self) -> Iterator[Any]:
        """The activations in it."""
        yield from ()

    def copied(self, copies: int) -> Step:
        """The step for inputs whose units come in copies, next to each other."""
        return self

    def widened(self, widening: Any, channels: int, value: float, goes_on: str) -> tuple[Step, int, float]:
        """The step with a constant unit beside its others: see `augmented`."""
        return self, channels, value


# ---- walking -------------------------------------------------------------------------------------------------------


def walk(steps: tuple[Step, ...], x: Any, layer: Layer) -> Any:
    """Send values through the steps; `layer` says what a linear step does."""
    for step in steps:
        x = step.walk(x, layer)
    return x


def bound(steps: tuple[Step, ...], b: Any, layer: Layer) -> Any:
    """Send what is known (a `Known`) through the steps."""
    for step in steps:
        b = step.bound(b, layer)
    return b


def nonnegative(steps: tuple[Step, ...], before: bool) -> bool:
    for step in steps:
        before = step.nonnegative(before)
    return before


def linear_steps(steps: tuple[Step, ...]) -> tuple[Any, ...]:
    return tuple(linear for step in steps for linear in step.linear_steps())


def signs(steps: tuple[Step, ...], before: bool) -> Iterator[bool]:
    """For each linear step, whether its inputs are never negative (`before`: those of the first step)."""
    for step in steps:
        yield from step.signs(before)
        before = step.nonnegative(before)
