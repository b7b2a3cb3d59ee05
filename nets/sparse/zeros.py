"""A data set as its non-zero entries: a few bytes an entry, found once.

Four fifths of MNIST's bytes are zero. Normalisation makes other numbers of them, but always the same one at a place:
x_j = u_j + shift_j, u being scaled already, so what u does not have, x needs not be multiplied with.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from nets.data import Augmentation, Batches, DataSet
from sparsopt.state import Array

SAMPLED = 512  # samples whose zeros stand for all
MOSTLY = 0.5  # share of zeros from which it pays to list what is not


@dataclass(frozen=True)
class NonZeros:
    """Sample i has `values[ptr[i]:ptr[i + 1]]` at `places`, of `inputs` in all; x = value + shift."""

    inputs: int
    ptr: Array
    places: Array
    values: Array
    shift: Array

    def arrays(self) -> Any:
        """As kernels take them."""
        from nets.sparse.entries import Inputs

        return Inputs(self.ptr, self.places, self.values, self.shift)

    @classmethod
    def of(cls, data: DataSet, images: torch.Tensor) -> NonZeros:
        """Of some images of a data set on the CPU, uint8 or float32; found once, and forgotten with the data set."""
        known, key = _KNOWN.setdefault(data, {}), (images.data_ptr(), images.shape)
        if key not in known:
            known[key] = images, cls._found(data, images)  # images are held, so that their address stays theirs
        return known[key][1]

    @classmethod
    def _found(cls, data: DataSet, images: torch.Tensor) -> NonZeros:
        from nets.sparse.entries import entries

        flat = images.reshape(len(images), -1).numpy()
        count, inputs = int(np.count_nonzero(flat)), flat.shape[1]
        ptr = np.empty(len(flat) + 1, np.int64)
        places, values = np.empty(count, np.uint32 if inputs >> 16 else np.uint16), np.empty(count, np.float32)
        scale, shift = _scaling(data)
        entries(flat, scale, ptr, places, values)
        return cls(inputs, ptr, places, values, shift)


_KNOWN: weakref.WeakKeyDictionary[DataSet, dict[Any, tuple[torch.Tensor, NonZeros]]] = weakref.WeakKeyDictionary()


def skips(batches: Any) -> bool:
    """Whether batches are rows of a data set on the CPU as they are."""
    return (
        type(batches) is Batches
        and batches.augmentation == Augmentation()
        and batches.data.images.dtype in (torch.uint8, torch.float32)
        and batches.data.images.device.type == "cpu"
    )


def mostly_zero(data: DataSet) -> bool:
    """Whether so many numbers are zero that their list is the shorter description."""
    return share_of_zeros(data) >= MOSTLY


def rows_of(batches: Batches, first: int, steps: int) -> Array:
    """(steps, size) numbers of the samples of each batch."""
    rows = np.empty((steps, batches.size), np.int64)
    for t in range(steps):
        rows[t] = batches.rows(first + t).numpy()
    return rows


def in_order(count: int, size: int) -> Array:
    """(chunks, size) numbers of samples from 0 to count - 1; -1 is none."""
    rows = np.full(-(-count // size) * size, -1, np.int64)
    rows[:count] = np.arange(count)
    return rows.reshape(-1, size)


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
