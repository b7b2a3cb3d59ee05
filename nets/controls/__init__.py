"""Controls: the sanity checks that every claim about a mask has to survive, for every method.

A control turns a method into another one. Its name follows the method's after a "+":

    >>> nets.prune(model, data, method="imp+reinit")        # IMP's mask, fresh weights, one training
    >>> nets.prune(model, data, method="snip+shuffle")      # SNIP's layer counts at random places, the first weights
    >>> CONTROLS["inverted"](method, plan)                  # a Method of one's own

| name        | mask                             | weights before the closing training                                 |
|-------------|----------------------------------|---------------------------------------------------------------------|
| reinit      | the method's                     | fresh ones (Frankle and Carbin 2019)                                |
| shuffle     | its layer counts, random places  | those that the run began with (Frankle et al. 2021)                 |
| random-mask | its layer counts, random places  | fresh ones: all that is left of the method are its layer densities  |
| inverted    | by the negative of every score   | as the method has them (Frankle et al. 2021)                        |
| small-dense | all of a narrower network        | its first ones; as many weights, and as many steps, as the method's |

The first three run the method until its mask is final, drop whatever it would train after that, and train T steps.
A method that prunes at initialisation therefore costs as much as its control. With one seed shuffle and random-mask
have the same places and differ in weights only.
"""

from __future__ import annotations

from nets.controls.fits import Reinitialise, Restart, reinitialised
from nets.controls.moves import Inverted, Shuffle, Worst, inverted
from nets.controls.wrappers import CONTROLS, Control, Controlled, until_mask

__all__ = [
    "CONTROLS",
    "Control",
    "Controlled",
    "Inverted",
    "Reinitialise",
    "Restart",
    "Shuffle",
    "Worst",
    "inverted",
    "reinitialised",
    "until_mask",
]
