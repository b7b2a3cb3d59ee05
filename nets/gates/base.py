"""Gates: how stored variables become the network's weights, and how gradients come back.

Training acts on a vector v of n stored variables; a gate says where v lies in the state, which weights it stands
for, and what the gradient at those weights means for v. Every hook has a default: v is x and the weights are v.
`Masked` is the plain gate; training through another one is how relaxations and supermasks work.

One step, as the engine takes it:  weights;  forward and backward;  look_again, once more until it is content;
gradient;  the optimiser's step;  settle.

    >>> Masked()
    Masked()
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from sparsopt.fits import restricted
from sparsopt.state import State


@dataclass(frozen=True)
class Gate:
    """The identity: the weights are the stored variables, and all of them train.

    trains_rest  whether biases, norms and the like train along with v
    passes       what a step costs, in forward passes with the support's weights and with all of them: forward and
                 gradient of the activations, and the gradient of the weights, of all of them unless a gate says less
    batches      of a step: its looks take them in turn
    """

    trains_rest: ClassVar[bool] = True
    passes: ClassVar[tuple[int, int]] = (2, 1)
    batches: ClassVar[int] = 1

    def enter(self, state: State) -> State:
        """The state as training starts on a new support."""
        return state

    def variables(self, state: State) -> Tensor:
        """v, (n,)."""
        return state.x

    def store(self, state: State, v: Tensor) -> State:
        """The state with v put back."""
        return state.but(x=v)

    def context(self, state: State) -> Any:
        """What the other hooks need beside v and stays fixed while training: by default the mask, 0 or 1."""
        return state.support.to(state.x.dtype)

    def weights(self, v: Tensor, c: Any, out: Tensor) -> Tensor:
        """The network's weights for v, in `out`, a free tensor like v; returning v itself saves the copy."""
        return v

    def gradient(self, g: Tensor, v: Tensor, c: Any) -> None:
        """Change the gradient at the weights into the one for v, in place."""

    def look_again(self, g: Tensor, theta: Tensor, c: Any, out: Tensor, rate: float) -> bool:
        """Whether one more gradient is to be added to g, that of the next of the step's batches (of one, the same) at
        weights now put into `out`.

        g and theta are the gradient and the values of all parameters, v first, then the rest; rate is the step's
        learning rate. Buffers stay as the first look left them.
        """
        return False

    def settle(self, v: Tensor, c: Any, rate: float) -> None:
        """After each step, taken with learning rate `rate`: put v back where it belongs, in place (a projection)."""

    def keep(self, state: State, c: Any) -> State:
        """The state, after `store`, with what c has gathered while training."""
        return state


@dataclass(frozen=True)
class Masked(Gate):
    """Only the support exists: weights, gradients and optimiser slots are zero off it at every step.

    They are cleared together on entry and the gradient is masked in each step, so that neither momentum nor weight
    decay can revive a weight.
    """

    passes: ClassVar[tuple[int, int]] = (3, 0)

    def enter(self, state: State) -> State:
        return restricted(state)

    def gradient(self, g: Tensor, v: Tensor, c: Any) -> None:
        g.mul_(c)


@dataclass(frozen=True)
class StraightThrough(Gate):
    """Forward and backward at the masked weights, the whole gradient to the dense variables behind them.

    Dynamic pruning with feedback, Lin et al. (2020): w <- w - rate * g(mask * w). On networks the fit `Feedback`.
    """

    def weights(self, v: Tensor, c: Any, out: Tensor) -> Tensor:
        return torch.mul(v, c, out=out)
