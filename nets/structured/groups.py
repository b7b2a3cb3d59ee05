"""Structures and scores of whole channels.

`Filters` chooses channels over all layers, `ByLayer` the same share of each. k counts channels. Scores are one number a
weight, as everywhere, and a channel's is the Euclidean norm of its weights' scores: so `FilterNorms(1)`, whose score is
sqrt|w|, ranks by the sum of |w|.

>>> channels = Filters(((0, 1, 2), (0, 1, 2)), (2, 1), (0, 0, 0))       # three filters of two weights, three shifts
>>> channels(np.array([1.0, 0, 3, 0, 2, 0, 0, 0, 0]), 1, Layout(("w", "b"), ((3, 2), (3,))))
array([False, False,  True,  True, False, False, False,  True, False])
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from nets.gates import Gate
from nets.moves import shared_out
from sparsopt import support as sp
from sparsopt.errors import InvalidInput
from sparsopt.fits import restricted
from sparsopt.judges import SupportStable
from sparsopt.result import Status
from sparsopt.state import Array, Layout, Mask, State
from sparsopt.support import Counts, Structure, group_norms, unit_labels

__all__ = ["ByLayer", "FilterNorms", "Filters", "Scales", "Slimming", "UnitsStable", "ZeroFilters"]


@dataclass(frozen=True)
class Filters:
    """Whole channels, ranked over all layers by the norm of their scores; of equals the first.

    rows: for each block of the layout the channel of each index of its first axis; widths: weights at one such index;
    layers: for each channel the layer that it is shared out with.
    """

    rows: tuple[tuple[int, ...], ...]
    widths: tuple[int, ...]
    layers: tuple[int, ...]

    @cached_property
    def _labels(self) -> np.ndarray:
        return np.concatenate([np.repeat(row, width) for row, width in zip(self.rows, self.widths, strict=True)])

    @property
    def by_layer(self) -> ByLayer:
        """The same channels, of which every layer keeps the same share."""
        return ByLayer(self)

    def units(self, n: int) -> np.ndarray:
        """The channel of each coordinate."""
        return self._labels

    def size(self, support: Mask) -> int:
        """The number of channels with a weight in the support."""
        return len(np.unique(self._labels[sp.to_numpy(support)]))

    def most(self, k: int) -> int:
        """How many weights k channels can have."""
        return int(np.sort(np.bincount(self._labels))[::-1][:k].sum())

    def __call__(self, score: Array, counts: Counts, layout: Layout, within: Mask | None = None) -> Mask:
        return self.chosen(score, counts, within, lambda norms, k, allowed: sp.top(norms, k, allowed))

    def chosen(self, score: Array, counts: Counts, within: Mask | None, choose: Any) -> Mask:
        """The weights of the channels that choose(norms, k, candidates) takes."""
        if not isinstance(counts, (int, np.integer)):
            raise InvalidInput("channels: counts one a block are not defined; give one number of channels")
        if len(self._labels) != score.shape[0]:
            raise InvalidInput(f"channels of {len(self._labels)} weights, but there are {score.shape[0]} in all")
        norms = group_norms(sp.to_numpy(score), self._labels)
        inside = np.bincount(self._labels, None if within is None else sp.to_numpy(within), len(norms)) > 0
        return sp.like(choose(norms, int(counts), inside)[self._labels], score)


@dataclass(frozen=True)
class ByLayer:
    """The same share of every layer's channels (rounded by largest remainder, exact in all), the best of each."""

    of: Filters

    def units(self, n: int) -> np.ndarray:
        return self.of.units(n)

    def size(self, support: Mask) -> int:
        return self.of.size(support)

    def most(self, k: int) -> int:
        return self.of.most(k)

    def __call__(self, score: Array, counts: Counts, layout: Layout, within: Mask | None = None) -> Mask:
        return self.of.chosen(score, counts, within, self._choose)

    def _choose(self, norms: np.ndarray, k: int, allowed: np.ndarray) -> np.ndarray:
        layers = np.array(self.of.layers)
        members = [layers == layer for layer in np.unique(layers)]
        shares = shared_out(k, [float(m.sum()) for m in members], [int((m & allowed).sum()) for m in members])
        chosen = np.zeros(len(norms), dtype=bool)
        for member, share in zip(members, shares, strict=True):
            chosen |= sp.top(norms, share, member & allowed)
        return chosen


# ---- scores --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FilterNorms:
    """|w_j|^(power / 2) on weights of filters, 0 on biases, scales and shifts: a channel's norm ranks by sum |w|^power.

    power 1 is Li, Kadav, Durdanovic, Samet and Graf (2017), power 2 He, Kang, Dong, Fu and Yang (2018).
    """

    power: float = 1.0

    def __call__(self, f: Any, state: State) -> Array:
        return abs(state.x) ** (self.power / 2) * sp.like(filters(f.layout), state.x)


@dataclass(frozen=True)
class Scales:
    """|w_j| on scales of norms, 0 elsewhere: network slimming's ranking."""

    def __call__(self, f: Any, state: State) -> Array:
        return abs(state.x) * sp.like(scales(f.layout), state.x)


@dataclass(frozen=True)
class ZeroFilters:
    """Filters are zero off the support, with their momentum; biases, scales and shifts stay as they are.

    So the channel still gets a gradient (behind a ReLU, one that is all zero never would) and may come back.
    """

    layout: Layout

    def __call__(self, oracle: Any, state: State) -> State:
        others = sp.like(~filters(self.layout), state.x)
        return restricted(state.but(support=state.support | others)).but(support=state.support)


@dataclass(frozen=True)
class UnitsStable:
    """`SupportStable` that counts units of the structure (channels) in the place of weights."""

    structure: Structure
    of: SupportStable = SupportStable()

    def __call__(self, oracle: Any, old: State, new: State) -> tuple[State, Status | None]:
        judged, status = self.of(oracle, self._units(old), self._units(new))
        return judged.but(support=new.support), status

    def _units(self, state: State) -> State:
        labels = unit_labels(self.structure, len(state.support))
        chosen = np.bincount(labels, sp.to_numpy(state.support), int(labels.max(initial=0)) + 1) > 0
        return state.but(support=chosen)


@dataclass(frozen=True)
class Slimming(Gate):
    """loss + strength |v|_1 over the scales of norms, by its subgradient strength * sign(v).

    Liu, Li, Shen, Huang, Yan and Zhang (2017), "Learning efficient convolutional networks through network slimming".
    """

    layout: Layout
    strength: float = 1e-4

    def context(self, state: State) -> Any:
        return sp.like(scales(self.layout).astype(np.float32), state.x).to(state.x.dtype)

    def gradient(self, g: Any, v: Any, c: Any) -> None:
        g.addcmul_(v.sign(), c, value=self.strength)


def filters(layout: Layout) -> np.ndarray:
    """Which coordinates are weights of filters: those of matrices and what has more dimensions."""
    return np.concatenate([np.full(n, len(shape) > 1) for n, shape in zip(layout.sizes, layout.shapes, strict=True)])


def scales(layout: Layout) -> np.ndarray:
    """Which coordinates are scales of norms: vectors called weight. Where x has none, all of them."""
    named = zip(layout.names, layout.shapes, layout.sizes, strict=True)
    found = np.concatenate([np.full(size, len(shape) == 1 and name.endswith("weight")) for name, shape, size in named])
    return found if found.any() else ~found
