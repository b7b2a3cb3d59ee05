"""Non-zero entries of samples, compiled by Numba: found, and put where a step wants them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np

FLAGS: dict[str, Any] = {
    "nogil": True,
    "cache": True,
    "fastmath": True,
    "boundscheck": False,
    "error_model": "numpy",
}


class Inputs(NamedTuple):
    """Non-zero entries of all samples, one sample after the other: `zeros.NonZeros`."""

    ptr: Any
    places: Any
    values: Any
    shift: Any


@numba.njit(**FLAGS)
def entries(samples, scale, ptr, places, values):  # type: ignore[no-untyped-def]
    """Non-zero entries of samples (N, n), times `scale`, into arrays that are long enough."""
    p = 0
    for i in range(len(samples)):
        ptr[i] = p
        for j in range(samples.shape[1]):
            if samples[i, j] != 0:
                places[p], values[p] = j, scale[j] * np.float32(samples[i, j])
                p += 1
    ptr[len(samples)] = p


@numba.njit(**FLAGS)
def spread(rows, inputs, units):  # type: ignore[no-untyped-def]
    """units[j, b] = input j of sample rows[b]."""
    for j in range(len(inputs.shift)):
        units[j, :] = inputs.shift[j]
    for b in range(len(rows)):
        n = np.uint64(rows[b])
        for i in range(np.uint64(inputs.ptr[n]), np.uint64(inputs.ptr[n + np.uint64(1)])):
            units[np.uint64(inputs.places[i]), b] += inputs.values[i]
