"""Certificates: upper bounds on |ticket(x) - target(x)|, for every x of a domain, from the weights alone.

All push the difference d = ticket - target through the layers. With W the target's weights, W^ the realised ones,
E = W^ - W, and f the target's values,

    d' = E+ f_+ - E- f_- + W^ d + (b^ - b)            (E+, E-: the errors of the two signed sums).

Interval: f and d are boxes, elementwise; a box goes through an activation by its slopes. Exact for one layer.
Spectral: |d'| <= |[E+, E-]| |f| + |W^+| |d| + ..., in Euclidean norms.
Affine: f and d are affine functions of x and a rest that is a box and a ball, see `forms`; mostly the tightest.

Where units have copies whose errors differ (`OneMore`), it is the realised |W^| that multiplies earlier errors, not
|W|: the price of L + 1 layers. Networks of tokens have one certificate, see `tokens`. All include the rounding of
float64 evaluation, so that no sampled error exceeds them.

>>> from nets.strong_tickets.gadget import Signed
>>> from nets.strong_tickets.network import dense_network
>>> target = dense_network((2, 1), "relu", [[[1.0, -1.0]]])
>>> w = np.array([[1.0, -0.75]])
>>> certify(target, Collapsed(target.steps, (Signed(w, w, np.zeros(1)),), (1,)), Domain.box((2,))).interval.__round__(6)
0.25
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from nets.strong_tickets.augmented import augment
from nets.strong_tickets.boxes import Bound
from nets.strong_tickets.collapsed import Collapsed, with_one
from nets.strong_tickets.forms import Forms
from nets.strong_tickets.network import Network
from nets.strong_tickets.source import Floats
from nets.strong_tickets.steps import Step, bound
from nets.strong_tickets.tokens import Tokens
from sparsopt.errors import InvalidInput


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

    def starts(self, augmented: tuple[Step, ...] | None) -> list[Any]:
        """What is known at the inputs, which get a 1 beside them for the steps of an augmented network."""
        low, high, norm = self.low[None], self.high[None], self.radius
        if augmented is not None:
            low, high = with_one(augmented, low), with_one(augmented, high)
            norm = float(np.hypot(norm, np.sqrt(low[0, -1].size)))
        zero, positive = np.zeros_like(low), self.nonnegative
        return [Bound(low, high, zero, zero, norm, 0.0, positive), Forms.at(low, high, norm, positive)]

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

    interval: float = math.inf
    spectral: float = math.inf
    affine: float = math.inf

    @property
    def bound(self) -> float:
        """The least of them."""
        return min(self.interval, self.spectral, self.affine)

    def __str__(self) -> str:
        return ", ".join(f"{name} {bound:.3e}" for name, bound in self.known().items())

    def known(self) -> dict[str, float]:
        """Those that there are for this kind of network, by name."""
        return {name: bound for name, bound in vars(self).items() if math.isfinite(bound)}


def certify(target: Network, ticket: Collapsed, domain: Domain | Tokens) -> Certificate:
    """All certificates for |ticket(x) - target(x)|_inf over the domain."""
    target = augment(target) if ticket.augmented else target
    copies = ((1, *ticket.copies[:-1]), ticket.copies)
    layers = list(zip(target.weights, target.biases, ticket.layers, *copies, strict=True))
    found: dict[str, float] = {}
    for start in domain.starts(target.steps if ticket.augmented else None):
        order = iter(layers)
        end = bound(target.steps, start, lambda step, b, order=order: b.linear(step, *next(order)))
        found |= end.bounds()
    return Certificate(**found)
