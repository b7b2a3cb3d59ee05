"""The gadget under all constructions: a linear map made of one random layer of univariate units and one random layer.

Hidden unit (i, k) sees input i only: phi(u_ik x_i). An activation of Burkholz's class is phi(t) = c + m+ t for t > 0
and c + m- t for t < 0 (exactly for ReLU, up to a cubic term for tanh and sigmoid), so with P = sum v u over the chosen
units with u > 0 and N the same over u < 0,

    sum_k v_k phi(u_k x) = c sum_k v_k + (m+ P + m- N) x_+ - (m- P + m+ N) x_-,      x = x_+ - x_-.

Algorithm, for every output j, input i and tap of the kernel, given w:
    inputs never negative:  choose among the units u > 0 with P = w / m+
    m+ = m-:                choose among all units with P + N = w / m+
    otherwise:              two sums, P = N = w / (m+ + m-), of the units u > 0 and of the units u < 0
    bias: units that see the constant 1 have known values phi(u_k); one sum for b - c sum v.
Sources: Malach et al. (2020), Lemma 1; Pensia et al. (2020), Lemma 2; Burkholz (2022, "Most activation functions"),
for the other activations. Proved: P[all sums exist] for ReLU (Pensia et al., Lueker's theorem). The u_ik are shared by
all outputs, so that misses come in clusters: an input whose few units are small fails for many outputs at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from nets.strong_tickets.source import Floats, Mask, Source, chunks
from nets.strong_tickets.steps import Kind
from nets.strong_tickets.sums import Rule, Tally, grouped, settle
from sparsopt.errors import MissingCapability

BLOCK = 1 << 22  # source weights computed at a time


@dataclass(frozen=True, eq=False)
class Signed:
    """What a masked pair of layers amounts to: y = positive x_+ - negative x_- + bias, up to cubic |x|^3."""

    positive: Floats
    negative: Floats
    bias: Floats
    cubic: Floats | None = None


@dataclass(frozen=True)
class Gadget:
    """The place of a gadget in a source.

    first, second    names of its tensors, (units, inputs + 1) and (outputs, units, *taps); the last column of `first`
                     sees the constant 1
    copies           units an input: unit i * copies + k sees input i; the last `constants` units see the constant
    """

    first: str
    second: str
    inputs: int
    outputs: int
    taps: tuple[int, ...]
    centre: int
    copies: int
    constants: int
    kind: Kind

    @property
    def units(self) -> int:
        return self.inputs * self.copies + self.constants

    @property
    def area(self) -> int:
        return int(np.prod(self.taps, dtype=int))

    def first_index(self) -> np.ndarray[Any, Any]:
        """Flat positions in `first` of the one weight of each unit, (units,)."""
        column = np.minimum(np.arange(self.units) // self.copies, self.inputs)
        return np.arange(self.units) * (self.inputs + 1) + column

    def rows(self, source: Source, of: str = "values") -> Iterator[tuple[slice, Any]]:
        """(outputs, (J, units, area)) of the second tensor's values, or what else `of` names, a block at a time."""
        each = self.units * self.area
        for part in chunks(self.outputs, max(1, BLOCK // max(1, each))):
            index = np.arange(part.start * each, part.stop * each)
            yield part, getattr(source, of)(self.second, index).reshape(-1, self.units, self.area)

    # ---- choosing --------------------------------------------------------------------------------------------------

    def choose(self, source: Source, weight: Floats, bias: Floats, nonnegative: bool, rule: Rule, tally: Tally) -> Any:
        """Masks of the first (units, inputs + 1) and the second tensor (outputs, units, *taps)."""
        if self.kind.intercept and self.area > 1 and self.centre:
            raise MissingCapability(
                "an activation with phi(0) != 0 has no padded convolution: beyond the border the hidden units would be "
                "0 and not phi(0). Use padding 0, or relu, leaky or tanh"
            )
        u = source.values(self.first, self.first_index())
        u[self.inputs * self.copies :] *= ~self._stuck(source)
        w = weight.reshape(self.outputs, self.inputs, self.area)
        second = np.zeros((self.outputs, self.units, self.area), dtype=bool)
        groups = self._groups(u, nonnegative)
        frozen = source[self.second].locked > 0
        for part, v in self.rows(source):
            locked = self._locked(source, part) if frozen else None
            for alive, factor in groups:
                self._fill(second[part], u, v, w[part] / factor, locked, alive, rule, tally)
            if locked is not None:
                second[part] |= locked
            if self.constants:
                self._fill_bias(second[part], u, v, bias[part], locked, rule, tally)
        used = second.any(axis=(0, 2)) & self._alive(u, groups)
        first = np.zeros(self.units * (self.inputs + 1), dtype=bool)
        first[self.first_index()[used]] = True
        return first.reshape(self.units, -1), second.reshape(self.outputs, self.units, *self.taps)

    def _groups(self, u: Floats, nonnegative: bool) -> list[tuple[Mask, float]]:
        """(units that take part (inputs, copies), what the target is divided by) of each sum."""
        block, kind = u[: self.inputs * self.copies].reshape(self.inputs, self.copies), self.kind
        if not kind.kinked:
            return [(block != 0, kind.plus)]
        if nonnegative:
            return [(block > 0, kind.plus)]
        return [(block > 0, kind.plus + kind.minus), (block < 0, kind.plus + kind.minus)]

    def _alive(self, u: Floats, groups: list[tuple[Mask, float]]) -> Mask:
        alive = np.zeros(self.units, dtype=bool)
        for units, _ in groups:
            alive[: units.size] |= units.ravel()
        alive[self.inputs * self.copies :] = self._constants(u) != 0
        return alive

    def _constants(self, u: Floats) -> Floats:
        """phi(u) of the units that see the constant 1; absent ones, and those below a kink, stay pruned."""
        tail = u[self.inputs * self.copies :]
        return np.where((tail > 0) if self.kind.kinked else (tail != 0), self.kind.function(tail), 0.0)

    def _stuck(self, source: Source) -> Mask:
        """Which constant units have a locked weight off the centre of a kernel, which is no bias near the border."""
        stuck = np.zeros(self.constants, dtype=bool)
        if source[self.second].locked and self.area > 1:
            tail = np.arange(self.inputs * self.copies, self.units)
            off = np.delete(np.arange(self.area), self.centre)
            rows = np.arange(self.outputs)[:, None, None] * self.units
            held = source.locked(self.second, (rows + tail[:, None]) * self.area + off)
            stuck = np.asarray(held.any(axis=(0, 2)))
        return stuck

    def _locked(self, source: Source, part: slice) -> Mask:
        each = self.units * self.area
        index = np.arange(part.start * each, part.stop * each)
        return source.locked(self.second, index).reshape(-1, self.units, self.area)

    def _fill(
        self, mask: Mask, u: Floats, v: Floats, w: Floats, locked: Mask | None, alive: Mask, rule: Rule, tally: Tally
    ) -> None:
        """One sum for every (output, input, tap), all inputs with equally many units together."""
        for count, inputs in grouped(alive.sum(axis=1)):
            units = inputs[:, None] * self.copies + np.argsort(~alive[inputs], axis=1, kind="stable")[:, :count]
            shape = (len(v) * len(inputs) * self.area, count)
            items = (v[:, units] * u[units][None, :, :, None]).transpose(0, 1, 3, 2).reshape(shape)
            fixed = None if locked is None else locked[:, units].transpose(0, 1, 3, 2).reshape(shape)
            chosen = settle(rule, items, w[:, inputs].reshape(-1), fixed, tally)
            mask[:, units] = chosen.reshape(len(v), len(inputs), self.area, count).transpose(0, 1, 3, 2)

    def _fill_bias(
        self, mask: Mask, u: Floats, v: Floats, bias: Floats, locked: Mask | None, rule: Rule, tally: Tally
    ) -> None:
        constants, tail = self._constants(u), slice(self.inputs * self.copies, None)
        useful = np.flatnonzero(constants != 0)
        items = (v[:, tail, self.centre] * constants)[:, useful]
        fixed = None if locked is None else locked[:, tail, self.centre][:, useful]
        wanted = bias - self.kind.intercept * (v * mask)[:, : self.inputs * self.copies].sum(axis=(1, 2))
        wanted = wanted - self.kind.intercept * (v * mask)[:, tail][:, constants == 0].sum(axis=(1, 2))  # phi(0)
        chosen = settle(rule, items, wanted, fixed, tally)
        mask[:, self.inputs * self.copies + useful, self.centre] = chosen

    # ---- what it amounts to ----------------------------------------------------------------------------------------

    def collapse(self, source: Source, first: Mask, second: Mask) -> Signed:
        """The linear map that masks realise, from the masks alone."""
        inner = self.inputs * self.copies
        kept = first.reshape(-1)[self.first_index()]
        u = source.values(self.first, self.first_index()) * kept
        kind, block = self.kind, (self.outputs, self.inputs, self.copies, self.area)
        shape = (self.outputs, self.inputs, self.area)
        up, down, rest = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        bias = np.zeros(self.outputs)
        for part, v in self.rows(source):
            masked = v * second.reshape(self.outputs, self.units, self.area)[part]
            w = masked[:, :inner].reshape(-1, *block[1:])
            x = u[:inner].reshape(self.inputs, self.copies)
            up[part] = np.einsum("jikt,ik->jit", w, np.maximum(x, 0.0))
            down[part] = np.einsum("jikt,ik->jit", w, np.minimum(x, 0.0))
            rest[part] = np.einsum("jikt,ik->jit", np.abs(w), kind.cubic * np.abs(x) ** 3)
            values = kind.function(u[inner:])
            bias[part] = kind.intercept * w.sum(axis=(1, 2, 3)) + masked[:, inner:, self.centre] @ values
        full = (self.outputs, self.inputs, *self.taps)
        positive, negative = kind.plus * up + kind.minus * down, kind.minus * up + kind.plus * down
        cubic = rest.reshape(full) if kind.cubic else None
        return Signed(positive.reshape(full), negative.reshape(full), bias, cubic)
