"""Perturbed candidates: subset sums whose items may each move a little.

Xiong, Liao and Kyrillidis (2023, AISTATS, arXiv 2210.16589): if every candidate may be changed by at most `limit`, a
subset S whose residual is r = z - sum_S a does whenever |r| <= |S| limit, since r can be spread: a_i + r / |S|. The
number of candidates then falls by a factor O(1 / (1 + limit)). The weights are no longer frozen, so this is a
relaxation of a strong ticket.

Algorithm (`solve_perturbed`): for every size s the subset of s items with the least |r| (`solve(..., mode="size")`); of
these the one with the least |r| / s. That is the subset whose items have to move least.

As networks (`Perturbed`): the weights v_k of the second layer that a sum keeps all move by the same amount, towards the
target: sum u_k v_k = w - r becomes w by v_k + sign(u_k) r / sum |u_k|. How far is one binary number of `bits` digits a
sum, between -limit and limit, and these digits are in the ticket, as a mask on a ruler. So a ticket is still (seed,
architecture, masks): anyone can rebuild the source, move its weights, and see that none has moved beyond the limit.

>>> found = solve_perturbed(np.array([[0.5, 0.3, -0.2]]), np.array([0.76]), limit=0.01)
>>> found.masks.tolist(), found.shifts.round(3).tolist(), found.success.tolist()
([[True, True, False]], [-0.02], [False])
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nets.strong_tickets.collapsed import Collapsed
from nets.strong_tickets.constructions import TwoForOne
from nets.strong_tickets.constructions.pieces import Masks
from nets.strong_tickets.gadget import Gadget
from nets.strong_tickets.network import Network
from nets.strong_tickets.source import Floats, Frozen, Mask, Ruler, Source
from nets.strong_tickets.steps import Step, signs
from nets.strong_tickets.sums import Each, Rule, Tally
from sparsopt.errors import InvalidInput, MissingCapability
from sparsopt.subset_sum import solve
from sparsopt.subset_sum.statistics import needed, threshold


@dataclass(frozen=True, eq=False)
class Moves:
    """masks (B, n); shifts (B,): what each chosen item moves by, so that the sum is the target; success (B,)."""

    masks: Mask
    shifts: Floats
    success: NDArray[np.bool_]


def solve_perturbed(items: Floats, targets: Floats, limit: float) -> Moves:
    """The subsets of items (B, n) that meet targets (B,) exactly with the smallest common shift of their items.

    Success: |shift| <= limit. A zero target needs no item. n up to 24 or so: one search for every size.
    """
    if not 0 <= limit < float("inf"):
        raise InvalidInput(f"limit = {limit} must be a number >= 0")
    a, z = np.asarray(items, dtype=np.float64), np.asarray(targets, dtype=np.float64)
    masks, least = np.zeros(a.shape, dtype=bool), np.where(z == 0, 0.0, np.inf)
    for size in range(1, a.shape[1] + 1):
        found = solve(a, z, mode="size", size=size)
        better = found.errors / size < least
        masks[better], least[better] = found.masks[better], found.errors[better] / size
    residuals = z - (a * masks).sum(axis=1)
    shifts = residuals / np.maximum(masks.sum(axis=1), 1)
    return Moves(masks, shifts, (least <= limit) & np.isfinite(least))


def items_needed(limit: float, draws: int = 200, sizes: tuple[int, ...] = tuple(range(2, 15)), seed: int = 0) -> float:
    """The n at which half of the draws (U[-1, 1], one target in [-1/2, 1/2]) succeed: falls as the limit grows."""
    rng = np.random.default_rng([seed, draws])
    items, targets = rng.uniform(-1, 1, (draws, max(sizes))), rng.uniform(-0.5, 0.5, draws)
    shifts = np.stack([np.abs(solve_perturbed(items[:, :n], targets, limit).shifts) for n in sizes], axis=1)
    return threshold(needed(np.minimum.accumulate(shifts, axis=1), sizes, limit))


# ---- networks ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Spread(Each):
    """The subset whose items have to move least, of the first `most`; a miss is what is beyond the tolerance after it.

    For `Perturbed`, which moves them.
    """

    tolerance: float = 1e-3
    most: int = 14

    def __call__(self, items: Floats, targets: Floats) -> Mask:
        masks = np.zeros(items.shape, dtype=bool)
        masks[:, : self.most] = solve_perturbed(items[:, : self.most], targets, 0.0).masks
        return masks


@dataclass(frozen=True)
class Moved(Source):
    """A source whose weights have moved: by `moves` (one array a tensor)."""

    moves: Mapping[str, Floats] = field(default_factory=dict)

    def values(self, name: str, index: Any) -> Floats:
        drawn = super().values(name, index)
        return drawn + self.moves[name].reshape(-1)[index] if name in self.moves else drawn


@dataclass(frozen=True)
class Perturbed(TwoForOne):
    """`TwoForOne` whose second layers' weights may move by up to `limit`; use with rule=Spread(...).

    Source: tensors shift1, shift2, ... hold the digits: (outputs, inputs + 1, taps, 2, bits), where the last input is
    the constant, and the two are the sums over u > 0 and over u < 0 (without a kink there is only one, the first).
    The digits count as kept weights.
    """

    limit: float = 0.01
    bits: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (0 <= self.limit < float("inf") and 1 <= self.bits <= 32):
            raise InvalidInput(f"limit = {self.limit} must be a number >= 0, bits = {self.bits} between 1 and 32")
        if self.locked or self.inner == "sigmoid":
            raise MissingCapability("perturbed tickets take no locked weights and no inner activation with phi(0) != 0")

    def tensors(self, steps: tuple[Step, ...]) -> tuple[Frozen, ...]:
        rulers = (
            Ruler(_shift(g), (g.outputs, g.inputs + 1, g.area, 2, self.bits), limit=self.limit)
            for g in self.gadgets(steps)
        )
        return (*super().tensors(steps), *rulers)

    def choose(self, source: Source, target: Network, nonnegative: bool, rule: Rule, tally: Tally) -> dict[str, Mask]:
        before = Tally()
        masks = super().choose(source, target, nonnegative, rule, before)
        tally.sums, tally.items, tally.used = before.sums, before.items, before.used
        layers = zip(
            self.gadgets(target.steps), target.weights, target.biases, signs(target.steps, nonnegative), strict=True
        )
        for g, weight, bias, sign in layers:
            u, v = _kept(g, source, masks)
            wanted = np.zeros((g.outputs, g.inputs + 1, g.area, 2))
            for which, (_, factor) in enumerate(g._groups(u, sign)):
                wanted[:, :-1, :, which] = weight.reshape(g.outputs, g.inputs, g.area) / factor
            wanted[:, -1, g.centre, 0] = bias
            side = _side(g, u)
            digits, errors = self._digits(wanted - _sums(g, side, u, v), _sums(g, side, np.abs(u), v != 0))
            masks[_shift(g)] = digits
            tally.count(errors[wanted != 0], rule.tolerance)
        return masks

    def _digits(self, residuals: Floats, weights: Floats) -> tuple[Mask, Floats]:
        """Binary numbers nearest to residuals / weights within the limit, and what of the residuals is left."""
        half = 2 ** (self.bits - 1)
        unit = self.limit / half
        whole = np.where(weights > 0, residuals / np.maximum(weights, 1e-300), 0.0) / max(unit, 1e-300)
        whole = np.clip(np.rint(whole), -half, half - 1).astype(np.int64)
        digits = (whole[..., None] >> np.arange(self.bits - 1, -1, -1)) & 1
        return digits.astype(bool), np.abs(residuals - whole * unit * weights)

    def moved(self, source: Source, steps: tuple[Step, ...], masks: Masks) -> Source:
        """The source with the weights where the digits put them."""
        moves = {}
        for g in self.gadgets(steps):
            u = source.values(g.first, g.first_index())
            by = (source.dense(_shift(g)) * masks[_shift(g)]).sum(axis=-1)  # (outputs, inputs + 1, taps, 2)
            each = by[:, _owner(g), :, _side(g, u)].transpose(1, 0, 2)
            moves[g.second] = np.sign(u)[:, None] * each * masks[g.second].reshape(each.shape)
        return Moved(source.seed, source.tensors, moves)

    def collapse(self, source: Source, steps: tuple[Step, ...], masks: Masks) -> Collapsed:
        return super().collapse(self.moved(source, steps, masks), steps, masks)

    def run(self, source: Source, steps: tuple[Step, ...], masks: Masks, x: Floats) -> Floats:
        return super().run(self.moved(source, steps, masks), steps, masks, x)


def _shift(g: Gadget) -> str:
    return g.second.replace("second", "shift")


def _owner(g: Gadget) -> NDArray[np.int64]:
    """The input that each hidden unit sees."""
    return np.minimum(np.arange(g.units) // g.copies, g.inputs)


def _side(g: Gadget, u: Floats) -> NDArray[np.int64]:
    """Which sum each hidden unit belongs to: those of the constant are one sum."""
    return ((u < 0) & g.kind.kinked & (_owner(g) < g.inputs)).astype(np.int64)


def _kept(g: Gadget, source: Source, masks: Masks) -> tuple[Floats, Floats]:
    """u (units,), of the constant phi(u), and v (outputs, units, taps); 0 where pruned."""
    u = source.values(g.first, g.first_index()) * masks[g.first].reshape(-1)[g.first_index()]
    tail = g.inputs * g.copies
    v = source.dense(g.second) * masks[g.second]
    return np.append(u[:tail], g.kind.function(u[tail:])), v.reshape(g.outputs, g.units, g.area)


def _sums(g: Gadget, side: NDArray[np.int64], u: Floats, v: Any) -> Floats:
    """sum u_k v_k of every sum, (outputs, inputs + 1, taps, 2)."""
    total = np.zeros((g.outputs, g.inputs + 1, g.area, 2))
    np.add.at(total.transpose(1, 3, 0, 2), (_owner(g), side), (v * u[:, None]).transpose(1, 0, 2))
    return total
