"""Steps for tokens, values (N, tokens, channels): self-attention, and the mean over tokens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from nets.strong_tickets.steps.linear import Dense
from nets.strong_tickets.steps.step import Floats, Layer, Step
from sparsopt.errors import MissingCapability


@dataclass(frozen=True)
class Merged(Dense):
    """A linear map that is a product of two matrices in a network: nothing stands between its two random layers."""

    between: ClassVar[str | None] = "none"


@dataclass(frozen=True)
class SelfAttention(Step):
    """sum over heads of softmax(X A X') X B: linear steps y = A x of all heads, then y = B' x of all heads.

    A = W_Q W_K' / sqrt(d_K) (inputs, inputs) and B = W_V W_O (inputs, outputs) are all that a head uses.
    """

    heads: int
    inputs: int
    outputs: int

    def linear_steps(self) -> tuple[Any, ...]:
        scores, values = Merged(self.inputs, self.inputs), Merged(self.inputs, self.outputs)
        return (*(scores,) * self.heads, *(values,) * self.heads)

    def signs(self, before: bool) -> Iterator[bool]:
        yield from (before,) * (2 * self.heads)

    def nonnegative(self, before: bool) -> bool:
        return False

    def sides(self, x: Any, layer: Layer) -> tuple[list[Any], list[Any]]:
        """What layers make of x: A x and B' x of each head."""
        through = [layer(step, x) for step in self.linear_steps()]
        return through[: self.heads], through[self.heads :]

    def walk(self, x: Any, layer: Layer) -> Any:
        from scipy.special import softmax

        keys, values = self.sides(x, layer)
        return sum(softmax(x @ k.swapaxes(1, 2), axis=-1) @ v for k, v in zip(keys, values, strict=True))

    def bound(self, b: Any, layer: Layer) -> Any:
        return b.attended(*self.sides(b, layer))

    def widened(self, widening: Any, channels: int, value: float, goes_on: str) -> tuple[Step, int, float]:
        raise MissingCapability("OneMore has no place for attention, which multiplies units: use TwoForOne")


@dataclass(frozen=True)
class MeanTokens(Step):
    """(N, tokens, channels) to (N, channels)."""

    def apply(self, x: Floats) -> Floats:
        return np.asarray(x.mean(axis=1))
