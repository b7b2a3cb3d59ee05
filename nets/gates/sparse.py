"""Gates that hold on to a support while they train, and see beyond it.

`Averaging` trains on the support and averages the gradient everywhere, for moves that grow by it; `Exploring` runs the
network on the support and trains a larger set, so that the weights waiting outside can overtake those inside.

    >>> Train(1000, recipe, through=Averaging(beta=0.9))
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from nets.gates.base import Gate, Masked
from sparsopt import support as sp
from sparsopt.fits import is_weightwise
from sparsopt.state import Array, Layout, State
from sparsopt.support import Elements

AVERAGE, BACKWARD = "average", "backward"


# ---- sparse momentum -----------------------------------------------------------------------------------------------


@dataclass
class Averages:
    """What `Averaging` keeps while training."""

    mask: Tensor
    average: Tensor


@dataclass(frozen=True)
class Averaging(Masked):
    """As `Masked`, and a moving average of the whole gradient in slot "average": a <- beta a + (1 - beta) g.

    Sparse momentum, Dettmers and Zettlemoyer (2019). Their average is the optimiser's momentum, which then moves a new
    weight at once; here (as in Evci et al.'s implementation) it is a vector of its own, so that a new weight starts at
    rest and any optimiser will do. Costs one more vector of n numbers.
    """

    passes: ClassVar[tuple[int, int]] = (2, 1)

    beta: float = 0.9

    def context(self, state: State) -> Averages:
        average = state.slots.get(AVERAGE)
        average = torch.zeros_like(state.x) if average is None else average.clone()
        return Averages(super().context(state), average)

    def gradient(self, g: Tensor, v: Tensor, c: Averages) -> None:
        c.average.mul_(self.beta).add_(g, alpha=1 - self.beta)
        super().gradient(g, v, c.mask)

    def keep(self, state: State, c: Averages) -> State:
        return state.but(slots={**state.slots, AVERAGE: c.average})


@dataclass(frozen=True)
class Averaged:
    """|a_j|, a the averaged gradient that training through `Averaging` has left; 0 before any."""

    def __call__(self, f: Any, state: State) -> Array:
        average = state.slots.get(AVERAGE)
        return 0 * abs(state.x) if average is None else abs(average)


# ---- Top-KAST ------------------------------------------------------------------------------------------------------


@dataclass
class Explored:
    """What `Exploring` keeps while training: masks as numbers, the decay of each weight, where the others stand."""

    forward: Tensor
    backward: Tensor
    decay: Tensor
    still: Tensor


@dataclass(frozen=True)
class Exploring(Gate):
    """Forward on the support A, backward on A and the `counts` largest |v| of each block, B; other weights stand still.

    v_B <- v_B - rate (g(v_A) + decay v on A, + decay / density v on B minus A),      density = |A| / n

    Top-KAST, Jayakumar, Pascanu, Rae, Osindero and Elsen (2020). The penalty is larger outside A, so that a weight has
    to earn its way in. It comes on top of the recipe's weight decay. B is in slot "backward" and changes only where a
    fit starts; weights that enter B have no momentum.
    """

    counts: tuple[int, ...]
    layout: Layout
    decay: float = 0.0

    def enter(self, state: State) -> State:
        B = state.support | Elements()(abs(state.x), self.counts, self.layout)
        stays = B & state.slots.get(BACKWARD, B)
        slots = {name: sp.restrict(a, stays) if is_weightwise(name) else a for name, a in state.slots.items()}
        return state.but(slots={**slots, BACKWARD: B})

    def context(self, state: State) -> Explored:
        A, B = state.support, state.slots[BACKWARD]
        density = sp.count(A) / self.layout.n
        decay = self.decay * (A.to(state.x.dtype) + (B & ~A).to(state.x.dtype) / max(density, 1 / self.layout.n))
        return Explored(A.to(state.x.dtype), B, decay, state.x)

    def weights(self, v: Tensor, c: Explored, out: Tensor) -> Tensor:
        return torch.mul(v, c.forward, out=out)

    def gradient(self, g: Tensor, v: Tensor, c: Explored) -> None:
        g.addcmul_(c.decay, v).mul_(c.backward)

    def settle(self, v: Tensor, c: Explored, rate: float) -> None:
        torch.where(c.backward, v, c.still, out=v)  # the optimiser's own weight decay reaches them, too
