"""Gates that train weights and scores together: each weight has a second number, which says how much of it to use.

The weights are x, trained by the recipe; the scores are in `state.slots["scores"]`, trained beside them by an optimiser
of their own, at `ratio` times the recipe's rate. (`nets.relaxations` has the searches, where the weights stay.) A run
ends with `Keep(k, by=Scores())`: how many weights the relaxation itself would leave is not set by k.

    Train(1000, recipe, through=Continuous(1000))
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from nets import seeds
from nets.gates import Gate
from nets.relaxations import SCORES
from sparsopt import support as sp
from sparsopt.fits import restricted
from sparsopt.state import State

__all__ = ["BiLevel", "Continuous", "Deterministic", "HardConcrete", "Movement", "SignalToNoise", "Variational"]

OWN = "scores."  # slots of the scores' optimiser
STRETCH, LOW, HIGH = 2 / 3, -0.1, 1.1  # temperature and ends of the hard concrete distribution


@dataclass
class Joint:
    """What these gates keep while training: scores s, their optimiser, and what the last forward pass used."""

    s: Tensor
    memory: dict[str, Tensor]
    clock: int
    mask: Tensor
    bits: Tensor
    steepness: Tensor  # d bits / d s
    slope: Tensor = field(default_factory=lambda: torch.empty(0))
    looked: bool = False


# ---- how scores train ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Momentum:
    """SGD: z <- beta z + g, s <- s - rate z."""

    beta: float = 0.9
    slots: ClassVar[tuple[str, ...]] = ("speed",)

    def __call__(self, g: Tensor, memory: dict[str, Tensor], t: Tensor) -> Tensor:
        return memory["speed"].mul_(self.beta).add_(g)


@dataclass(frozen=True)
class Moments:
    """Adam, whose steps do not depend on the size of the gradient: that of a score is tiny."""

    beta1: float = 0.9
    beta2: float = 0.999
    slots: ClassVar[tuple[str, ...]] = ("speed", "square")

    def __call__(self, g: Tensor, memory: dict[str, Tensor], t: Tensor) -> Tensor:
        m = memory["speed"].mul_(self.beta1).add_(g, alpha=1 - self.beta1)
        u = memory["square"].mul_(self.beta2).addcmul_(g, g, value=1 - self.beta2)
        return (m / (1 - self.beta1**t)) / ((u / (1 - self.beta2**t)).sqrt() + 1e-8)


@dataclass(frozen=True)
class Scored(Gate):
    """The common part: weights w * bits(s), gradients g * bits for w and g w bits'(s) + penalty'(s) for s."""

    ratio: float = 1.0
    optimiser: ClassVar[Momentum | Moments] = Momentum()

    def first(self, state: State) -> Tensor:
        """Scores where a run has none yet."""
        return torch.zeros_like(state.x)

    def enter(self, state: State) -> State:
        if SCORES in state.slots:
            return state
        return state.but(slots={**state.slots, SCORES: self.first(state)})

    def context(self, state: State) -> Joint:
        s = state.slots[SCORES].clone()
        memory = {name: state.slots.get(OWN + name, torch.zeros_like(s)).clone() for name in self.optimiser.slots}
        memory["step"] = state.slots.get(OWN + "step", torch.zeros((), dtype=s.dtype)).clone()
        return Joint(s, memory, state.clock, state.support.to(s.dtype), torch.ones_like(s), torch.zeros_like(s))

    def open(self, c: Joint) -> None:
        """Set c.bits and c.steepness for the scores as they are."""
        raise NotImplementedError

    def penalty(self, c: Joint) -> Tensor | float:
        """The derivative by s of what is added to the loss."""
        return 0.0

    def weights(self, v: Tensor, c: Joint, out: Tensor) -> Tensor:
        self.open(c)
        return torch.mul(v, c.bits, out=out)

    def gradient(self, g: Tensor, v: Tensor, c: Joint) -> None:
        c.slope = g * v * c.steepness + self.penalty(c)
        g.mul_(c.bits)

    def settle(self, v: Tensor, c: Joint, rate: float) -> None:
        self.move(c, rate)
        c.clock += 1

    def move(self, c: Joint, rate: float) -> None:
        """One step of the scores along c.slope."""
        c.memory["step"] += 1
        c.s.sub_(self.optimiser(c.slope, c.memory, c.memory["step"]), alpha=self.ratio * rate)

    def keep(self, state: State, c: Joint) -> State:
        memory = {OWN + name: array for name, array in c.memory.items()}
        return state.but(slots={**state.slots, SCORES: c.s, **memory})


# ---- continuous sparsification -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Continuous(Scored):
    """Bits: sigmoid(beta s) / sigmoid(start); beta rises exponentially from 1 to `final` in the `steps` of a round.

    ds = (g w + penalty) beta sigmoid'(beta s) / sigmoid(start)

    Savarese, Silva and Maire (2020), "Winning the lottery with continuous sparsification". Scores begin at `start`; a
    later round begins where the clock is 0, with min(final s, start): what is off stays off, what is on is open again.
    """

    steps: int = 1
    start: float = 0.0
    final: float = 200.0
    strength: float = 1e-8

    def first(self, state: State) -> Tensor:
        return torch.full_like(state.x, self.start)

    def enter(self, state: State) -> State:
        if SCORES not in state.slots or state.clock > 0:
            return super().enter(state)
        s = (self.final * state.slots[SCORES]).clamp(max=self.start)
        return state.but(slots={**state.slots, SCORES: s})

    def open(self, c: Joint) -> None:
        beta = self.final ** min(1.0, c.clock / max(1, self.steps - 1))
        soft = (beta * c.s).sigmoid()
        scale = c.mask * (1 + math.exp(-self.start))
        c.bits, c.steepness = soft * scale, beta * soft * (1 - soft) * scale

    def penalty(self, c: Joint) -> Tensor:
        return self.strength * c.steepness


# ---- movement ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Movement(Scored):
    """Bits: the support, straight through. ds = g w for all weights, also those that are off; g for those that are on.

    Sanh, Wolf and Rush (2020), "Movement pruning". s = -sum over steps of rate g w, from 0: large where steps have led
    away from 0. Moves choose the support by it, so that only the order of scores matters.
    """

    optimiser: ClassVar[Momentum | Moments] = Momentum(0.0)

    def open(self, c: Joint) -> None:
        c.bits, c.steepness = c.mask, torch.ones_like(c.s)


# ---- bi-level --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class BiLevel(Scored):
    """Bits: the k largest |s|, straight through; s knows that the weights will answer a change of the mask.

    a step:  g at one batch:    ds = sign(s) (g w - step m g^2),   s moves,   m = 1 on the k largest |s|, else 0
             g at another:      dw = m g,                          w moves

    Zhang, Yao, Ram, Zhao, Chen, Hong, Wang and Liu (2022), "Advancing model pruning via bi-level optimization" (BiP):
    the minimiser of f(m w) + |w|^2 / (2 step) moves with m by -step g if the Hessian of f is left out, and f feels that
    by m g. (Derived here from their two levels; their code squares the scores' own gradient g w.) First scores are the
    weights. As theirs, the levels take turns on batches of their own: these are disjoint within an epoch, where the
    authors draw from two shuffled copies of the training set. Biases, norms and the like move with the weights.
    """

    passes: ClassVar[tuple[int, int]] = (4, 2)
    batches: ClassVar[int] = 2

    k: int = 0
    step: float = 1e-4

    def first(self, state: State) -> Tensor:
        return state.x.clone()

    def open(self, c: Joint) -> None:
        c.bits, c.steepness = sp.top(c.s.abs(), self.k, c.mask.bool()).to(c.s.dtype), c.s.sign()

    def look_again(self, g: Tensor, theta: Tensor, c: Joint, out: Tensor, rate: float) -> bool:
        """After the upper level's look s moves; the lower level looks at the new mask."""
        c.looked = not c.looked
        if c.looked:
            v, slope = theta[: len(out)], g[: len(out)]
            c.slope = c.steepness * (slope * v - self.step * c.bits * slope * slope)
            self.move(c, rate)
            g.zero_()
            self.weights(v, c, out)
        return c.looked

    def gradient(self, g: Tensor, v: Tensor, c: Joint) -> None:
        g.mul_(c.bits)

    def settle(self, v: Tensor, c: Joint, rate: float) -> None:
        c.clock += 1


# ---- hard concrete gates -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class HardConcrete(Scored):
    """Bits: z = clamp(1.2 q - 0.1, 0, 1), q = sigmoid((log u - log(1 - u) + s) / (2/3)), u uniform, anew in each step.

    loss + strength sum_j P(z_j > 0),   P(z > 0) = sigmoid(s - 2/3 log(0.1 / 1.1))

    Louizos, Welling and Kingma (2018), "Learning sparse neural networks through L0 regularization". s = log alpha
    starts at log((1 - dropped) / dropped) with noise of size 0.01, and stays within log 0.01 and log 100. One gate a
    weight (their code has one a unit), trained by Adam. `expected` is the gate without noise.
    """

    strength: float = 0.0
    dropped: float = 0.5
    optimiser: ClassVar[Momentum | Moments] = Moments()

    def first(self, state: State) -> Tensor:
        drawn = torch.randn(state.x.shape, generator=seeds.generator("gates", state.seed), dtype=state.x.dtype)
        return (math.log(1 - self.dropped) - math.log(self.dropped) + 0.01 * drawn).to(state.x.device)

    def open(self, c: Joint) -> None:
        u = _uniform(c.s)
        q = ((u.log() - (1 - u).log() + c.s) / STRETCH).sigmoid()
        z = LOW + (HIGH - LOW) * q
        inside = (z > 0) & (z < 1)
        c.bits = z.clamp(0.0, 1.0) * c.mask
        c.steepness = inside * (HIGH - LOW) * q * (1 - q) / STRETCH * c.mask

    def penalty(self, c: Joint) -> Tensor:
        p = (c.s - STRETCH * math.log(-LOW / HIGH)).sigmoid()
        return self.strength * p * (1 - p)

    def settle(self, v: Tensor, c: Joint, rate: float) -> None:
        super().settle(v, c, rate)
        c.s.clamp_(math.log(1e-2), math.log(1e2))

    @staticmethod
    def expected(s: Tensor) -> Tensor:
        return (LOW + (HIGH - LOW) * s.sigmoid()).clamp(0.0, 1.0)


def _uniform(like: Tensor) -> Tensor:
    """Numbers in (0, 1), a function of the step's seed, which leaves the generator itself alone."""
    drawn = torch.rand(like.shape, generator=_own(), dtype=like.dtype)
    return drawn.clamp_(1e-6, 1 - 1e-6).to(like.device)


def _own() -> torch.Generator:
    """The engine seeds the default generator for every step: a copy of it."""
    return torch.Generator().manual_seed(torch.initial_seed())


@dataclass(frozen=True)
class Deterministic:
    """x <- x * E-gate(s) on the support: the network that hard concrete gates are evaluated as."""

    def __call__(self, oracle: Any, state: State) -> State:
        return restricted(state.but(x=state.x * HardConcrete.expected(state.slots[SCORES])))


# ---- variational dropout -------------------------------------------------------------------------------------------

K1, K2, K3 = 0.63576, 1.87320, 1.48695  # of the fit to the divergence


@dataclass(frozen=True)
class Variational(Scored):
    """Weights w + exp(s / 2) e, e ~ N(0, 1), anew in each step: s is the log variance of each weight.

    loss + strength_t sum_j KL_j,   KL = K1 - K1 sigmoid(K2 + K3 a) + log(1 + exp(-a)) / 2,   a = s - log w^2

    Molchanov, Ashukha and Vetrov (2017), "Variational dropout sparsifies deep neural networks". strength_t rises
    linearly over the first half of `steps`. s starts at -10; noise is drawn for weights and not for activations (no
    local reparametrisation: that is a matter of each layer's kind), so that one draw serves a batch.
    """

    steps: int = 1
    strength: float = 0.0
    start: float = -10.0
    optimiser: ClassVar[Momentum | Moments] = Moments()

    def first(self, state: State) -> Tensor:
        return torch.full_like(state.x, self.start)

    def weights(self, v: Tensor, c: Joint, out: Tensor) -> Tensor:
        e = torch.randn(v.shape, generator=_own(), dtype=v.dtype).to(v.device)
        c.bits = (c.s / 2).exp() * e  # here: the noise
        return torch.add(v, c.bits, out=out).mul_(c.mask)

    def gradient(self, g: Tensor, v: Tensor, c: Joint) -> None:
        strength = self.strength * min(1.0, (c.clock + 1) / max(1.0, self.steps / 2))
        variance, square = c.s.exp(), v * v
        p = (K2 + K3 * log_alpha(v, c.s)).sigmoid()
        bent = K1 * K3 * p * (1 - p)
        kl_s = -bent - square / (square + variance) / 2
        kl_v = (2 * bent / (v + (v == 0)) + v / (square + variance)) * (v != 0)
        c.slope = (g * c.bits / 2 + strength * kl_s) * c.mask
        g.add_(kl_v, alpha=strength).mul_(c.mask)


def log_alpha(w: Tensor, s: Tensor) -> Tensor:
    """log(variance / w^2)."""
    return s - 2 * w.abs().clamp_min(1e-12).log()


@dataclass(frozen=True)
class SignalToNoise:
    """-log alpha: log(w^2 / variance), large where a weight is certain."""

    def __call__(self, f: Any, state: State) -> Tensor:
        return -log_alpha(state.x, state.slots[SCORES])
