"""Frozen dataclasses as JSON and back: the header of a ticket's file.

Only the classes named here are ever built, from plain values, and what they do not accept is refused.

>>> decode(encode(Dense(2, 3))) == Dense(2, 3)
True
"""

from __future__ import annotations

import dataclasses
from typing import Any

from nets.strong_tickets import source
from nets.strong_tickets.constructions import OneMore, TwoForOne
from nets.strong_tickets.perturbed import Perturbed
from nets.strong_tickets.steps import (
    Activation,
    Conv,
    Dense,
    Flatten,
    MaxPool,
    MeanPool,
    MeanTokens,
    Residual,
    SelfAttention,
)
from nets.strong_tickets.structured import Structured
from sparsopt.errors import InvalidInput

KNOWN: dict[str, Any] = {
    kind.__name__: kind
    for kind in (
        *(Dense, Conv, Activation, MaxPool, MeanPool, Flatten, Residual, SelfAttention, MeanTokens),
        *(TwoForOne, OneMore, Structured, Perturbed),
        *(source.Uniform, source.Normal, source.Hyperbolic, source.Signs, source.Grid),
    )
}


def encode(thing: Any) -> Any:
    """Dataclasses as {"is": name, fields}, tuples as lists, numbers and strings as they are."""
    if type(thing).__name__ in KNOWN:
        fields = {f.name: encode(getattr(thing, f.name)) for f in dataclasses.fields(thing)}
        return {"is": type(thing).__name__, **fields}
    return [encode(part) for part in thing] if isinstance(thing, tuple) else thing


def decode(value: Any) -> Any:
    """What `encode` made. Raises InvalidInput for anything else."""
    if isinstance(value, list):
        return tuple(decode(part) for part in value)
    if not isinstance(value, dict):
        return value
    kind = KNOWN.get(value.get("is", ""))
    if kind is None:
        raise InvalidInput(f"unknown part {str(value.get('is'))[:40]!r}; known are {', '.join(KNOWN)}")
    try:
        made = kind(**{name: decode(part) for name, part in value.items() if name != "is"})
    except TypeError as error:
        raise InvalidInput(f"{kind.__name__}: {error}") from error
    for field in dataclasses.fields(made):
        _check(kind.__name__, field, getattr(made, field.name))
    return made


def _check(owner: str, field: Any, value: Any) -> None:
    allowed = {"int": int, "float": (int, float), "str": str, "int | None": (int, type(None)), "Distribution": object}
    expected = allowed.get(str(field.type), tuple)
    if not isinstance(value, expected) or isinstance(value, bool):
        raise InvalidInput(f"{owner}.{field.name} = {value!r} is no {field.type}")
