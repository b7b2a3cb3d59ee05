"""What constructions share: the tensors of a pair of layers, and how masked layers run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from nets.strong_tickets.gadget import Gadget
from nets.strong_tickets.source import Distribution, Floats, Frozen, Mask, Source
from sparsopt.errors import InvalidInput

Masks = Mapping[str, Mask]


def at_least_one(**numbers: int | None) -> None:
    for name, number in numbers.items():
        if number is not None and number < 1:
            raise InvalidInput(f"{name} = {number}: at least 1")


def row_sum(weight: Floats) -> float:
    """The largest sum of absolute weights of one output: how much a layer can amplify an error in the sup norm."""
    return float(np.abs(weight.reshape(len(weight), -1)).sum(axis=1).max(initial=0.0))


def masked(source: Source, name: str, mask: Mask) -> Any:
    """mask * source: a SciPy sparse matrix for two dimensions, an array for four."""
    kept = np.flatnonzero(mask)
    values = source.values(name, kept)
    if mask.ndim == 2:
        from scipy.sparse import csr_matrix

        return csr_matrix((values, np.divmod(kept, mask.shape[1])), shape=mask.shape)
    weight = np.zeros(mask.size)
    weight[kept] = values
    return weight.reshape(mask.shape)


def pair(g: Gadget, first: Distribution, second: Distribution, density: float, locked: float) -> tuple[Frozen, Frozen]:
    return (
        Frozen(g.first, (g.units, g.inputs + 1), first, density),
        Frozen(g.second, (g.outputs, g.units, *g.taps), second, density, locked),
    )


def run_pair(g: Gadget, step: Any, source: Source, masks: Masks, x: Floats) -> Floats:
    """V phi(U [x; 1]) with the masked tensors."""
    first, wide = masked(source, g.first, masks[g.first]), step.with_one(x)
    wide = np.moveaxis(wide, 1, -1) if g.taps else wide  # a 1 x 1 convolution: a matrix on the channel axis
    hidden = np.asarray((first @ wide.reshape(-1, wide.shape[-1]).T).T).reshape(*wide.shape[:-1], g.units)
    hidden = np.moveaxis(hidden, -1, 1) if g.taps else hidden
    return step.linear(masked(source, g.second, masks[g.second]), g.kind.function(hidden))
