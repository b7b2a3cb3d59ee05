"""Channels as what is prunable: the rule that puts all that produces them into x, found by looking at the module.

>>> nets.prune(model, data, "soft-filter-pruning", sparsity=0.4)                          # Channels() is its default
>>> nets.prune(model, data, my_method, sparsity=0.4, prunable=Channels(exclude=("stem.conv.weight",)))
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from nets.structured.groups import Filters
from nets.structured.tracing import Cut, trace
from nets.weights import Rule
from sparsopt.errors import InvalidInput
from sparsopt.state import Layout
from sparsopt.support import Elements, Structure

__all__ = ["Channels", "FoundChannels", "asked_for", "of_channels", "rule_of", "structure_of"]

KEEP_CHANNELS = ("reinit", "inverted")  # controls that leave channels whole
Anything = TypeVar("Anything")


@dataclass(frozen=True)
class Channels:
    """Every channel of a module that may go, but not those of tensors named in `exclude`.

    scaled: only channels that have the scale of a norm, as network slimming needs them.
    """

    exclude: tuple[str, ...] = ()
    scaled: bool = False

    def __call__(self, path: str, module: nn.Module, name: str) -> bool:
        raise InvalidInput(f"{self} must see the whole module first: give Channels().found(model, inputs)")

    def found(self, model: nn.Module, inputs: Tensor | tuple[int, ...]) -> FoundChannels:
        """The channels of this module. inputs: a batch, or the shape of one sample.

        Raises InvalidInput for a module that torch.fx cannot follow, or one without a channel that may go.
        """
        batch = inputs if isinstance(inputs, Tensor) else torch.zeros((2, *inputs))
        making = [cut for cut in trace(model, batch).cuts if cut.makes]
        refused = {c for cut in making if cut.name in self.exclude for c in cut.channels}
        if self.scaled:
            dimensions = {name: p.dim() for name, p in model.named_parameters()}
            scales = [cut for cut in making if dimensions[cut.name] == 1 and cut.name.endswith("weight")]
            refused |= {c for cut in making for c in cut.channels} - {c for cut in scales for c in cut.channels}
        while True:  # a tensor is in x as a whole or not at all
            left = [cut for cut in making if not refused & set(cut.channels)]
            more = {c for cut in making if cut not in left for c in cut.channels}
            if more <= refused:
                break
            refused |= more
        if not left:
            raise InvalidInput(
                f"{type(model).__name__} has no channel that {self} may remove: all of them reach its outputs, or "
                "something that does not keep zeros apart" + (", or have no batch norm" if self.scaled else "")
            )
        return FoundChannels(tuple(cut for cut in left if min(cut.channels) >= 0))


@dataclass(frozen=True)
class FoundChannels:
    """The rule (module, parameter) -> prunable of a module whose channels are known, and the structure they give x."""

    making: tuple[Cut, ...]

    def __call__(self, path: str, module: nn.Module, name: str) -> bool:
        return f"{path}.{name}".lstrip(".") in {cut.name for cut in self.making}

    def structure(self, layout: Layout) -> Filters:
        """The structure of x; channels are numbered by the order in which x has them."""
        of = {cut.name: cut.channels for cut in self.making}
        rows = [of[name] for name in layout.names]
        number: dict[int, int] = {}
        layers: list[int] = []
        for place, row in enumerate(rows):
            for channel in row:
                if number.setdefault(channel, len(layers)) == len(layers):
                    layers.append(place)
        widths = tuple(size // len(row) for size, row in zip(layout.sizes, rows, strict=True))
        return Filters(tuple(tuple(number[c] for c in row) for row in rows), widths, tuple(layers))


def of_channels(rule: Channels) -> Callable[[Anything], Anything]:
    """Marks an entry of the catalogue: unless told otherwise it prunes these channels, and its k counts them."""

    def mark(entry: Anything) -> Anything:
        entry.prunable = rule  # type: ignore[attr-defined]
        return entry

    return mark


def _asked(entry: Any) -> tuple[Any, list[str]]:
    """What an entry is marked with, and the controls that it is under."""
    under = []
    while hasattr(entry, "of"):
        under.append(entry.control)
        entry = entry.of
    return getattr(entry, "prunable", None), under


def asked_for(entry: Any) -> Rule | None:
    """The channels that an entry of the catalogue asks for; None for one that prunes single weights."""
    return _asked(entry)[0]


def rule_of(entry: Any, given: Rule | None, otherwise: Rule, model: Any, inputs: tuple[int, ...]) -> Rule:
    """The rule of a run: the one given, the entry's own, or another; if it must see the module (or seed -> module)
    first, what it has found there."""
    rule = given or asked_for(entry) or otherwise
    look = getattr(rule, "found", None)
    return rule if look is None else look(model if isinstance(model, nn.Module) else model(0), inputs)


def structure_of(entry: Any, rule: Rule, layout: Layout) -> Structure:
    """What k counts: channels, if entry and rule are about channels, else single weights."""
    own, (asked, under) = getattr(rule, "structure", None), _asked(entry)
    if own is None or asked is None:
        return Elements()
    single = [control for control in under if control not in KEEP_CHANNELS]
    if single:
        raise InvalidInput(
            f"'+{single[0]}' moves single weights; the controls of channels are {', '.join(KEEP_CHANNELS)}"
        )
    return own(layout)
