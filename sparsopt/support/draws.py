"""Random numbers: pure functions of a key (seed, position), the same in both libraries and after a resume.

>>> uniform((0, 1), np.zeros(2)).round(2) == uniform((0, 1), np.zeros(2)).round(2)
array([ True,  True])
>>> draw_counts(np.array([1.0, 0.0, 1.0]), 10, (0,)).sum()
np.float64(10.0)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sparsopt.state import Array
from sparsopt.support.arrays import like, to_numpy

__all__ = ["draw_counts", "uniform"]


def uniform(key: Sequence[int], other: Array) -> Array:
    """n uniform numbers on [0, 1) where `other` has n, a pure function of `key`, the same in both libraries."""
    return like(np.random.default_rng(tuple(key)).random(other.shape[0]), other)


def draw_counts(x: Array, k: int, key: Sequence[int]) -> Array:
    """How often each coordinate is hit by k independent draws j ~ |x_j| / |x|_1, a pure function of (x, k, key)."""
    size = np.abs(to_numpy(x)).astype(float)
    hits = np.zeros(len(size))
    if size.any():
        cumulative = np.cumsum(size / size.max())  # scaled, so that subnormals and huge numbers survive the sum
        draws = np.random.default_rng(tuple(key)).random(k) * cumulative[-1]
        last = int(np.flatnonzero(size)[-1])  # a draw may round up to the very end
        np.add.at(hits, np.minimum(np.searchsorted(cumulative, draws, side="right"), last), 1.0)
    return hits.astype(x.dtype) if isinstance(x, np.ndarray) else x.new_tensor(hits)
