"""A masked perceptron as compressed rows, and back: what the kernels work on.

The kept weights of a layer, in the order of its weight tensor, are its compressed rows already; so `values` are the
entries of x on the support, layer by layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Rows:
    """Where the kept weights of all layers are.

    first   (L + 1,) first row of each layer, rows being counted through all layers
    ptr     (rows + 1,) where a row's weights start; cols: (k,) the unit each comes from, units being counted too
    starts, places, rows    the same by unit: unit u goes to rows[starts[u]:...] with weights places[starts[u]:...]
    """

    inputs: int
    first: NDArray[np.int64]
    ptr: NDArray[np.uint64]
    cols: NDArray[np.uint32]
    starts: NDArray[np.uint64]
    places: NDArray[np.uint32]
    rows: NDArray[np.uint32]

    @classmethod
    def of(cls, masks: Sequence[NDArray[np.bool_]]) -> Rows:
        """masks: (outputs, inputs) of each layer."""
        inputs, outputs = masks[0].shape[1], [mask.shape[0] for mask in masks]
        first = np.concatenate([[0], np.cumsum(outputs)]).astype(np.int64)
        unit = [0, *(inputs + first[:-2])]  # the first unit that feeds each layer
        pairs = [np.nonzero(mask) for mask in masks]
        row = np.concatenate([r + first[layer] for layer, (r, _) in enumerate(pairs)])
        col = np.concatenate([c + unit[layer] for layer, (_, c) in enumerate(pairs)])
        units = inputs + int(first[-1])
        ptr = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=int(first[-1])))])
        starts = np.concatenate([[0], np.cumsum(np.bincount(col, minlength=units))])
        places = np.argsort(col, kind="stable")
        return cls(
            inputs, first, ptr.astype(np.uint64), col.astype(np.uint32), starts.astype(np.uint64),
            places.astype(np.uint32), row[places].astype(np.uint32),
        )  # fmt: skip

    @property
    def units(self) -> int:
        return self.inputs + int(self.first[-1])
