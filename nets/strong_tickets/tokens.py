"""The certificate of networks of tokens: Euclidean norms of single tokens, however many there are.

With |x| <= R and |x^ - x| <= D for every token in front of attention, y = A x and v = B' x, and R_y, D_y, R_v, D_v what
is known of those: scores differ by at most s = (R + D) D_y + D R_y, so the weights of a head by at most exp(2 s) - 1
in l1 (or 2, the most there is), and the outputs of a head by at most

    (exp(2 s) - 1) (R_v + D_v) + D_v.

For one layer of attention (D = 0) that is the bound behind Theorem 3 of Otsuka et al. (2025, arXiv 2511.04217), with
(exp(2 s) - 1) R |B| computed rather than bounded by its dimensions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from nets.strong_tickets.boxes import UNIT, error
from nets.strong_tickets.gadget import Signed
from nets.strong_tickets.source import Floats
from nets.strong_tickets.steps import Activation, Step, matrix_norm
from sparsopt.errors import InvalidInput, MissingCapability


@dataclass(frozen=True)
class TokenBound:
    """|f| <= norm and |d| <= distance, Euclidean, for every token of `width` channels; see `boxes.Bound`."""

    norm: float
    distance: float
    width: int
    positive: bool = False

    def bounds(self) -> dict[str, float]:
        return {"spectral": self.distance}

    def mapped(self, step: Step) -> TokenBound:
        return self

    def pooled(self, step: Step) -> TokenBound:
        raise MissingCapability(f"tokens have no windows to pool: {step}")

    def activated(self, step: Activation) -> TokenBound:
        origin = float(np.abs(step.apply(np.zeros(1)))[0]) * math.sqrt(self.width)
        norm, distance = step.gain * self.norm + origin, step.gain * self.distance
        return TokenBound(norm, distance, self.width, step.nonnegative(self.positive))

    def __add__(self, other: TokenBound) -> TokenBound:
        positive = self.positive and other.positive
        return TokenBound(self.norm + other.norm, self.distance + other.distance, self.width, positive)

    def linear(self, step: Any, weight: Floats, bias: Floats, layer: Signed, before: int, after: int) -> TokenBound:
        """Behind a linear step."""
        down = layer.positive if self.positive else layer.negative
        up, kink = error(layer.positive, weight, before, after), layer.positive - down
        wrong = matrix_norm(up) if not kink.any() else matrix_norm(np.concatenate([up, up - kink], axis=1))
        gain, size = matrix_norm(layer.positive) + matrix_norm(kink), matrix_norm(weight)
        slack = 64 * (weight.size + 64) * UNIT * ((gain + size) * (self.norm + self.distance) + 1)
        if layer.cubic is not None:
            slack += float(np.linalg.norm(layer.cubic)) * (self.norm + self.distance) ** 3
        constant = float(np.linalg.norm(layer.bias - bias))
        distance = wrong * self.norm + gain * self.distance + constant + slack
        return TokenBound(size * self.norm + float(np.linalg.norm(bias)) + slack, distance, len(weight))

    def attended(self, keys: list[TokenBound], values: list[TokenBound]) -> TokenBound:
        """Behind attention, from what is known of A x and B' x of each head."""
        distance = 0.0
        for y, v in zip(keys, values, strict=True):
            s = (self.norm + self.distance) * y.distance + self.distance * y.norm
            moved = min(2.0, math.expm1(2 * min(s, 1.0)))
            distance += moved * (v.norm + v.distance) + v.distance
        norm = sum(v.norm for v in values)
        return TokenBound(norm, distance * (1 + 1e-9) + 1e-13 * norm, values[0].width)


@dataclass(frozen=True)
class Tokens:
    """Inputs of any number of tokens of `width` channels, each with |x|_2 <= radius: a domain."""

    width: int
    radius: float = 1.0
    nonnegative = False

    def __post_init__(self) -> None:
        if self.width < 1 or not 0 < self.radius < float("inf"):
            raise InvalidInput(f"width = {self.width} must be at least 1, radius = {self.radius} a number > 0")

    def starts(self, augmented: tuple[Step, ...] | None) -> list[TokenBound]:
        """What is known at the inputs."""
        return [TokenBound(self.radius, 0.0, self.width)]

    def sample(self, count: int, seed: int = 0, tokens: int = 8) -> Floats:
        """(count, tokens, width) on the sphere; every fourth set repeats one token, or its negative."""
        x = np.random.default_rng([seed, count]).normal(size=(count, tokens, self.width))
        signs = np.where(np.arange(tokens) % 2, -1.0, 1.0)[:, None]
        x[::4] = x[::4, :1] * signs
        return self.radius * x / np.linalg.norm(x, axis=2, keepdims=True)
