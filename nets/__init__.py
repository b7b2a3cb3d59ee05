"""Pruning neural networks with the same algorithm objects as `sparsopt`'s convex solvers.

>>> outcome = nets.prune(model, data, method="imp", sparsity=0.9)
>>> print(outcome)
"""

from __future__ import annotations

from sparsopt.machine.interrupts import at_once, starting

with at_once("nets", when=starting()):  # PyTorch takes seconds
    from nets import controls, data, export, models
    from nets.catalogue import METHODS, Plan
    from nets.prune import Outcome, prune
    from nets.recipe import Recipe
    from nets.training import Network, Train

__all__ = ["Network", "Outcome", "Plan", "Recipe", "Train", "controls", "data", "export", "methods", "models", "prune"]


def methods() -> dict[str, str]:
    """Names of the network methods and one line on each."""
    return {name: (entry.__doc__ or "").strip().splitlines()[0] for name, entry in METHODS.items()}
