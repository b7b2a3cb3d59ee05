"""Gates: how the stored variables v become the network's weights, and how gradients come back.

A gate has four hooks with defaults: `enter` prepares a state, `weights` makes the weights from v, `gradient` turns the
gradient at the weights into one for v, in place. `Masked` is the plain one; others are training through something.

    >>> Masked()
    Masked()
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sparsopt.fits import restricted
from sparsopt.state import State


@dataclass(frozen=True)
class Gate:
    """The identity: weights are the stored variables, and all of them train."""

    def enter(self, state: State) -> State:
        """The state as training starts on a new support."""
        return state

    def weights(self, v: Tensor, mask: Tensor, out: Tensor) -> Tensor:
        """The weights for v. `out` is a free tensor like v; returning v itself means that no copy is needed."""
        return v

    def gradient(self, g: Tensor, mask: Tensor) -> None:
        """Change the gradient at the weights into the one for v, in place."""


@dataclass(frozen=True)
class Masked(Gate):
    """Only the support exists: weights, gradients and optimiser slots are zero off it at every step.

    They are cleared together on entry and the gradient is masked in each step, so that neither momentum nor weight
    decay can revive a weight.
    """

    def enter(self, state: State) -> State:
        return restricted(state)

    def gradient(self, g: Tensor, mask: Tensor) -> None:
        g.mul_(mask)


@dataclass(frozen=True)
class StraightThrough(Gate):
    """Forward and backward at the masked weights, the whole gradient to the dense variables behind them.

    Dynamic pruning with feedback, Lin et al. (2020): w <- w - rate * g(mask * w). On networks the fit `Feedback`.
    """

    def weights(self, v: Tensor, mask: Tensor, out: Tensor) -> Tensor:
        return torch.mul(v, mask, out=out)
