"""Boxes and Euclidean norms: the first two certificates. See `certificate` for what they bound, and how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nets.strong_tickets.gadget import Signed
from nets.strong_tickets.source import Floats
from nets.strong_tickets.steps import Step, interval

UNIT = 2.0**-52


@dataclass(frozen=True, eq=False)
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

    def bounds(self) -> dict[str, float]:
        """Upper bounds on every |d_j|."""
        return {"interval": float(np.maximum(-self.least, self.most).max()), "spectral": self.distance}

    def mapped(self, step: Step) -> Bound:
        """Behind a monotone step of known Lipschitz constant."""
        copies = self.least.shape[1] // self.low.shape[1]
        least, most = step.copied(copies).difference(self.least, self.most)
        low, high = step.apply(self.low), step.apply(self.high)
        origin = float(np.linalg.norm(step.apply(np.zeros_like(self.low))))
        norm, distance = step.gain * self.norm + origin, step.gain * self.distance
        return Bound(low, high, least, most, norm, distance, step.nonnegative(self.positive))

    activated = pooled = mapped

    def __add__(self, other: Bound) -> Bound:
        low, high, norm = self.low + other.low, self.high + other.high, self.norm + other.norm
        least, most, distance = self.least + other.least, self.most + other.most, self.distance + other.distance
        return Bound(low, high, least, most, norm, distance, self.positive and other.positive)

    def linear(self, step: Any, weight: Floats, bias: Floats, layer: Signed, before: int, after: int) -> Bound:
        """Behind a linear step."""
        down = layer.positive if self.positive else layer.negative
        errors = error(layer.positive, weight, before, after), error(down, weight, before, after)
        f, d = np.maximum(np.abs(self.low), np.abs(self.high)), np.maximum(np.abs(self.least), np.abs(self.most))
        slack = rounding(step, f, d, weight, bias, layer, before, after)
        offset, place = step.per_channel(layer.bias - np.repeat(bias, after)), step.per_channel(bias)
        least, most = self._difference(step, layer.positive, layer.positive - down, *errors)
        low, high = interval(step, weight, self.low, self.high)
        ours = 1e-13 * (np.abs(low).max(initial=0.0) + np.abs(high).max(initial=0.0) + np.abs(bias).max(initial=0.0))
        shape, norm = self.low.shape[1:], min(self.norm, float(np.linalg.norm(f)))
        gain = step.norm(layer.positive, shape) + step.norm(layer.positive - down, shape)
        both = errors[0] if self.positive else np.concatenate(errors, axis=1)
        constant = _norm(offset, least) + float(np.linalg.norm(slack))
        distance = step.norm(both, shape) * norm + gain * self.distance + constant
        norm = step.norm(weight, shape) * norm + _norm(place, low) + ours
        least, most = least + offset - slack, most + offset + slack
        return Bound(low + place - ours, high + place + ours, least, most, norm, distance * (1 + 1e-9), False)

    def _difference(self, step: Any, up: Floats, kink: Floats, error_up: Floats, error_down: Floats) -> Any:
        """The range of E+ f_+ - E- f_- + W^+ d_+ - W^- d_-, kink = W^+ - W^-."""
        exact = step.signed_range(error_up, error_down, self.low, self.high)
        carried = interval(step, up, self.least, self.most)
        bent = interval(step, kink, -np.maximum(self.most, 0), -np.minimum(self.least, 0))
        return exact[0] + carried[0] + bent[0], exact[1] + carried[1] + bent[1]


def _norm(per_channel: Floats, like: Floats) -> float:
    return float(np.linalg.norm(per_channel * np.ones_like(like[0])))


def error(realised: Floats, weight: Floats, before: int, after: int) -> Floats:
    """Realised weights, summed over the copies of each input, less the target's for every copy of each output."""
    summed = realised.reshape(len(realised), -1, before, *realised.shape[2:]).sum(axis=2)
    return summed - np.repeat(weight, after, axis=0)


def spread(values: Floats, copies: int) -> Floats:
    return np.repeat(values, copies, axis=1) if copies > 1 else values


def rounding(
    step: Any, f: Floats, d: Floats, weight: Floats, bias: Floats, layer: Signed, before: int, after: int
) -> Floats:
    """What rounding may do to both networks here and to bounds, and the remainder of a curved activation.

    From |target| <= f and |ticket - target| <= d in front of the step.
    """
    size = spread(f, before) + d
    heavy = np.maximum(np.abs(layer.positive), np.abs(layer.negative))
    reach = step.linear(heavy, size) + step.per_channel(np.abs(layer.bias))
    reach = reach + np.repeat(step.linear(np.abs(weight), f) + step.per_channel(np.abs(bias)), after, axis=1)
    terms = heavy[0].size + 64
    slack = 8 * terms * UNIT * reach
    return slack if layer.cubic is None else slack + step.linear(layer.cubic, size**3)
