"""The steps between linear ones: activations, pools, flattening, residual blocks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from nets.strong_tickets.steps.step import Floats, Layer, Step, bound, linear_steps, nonnegative, signs, walk
from sparsopt.errors import InvalidInput


@dataclass(frozen=True)
class Kind:
    """An activation of Burkholz's class: near 0, phi(t) = intercept + plus t for t > 0, intercept + minus t for t < 0.

    flat, steep  the least and largest slope anywhere
    cubic        |phi(t) - that| <= cubic |t|^3 for all t; 0 where the two lines are exact
    slope        phi', even and falling away from 0; of activations without a kink
    """

    function: Callable[[Floats], Floats]
    plus: float
    minus: float
    intercept: float
    flat: float
    steep: float
    cubic: float
    slope: Callable[[Floats], Floats] = np.ones_like

    @property
    def kinked(self) -> bool:
        return self.plus != self.minus

    @property
    def doubled(self) -> float:
        """By how much a gadget of this activation multiplies the tolerance of its sums."""
        return self.plus + self.minus if self.kinked else self.plus

    def slopes(self, low: Floats, high: Floats) -> tuple[Floats, Floats]:
        """The least and largest (phi(b) - phi(a)) / (b - a) for a, b in [low, high]."""
        if self.kinked:
            return self._between(low >= 0, high > 0)
        return self.slope(np.maximum(np.abs(low), np.abs(high))), self.slope(np.clip(0.0, low, high))

    def chords(self, centre: Floats, low: Floats, high: Floats) -> tuple[Floats, Floats]:
        """The least and largest (phi(b) - phi(centre)) / (b - centre) for b in [low, high], centre in there."""
        if not self.kinked:
            return self.slopes(low, high)
        least = np.where(centre > 0, centre / np.maximum(centre - low, 1e-300), 0.0)
        most = np.where(centre < 0, high / np.maximum(high - centre, 1e-300), 1.0)
        return self._between(np.where(low >= 0, 1.0, least), np.where(high <= 0, 0.0, most))

    def _between(self, least: Any, most: Any) -> tuple[Floats, Floats]:
        """Slopes from how much of the upper one is in them; `plus` is the larger one."""
        rise = self.plus - self.minus
        return self.minus + rise * least, self.minus + rise * most


def _sigmoid(x: Floats) -> Floats:
    from scipy.special import expit

    return expit(x)


def _bump(x: Floats) -> Floats:
    return _sigmoid(x) * _sigmoid(-x)


SLOPE = 0.01  # of PyTorch's leaky ReLU
KINDS = {
    "relu": Kind(lambda x: np.maximum(x, 0.0), 1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
    "leaky": Kind(lambda x: np.where(x > 0, x, SLOPE * x), 1.0, SLOPE, 0.0, SLOPE, 1.0, 0.0),
    "tanh": Kind(np.tanh, 1.0, 1.0, 0.0, 0.0, 1.0, 1 / 3, lambda x: 1 - np.tanh(x) ** 2),
    "sigmoid": Kind(_sigmoid, 0.25, 0.25, 0.5, 0.0, 0.25, 1 / 48, _bump),
    "none": Kind(lambda x: x, 1.0, 1.0, 0.0, 1.0, 1.0, 0.0),
}


@dataclass(frozen=True)
class Activation(Step):
    """phi, elementwise: relu, leaky (slope 0.01), tanh, sigmoid, none."""

    name: str

    def __post_init__(self) -> None:
        if self.name not in KINDS:
            raise InvalidInput(f"unknown activation {self.name!r}: known are {', '.join(KINDS)}")

    @property
    def kind(self) -> Kind:
        return KINDS[self.name]

    @property
    def gain(self) -> float:  # type: ignore[override]
        return self.kind.steep

    def apply(self, x: Floats) -> Floats:
        return self.kind.function(x)

    def difference(self, least: Floats, most: Floats) -> tuple[Floats, Floats]:
        flat, steep = self.kind.flat, self.kind.steep
        return np.minimum(flat * least, steep * least), np.maximum(flat * most, steep * most)

    def nonnegative(self, before: bool) -> bool:
        return before or self.name in ("relu", "sigmoid")

    def bound(self, b: Any, layer: Layer) -> Any:
        return b.activated(self)

    def activations(self) -> Iterator[Activation]:
        yield self

    def widened(self, widening: Any, channels: int, value: float, goes_on: str) -> tuple[Step, int, float]:
        return self, channels, float(self.apply(np.full(1, value))[0])


@dataclass(frozen=True)
class MaxPool(Step):
    """Maxima of windows size x size that do not overlap."""

    size: int

    def apply(self, x: Floats) -> Floats:
        return _windows(x, self.size).max(axis=(3, 5))

    def difference(self, least: Floats, most: Floats) -> tuple[Floats, Floats]:
        return -self.apply(-least), self.apply(most)

    def bound(self, b: Any, layer: Layer) -> Any:
        return b.pooled(self)


@dataclass(frozen=True)
class MeanPool(Step):
    """Means of windows size x size that do not overlap; size 0: of all places, leaving (N, channels)."""

    size: int = 0

    def apply(self, x: Floats) -> Floats:
        return _windows(x, self.size).mean(axis=(3, 5)) if self.size else x.mean(axis=(2, 3))


@dataclass(frozen=True)
class Flatten(Step):
    """(N, channels, height, width) to (N, units); `copies` of a channel become copies of each of its units."""

    copies: int = 1

    def apply(self, x: Floats) -> Floats:
        places = math.prod(x.shape[2:])
        split = x.reshape(len(x), x.shape[1] // self.copies, self.copies, places)
        return split.swapaxes(2, 3).reshape(len(x), x.shape[1] * places)

    def copied(self, copies: int) -> Step:
        return Flatten(copies)


@dataclass(frozen=True)
class Residual(Step):
    """inner(x) + shortcut(x); an empty shortcut is the wire. A ticket keeps the wire and realises both branches."""

    inner: tuple[Step, ...]
    shortcut: tuple[Step, ...] = ()

    def walk(self, x: Any, layer: Layer) -> Any:
        return walk(self.inner, x, layer) + walk(self.shortcut, x, layer)

    def bound(self, b: Any, layer: Layer) -> Any:
        return bound(self.inner, b, layer) + bound(self.shortcut, b, layer)

    def nonnegative(self, before: bool) -> bool:
        return nonnegative(self.inner, before) and nonnegative(self.shortcut, before)

    def linear_steps(self) -> tuple[Any, ...]:
        return linear_steps((*self.inner, *self.shortcut))

    def activations(self) -> Iterator[Any]:
        for step in (*self.inner, *self.shortcut):
            yield from step.activations()

    def copied(self, copies: int) -> Step:
        inner, shortcut = (tuple(step.copied(copies) for step in part) for part in (self.inner, self.shortcut))
        return Residual(inner, shortcut)

    def widened(self, widening: Any, channels: int, value: float, goes_on: str) -> tuple[Step, int, float]:
        inner, after, _ = widening.chain(self.inner, channels, value, "zero")
        shortcut, _, value = widening.chain(self.shortcut, channels, value, "keep")
        return Residual(inner, shortcut), after, value

    def signs(self, before: bool) -> Iterator[bool]:
        yield from signs(self.inner, before)
        yield from signs(self.shortcut, before)


def _windows(x: Floats, size: int) -> Floats:
    n, c, h, w = x.shape
    cut = x[:, :, : h // size * size, : w // size * size]
    return cut.reshape(n, c, h // size, size, w // size, size)
