"""Certificates: upper bounds on |ticket(x) - target(x)|, for every x of a domain, from the weights alone.

Both bounds push the difference d = ticket - target through the layers. With W the target's weights, W^ the realised
ones, E = W^ - W, and f the target's values,

    d' = E+ f_+ - E- f_- + W^ d + (b^ - b)            (E+, E-: the errors of the two signed sums).

Interval: f and d are boxes, elementwise; a box goes through an activation by its slopes. Sound, and usually the
tighter one for small domains. Spectral: |d'| <= |[E+, E-]| |f| + |W^+| |d| + ..., in Euclidean norms. Where units have
copies whose errors differ (`OneMore`), it is the realised |W^| that multiplies earlier errors, not |W|: the price of
L + 1 layers. Both include the rounding of float64 evaluation, so that a sampled error can never exceed them.

>>> from nets.strong_tickets.network import dense_network
>>> target = dense_network((2, 1), "relu", [[[1.0, -1.0]]])
>>> w = np.array([[1.0, -0.75]])
>>> certify(target, Collapsed(target.steps, (Signed(w, w, np.zeros(1)),), (1,)), Domain.box((2,))).interval.__round__(6)
0.25
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nets.strong_tickets.collapsed import Collapsed, augment, with_one
from nets.strong_tickets.gadget import Signed
from nets.strong_tickets.network import Network
from nets.strong_tickets.source import Floats
from nets.strong_tickets.steps import Activation, Bound, bound, interval
from sparsopt.errors import InvalidInput

UNIT = 2.0**-52


@dataclass(frozen=True, eq=False)
class Domain:
    """Inputs with low <= x <= high, elementwise (arrays without a batch axis), and |x|_2 <= radius."""

    low: Floats
    high: Floats
    radius: float

    def __post_init__(self) -> None:
        if self.low.shape != self.high.shape or not bool((self.low <= self.high).all()):
            raise InvalidInput("a domain needs low <= high, finite and of one shape")

    @staticmethod
    def box(shape: tuple[int, ...], low: float = -1.0, high: float = 1.0, radius: float | None = None) -> Domain:
        """[low, high] in every coordinate; radius: the box's own, or a smaller one."""
        a, b = np.full(shape, float(low)), np.full(shape, float(high))
        own = float(np.linalg.norm(np.maximum(np.abs(a), np.abs(b))))
        return Domain(a, b, own if radius is None else min(radius, own))

    @staticmethod
    def of(x: Floats) -> Domain:
        """The smallest domain that holds the rows of x (N, ...)."""
        flat = np.asarray(x, dtype=np.float64).reshape(len(x), -1)
        return Domain(x.min(0).astype(np.float64), x.max(0).astype(np.float64),
                      float(np.linalg.norm(flat, axis=1).max()) * (1 + 1e-12))  # fmt: skip

    @property
    def nonnegative(self) -> bool:
        return bool((self.low >= 0).all())

    def sample(self, count: int, seed: int = 0) -> Floats:
        """Uniform points and corners of the box; those beyond the radius are pulled towards 0, or left out."""
        rng = np.random.default_rng([seed, count])
        x = rng.uniform(self.low, self.high, (count, *self.low.shape))
        corners = rng.random(x.shape) < 0.5
        x[1::2] = np.where(corners, self.low, self.high)[1::2]
        centre = np.clip(0.0, self.low, self.high)
        norms = np.linalg.norm(x.reshape(count, -1), axis=1)
        shrink = np.minimum(1.0, self.radius / np.maximum(norms, 1e-300)).reshape(-1, *(1,) * self.low.ndim)
        inside = np.linalg.norm(centre) == 0
        x = x * shrink if inside else x
        keep = np.linalg.norm(x.reshape(count, -1), axis=1) <= self.radius * (1 + 1e-12)
        return x[keep]


@dataclass(frozen=True)
class Certificate:
    """Bounds on the largest error of any output, over the whole domain."""

    interval: float
    spectral: float

    @property
    def bound(self) -> float:
        return min(self.interval, self.spectral)


def certify(target: Network, ticket: Collapsed, domain: Domain) -> Certificate:
    """Both certificates for |ticket(x) - target(x)|_inf over the domain."""
    low, high, norm = domain.low[None], domain.high[None], domain.radius
    if ticket.augmented:
        target = augment(target, _activation(target))
        low, high = with_one(target.steps, low), with_one(target.steps, high)
        norm = float(np.hypot(norm, np.sqrt(low[0, -1].size)))
    zero = np.zeros_like(low)
    copies = ((1, *ticket.copies[:-1]), ticket.copies)
    pairs = iter(zip(target.weights, target.biases, ticket.layers, *copies, strict=True))
    start = Bound(low, high, zero, zero, norm, 0.0, domain.nonnegative)
    end = bound(target.steps, start, lambda step, b: _linear(step, b, *next(pairs)))
    return Certificate(float(np.maximum(-end.least, end.most).max()), float(end.distance))


def _activation(target: Network) -> Any:
    return next((step.apply for step in target.steps if isinstance(step, Activation)), lambda x: x)


def _linear(step: Any, b: Bound, weight: Floats, bias: Floats, layer: Signed, before: int, after: int) -> Bound:
    """Bounds behind a linear step."""
    error_up, error_down = _error(layer.positive, weight, before, after), _error(layer.negative, weight, before, after)
    signed = not b.positive
    offset = step.per_channel(layer.bias - np.repeat(bias, after))
    exact, spread = (
        step.signed_range(error_up, error_down, b.low, b.high),
        interval(step, layer.positive, b.least, b.most),
    )
    least, most = exact[0] + spread[0], exact[1] + spread[1]
    if signed:
        kink = layer.positive - layer.negative
        bent = interval(step, kink, -np.maximum(b.most, 0), -np.minimum(b.least, 0))
        least, most = least + bent[0], most + bent[1]
    slack = _slack(step, b, weight, bias, layer, before, after)
    low, high = interval(step, weight, b.low, b.high)
    shape = b.low.shape[1:]
    gap = step.norm(layer.positive - layer.negative, shape) if signed and layer.negative is not layer.positive else 0.0
    errors = np.concatenate([error_up, error_down], axis=1) if signed else error_up
    constant = np.linalg.norm(offset * np.ones_like(least[0])) + np.linalg.norm(slack)
    f = min(b.norm, float(np.linalg.norm(np.maximum(np.abs(b.low), np.abs(b.high)))))
    distance = step.norm(errors, shape) * f + (step.norm(layer.positive, shape) + gap) * b.distance + float(constant)
    place = step.per_channel(bias)
    ours = 1e-13 * (np.abs(low).max(initial=0.0) + np.abs(high).max(initial=0.0) + np.abs(bias).max(initial=0.0))
    return Bound(
        low + place - ours,
        high + place + ours,
        least + offset - slack,
        most + offset + slack,
        step.norm(weight, shape) * f + float(np.linalg.norm(place * np.ones_like(low[0]))) + ours,
        distance * (1 + 1e-9),
        False,
    )


def _error(realised: Floats, weight: Floats, before: int, after: int) -> Floats:
    """Realised weights, summed over the copies of each input, less the target's for every copy of each output."""
    summed = realised.reshape(len(realised), -1, before, *realised.shape[2:]).sum(axis=2)
    return summed - np.repeat(weight, after, axis=0)


def _spread(values: Floats, copies: int) -> Floats:
    return np.repeat(values, copies, axis=1) if copies > 1 else values


def _slack(step: Any, b: Bound, weight: Floats, bias: Floats, layer: Signed, before: int, after: int) -> Floats:
    """What rounding may do to both networks here and to these bounds, and the remainder of a curved activation."""
    f = np.maximum(np.abs(b.low), np.abs(b.high))
    size = _spread(f, before) + np.maximum(np.abs(b.least), np.abs(b.most))
    heavy = np.maximum(np.abs(layer.positive), np.abs(layer.negative))
    reach = step.linear(heavy, size) + step.per_channel(np.abs(layer.bias))
    reach = reach + np.repeat(step.linear(np.abs(weight), f) + step.per_channel(np.abs(bias)), after, axis=1)
    terms = heavy[0].size + 64
    slack = 8 * terms * UNIT * reach
    return slack if layer.cubic is None else slack + step.linear(layer.cubic, size**3)
