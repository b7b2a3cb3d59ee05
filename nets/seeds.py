"""Random numbers as functions of a position, never a stream that a resumed run could shift.

A position is a few integers and words, such as `("augmentation", seed, step)`. It is hashed (splitmix64; Steele, Lea
and Flood 2014, "Fast splittable pseudorandom number generators") and the hash seeds a generator, or is the number:

    >>> from nets import seeds
    >>> seeds.mixed("permutation", 0, 3) == seeds.mixed("permutation", 0, 3)
    True
    >>> import torch
    >>> a, b = (torch.rand(2, generator=seeds.generator("weights", 7)) for _ in range(2))
    >>> bool((a == b).all())
    True

The hash is needed, not an ornament: PyTorch's CPU generator keeps 32 bits of its seed, so that seeds 0 and 2**32 would
otherwise be the same run.
"""

from __future__ import annotations

import zlib

import numpy as np
import torch
from numpy.typing import NDArray

GOLDEN = 0x9E3779B97F4A7C15  # 2**64 / golden ratio, splitmix64's increment
MASK = (1 << 64) - 1


def mixed(*position: int | str) -> int:
    """A 64-bit hash of the position, the same on every machine and in every version."""
    state = 0
    for part in position:
        word = zlib.crc32(part.encode()) if isinstance(part, str) else int(part)
        state = _finalised((state ^ (word & MASK)) + GOLDEN & MASK)
    return state


def generator(*position: int | str) -> torch.Generator:
    """A CPU generator seeded by the position: CPU, so that runs on every device see the same draws."""
    return torch.Generator().manual_seed(mixed(*position))


def keys(count: int, *position: int | str) -> NDArray[np.uint64]:
    """(count,) hashes, one an index. Sorting by them is a shuffle that no library version changes."""
    with np.errstate(over="ignore"):
        z = np.uint64(mixed(*position)) + np.uint64(GOLDEN) * np.arange(1, count + 1, dtype=np.uint64)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _finalised(z: int) -> int:
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & MASK
    return z ^ (z >> 31)
