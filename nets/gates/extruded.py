"""Extrusion: what is to leave the network is pressed to zero while it still trains, so that the rest can take over.

The penalty lies on the weights off the support only, and grows while a fit runs; those on it are free. A later
`Restrict` then takes away next to nothing.

    >>> Train(1000, recipe, through=Extruded(1000))
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from nets.gates.base import Gate
from sparsopt import support as sp
from sparsopt.fits import is_weightwise
from sparsopt.state import State

PRESENT = "present"


@dataclass
class Pressed:
    """What `Extruded` keeps while training: which weights are still there, which of them are to leave, the step."""

    present: Tensor
    leaving: Tensor
    step: Iterator[int]


@dataclass(frozen=True)
class Extruded(Gate):
    """loss + penalty_t / 2 |w off S|^2, penalty_t growing to `limit` in the first `rise` of `steps` steps, then held.

    penalty_t = limit min(1, t / (rise steps)),  t = 1, 2, ..;     dw_j = g_j + penalty_t w_j off S,  g_j on S

    What is zero off S as a fit starts has left already: it stays so, without momentum (slot "present" has the others).
    Wang, Qin, Zhang and Fu (2021), "Neural pruning via growing regularization" (GReg-1): there and in the code of Bai
    et al. (2022) it grows by 1e-4 every 5 steps to 1, and stays for 40,000 more.
    """

    passes: ClassVar[tuple[int, int]] = (0, 3)  # at most: what has left counts too

    steps: int
    limit: float = 1.0
    rise: float = 5 / 9

    def enter(self, state: State) -> State:
        present = state.support | (state.x != 0)
        slots = {name: sp.restrict(a, present) if is_weightwise(name) else a for name, a in state.slots.items()}
        return state.but(slots={**slots, PRESENT: present})

    def context(self, state: State) -> Pressed:
        present = state.slots[PRESENT]
        leaving = present & ~state.support
        return Pressed(present.to(state.x.dtype), leaving.to(state.x.dtype), itertools.count(state.inner + 1))

    def gradient(self, g: Tensor, v: Tensor, c: Pressed) -> None:
        g.mul_(c.present).addcmul_(c.leaving, v, value=self.penalty(next(c.step)))

    def penalty(self, t: int) -> float:
        """That of step t = 1, 2, .."""
        return self.limit * min(1.0, t / max(self.rise * self.steps, 1.0))
