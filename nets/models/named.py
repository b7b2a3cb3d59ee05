"""A model by its name, as a function of the seed that also knows its narrower relatives.

>>> model = Named("lenet-300-100", (1, 28, 28))
>>> sum(p.numel() for p in model(seed=0).parameters())
266610
>>> model.weights(), model.narrower(26_620).weights()          # a tenth of the weights, as nearly as widths allow
(266200, 26345)
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from torch import nn

from nets.models.blocks import Shape
from nets.models.building import build, shape_only
from nets.weights import ConvolutionsAndLinear, Rule, Weights

__all__ = ["Named"]

HALVINGS = 24  # of the interval that is searched for a width


@dataclass(frozen=True)
class Named:
    """seed -> model. The fields are the arguments of `nets.models.build`."""

    name: str
    inputs: Shape | None = None
    classes: int = 10
    width: float = 1.0
    init: str = "kaiming-normal"
    dropout: float = 0.0

    def __call__(self, seed: int) -> nn.Module:
        return build(
            self.name, self.inputs, self.classes, seed, self.width, init=self.init, dropout=self.dropout
        )  # fmt: skip

    def weights(self, prunable: Rule = ConvolutionsAndLinear()) -> int:
        """The number of prunable weights."""
        return Weights(shape_only(self.name, self.inputs, self.classes, self.width), prunable).layout.n

    def narrower(self, weights: int, prunable: Rule = ConvolutionsAndLinear()) -> Named:
        """The relative whose number of prunable weights is nearest to `weights`, of two as near the narrower one.

        Widths are rounded to whole units layer by layer, so that only some numbers occur; the narrowest network has one
        unit a layer. Bisection on the width: the number of weights never falls with it.
        """
        low, high = 0.0, self.width
        narrowest = dataclasses.replace(self, width=1e-9)
        below, above = narrowest.weights(prunable), self.weights(prunable)
        best = narrowest
        for _ in range(HALVINGS):
            if below == above:
                break
            middle = dataclasses.replace(self, width=(low + high) / 2)
            count = middle.weights(prunable)
            if count <= weights:
                low, below, best = middle.width, count, middle
            else:
                high, above = middle.width, count
        return best if weights - below <= above - weights else dataclasses.replace(self, width=high)
