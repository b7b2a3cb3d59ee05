"""Recipes: how a network is trained. Optimiser, learning rate and its schedule, batch, label smoothing, precision.

A recipe knows no data and no model. Learning-rate time is a fraction of the total, so that a recipe keeps its shape
when the budget changes.

    >>> Recipe(learning_rate=0.1, schedule=Milestones((0.5, 0.75), 0.1)).rate(60, total=100)
    0.010000000000000002
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from sparsopt.errors import InvalidInput

PRECISIONS = ("float32", "tfloat32", "bfloat16")
MEMORIES = ("contiguous", "channels_last")
RateSchedule = Callable[[float], float]  # progress in [0, 1) -> factor on the learning rate


# ---- learning-rate schedules ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Constant:
    """The learning rate stays."""

    def __call__(self, progress: float) -> float:
        return 1.0


@dataclass(frozen=True)
class Milestones:
    """Multiplied by `factor` at each fraction in `at` of the whole."""

    at: tuple[float, ...] = (0.5, 0.75)
    factor: float = 0.1

    def __call__(self, progress: float) -> float:
        return self.factor ** sum(progress >= t for t in self.at)


@dataclass(frozen=True)
class Cosine:
    """Half a cosine from 1 to `end` (Loshchilov and Hutter 2017, without restarts).

    end is not 0 by default, because fine-tuning goes on at the last rate.
    """

    end: float = 0.01

    def __call__(self, progress: float) -> float:
        return self.end + (1 - self.end) * (1 + math.cos(math.pi * progress)) / 2


@dataclass(frozen=True)
class Triangle:
    """From `start` up to 1 at the fraction `peak`, down to `end` at the end, linearly."""

    peak: float = 0.2
    start: float = 0.0
    end: float = 0.0

    def __call__(self, progress: float) -> float:
        if progress < self.peak:
            return self.start + (1 - self.start) * progress / self.peak
        return self.end + (1 - self.end) * (1 - progress) / (1 - self.peak)


@dataclass(frozen=True)
class WarmUp:
    """Linear from 0 over the first fraction `until`, then as `after`."""

    until: float
    after: RateSchedule

    def __call__(self, progress: float) -> float:
        return self.after(progress) * (progress / self.until if progress < self.until else 1.0)


# ---- optimisers ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SGD:
    """torch.optim.SGD. Weight decay acts on every parameter, as in the public codes."""

    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 1e-4

    def __post_init__(self) -> None:
        if not (0 <= self.momentum < 1 and 0 <= self.weight_decay < math.inf) or (self.nesterov and not self.momentum):
            raise InvalidInput(f"{self}: give 0 <= momentum < 1 (above 0 with nesterov) and weight_decay >= 0")

    @property
    def buffers(self) -> tuple[str, ...]:
        """Names of what the optimiser keeps for each parameter."""
        return ("momentum_buffer",) if self.momentum else ()

    def build(self, parameter: nn.Parameter) -> torch.optim.Optimizer:
        return torch.optim.SGD([parameter], 0.0, self.momentum, 0.0, self.weight_decay, self.nesterov, foreach=False)


@dataclass(frozen=True)
class Adam:
    """torch.optim.Adam; weight decay is added to the gradient (not AdamW)."""

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    buffers: ClassVar[tuple[str, ...]] = ("exp_avg", "exp_avg_sq")

    def __post_init__(self) -> None:
        if not (0 <= self.beta1 < 1 and 0 <= self.beta2 < 1 and self.epsilon > 0 and 0 <= self.weight_decay < math.inf):
            raise InvalidInput(f"{self}: give 0 <= beta < 1, epsilon > 0 and weight_decay >= 0")

    def build(self, parameter: nn.Parameter) -> torch.optim.Optimizer:
        betas = (self.beta1, self.beta2)
        return torch.optim.Adam([parameter], 0.0, betas, self.epsilon, self.weight_decay, foreach=False)


# ---- the recipe ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Recipe:
    """One way to train.

    precision  "float32"; "tfloat32": the same but for products on CUDA, of shortened numbers; "bfloat16" by autocast
    memory     order of images in memory: "contiguous" or "channels_last", which convolutions on CUDA prefer

    Both change the last digits or more, so they are named here and nowhere chosen silently.
    """

    learning_rate: float = 0.1
    schedule: RateSchedule = Milestones()
    optimiser: SGD | Adam = SGD()
    batch: int = 128
    label_smoothing: float = 0.0
    precision: str = "float32"
    memory: str = "contiguous"
    name: str = "default"

    def __post_init__(self) -> None:
        if not 0 <= self.learning_rate < math.inf:
            raise InvalidInput(f"learning_rate = {self.learning_rate}: give a finite number, at least 0")
        if self.batch < 1 or not 0 <= self.label_smoothing <= 1:
            raise InvalidInput(
                f"batch = {self.batch} must be at least 1, label_smoothing = {self.label_smoothing} in 0..1"
            )
        if self.precision not in PRECISIONS:
            raise InvalidInput(f"precision = {self.precision!r}: known are {', '.join(PRECISIONS)}")
        if self.memory not in MEMORIES:
            raise InvalidInput(f"memory = {self.memory!r}: known are {', '.join(MEMORIES)}")

    def rate(self, clock: int, total: int) -> float:
        """The learning rate of step `clock` (from 0) out of `total`; from `total` on, that of the last step."""
        return self.learning_rate * self.schedule(min(clock, total - 1) / total)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy, with the recipe's label smoothing."""
        return nn.functional.cross_entropy(outputs, targets, label_smoothing=self.label_smoothing)
