"""Moves of sparse training whose counts depend on what the layers hold by then.

sparsopt's `Swap` is told how many leave each layer. Where layers gain and lose weights as training goes, only a share
can be told: `SwapShare` gives every layer back as many as it lost, `Redistribute` gives more to the layers that matter.

>>> SwapShare(CosineShare(0.5, 20))
SwapShare(share=CosineShare(start=0.5, rounds=20, end=0.005), out=Magnitude(), into=Gradient())
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nets.gates import Averaged
from sparsopt import support as sp
from sparsopt.moves import Gradient, Magnitude, Score
from sparsopt.state import Layout, Mask, State
from sparsopt.support import Elements

__all__ = ["CosineShare", "Redistribute", "SwapShare", "shared_out"]

Share = Callable[[int], float]  # round -> fraction of a layer's weights that leaves


@dataclass(frozen=True)
class CosineShare:
    """Half a cosine from `start` to `end` in `rounds` rounds."""

    start: float
    rounds: int
    end: float = 0.005
    autonomous = False

    def __call__(self, round: int) -> float:
        t = min(round / self.rounds, 1.0)
        return self.end + (self.start - self.end) * (1 + math.cos(math.pi * t)) / 2


def _removed(share: float, out: Score, f: Any, state: State) -> tuple[Mask, tuple[int, ...]]:
    """S without the worst `share` of each block (rounded up), and how many have left each."""
    sizes = sp.block_counts(state.support, f.layout)
    leaving = tuple(math.ceil(share * size) for size in sizes)
    staying = tuple(size - less for size, less in zip(sizes, leaving, strict=True))
    return Elements()(out(f, state), staying, f.layout, state.support), leaving


@dataclass(frozen=True)
class SwapShare:
    """The worst share of each block leaves; as many of the best outside of what was kept come in.

    `Swap` with a share of what each block holds now. The neuroregeneration of GraNet (Liu et al. 2021).
    """

    share: Share
    out: Score = Magnitude()
    into: Score = Gradient()

    def __call__(self, f: Any, state: State) -> Mask:
        kept, leaving = _removed(self.share(state.round), self.out, f, state)
        if not any(leaving):
            return state.support
        return kept | Elements()(self.into(f, state), leaving, f.layout, ~kept)


@dataclass(frozen=True)
class Redistribute:
    """The worst share of each block leaves; what has left comes back where `by` is largest on average.

    m_b proportional to the mean of `by` over block b's support, but no more than fit; m_b best of `by` outside come in.
    Sparse momentum, Dettmers and Zettlemoyer (2019). Their counts are exact on average only; these always are.
    """

    share: Share
    by: Score = Averaged()
    out: Score = Magnitude()

    def __call__(self, f: Any, state: State) -> Mask:
        score, blocks = self.by(f, state), f.layout.slices
        means = [float(score[b][state.support[b]].mean()) if sp.count(state.support[b]) else 0.0 for b in blocks]
        kept, leaving = _removed(self.share(state.round), self.out, f, state)
        room = _outside(kept, f.layout)
        return kept | Elements()(score, shared_out(sum(leaving), means, room), f.layout, ~kept)


def _outside(support: Mask, layout: Layout) -> list[int]:
    return [size - inside for size, inside in zip(layout.sizes, sp.block_counts(support, layout), strict=True)]


def shared_out(total: int, weights: Sequence[float], room: Sequence[int]) -> tuple[int, ...]:
    """Integers proportional to `weights`, none above its `room`, that sum to `total` (or to all the room there is).

    What does not fit is shared out among the others, in the same proportion (of their room, where their weights are
    all zero); fractions go by largest remainder, the first of equals first.

    >>> shared_out(10, (3.0, 1.0, 1.0), (4, 9, 9))
    (4, 3, 3)
    """
    weight, space = np.asarray(weights, dtype=float), np.asarray(room)
    share, open_ = np.zeros(len(space)), space > 0
    left = total = min(total, int(space.sum()))
    while open_.any():
        rule = np.where(open_, weight if weight[open_].sum() > 0 else space, 0.0)
        share = np.where(open_, left * (rule / rule.sum()), space)
        full = open_ & (share > space)
        if not full.any():
            break
        open_ &= ~full
        left = total - int(space[~open_].sum())
    counts = np.floor(np.minimum(share, space)).astype(int)
    order = np.argsort(-(share - counts), kind="stable")
    for block in order[counts[order] < space[order]][: total - counts.sum()]:
        counts[block] += 1
    return tuple(counts.tolist())
