"""The linear steps: fully connected layers and convolutions, what they do to values, boxes and Euclidean norms."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from nets.strong_tickets.steps.step import Floats, Layer, Step


@dataclass(frozen=True)
class Dense(Step):
    """y = W x, W (outputs, inputs), x (N, inputs) or, for each token alike, (N, tokens, inputs).

    between: the activation between the two random layers of a construction; None: the construction's own.
    """

    inputs: int
    outputs: int
    between: ClassVar[str | None] = None

    @property
    def taps(self) -> tuple[int, ...]:
        return ()

    @property
    def area(self) -> int:
        """Taps of the kernel."""
        return math.prod(self.taps)

    @property
    def centre(self) -> int:
        """The flat tap that always meets an existing input: where constants enter."""
        return 0

    def linear(self, weight: Any, x: Floats) -> Floats:
        """W x for a NumPy or SciPy sparse W of any numbers of inputs and outputs."""
        rows = x.reshape(-1, x.shape[-1])
        return np.asarray((weight @ rows.T).T).reshape(*x.shape[:-1], weight.shape[0])

    def norm(self, weight: Floats, shape: tuple[int, ...]) -> float:
        """An upper bound on the spectral norm."""
        return matrix_norm(weight)

    def signed_range(self, up: Floats, down: Floats, low: Floats, high: Floats) -> tuple[Floats, Floats]:
        """The range of up x_+ - down x_- over the box low <= x <= high (a batch of one)."""
        ends = [np.where(x >= 0, up * x, down * x) for x in (low, high)]
        inside = np.where((low < 0) & (high > 0), 0.0, ends[0])
        least, most = np.minimum(np.minimum(*ends), inside), np.maximum(np.maximum(*ends), inside)
        return least.sum(axis=1)[None], most.sum(axis=1)[None]

    def row_norms(self, weight: Floats) -> Floats:
        """Euclidean norms of what each output sees, (outputs,) shaped as `per_channel`: |y_j| <= that times |x|_2."""
        return self.per_channel(np.linalg.norm(weight.reshape(len(weight), -1), axis=1))

    def per_channel(self, v: Floats) -> Floats:
        """(channels,) values, broadcastable against the step's output."""
        return v

    def with_one(self, x: Floats) -> Floats:
        """x and a constant channel 1 behind its own."""
        return np.concatenate([x, np.ones((*x.shape[:-1], 1))], axis=-1)

    def nonnegative(self, before: bool) -> bool:
        return False

    def walk(self, x: Any, layer: Layer) -> Any:
        return layer(self, x)

    def bound(self, b: Any, layer: Layer) -> Any:
        return layer(self, b)

    def linear_steps(self) -> tuple[Any, ...]:
        return (self,)

    def widened(self, widening: Any, channels: int, value: float, goes_on: str) -> tuple[Step, int, float]:
        return widening.linear(self, channels, value, goes_on)

    def signs(self, before: bool) -> Iterator[bool]:
        yield before


@dataclass(frozen=True)
class Conv(Dense):
    """y = W * x, W (outputs, inputs, kernel, kernel), zero padding."""

    kernel: int = 3
    stride: int = 1
    padding: int = 1

    @property
    def taps(self) -> tuple[int, ...]:
        return (self.kernel, self.kernel)

    @property
    def centre(self) -> int:
        return self.padding * self.kernel + self.padding

    def linear(self, weight: Any, x: Floats) -> Floats:
        import torch

        y = torch.nn.functional.conv2d(torch.from_numpy(np.ascontiguousarray(x)),
                                       torch.from_numpy(np.ascontiguousarray(weight)),
                                       stride=self.stride, padding=self.padding)  # fmt: skip
        return y.numpy()

    def norm(self, weight: Floats, shape: tuple[int, ...]) -> float:
        """An upper bound on the spectral norm, for inputs (channels, height, width).

        Zero padding is a part of a circular convolution on a torus one kernel larger, whose norm is the largest over
        the frequencies (Sedghi, Gupta and Long 2019) and so bounds ours. Leaving out rows (stride) only lowers it.
        """
        size = [n + self.kernel - 1 for n in shape[-2:]]
        symbols = np.fft.fft2(weight, size).reshape(*weight.shape[:2], -1)
        return safe(float(np.linalg.norm(np.moveaxis(symbols, -1, 0), 2, axis=(1, 2)).max(initial=0.0)))

    def signed_range(self, up: Floats, down: Floats, low: Floats, high: Floats) -> tuple[Floats, Floats]:
        one = interval(self, up, np.maximum(low, 0), np.maximum(high, 0))
        two = interval(self, -down, np.maximum(-high, 0), np.maximum(-low, 0))
        return one[0] + two[0], one[1] + two[1]

    def per_channel(self, v: Floats) -> Floats:
        return v[..., None, None]

    def with_one(self, x: Floats) -> Floats:
        return np.concatenate([x, np.ones((len(x), 1, *x.shape[2:]))], axis=1)


def interval(step: Any, weight: Floats, low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """The range of `weight` applied to a box."""
    middle, radius = step.linear(weight, (low + high) / 2), step.linear(np.abs(weight), (high - low) / 2)
    return middle - radius, middle + radius


LARGE = 1500


def matrix_norm(weight: Floats) -> float:
    """An upper bound on |W|_2: exact up to rounding, or sqrt(|W|_1 |W|_inf), whichever costs little."""
    if min(weight.shape, default=0) == 0:
        return 0.0
    crude = math.sqrt(float(np.abs(weight).sum(0).max()) * float(np.abs(weight).sum(1).max()))
    if min(weight.shape) > LARGE:
        return safe(min(crude, float(np.linalg.norm(weight))))
    gram = weight @ weight.T if weight.shape[0] <= weight.shape[1] else weight.T @ weight
    # the Gram matrix has an error of some n ulp of its largest eigenvalue
    return safe(min(crude, math.sqrt(max(0.0, float(np.linalg.eigvalsh(gram)[-1])) * (1 + 1e-9)) + 1e-300))


def safe(number: float) -> float:
    """A little more, for the rounding of the computation itself."""
    return number * (1 + 1e-9)
