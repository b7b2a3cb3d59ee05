"""Is it the channels, or only their number? The small network trained from scratch (Rethinking the value of pruning).

    >>> from nets.structured.scratch import scratch
    >>> small = shrink(outcome.model, outcome.masks, images)
    >>> scratch(small, data, epochs=20, budget="equal-flops", recipe=recipe).accuracy

*scratch-E* trains it for as many epochs as the large network had, *scratch-B* for as many operations: its epochs are
multiplied by what a forward pass costs before, divided by what it costs after.

Liu, Sun, Zhou, Huang and Darrell (2019), "Rethinking the value of network pruning".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from nets.data import DataSet
from nets.outcome import Outcome
from nets.structured.shrinking import Shrunk
from nets.training import redrawn
from sparsopt.names import lookup

__all__ = ["BUDGETS", "scratch"]

BUDGETS: dict[str, Callable[[Shrunk], float]] = {
    "equal-epochs": lambda small: 1.0,
    "equal-flops": lambda small: small.flops[0] / small.flops[1],
}


def scratch(
    small: Shrunk, data: DataSet, epochs: float, budget: str = "equal-flops", seed: int = 0, **options: Any
) -> Outcome:
    """The small network of `shrink`, its layers drawn anew (a function of the seed), trained densely.

    epochs: of one training of the large network; budget: "equal-epochs" (scratch-E) or "equal-flops" (scratch-B);
    options: those of `nets.prune`, such as recipe.
    """
    import nets  # which imports this package

    longer = lookup(BUDGETS, budget, "budget of scratch training")(small)

    def build(seed: int) -> nn.Module:
        return redrawn(small.model, seed)

    return nets.prune(build, data, "dense", 0.0, epochs=epochs * longer, seed=seed, **options)
