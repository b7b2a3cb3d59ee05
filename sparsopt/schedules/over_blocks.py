"""How a count is divided over the blocks of x, a network's layers: at one density, by shape, or by a rate for each.

>>> layout = Layout(("wide", "square"), ((100, 2), (10, 10)))
>>> Uniform(30)(0, layout), ERK(30)(0, layout)
((20, 10), (25, 5))
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sparsopt.errors import InvalidInput
from sparsopt.schedules.apportionment import apportion, largest_remainder
from sparsopt.schedules.over_rounds import Counts, Schedule, amount
from sparsopt.state import Layout

__all__ = ["ERK", "Falling", "Rates", "RatesTo", "SmartRatio", "Uniform", "times"]


@dataclass(frozen=True)
class Uniform:
    """The same density in every block, `total` in all (rounded by largest remainder, so that the sum is exact)."""

    total: int | Schedule

    def __call__(self, round: int, layout: Layout) -> tuple[int, ...]:
        return apportion(amount(self.total, round, layout), np.ones(len(layout.sizes)), layout)


@dataclass(frozen=True)
class ERK:
    """Erdos-Renyi(-kernel) densities: block l gets density eps (sum of its dimensions) / (product of them), at most 1.

    eps is chosen such that the counts sum to `total` exactly. Source: Mocanu et al. (2018); Evci et al. (2020).
    """

    total: int | Schedule

    def __call__(self, round: int, layout: Layout) -> tuple[int, ...]:
        weight = np.array([sum(shape) / math.prod(shape) for shape in layout.shapes])
        return apportion(amount(self.total, round, layout), weight, layout)


@dataclass(frozen=True)
class Rates:
    """One removal rate a block and round: block b keeps size_b (1 - rate_b)^(r+1) in round r, rounded to nearest.

    The layerwise schedule of Frankle and Carbin (2019): 20 % of each hidden layer, 10 % of the output layer.
    """

    rates: tuple[float, ...]
    rounds: int
    autonomous = False

    def __call__(self, round: int, layout: Layout) -> tuple[int, ...]:
        if len(self.rates) != len(layout.sizes):
            raise InvalidInput(f"Rates: {len(self.rates)} rates for {len(layout.sizes)} blocks {layout.names}")
        times = min(round + 1, self.rounds)
        return tuple(
            math.floor(size * (1 - rate) ** times + 0.5) for size, rate in zip(layout.sizes, self.rates, strict=True)
        )


@dataclass(frozen=True)
class RatesTo:
    """One removal rate a block, as `Rates`, but ending on exactly `total` coordinates in all.

    There is one t at which sum_b size_b (1 - rate_b)^t = total, and in general it is no whole number of rounds. Round r
    of R keeps size_b (1 - rate_b)^(t (r + 1) / R), rounded up, the last by largest remainder: all rates shrink alike,
    and by nothing if t = R. `rounds` is the smallest R that removes no more than the rates say.
    """

    total: int
    rates: tuple[float, ...]
    rounds: int
    autonomous = False

    def __call__(self, round: int, layout: Layout) -> tuple[int, ...]:
        t = times(self.total, self.rates, layout)
        if round < self.rounds - 1:
            return tuple(math.ceil(share) for share in _left(t * (round + 1) / self.rounds, self.rates, layout))
        share = np.array(_left(t, self.rates, layout))
        return largest_remainder(share, np.array(layout.sizes, dtype=float), min(self.total, layout.n))


def times(total: int, rates: Sequence[float], layout: Layout) -> float:
    """How often every block has to lose its rate until `total` coordinates are left; not a whole number."""
    if len(rates) != len(layout.sizes) or not all(0 <= rate < 1 for rate in rates):
        raise InvalidInput(f"rates {rates} for {len(layout.sizes)} blocks {layout.names}: one in 0..1 for each")
    if total >= layout.n:
        return 0.0
    if sum(size for size, rate in zip(layout.sizes, rates, strict=True) if rate == 0) >= total:
        raise InvalidInput(f"rates {rates} leave more than {total} coordinates whatever the rounds; raise those at 0")
    low, high = 0.0, 1.0
    while sum(_left(high, rates, layout)) > total:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if sum(_left(middle, rates, layout)) > total else (low, middle)
    return high


def _left(t: float, rates: Sequence[float], layout: Layout) -> list[float]:
    return [size * (1 - rate) ** t for size, rate in zip(layout.sizes, rates, strict=True)]


@dataclass(frozen=True)
class SmartRatio:
    """Densities that fall with depth: block l of L in proportion to ((L-l+1)^2 + (L-l+1)) / l^steepness.

    The last block has the density `last`, or half of `total` where that is less. What does not fit into a full block
    is divided over the others in proportion (the authors' code hands it on to the next). Counts sum to `total`.
    Source: Su et al. (2020), "Sanity-checking pruning methods"; steepness 0 for ResNets, 2 for VGG in their code.
    """

    total: int | Schedule
    last: float = 0.3
    steepness: float = 0.0

    def __call__(self, round: int, layout: Layout) -> tuple[int, ...]:
        k = amount(self.total, round, layout)
        if not isinstance(k, int):
            raise InvalidInput(f"a total is divided over blocks, but it is already one count a block: {k}")
        k, L = min(k, layout.n), len(layout.sizes)
        body = Layout(layout.names[:-1], layout.shapes[:-1])
        end = max(k - body.n, min(math.floor(self.last * layout.sizes[-1] + 0.5), k // 2))
        depth = np.arange(L, 1, -1.0)  # L - l + 1 for l = 1..L-1
        return (*apportion(k - end, (depth**2 + depth) / np.arange(1.0, L) ** self.steepness, body), end)


@dataclass(frozen=True)
class Falling:
    """Another schedule one count a block, with no block above its count of the round before; sums stay.

    Rounding may give a block one more than it had, which a move that only removes cannot follow.
    """

    of: Uniform | ERK | SmartRatio

    @property
    def rounds(self) -> int:
        """Those of the total that is divided; an integer is there after one."""
        return getattr(self.of.total, "rounds", 1)

    def __call__(self, round: int, layout: Layout) -> tuple[int, ...]:
        counts = layout.sizes
        for r in range(round + 1):
            counts = _below(self.of(r, layout), counts)
        return counts


def _below(counts: Counts, caps: Sequence[int]) -> tuple[int, ...]:
    """The counts, cut to the caps; what that loses goes to the first blocks with room."""
    if isinstance(counts, int) or sum(counts) > sum(caps):
        raise InvalidInput(f"counts {counts} after {tuple(caps)}: one a block and no larger sum are needed")
    cut = [min(pair) for pair in zip(counts, caps, strict=True)]
    missing = sum(counts) - sum(cut)
    for b, cap in enumerate(caps):
        more = min(missing, cap - cut[b])
        cut[b], missing = cut[b] + more, missing - more
    return tuple(cut)
