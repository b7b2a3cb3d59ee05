"""Moves: which coordinates? A move is a frozen dataclass called with (f, state); it returns the next support.

Moves rank coordinates by *scores*, which are called the same way and return one number a coordinate, and choose among
them through a *structure* (single elements, N:M, groups). How many is an integer or a schedule.

>>> Keep(10)                                    # the 10 largest weights of the current support
Keep(k=10, by=Magnitude(), structure=Elements())
>>> Swap(3)                                     # three smallest weights out, three largest gradients in
Swap(m=3, out=Magnitude(), into=Gradient(), structure=Elements())

`scores` and `selection` know x and the gradient; `exchanges` knows what a refit will give, by the algebra in `refits`.
"""

from __future__ import annotations

from sparsopt.moves.exchanges import Entry, Exchange, Exit, Splice
from sparsopt.moves.refits import Around, hessian_columns
from sparsopt.moves.scores import Gain, Gradient, Magnitude, Noisy, Random, Removal, Score
from sparsopt.moves.selection import Add, AddOrDrop, Choose, Drop, Everything, Keep, Move, Sample, Stay, Swap, Visit

__all__ = [
    "Add",
    "AddOrDrop",
    "Around",
    "Choose",
    "Drop",
    "Entry",
    "Everything",
    "Exchange",
    "Exit",
    "Gain",
    "Gradient",
    "Keep",
    "Magnitude",
    "Move",
    "Noisy",
    "Random",
    "Removal",
    "Sample",
    "Score",
    "Splice",
    "Stay",
    "Swap",
    "Visit",
    "hessian_columns",
]
