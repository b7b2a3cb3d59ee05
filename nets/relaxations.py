"""Gates that search for masks: the weights stay as they were drawn, what trains is a score for each of them.

Under all of them lies the set that subset-sum constructions search too: which of these fixed numbers? They differ in
how a score becomes a bit and how the gradient comes back. The scores are in `state.slots["scores"]`, and
`Keep(k, by=Scores())` ends a search with exactly k weights.

    Train(1000, recipe, through=EdgePopup(counts=(500, 300, 100), layout=layout))

Each gate writes the masked weights into `out`, and turns the gradient g at the weights into that at the scores,
straight through the bit: d/ds_j = g_j w_j, times what the gate's own map contributes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from nets import seeds
from nets.gates import Gate
from sparsopt import support as sp
from sparsopt.state import Layout, State

__all__ = ["EdgePopup", "GemMiner", "Rescaled", "Scale", "Scores", "Search", "Supermask", "TopScores"]

SCORES = "scores"


@dataclass(frozen=True)
class Scores:
    """The trained scores, as a score for moves; sizes count where the search took |s|."""

    absolute: bool = False

    def __call__(self, f: Any, state: State) -> Tensor:
        s = state.slots[SCORES]
        return s.abs() if self.absolute else s


@dataclass(frozen=True)
class Scale:
    """w <- w * density^-power in each block, for the densities that a search is going to keep (`counts` of them).

    power = 1/2 keeps the size of what layers pass on: N(0, 2 / (density fan in)) in the place of N(0, 2 / fan in).
    """

    counts: tuple[int, ...]
    layout: Layout
    power: float

    def __call__(self, oracle: Any, state: State) -> State:
        x = state.x.clone()
        for k, block, size in zip(self.counts, self.layout.slices, self.layout.sizes, strict=True):
            x[block] *= (max(k, 1) / size) ** -self.power
        return state.but(x=x)


@dataclass
class Frozen:
    """What a gate keeps while training: the frozen weights, which of them may be used, and the last bits."""

    w: Tensor
    allowed: Tensor
    bits: Tensor


@dataclass(frozen=True)
class Search(Gate):
    """The common part: scores start at random, weights and everything else are frozen."""

    trains_rest: ClassVar[bool] = False

    def enter(self, state: State) -> State:
        """Draw scores where there are none yet; a search goes on with those it has."""
        if SCORES in state.slots:
            return state
        drawn = torch.rand(state.x.shape, generator=seeds.generator("scores", state.seed), dtype=state.x.dtype)
        return state.but(slots={**state.slots, SCORES: self.first(drawn).to(state.x.device)})

    def first(self, drawn: Tensor) -> Tensor:
        """First scores, from uniform numbers in [0, 1)."""
        return drawn

    def variables(self, state: State) -> Tensor:
        return state.slots[SCORES]

    def store(self, state: State, v: Tensor) -> State:
        return state.but(slots={**state.slots, SCORES: v})

    def context(self, state: State) -> Frozen:
        return Frozen(state.x, state.support.to(state.x.dtype), torch.zeros_like(state.x))


@dataclass(frozen=True)
class EdgePopup(Search):
    """Bits: the `counts` largest |s| of each block. d/ds = g w sign(s).

    Ramanujan, Wortsman, Kembhavi, Farhadi and Rastegari (2020), "What's hidden in a randomly weighted neural network?".
    First scores are uniform on [-1, 1] / sqrt(fan in) (Kaiming's uniform with a = sqrt(5), as in their code).
    """

    counts: tuple[int, ...] = ()
    layout: Layout = Layout((), ())

    def first(self, drawn: Tensor) -> Tensor:
        return (2 * drawn - 1) * torch.cat([
            torch.full((size,), (shape[0] / size) ** 0.5)
            for size, shape in zip(self.layout.sizes, self.layout.shapes, strict=True)
        ]).to(drawn.dtype)  # fmt: skip

    def weights(self, v: Tensor, c: Frozen, out: Tensor) -> Tensor:
        for k, block in zip(self.counts, self.layout.slices, strict=True):
            c.bits[block] = sp.top(v[block].abs(), k).to(v.dtype)
        return torch.mul(c.w, c.bits, out=out)

    def gradient(self, g: Tensor, v: Tensor, c: Frozen) -> None:
        g.mul_(c.w).mul_(v.sign())


@dataclass(frozen=True)
class TopScores(Search):
    """Bits: the k largest s of the support. d/ds = g w.

    Not from a paper: the last stretch of searches that do not control their number of bits, so that the mask of
    exactly k weights is one that was trained.
    """

    k: int = 0

    def weights(self, v: Tensor, c: Frozen, out: Tensor) -> Tensor:
        c.bits.copy_(sp.top(v, self.k, c.allowed.bool()))
        return torch.mul(c.w, c.bits, out=out)

    def gradient(self, g: Tensor, v: Tensor, c: Frozen) -> None:
        g.mul_(c.w).mul_(c.allowed)


@dataclass(frozen=True)
class Supermask(Search):
    """Bits: Bernoulli(sigmoid(s)), drawn anew in every step. d/ds = g w p (1 - p).

    first_size: scores start at that size or its negative, at random.

    Zhou, Lan, Liu and Yosinski (2019), "Deconstructing lottery tickets"; without their rescaling by the number of bits,
    which is one factor a layer. They start all scores at 0: every layer then passes on as much noise from the draw of
    its bits as signal, and depth multiplies that. In six layers two draws of one mask gave outputs of correlation 0.01,
    and 400 steps reached 0.20 on digits; from +-2, 0.98 (`tests/test_strong_tickets_search.py` holds the difference).
    """

    first_size: float = 2.0

    def first(self, drawn: Tensor) -> Tensor:
        return self.first_size * (2 * (drawn < 0.5).to(drawn.dtype) - 1)

    def weights(self, v: Tensor, c: Frozen, out: Tensor) -> Tensor:
        # the engine seeds the default generator for every step; a copy of its seed leaves the generator itself alone
        drawn = torch.rand(v.shape, generator=torch.Generator().manual_seed(torch.initial_seed()), dtype=v.dtype)
        c.bits.copy_(drawn.to(v.device) < v.sigmoid())
        return torch.mul(c.w, c.bits, out=out)

    def gradient(self, g: Tensor, v: Tensor, c: Frozen) -> None:
        p = v.sigmoid()
        g.mul_(c.w).mul_(p * (1 - p))


@dataclass(frozen=True)
class Rescaled(Supermask):
    """Supermasks with dynamic weight rescaling: bits times c, one over the share of the layer's bits that are 1.

    d/ds_j = (c g_j w_j - c / (number of bits) sum_i g_i w_i bits_i) p (1 - p): c depends on the bits, too.

    What comes out of a search is the weights without c. That is the same classifier where nothing but the weights is
    not homogeneous: ReLU, and biases that are 0, or batch norm.
    """

    layout: Layout = Layout((), ())

    def weights(self, v: Tensor, c: Frozen, out: Tensor) -> Tensor:
        super().weights(v, c, out)
        for block in self.layout.slices:
            out[block] *= c.bits[block].numel() / c.bits[block].sum().clamp(min=1)
        return out

    def gradient(self, g: Tensor, v: Tensor, c: Frozen) -> None:
        p = v.sigmoid()
        g.mul_(c.w)
        for block in self.layout.slices:
            bits = c.bits[block]
            on = bits.sum().clamp(min=1)
            g[block] = (g[block] - (g[block] * bits).sum() / on) * (bits.numel() / on)
        g.mul_(p * (1 - p))


@dataclass(frozen=True)
class GemMiner(Search):
    """Bits: p >= 1/2 among the weights not yet frozen out, scores p in [0, 1]. d/dp = g w + 2 penalty p, then clamp.

    Sreenivasan et al. (2022), "Rare gems". The support says what has not been frozen out; between phases `Keep` freezes
    the lowest p.
    """

    penalty: float = 1e-4

    def weights(self, v: Tensor, c: Frozen, out: Tensor) -> Tensor:
        c.bits.copy_(v >= 0.5).mul_(c.allowed)
        return torch.mul(c.w, c.bits, out=out)

    def gradient(self, g: Tensor, v: Tensor, c: Frozen) -> None:
        g.mul_(c.w).add_(v, alpha=2 * self.penalty).mul_(c.allowed)

    def settle(self, v: Tensor, c: Frozen, rate: float) -> None:
        v.clamp_(0.0, 1.0)
