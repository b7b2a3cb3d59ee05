"""Schedules: how many coordinates a round keeps or moves. All of them land on their end exactly.

A schedule is called with (round, layout) and returns one integer, or one integer a block. Wherever a move takes a
count, a plain integer will do too.

>>> from sparsopt.state import Layout
>>> [Geometric(1000, 100, 5)(r, Layout.single(1000)) for r in range(6)]
[631, 398, 251, 158, 100, 100]
>>> ERK(30)(0, Layout(("wide", "square"), ((100, 2), (10, 10))))
(25, 5)
"""

from __future__ import annotations

from sparsopt.schedules.over_blocks import ERK, Falling, Rates, RatesTo, SmartRatio, Uniform, times
from sparsopt.schedules.over_rounds import Cosine, Counts, Cubic, Decay, Geometric, Held, Linear, Schedule, amount

__all__ = [
    "ERK",
    "Cosine",
    "Counts",
    "Cubic",
    "Decay",
    "Falling",
    "Geometric",
    "Held",
    "Linear",
    "Rates",
    "RatesTo",
    "Schedule",
    "SmartRatio",
    "Uniform",
    "amount",
    "times",
]
