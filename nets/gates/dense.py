"""Gates that train all weights, such that most of them can be cut off afterwards.

They differ in what pulls the others to zero: weight decay alone (`TopProducts`), the loss after the cut
(`CompressionAware`), a threshold that is trained (`SoftThreshold`), an l1 penalty (`Lasso`). `Keep(k)` ends them all.

    >>> Train(1000, recipe, through=CompressionAware(26620, radius=0.05))
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from nets.gates.base import Gate
from sparsopt import support as sp
from sparsopt.state import Layout, State

LATENT, THRESHOLDS, SPEED = "latent", "thresholds", "thresholds.speed"


# ---- global sparse momentum SGD ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TopProducts(Gate):
    """Only the k weights of largest |g w| get their gradient in a step; the others decay (and have momentum).

    Ding, Ding, Zhou, Guo, Han and Liu (2019), "Global sparse momentum SGD for pruning very deep neural networks". The
    weight decay is the recipe's: without one nothing goes to zero.
    """

    k: int

    def gradient(self, g: Tensor, v: Tensor, c: Any) -> None:
        g.mul_(sp.top((g * v).abs(), self.k))


# ---- compression-aware minimisation --------------------------------------------------------------------------------


@dataclass
class Cut:
    """What `CompressionAware` keeps between its two looks."""

    mask: Tensor | None = None
    first: Tensor | None = None
    rest: Tensor | None = None


@dataclass(frozen=True)
class CompressionAware(Gate):
    """The gradient after an ascent step and a cut: g(C(w + radius g(w))), masked as C was, + dense * g(w).

    C keeps the k largest |w_j|. Two forward and backward passes a step; biases, norms and the like take the ascent step
    without the cut. dense = 1 is CrAM+, 0 CrAM. Peste, Vladu, Kurtic, Lampert and Alistarh (2022), "CrAM: a
    compression-aware minimizer", with sparse gradients and one k (theirs may draw it from a list in each step).
    """

    passes: ClassVar[tuple[int, int]] = (4, 2)

    k: int
    radius: float = 0.05
    dense: float = 1.0

    def context(self, state: State) -> Cut:
        return Cut()

    def weights(self, v: Tensor, c: Cut, out: Tensor) -> Tensor:
        return out.copy_(v)

    def look_again(self, g: Tensor, theta: Tensor, c: Cut, out: Tensor, rate: float) -> bool:
        n = len(out)
        if c.first is None or c.mask is None or c.rest is None:
            c.first, c.rest = g.clone(), theta[n:].clone()
            climbed = theta + self.radius * g
            c.mask = mask = sp.top(climbed[:n].abs(), self.k)
            torch.mul(climbed[:n], mask, out=out)
            theta[n:] = climbed[n:]
            g.zero_()
            return True
        g[:n].mul_(c.mask)
        g.add_(c.first, alpha=self.dense)
        theta[n:] = c.rest
        c.first = None
        return False


# ---- soft threshold reparameterisation -----------------------------------------------------------------------------


@dataclass
class Soft:
    """What `SoftThreshold` keeps while training: s and its momentum, one a block, and the threshold of each weight."""

    s: Tensor
    speed: Tensor
    sizes: Tensor
    threshold: Tensor
    slope: Tensor


@dataclass(frozen=True)
class SoftThreshold(Gate):
    """w = sign(v) max(|v| - sigmoid(s_b), 0): one trained threshold a block b. x is w, slot "latent" has v.

    dv_j = g_j where |v_j| is above, else 0;     ds_b = -sigmoid'(s_b) * sum over them of g_j sign(v_j) + decay s_b

    Kusupati et al. (2020), "Soft threshold weight reparameterization for learnable sparsity". s starts at `start`,
    where the threshold is next to nothing, and its decay drives it towards 0. s follows SGD with `momentum` at the
    recipe's learning rate, whatever optimiser the weights have. How sparse this becomes is not set.
    """

    layout: Layout
    start: float = -10.0
    decay: float = 1e-4
    momentum: float = 0.9

    def enter(self, state: State) -> State:
        latent = sp.restrict(state.slots.get(LATENT, state.x), state.support)
        return state.but(slots={**state.slots, LATENT: latent})

    def variables(self, state: State) -> Tensor:
        return state.slots[LATENT]

    def store(self, state: State, v: Tensor) -> State:
        return state.but(slots={**state.slots, LATENT: v})

    def context(self, state: State) -> Soft:
        x, blocks = state.x, len(self.layout.sizes)
        s, speed = state.slots.get(THRESHOLDS), state.slots.get(SPEED)
        s = x.new_full((blocks,), self.start) if s is None else s.clone()
        speed = torch.zeros_like(s) if speed is None else speed.clone()
        sizes = torch.tensor(self.layout.sizes, device=x.device)
        return Soft(s, speed, sizes, torch.zeros_like(x), torch.zeros_like(s))

    def weights(self, v: Tensor, c: Soft, out: Tensor) -> Tensor:
        c.threshold = c.s.sigmoid().repeat_interleave(c.sizes)
        return torch.mul(v.sign(), (v.abs() - c.threshold).clamp_(min=0), out=out)

    def gradient(self, g: Tensor, v: Tensor, c: Soft) -> None:
        g.mul_(v.abs() > c.threshold)
        along = g * v.sign()
        sums = torch.stack([along[block].sum() for block in self.layout.slices])
        p = c.s.sigmoid()
        c.slope = -p * (1 - p) * sums

    def settle(self, v: Tensor, c: Soft, rate: float) -> None:
        c.speed.mul_(self.momentum).add_(c.slope + self.decay * c.s)
        c.s.sub_(c.speed, alpha=rate)

    def keep(self, state: State, c: Soft) -> State:
        x = self.weights(state.slots[LATENT], c, torch.empty_like(state.x))
        return state.but(x=x, slots={**state.slots, THRESHOLDS: c.s, SPEED: c.speed})


# ---- slimming ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Lasso(Gate):
    """loss + strength |v|_1, by its subgradient strength * sign(v).

    On the scales of batch norm this is network slimming (Liu, Li, Shen, Huang, Yan and Zhang 2017).
    """

    strength: float = 1e-4

    def gradient(self, g: Tensor, v: Tensor, c: Any) -> None:
        g.add_(v.sign(), alpha=self.strength)
