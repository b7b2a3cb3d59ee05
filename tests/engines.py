"""What the tests of engines share: a method that only trains, and a module with everything that is odd."""

from __future__ import annotations

import torch
from torch import nn

from nets.recipe import Recipe
from nets.training import Train
from sparsopt.method import Method, Phase, Stage
from sparsopt.moves import Choose, Everything, Random
from tests.networks import MOMENTUM


def static(steps: int, recipe: Recipe = MOMENTUM, k: int | None = None) -> Method:
    phases = (Phase(Everything() if k is None else Choose(k, Random()), Train(steps, recipe)),)
    return Method("static", (Stage(phases),))


class Odd(nn.Module):
    """Buffers of every kind, and a parameter that the loss does not see."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.unused = nn.Linear(36, 6), nn.Linear(6, 3), nn.Linear(5, 5)
        self.register_buffer("nothing", None)
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64), persistent=False)
        self.register_buffer("scale", torch.ones(6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.calls = self.calls + 1  # replaced, not changed in place
            self.scale.mul_(0.99)
        return self.b(self.a(x.flatten(1)).relu() * self.scale)
