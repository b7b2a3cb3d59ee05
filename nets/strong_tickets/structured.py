"""Structured tickets: only whole hidden filters are removed.

As `TwoForOne`, with a block-diagonal first layer, but the second layer is not masked weight by weight: hidden filter k
of input channel i stays, with all its weights v_k, or goes. What it contributes is the vector u_k v_k of d^2 c_out
numbers, so every input channel (and sign of its inputs) is one subset sum in D = d^2 c_out dimensions.

Algorithm (da Cunha, d'Amore and Natale 2023, NeurIPS, arXiv 2311.09858): draw u, V ~ N(0, 1); for each input channel
and sign choose k's with sum_k u_k v_k within the tolerance, in the sup norm, of that channel's kernel. Proved there
with n = O(D^3 log(D / eps)) filters and fixed-size subsets; what is needed in practice grows linearly in D (the theorem
check `python -m sparsopt subset-sum verify --theorem structured`). Explicit tickets are within reach for D up to some
10: beyond, the sums exist, and nobody knows how to find them in reasonable time.

>>> from nets.strong_tickets.build import build
>>> from nets.strong_tickets.certificate import Domain
>>> from nets.strong_tickets.network import dense_network
>>> target = dense_network((2, 2), "relu", [[[0.5, -0.3], [0.2, 0.1]]])
>>> built = build(target, Structured(40), 0, Vectors(0.02), Domain.box((2,), 0.0))
>>> built.success, built.sampled < 0.06
(True, True)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nets.strong_tickets.constructions import TwoForOne
from nets.strong_tickets.gadget import Gadget
from nets.strong_tickets.source import Distribution, Floats, Mask, Normal, Source
from nets.strong_tickets.steps import Step
from nets.strong_tickets.sums import Each, Tally
from sparsopt.errors import InvalidInput, MissingCapability
from sparsopt.subset_sum.vectors import join_lists, solve_vectors


@dataclass(frozen=True)
class Vectors(Each):
    """Vector subset sums, in the sup norm.

    most    items up to which all subsets are searched; with more of them, eight lists of `length` sums are joined,
            which reaches smaller errors in high dimension and proves nothing about a miss
    """

    tolerance: float = 0.05
    most: int = 20
    length: int = 1 << 12

    def __post_init__(self) -> None:
        if not 0 <= self.tolerance < float("inf"):
            raise InvalidInput(f"tolerance = {self.tolerance} must be a number >= 0")

    def __call__(self, items: Floats, target: Floats) -> Mask:
        """Mask (n,) for items (n, D) and a target (D,)."""
        exact = np.zeros(len(items), dtype=bool)
        if not len(items):
            return exact
        found = solve_vectors(items[: self.most], target, self.tolerance)
        exact[: self.most] = found.masks
        if found.success or len(items) <= max(self.most, 8):
            return exact
        joined = join_lists(items, target, self.tolerance, self.length)
        return joined.masks if float(joined.errors) < float(found.errors) else exact


@dataclass(frozen=True)
class StructuredGadget(Gadget):
    """A gadget whose second mask keeps or removes whole units."""

    def choose(self, source: Source, weight: Floats, bias: Floats, nonnegative: bool, rule: Any, tally: Tally) -> Any:
        if self.area > 1 and bias.any():
            raise MissingCapability(
                "a constant filter that stays contributes through its whole kernel, which is no bias near the border: "
                "structured convolutions take targets without biases"
            )
        if source[self.second].locked or not isinstance(rule, Vectors):
            raise MissingCapability(f"structured tickets need rule=Vectors(...), not {rule}, and no locked weights")
        u = source.values(self.first, self.first_index())
        v = np.concatenate([values for _, values in self.rows(source)])
        w = weight.reshape(self.outputs, self.inputs, self.area)
        kept = np.zeros(self.units, dtype=bool)
        for alive, factor in self._groups(u, nonnegative):
            for i in range(self.inputs):
                units = i * self.copies + np.flatnonzero(alive[i])
                kept[units] = self._one(v[:, units] * u[units][:, None], w[:, i] / factor, rule, tally)
        if self.area == 1:
            self._keep_constants(kept, u, v[:, :, 0], bias, rule, tally)
        first = np.zeros(self.units * (self.inputs + 1), dtype=bool)
        first[self.first_index()[kept]] = True
        second = np.broadcast_to(kept[:, None], (self.outputs, self.units, self.area)) & (v != 0)  # 0: absent
        return first.reshape(self.units, -1), second.reshape(self.outputs, self.units, *self.taps)

    def _keep_constants(self, kept: Mask, u: Floats, v: Floats, bias: Floats, rule: Vectors, tally: Tally) -> None:
        inner, values = self.inputs * self.copies, self._constants(u)
        useful = np.flatnonzero(values)
        wanted = bias - self.kind.intercept * v[:, :inner][:, kept[:inner]].sum(axis=1)
        items = v[:, inner + useful] * values[useful]
        kept[inner + useful] = self._one(items[..., None], wanted[:, None], rule, tally)

    def _one(self, items: Floats, target: Floats, rule: Vectors, tally: Tally) -> Mask:
        """Items (outputs, units, area), one target (outputs, area): which units stay."""
        vectors = items.transpose(1, 0, 2).reshape(items.shape[1], -1)
        wanted = target.reshape(-1)
        mask = rule(vectors, wanted) if wanted.any() else np.zeros(len(vectors), dtype=bool)
        error = np.abs(wanted - mask @ vectors).max(initial=0.0)
        tally.add(np.array([error]), rule.tolerance, mask[None])
        return mask


@dataclass(frozen=True)
class Structured(TwoForOne):
    """`TwoForOne` by removing filters: masks are whole columns. Use with rule=Vectors(...).

    Erdos-Renyi sources pass (density < 1); locked weights do not, since a filter stays or goes as a whole.
    """

    first: Distribution = Normal()
    second: Distribution = Normal()

    def gadgets(self, steps: tuple[Step, ...]) -> list[Gadget]:
        return [StructuredGadget(**vars(replace(g))) for g in super().gadgets(steps)]
