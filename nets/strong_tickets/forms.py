"""Affine forms: the third certificate, which lets errors cancel. See `certificate` for what it bounds.

Everything is written as an affine function of the input and a rest,

    f = v + A (x - c) + r,   |r| <= box elementwise and |r|_2 <= ball;        the same for the difference d = f^ - f.

A linear map multiplies A, so that errors of opposite signs cancel in E A where |E| |A| adds them up. An activation is
a slope in a known range, f -> phi(v) + slope (f - v), d -> slope d: the middle of the range multiplies A, and half its
width times what is left joins the rest. The rest goes through a linear map as a box or as a ball, whichever is smaller:

    |W r|_j <= min(|W_j| . box, |W_j|_2 ball),       |W r|_2 <= min(|W|_2 ball, |those|_2).

Units switch on and off with the input, which costs a box of width s |A| h for each, but by far not all at once: that
is the ball, s |A|_2 rho. Zonotopes (Gehr et al. 2018; Singh et al. 2018) keep only the boxes; Lipschitz bounds keep
only the balls, and no A.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nets.strong_tickets.boxes import UNIT, error, rounding, spread
from nets.strong_tickets.gadget import Signed
from nets.strong_tickets.source import Floats
from nets.strong_tickets.steps import Activation, Step, matrix_norm

RELU = Activation("relu")
LARGEST = 1 << 24  # numbers in a matrix A; beyond, its part joins the rest


@dataclass(frozen=True, eq=False)
class Form:
    """v + A (x - c) + r for all inputs with |x - c| <= half, elementwise, and |x - c|_2 <= radius.

    centre v and box (1, ...), matrix A (inputs, ...), ball a number, half (inputs,). A form without A has no inputs.
    """

    centre: Floats
    matrix: Floats
    box: Floats
    ball: float
    half: Floats
    radius: float

    def reach(self) -> Floats:
        """How far each value can be from its centre, (1, ...)."""
        by_ball = self.radius * np.sqrt(np.square(self.matrix).sum(axis=0))[None]
        return np.minimum(self._swing(), by_ball) * (1 + 1e-12) + np.minimum(self.box, self.ball)

    def size(self) -> Floats:
        """At least |v| + |A| |x - c| + |r|, summed term by term: what rounding is proportional to."""
        return np.abs(self.centre) + self._swing() + self.box

    def _swing(self) -> Floats:
        return np.tensordot(self.half, np.abs(self.matrix), axes=1)[None]

    def spectral(self, factors: Floats | float = 1.0) -> float:
        """At least |factors * A (x - c)|_2."""
        return matrix_norm((self.matrix * factors).reshape(-1, self.centre.size)) * self.radius

    def but(self, centre: Floats, matrix: Floats, box: Floats, ball: float) -> Form:
        """Another form of the same inputs; its ball is no larger than its box."""
        ball = min(ball, float(np.linalg.norm(box))) * (1 + 1e-12)
        return Form(centre, matrix, box, ball, self.half, self.radius)

    def without(self) -> Form:
        """The same values with A in the rest."""
        none = np.zeros((0, *self.centre.shape[1:]))
        return Form(self.centre, none, self.reach(), self.spectral() + self.ball, np.zeros(0), 0.0)

    def __add__(self, other: Form) -> Form:
        if len(self.half) != len(other.half):
            return self.without() + other.without()
        matrix, box = self.matrix + other.matrix, self.box + other.box
        return self.but(self.centre + other.centre, matrix, box, self.ball + other.ball)

    def plus(self, constant: Floats, unknown: Floats) -> Form:
        """With a constant added, and something of at most `unknown`."""
        ball = self.ball + float(np.linalg.norm(unknown))
        return self.but(self.centre + constant, self.matrix, self.box + unknown, ball)

    def times(self, step: Any, weight: Floats) -> Form:
        """W f, at a linear step."""
        form = self if len(self.half) * len(weight) * self.centre[0, 0].size <= LARGEST else self.without()
        box = step.linear(np.abs(weight), form.box)
        box = np.minimum(box, step.row_norms(weight) * form.ball)
        ball = step.norm(weight, form.centre.shape[1:]) * form.ball
        return form.but(step.linear(weight, form.centre), step.linear(weight, form.matrix), box, ball)

    def mapped(self, step: Step) -> Form:
        """Behind a linear map of norm at most 1."""
        return self.but(step.apply(self.centre), step.apply(self.matrix), step.apply(self.box), self.ball)

    def pooled(self, step: Step) -> Form:
        """Maxima, which move by no more than what moves most among their inputs."""
        own = self.without()
        return Form(step.apply(own.centre), step.apply(own.matrix), step.apply(own.box), own.ball, own.half, own.radius)

    def sloped(self, least: Floats, most: Floats, start: Floats | None = None) -> Form:
        """slope * f for any slopes in [least, most], (1, ...); with `start`, start + slope * (f - v)."""
        middle, width = (least + most) / 2, (most - least) / 2
        fixed = np.abs(self.centre) if start is None else np.zeros_like(self.centre)
        centre = middle * self.centre if start is None else start
        box = middle * self.box + width * (fixed + self.reach())
        ball = float(np.linalg.norm(width * fixed)) + self.spectral(width) + float(width.max()) * self.ball
        return self.but(centre, middle * self.matrix, box, float(middle.max()) * self.ball + ball)


@dataclass(frozen=True, eq=False)
class Forms:
    """Forms of the target's values f and of the difference d, with one value a unit and one a copy of it.

    positive: f and f + d are never negative.
    """

    target: Form
    difference: Form
    positive: bool

    @staticmethod
    def at(low: Floats, high: Floats, radius: float, positive: bool) -> Forms:
        """At the inputs, low <= x <= high (1, ...) and |x|_2 <= radius, where both networks are the same."""
        centre, half = (low + high) / 2, ((high - low) / 2).ravel()
        reach = min(float(np.linalg.norm(half)), radius + float(np.linalg.norm(centre))) * (1 + 1e-12)
        matrix, zero = np.eye(len(half)).reshape(-1, *low.shape[1:]), np.zeros_like(low)
        return Forms(Form(centre, matrix, zero, 0.0, half, reach),
                     Form(zero, np.zeros_like(matrix), zero, 0.0, half, reach), positive)  # fmt: skip

    def bounds(self) -> dict[str, float]:
        """An upper bound on every |d_j|."""
        return {"affine": float((np.abs(self.difference.centre) + self.difference.reach()).max())}

    def mapped(self, step: Step) -> Forms:
        copies = self.difference.centre.shape[1] // self.target.centre.shape[1]
        theirs = self.difference.mapped(step.copied(copies))
        return Forms(self.target.mapped(step), theirs, step.nonnegative(self.positive))

    def activated(self, step: Any) -> Forms:
        """f: chords of phi from v; d: slopes of phi wherever f and f + d can be."""
        f, d, kind = self.target, self.difference, step.kind
        reach, far = f.reach(), np.abs(d.centre) + d.reach()
        low, high, copies = f.centre - reach, f.centre + reach, d.centre.shape[1] // f.centre.shape[1]
        least, most = kind.chords(f.centre, low, high)
        ours = f.sloped(least, most, kind.function(f.centre))
        theirs = d.sloped(*kind.slopes(spread(low, copies) - far, spread(high, copies) + far))
        return Forms(ours, theirs, step.nonnegative(self.positive))

    def pooled(self, step: Step) -> Forms:
        d = self.difference
        ball = d.ball + float(np.linalg.norm(d.centre))
        still = d.but(np.zeros_like(d.centre), d.matrix, d.box + np.abs(d.centre), ball)
        return Forms(self.target.pooled(step), still.pooled(step), step.nonnegative(self.positive))

    def __add__(self, other: Forms) -> Forms:
        both = self.positive and other.positive
        return Forms(self.target + other.target, self.difference + other.difference, both)

    def linear(self, step: Any, weight: Floats, bias: Floats, layer: Signed, before: int, after: int) -> Forms:
        """Behind a linear step: with x_+ and d_+ = (f + d)_+ - f_+, and E the error summed over copies,

        d' = E- f + W^- d + (E+ - E-) f_+ + (W^+ - W^-) d_+ + (b^ - b),        f' = W f + b.
        """
        f, d = self.target, self.difference
        down = layer.positive if self.positive else layer.negative
        new = f.times(step, error(down, weight, before, after)) + d.times(step, down)
        kink = layer.positive - down
        if kink.any():
            up = self.activated(RELU)
            new = new + up.target.times(step, error(kink, 0 * weight, before, after))
            new = new + up.difference.times(step, kink)
        slack = rounding(step, f.size(), d.size(), weight, bias, layer, before, after)
        ours = 64 * (weight[0].size + 64) * UNIT * (step.linear(np.abs(weight), f.size()) + step.per_channel(abs(bias)))
        offset = step.per_channel(layer.bias - np.repeat(bias, after))
        return Forms(f.times(step, weight).plus(step.per_channel(bias), ours), new.plus(offset, slack), False)
