"""What controls do to weights: fresh ones, or those that the run began with. Optimiser and clock start anew.

>>> Phase(Stay(), Reinitialise())        # the mask stays, everything else is drawn from another seed
>>> Phase(Shuffle(), Restart())          # another mask, and the weights that the run began with
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nets import seeds
from nets.recipe import Recipe
from nets.training import Train
from sparsopt.fits import OPTIMISER, restricted
from sparsopt.method import Method, Phase, Stage
from sparsopt.moves import Stay
from sparsopt.state import State

__all__ = ["Reinitialise", "Restart", "reinitialised"]


@dataclass(frozen=True)
class Reinitialise:
    """Fresh weights, rest and buffers from another seed on the present support; optimiser and clock start anew.

    The random re-initialisation control of Frankle and Carbin (2019).
    """

    salt: int = 1
    needs = ("fresh",)

    def __call__(self, oracle: Any, state: State) -> State:
        return _from(oracle.fresh(seeds.mixed("reinitialise", state.seed, self.salt)), state)


@dataclass(frozen=True)
class Restart:
    """Weights, rest and buffers as this run began, on the present support; optimiser and clock start anew."""

    needs = ("start",)

    def __call__(self, oracle: Any, state: State) -> State:
        return _from(oracle.start(state.seed), state)


def _from(start: State, state: State) -> State:
    kept = {name: a for name, a in state.slots.items() if name not in start.slots and not name.startswith(OPTIMISER)}
    return restricted(state.but(x=start.x, slots={**kept, **start.slots}, clock=0))


def reinitialised(steps: int, recipe: Recipe) -> Method:
    """Re-initialise on the support that was found, then train. Added to a method it is that method's control."""
    stage = Stage((Phase(Stay(), Reinitialise()), Phase(Stay(), Train(steps, recipe))))
    return Method("reinitialised", (stage,), "Frankle, Carbin (2019)")
