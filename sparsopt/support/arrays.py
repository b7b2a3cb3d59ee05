"""What NumPy and Torch spell differently, for vectors `x` and supports.

>>> x = np.array([1.0, np.nan, 3.0])
>>> restrict(x, np.array([True, False, True]))
array([1., 0., 3.])
>>> count(everything(x)), finite(x)
(3, False)

A mask or vector made here is of the library, and on the device, of the one it is made from.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any

import numpy as np

from sparsopt.state import Array, Layout, Mask

__all__ = [
    "block_counts",
    "copy",
    "count",
    "digest",
    "everything",
    "finite",
    "is_tensor",
    "like",
    "nothing",
    "projection",
    "restrict",
    "square_norm",
    "to_numpy",
]


def everything(like: Array) -> Mask:
    """The full support, of the library and on the device of `like`."""
    if isinstance(like, np.ndarray):
        return np.ones(like.shape[0], dtype=bool)
    return like.new_ones((like.shape[0],), dtype=_torch_bool())


def nothing(like: Array) -> Mask:
    """The empty support, of the library and on the device of `like`."""
    if isinstance(like, np.ndarray):
        return np.zeros(like.shape[0], dtype=bool)
    return like.new_zeros((like.shape[0],), dtype=_torch_bool())


def count(support: Mask) -> int:
    """|S|."""
    if isinstance(support, np.ndarray):
        return int(np.count_nonzero(support))
    return int(support.count_nonzero())


def block_counts(support: Mask, layout: Layout) -> tuple[int, ...]:
    """|S| in each block of the layout."""
    return tuple(count(support[block]) for block in layout.slices)


def digest(support: Mask) -> str:
    """A short name of a support: equal supports, equal names, in both libraries."""
    return hashlib.blake2b(np.packbits(to_numpy(support)).tobytes(), digest_size=8).hexdigest()


def restrict(x: Array, support: Mask) -> Array:
    """x on the support, exact zeros elsewhere (not `x * S`, which would keep NaN and -0.0)."""
    if isinstance(x, np.ndarray):
        return np.where(support, x, x.dtype.type(0))
    return x.where(support, x.new_zeros(()))


def projection(x: Array, direction: np.ndarray) -> float:
    """The inner product of x, of any shape and type of number, with a direction (size of x,) in double precision."""
    flat = x.reshape(-1)
    return float(flat @ direction) if isinstance(x, np.ndarray) else float(flat.double() @ like(direction, x))


def copy(x: Array) -> Array:
    """A copy that shares nothing."""
    return x.copy() if isinstance(x, np.ndarray) else x.clone()


def square_norm(x: Array) -> float:
    """|x|^2 as a float; NaN or inf if x is not finite (or its norm overflows)."""
    return float(x @ x)


def finite(x: Array) -> bool:
    """Whether every entry is finite. The squared norm answers in one pass; only where that overflows, look again."""
    if math.isfinite(square_norm(x)):
        return True
    return bool(np.isfinite(to_numpy(x)).all())


def is_tensor(x: object) -> bool:
    """Whether x is a Torch tensor; asking loads no Torch."""
    return hasattr(x, "detach")


def to_numpy(x: Array) -> np.ndarray:
    """The same numbers as a NumPy array (shared memory where that is possible)."""
    if isinstance(x, np.ndarray):
        return x
    host = x.detach().cpu()
    return (host if host.dtype.itemsize >= 4 or host.dtype == _torch_bool() else host.float()).numpy()


def like(array: np.ndarray, other: Array) -> Array:
    """The same numbers in the library and on the device of `other`."""
    if isinstance(other, np.ndarray):
        return array
    import torch

    return torch.from_numpy(array).to(other.device)


def _torch_bool() -> Any:
    import torch

    return torch.bool
