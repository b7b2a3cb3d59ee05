"""Scores of networks: one number for each prunable weight, the larger the more it is worth keeping.

They are called as sparsopt's scores are, with (f, state), and go wherever a move takes one. All look at the network as
its mask leaves it, so that rounds of `Keep` score anew what is left.

>>> Keep(1000, by=SNIP())
Keep(k=1000, by=SNIP(per_class=10, mode='train'), structure=Elements())
>>> Keep(Geometric(266_200, 1000, 100), by=SynFlow())           # 100 rounds, as many scores
>>> Keep((500, 300, 200), by=Inverted(GraSP()))                 # one count a layer; the worst are kept

`gradients` is what a score costs: evaluations of a gradient, or what takes as long.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from sparsopt import support as sp
from sparsopt.moves import Score
from sparsopt.state import State

__all__ = ["SNIP", "GraSP", "Inverted", "SynFlow"]


@dataclass(frozen=True)
class SNIP:
    """|w_j g_j|, g the gradient at the masked weights: |dL/dm_j| for a mask m, the connection sensitivity.

    L is the loss over `per_class` samples of each class. On weights that are not in the mask (of a dense w, as FORCE
    keeps it) this is what their return would do. mode: whether batch norm takes its statistics from the samples
    ("train", as FORCE's code does) or is as in evaluation ("eval", as the authors' and SynFlow's codes do).

    Source: Lee, Ajanthan and Torr (2019), equation 5, there with one mini-batch of 100 or 128; 10 a class is what
    Tanaka et al. (2020) take.
    """

    per_class: int = 10
    mode: str = "train"
    needs: ClassVar = ("sampled",)
    gradients: ClassVar[int] = 1
    autonomous: ClassVar[bool] = False  # other samples in every round

    def __call__(self, f: Any, state: State) -> Tensor:
        x = sp.restrict(state.x, state.support)
        return abs(state.x * f.sampled(self.per_class, 1.0, self.mode).gradient(x))


@dataclass(frozen=True)
class GraSP:
    """w_j (H g)_j: to first order, half of what |g|^2 loses when w_j is removed. The largest are kept.

    g and H are gradient and Hessian of the loss with the logits divided by `temperature`. The authors' code ranks
    -w H g and removes its largest entries, which is the same; keeping the *smallest* of w H g is a known error.

    Source: Wang, Zhang and Grosse (2020), equation 8 and Algorithm 1; 10 samples a class for CIFAR-10.
    """

    per_class: int = 10
    temperature: float = 200.0
    mode: str = "train"
    needs: ClassVar = ("sampled",)
    gradients: ClassVar[int] = 4  # g, g again, and its derivative, which is about two
    autonomous: ClassVar[bool] = False

    def __call__(self, f: Any, state: State) -> Tensor:
        x = sp.restrict(state.x, state.support)
        sampled = f.sampled(self.per_class, self.temperature, self.mode)
        return x * sampled.hessian_product(x, sp.restrict(sampled.gradient(x), state.support))


@dataclass(frozen=True)
class SynFlow:
    """|w_j| dR/d|w_j|, R the sum of outputs for an input of ones when all parameters are replaced by their sizes.

    Without data. Through layers that are homogeneous and have no biases the scores of each layer sum to R, so a layer
    that has few weights left gives each of them a large score. In float64, as products over many layers need.

    Source: Tanaka, Kunin, Yamins and Ganguli (2020), equation 2 and Algorithm 1.
    """

    needs: ClassVar = ("flow",)
    gradients: ClassVar[int] = 1  # of a single sample

    def __call__(self, f: Any, state: State) -> Tensor:
        return f.flow(sp.restrict(state.x, state.support))


@dataclass(frozen=True)
class Inverted:
    """The negative of another score, so that what it calls worst is kept: the control that a score has to beat."""

    of: Score

    def __call__(self, f: Any, state: State) -> Tensor:
        return -self.of(f, state)
