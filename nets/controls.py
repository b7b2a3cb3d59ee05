"""Controls: the sanity checks that every claim about a mask has to survive.

A control is made of the same parts as a method: `Reinitialise` is a fit. `method + reinitialised(steps, recipe)` asks
whether the mask alone, with fresh weights, trains as well as the mask with the weights it was found with.
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


@dataclass(frozen=True)
class Reinitialise:
    """Fresh weights, rest and buffers from another seed on the present support; optimiser and clock start anew.

    The random re-initialisation control of Frankle and Carbin (2019).
    """

    salt: int = 1
    needs = ("fresh",)

    def __call__(self, oracle: Any, state: State) -> State:
        fresh = oracle.fresh(seeds.mixed("reinitialise", state.seed, self.salt))
        kept = {
            name: a for name, a in state.slots.items() if name not in fresh.slots and not name.startswith(OPTIMISER)
        }
        return restricted(state.but(x=fresh.x, slots={**kept, **fresh.slots}, clock=0))


def reinitialised(steps: int, recipe: Recipe) -> Method:
    """Re-initialise on the support that was found, then train. Added to a method it is that method's control."""
    stage = Stage((Phase(Stay(), Reinitialise()), Phase(Stay(), Train(steps, recipe))))
    return Method("reinitialised", (stage,), "Frankle, Carbin (2019)")
