"""Networks as a sequence of steps, so that a target, its ticket and its certificate walk the same path.

A step knows its shape and what it does to values, to the difference of two networks and to Euclidean norms; it holds
no weights. What happens at a linear step is up to who walks: the target multiplies by W, a ticket by two masked
random matrices, a certificate propagates intervals. Steps are frozen dataclasses: their repr is valid Python, and
they serialise as JSON.

>>> steps = (Dense(2, 3), Activation("relu"), Dense(3, 1))
>>> walk(steps, np.ones((1, 2)), lambda step, x: x @ np.ones((step.inputs, step.outputs)))
array([[6.]])
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsopt.errors import InvalidInput

Floats = NDArray[np.float64]
Layer = Callable[[Any, Any], Any]  # (linear step, value) -> value


@dataclass(frozen=True)
class Bound:
    """What is known at one place of two networks f and f + d, for all inputs of a domain.

    low <= f <= high and least <= d <= most, elementwise, batch axis first; |f|_2 <= norm and |d|_2 <= distance. f has
    one value a unit; where a ticket keeps copies of a unit, d has one a copy. positive: f and f + d are never negative.
    """

    low: Floats
    high: Floats
    least: Floats
    most: Floats
    norm: float
    distance: float
    positive: bool


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

    def bound(self, b: Bound, layer: Layer) -> Bound:
        least, most = self.difference(b.least, b.most)
        low, high = self.apply(b.low), self.apply(b.high)
        origin = float(np.linalg.norm(self.apply(np.zeros_like(b.low))))
        norm, distance = self.gain * b.norm + origin, self.gain * b.distance
        return Bound(low, high, least, most, norm, distance, self.nonnegative(b.positive))

    def linear_steps(self) -> tuple[Any, ...]:
        """The linear steps in it, in the order in which they are met."""
        return ()

    def signs(self, before: bool) -> Iterator[bool]:
        """For each linear step in it, whether its inputs are never negative, if those of this step are or are not."""
        yield from ()


# ---- linear steps --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Dense(Step):
    """y = W x, W (outputs, inputs)."""

    inputs: int
    outputs: int

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
        return np.asarray((weight @ x.T).T)

    def norm(self, weight: Floats, shape: tuple[int, ...]) -> float:
        """An upper bound on the spectral norm."""
        return matrix_norm(weight)

    def signed_range(self, up: Floats, down: Floats, low: Floats, high: Floats) -> tuple[Floats, Floats]:
        """The range of up x_+ - down x_- over the box low <= x <= high (a batch of one)."""
        ends = [np.where(x >= 0, up * x, down * x) for x in (low, high)]
        inside = np.where((low < 0) & (high > 0), 0.0, ends[0])
        least, most = np.minimum(np.minimum(*ends), inside), np.maximum(np.maximum(*ends), inside)
        return least.sum(axis=1)[None], most.sum(axis=1)[None]

    def per_channel(self, v: Floats) -> Floats:
        """(channels,) values, broadcastable against the step's output."""
        return v

    def constants(self, x: Floats) -> Floats:
        """The input 1, one channel, to go beside x."""
        return np.ones((len(x), 1))

    def nonnegative(self, before: bool) -> bool:
        return False

    def walk(self, x: Any, layer: Layer) -> Any:
        return layer(self, x)

    def bound(self, b: Bound, layer: Layer) -> Bound:
        return layer(self, b)

    def linear_steps(self) -> tuple[Any, ...]:
        return (self,)

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

    def constants(self, x: Floats) -> Floats:
        return np.ones((len(x), 1, *x.shape[2:]))


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


# ---- the others ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kind:
    """An activation of Burkholz's class: near 0, phi(t) = intercept + plus t for t > 0, intercept + minus t for t < 0.

    flat, steep  the least and largest slope anywhere
    cubic        |phi(t) - that| <= cubic |t|^3 for all t; 0 where the two lines are exact
    """

    function: Callable[[Floats], Floats]
    plus: float
    minus: float
    intercept: float
    flat: float
    steep: float
    cubic: float

    @property
    def kinked(self) -> bool:
        return self.plus != self.minus


def _sigmoid(x: Floats) -> Floats:
    from scipy.special import expit

    return expit(x)


SLOPE = 0.01  # of PyTorch's leaky ReLU
KINDS = {
    "relu": Kind(lambda x: np.maximum(x, 0.0), 1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
    "leaky": Kind(lambda x: np.where(x > 0, x, SLOPE * x), 1.0, SLOPE, 0.0, SLOPE, 1.0, 0.0),
    "tanh": Kind(np.tanh, 1.0, 1.0, 0.0, 0.0, 1.0, 1 / 3),
    "sigmoid": Kind(_sigmoid, 0.25, 0.25, 0.5, 0.0, 0.25, 1 / 48),
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


@dataclass(frozen=True)
class MaxPool(Step):
    """Maxima of windows size x size that do not overlap."""

    size: int

    def apply(self, x: Floats) -> Floats:
        return _windows(x, self.size).max(axis=(3, 5))

    def difference(self, least: Floats, most: Floats) -> tuple[Floats, Floats]:
        return -self.apply(-least), self.apply(most)


@dataclass(frozen=True)
class MeanPool(Step):
    """Means of windows size x size that do not overlap; size 0: of all places, leaving (N, channels)."""

    size: int = 0

    def apply(self, x: Floats) -> Floats:
        return _windows(x, self.size).mean(axis=(3, 5)) if self.size else x.mean(axis=(2, 3))


@dataclass(frozen=True)
class Flatten(Step):
    """(N, channels, height, width) to (N, units)."""

    def apply(self, x: Floats) -> Floats:
        return x.reshape(len(x), -1)


@dataclass(frozen=True)
class Residual(Step):
    """inner(x) + shortcut(x); an empty shortcut is the wire. A ticket keeps the wire and realises both branches."""

    inner: tuple[Step, ...]
    shortcut: tuple[Step, ...] = ()

    def walk(self, x: Any, layer: Layer) -> Any:
        return walk(self.inner, x, layer) + walk(self.shortcut, x, layer)

    def bound(self, b: Bound, layer: Layer) -> Bound:
        one, two = bound(self.inner, b, layer), bound(self.shortcut, b, layer)
        low, high, norm = one.low + two.low, one.high + two.high, one.norm + two.norm
        least, most, distance = one.least + two.least, one.most + two.most, one.distance + two.distance
        return Bound(low, high, least, most, norm, distance, one.positive and two.positive)

    def nonnegative(self, before: bool) -> bool:
        return nonnegative(self.inner, before) and nonnegative(self.shortcut, before)

    def linear_steps(self) -> tuple[Any, ...]:
        return linear_steps((*self.inner, *self.shortcut))

    def signs(self, before: bool) -> Iterator[bool]:
        yield from signs(self.inner, before)
        yield from signs(self.shortcut, before)


# ---- walking -------------------------------------------------------------------------------------------------------


def walk(steps: tuple[Step, ...], x: Any, layer: Layer) -> Any:
    """Send values through the steps; `layer` says what a linear step does."""
    for step in steps:
        x = step.walk(x, layer)
    return x


def bound(steps: tuple[Step, ...], b: Bound, layer: Layer) -> Bound:
    """Send bounds through the steps."""
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


def _windows(x: Floats, size: int) -> Floats:
    n, c, h, w = x.shape
    cut = x[:, :, : h // size * size, : w // size * size]
    return cut.reshape(n, c, h // size, size, w // size, size)
