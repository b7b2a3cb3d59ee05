"""The network methods, one short entry each, built from sparsopt's moves, schedules and catalogue.

An entry takes a `Plan` (which weights there are, how many to keep, how long one training is, and how one trains) and
returns a `Method`. Where the convex catalogue has the method, the entry calls it and passes `Train(...)` as the fit.

    >>> plan = Plan(Layout(("fc",), ((10, 784),)), k=784, steps=1000)
    >>> METHODS["imp"](plan).name
    'imp'

T is `plan.steps`, the length of one training; every entry says how many trainings it costs. One file a family, each
with the names it contributes in its own `METHODS`.
"""

from __future__ import annotations

from nets.catalogue import (
    at_initialisation,
    compressible,
    deconstructed,
    inertial,
    one_shot,
    regularised,
    relaxed,
    replacement,
    retraining,
    searches,
    second_order,
    structured,
    thresholding,
)
from nets.controls import CONTROLS, Controlled
from nets.plan import Entry, Plan, cost, within
from sparsopt.names import lookup

__all__ = ["METHODS", "Entry", "Plan", "cost", "find", "within"]

FAMILIES = (
    at_initialisation,
    retraining,
    replacement,
    thresholding,
    compressible,
    regularised,
    relaxed,
    searches,
    second_order,
    deconstructed,
    structured,
    one_shot,
    inertial,
)

METHODS: dict[str, Entry] = {name: entry for family in FAMILIES for name, entry in family.METHODS.items()}


def find(name: str) -> Entry:
    """The entry of a name: "imp", or "imp+reinit"; several controls apply from left to right.

    Raises InvalidInput with the nearest names for a method or control that is not known.
    """
    method, *controls = name.split("+")
    entry = lookup(METHODS, method, "network method")
    for control in controls:
        lookup(CONTROLS, control, "control")
        entry = Controlled(entry, control)
    return entry
