"""A data set as its non-zero entries: a few bytes an entry, found once.

Four fifths of MNIST's bytes are zero. Normalisation makes other numbers of them, but always the same one at a place:
x_j = u_j + shift_j, u being scaled already, so what u does not have, x needs not be multiplied with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from nets.data import DataSet
from sparsopt.state import Array

SAMPLED = 512  # samples whose zeros stand for all


@dataclass(frozen=True)
class NonZeros:
    """Sample i has `values[ptr[i]:ptr[i + 1]]` at `places`, of `inputs` in all; x = value + shift."""

    inputs: int
    ptr: Array
    places: Array
    values: Array
    shift: Array

    @classmethod
    def of(cls, data: DataSet, images: torch.Tensor) -> NonZeros:
        """Of some images of a data set on the CPU, uint8 or float32."""
        from nets.sparse.skipping_kernels import entries

        flat = images.reshape(len(images), -1).numpy()
        count, inputs = int(np.count_nonzero(flat)), flat.shape[1]
        ptr = np.empty(len(flat) + 1, np.int64)
        places, values = np.empty(count, np.uint32 if inputs >> 16 else np.uint16), np.empty(count, np.float32)
        scale, shift = _scaling(data)
        entries(flat, scale, ptr, places, values)
        return cls(inputs, ptr, places, values, shift)


def share_of_zeros(data: DataSet) -> float:
    """Of the numbers of the first training images, how many are zero before they are normalised."""
    return float((data.images[:SAMPLED] == 0).float().mean())


def _scaling(data: DataSet) -> tuple[Any, Any]:
    """scale and shift of each input, (inputs,) float32."""
    found = data.scaling(torch.device("cpu"), torch.float32)
    if found is None:
        found = torch.ones(()), torch.zeros(())
    scale, shift = (part.expand(data.inputs).reshape(-1).numpy().copy() for part in found)
    return scale, shift
