"""Supports: boolean masks with exactly the size that was asked for.

A support is a boolean vector `S` of the length of `x`. `top` chooses one: the k largest scores, ties broken by the
lowest index, so that |S| = k whatever ties, zeros, signed zeros or subnormals the scores hold, and the same S for a
NumPy array, a Torch tensor on the CPU and one on a GPU.

>>> top(np.array([3.0, 1.0, 3.0, 3.0]), 2)
array([ True, False,  True, False])

A *structure* says which supports are allowed: single `Elements`, `NM` (n of every m consecutive), or whole `Groups`.
It takes counts globally (one integer) or one a block of the layout (a sequence):

>>> Elements()(np.array([3.0, 2.0, 1.0, 0.5]), (1, 1), Layout(("a", "b"), ((2,), (2,))))
array([ True, False,  True, False])

This is the only file in `sparsopt` that knows NumPy from Torch; everything else uses operators and these functions.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsopt.errors import InvalidInput, NotFinite
from sparsopt.state import Array, Layout, Mask

Counts = int | Sequence[int]
Structure = Callable[..., Mask]  # (score, counts, layout, within=None) -> support

__all__ = [
    "NM",
    "Counts",
    "Elements",
    "Groups",
    "Structure",
    "block_counts",
    "copy",
    "count",
    "digest",
    "draw_counts",
    "everything",
    "extended",
    "finite",
    "group_norms",
    "is_tensor",
    "like",
    "nothing",
    "projection",
    "restrict",
    "size",
    "square_norm",
    "to_numpy",
    "top",
    "uniform",
]


# ---- the choice ----------------------------------------------------------------------------------------------------


def top(score: Array, k: int, within: Mask | None = None) -> Mask:
    """The support of the k largest entries of `score`, ties to the lowest index.

    score: (n,) NumPy array or Torch tensor; within: (n,) boolean, candidates (default: all). k above the number of
    candidates selects them all. Costs one partition and two passes. Raises `InvalidInput` for k < 0 or a score that is
    not a vector, `NotFinite` if a NaN would have to be compared.
    """
    if score.ndim != 1:
        raise InvalidInput(f"top: score has shape {tuple(score.shape)}; a vector (n,) is needed")
    if k < 0:
        raise InvalidInput(f"top: k = {k} is negative; choose 0 <= k <= {score.shape[0]}")
    if within is not None:
        return _top_within(score, k, within)
    if k == 0:
        return nothing(score)
    if k >= score.shape[0]:
        return everything(score)
    if isinstance(score, np.ndarray):
        return _top_numpy(score, k)
    if score.device.type == "cpu":  # the memory is shared: one implementation, one answer
        import torch

        host = score.detach() if score.dtype.itemsize >= 4 else score.detach().float()
        return torch.from_numpy(_top_numpy(host.numpy(), k))
    return _top_torch(score, k)


def _top_numpy(score: np.ndarray, k: int) -> np.ndarray:
    chosen = np.zeros(score.shape[0], dtype=bool)
    if k == 1:  # argmax already takes the lowest index, and a NaN if there is one
        best = int(score.argmax())
        _refuse_nan(score[best] != score[best])
        chosen[best] = True
        return chosen
    tail = np.partition(score, score.shape[0] - k)[score.shape[0] - k :]  # NaN sorts last: it would be in here
    threshold = tail[0]
    _refuse_nan(bool(np.isnan(tail).any()))
    np.greater(score, threshold, out=chosen)
    missing = k - int(np.count_nonzero(chosen))
    chosen[np.flatnonzero(score == threshold)[:missing]] = True
    return chosen


def _top_torch(score: Any, k: int) -> Any:
    """The same by Torch operations, for tensors that NumPy cannot see. `topk` alone breaks ties in any order."""
    threshold = score.topk(k, sorted=False).values.min()  # NaN counts as the largest, and min() propagates it
    _refuse_nan(bool(threshold.isnan()))
    chosen = score > threshold
    tied = score == threshold
    return chosen | (tied & (tied.cumsum(0) <= k - chosen.sum()))


def _top_within(score: Array, k: int, within: Mask) -> Mask:
    chosen = nothing(score)
    candidates = within.nonzero()[0] if isinstance(within, np.ndarray) else within.nonzero().squeeze(1)
    chosen[candidates[top(score[candidates], k)]] = True
    return chosen


def _refuse_nan(found: bool) -> None:
    if found:
        raise NotFinite("top: a score is NaN, so no order exists; look at the gradient or the weights it came from")


# ---- structures ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Elements:
    """Single coordinates. `counts` is one integer (globally) or one a block."""

    def __call__(self, score: Array, counts: Counts, layout: Layout, within: Mask | None = None) -> Mask:
        if isinstance(counts, (int, np.integer)):
            return top(score, int(counts), within)
        if len(counts) != len(layout.names):
            raise InvalidInput(f"Elements: {len(counts)} counts for {len(layout.names)} blocks {layout.names}")
        chosen = nothing(score)
        for k, block in zip(counts, layout.slices, strict=True):
            chosen[block] = top(score[block], int(k), None if within is None else within[block])
        return chosen


@dataclass(frozen=True)
class NM:
    """At most n of every m consecutive coordinates along each block's N:M axis (`layout.axes`).

    The counts follow from the structure, so those passed are ignored, and moves that change a support by a number of
    coordinates (Add, Drop, Swap) refuse it. A block whose axis m does not divide is kept whole, as hardware has no
    such pattern for it.
    """

    n: int
    m: int
    fixed = True  # the counts are

    def __post_init__(self) -> None:
        if not 0 <= self.n <= self.m or self.m < 1:
            raise InvalidInput(f"{self}: n of every m needs 0 <= n <= m and m >= 1, for example NM(2, 4)")

    def __call__(self, score: Array, counts: Counts, layout: Layout, within: Mask | None = None) -> Mask:
        chosen = everything(score) if within is None else copy(within)
        for block, shape, axis in zip(layout.slices, layout.shapes, layout.axes, strict=True):
            if shape[axis] % self.m == 0:
                allowed = None if within is None else within[block]
                chosen[block] = self._block(score[block], shape, axis, allowed)
        return chosen

    def _block(self, score: Array, shape: tuple[int, ...], axis: int, within: Mask | None) -> Mask:
        host = to_numpy(score).reshape(shape)
        allowed = np.ones(shape, dtype=bool) if within is None else to_numpy(within).reshape(shape)
        rows, candidates = (np.moveaxis(array, axis, -1).reshape(-1, self.m) for array in (host, allowed))
        _refuse_nan(bool(np.isnan(rows[candidates]).any()))
        order = np.lexsort((-rows, ~candidates))  # candidates first, then by score; stable: ties to the lowest index
        kept = np.zeros(rows.shape, dtype=bool)
        np.put_along_axis(kept, order[:, : self.n], True, axis=1)
        moved = np.moveaxis(host, axis, -1).shape
        kept = np.moveaxis((kept & candidates).reshape(moved), -1, axis)
        return like(np.ascontiguousarray(kept).reshape(-1), score)


@dataclass(frozen=True)
class Groups:
    """Whole groups, ranked by the Euclidean norm of their scores; counts are numbers of groups.

    labels: one non-negative group number a coordinate. A group with a coordinate in `within` is a candidate, and is
    selected whole.
    """

    labels: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", tuple(int(label) for label in self.labels))
        if min(self.labels, default=0) < 0:
            raise InvalidInput(f"Groups: label {min(self.labels)} is negative; number the groups from 0")
        object.__setattr__(self, "_labels", np.asarray(self.labels, dtype=np.intp))

    def size(self, support: Mask) -> int:
        """The number of groups with a coordinate in the support."""
        return len(np.unique(self.units(0)[to_numpy(support)]))

    def most(self, k: int) -> int:
        """How many coordinates k groups can hold."""
        return int(np.sort(np.bincount(self.units(0)))[::-1][:k].sum())

    def units(self, n: int) -> np.ndarray:
        """The group of each coordinate."""
        return self.__dict__["_labels"]

    def __call__(self, score: Array, counts: Counts, layout: Layout, within: Mask | None = None) -> Mask:
        labels = self.units(score.shape[0])
        if labels.shape != (score.shape[0],):
            raise InvalidInput(f"Groups: {labels.shape[0]} labels for {score.shape[0]} coordinates")
        if not isinstance(counts, (int, np.integer)):
            raise InvalidInput("Groups: counts one a block are not defined; give one number of groups")
        norms = group_norms(to_numpy(score), labels)
        allowed = np.bincount(labels, None if within is None else to_numpy(within)) > 0
        return like(top(norms, int(counts), allowed)[labels], score)


def group_norms(score: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Euclidean norm of the scores of each group, by group number. A group with an infinite score has norm inf."""
    return np.sqrt(np.bincount(labels, weights=np.square(score)))


# ---- what the two libraries spell differently ----------------------------------------------------------------------


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


def _torch_bool() -> Any:
    import torch

    return torch.bool


def count(support: Mask) -> int:
    """|S|."""
    if isinstance(support, np.ndarray):
        return int(np.count_nonzero(support))
    return int(support.count_nonzero())


def size(structure: Structure, support: Mask) -> int:
    """|S| in the structure's own units: coordinates, or what its method `size` counts (whole groups)."""
    own = getattr(structure, "size", None)
    return count(support) if own is None else own(support)


def extended(structure: Structure, score: Array, counts: Counts, layout: Layout, support: Mask) -> Mask:
    """S and the best so many outside it; a structure for which that depends on what is in S has a method `extend`."""
    own = getattr(structure, "extend", None)
    return support | structure(score, counts, layout, ~support) if own is None else own(score, counts, layout, support)


def block_counts(support: Mask, layout: Layout) -> tuple[int, ...]:
    """|S| in each block of the layout."""
    return tuple(count(support[block]) for block in layout.slices)


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


def digest(support: Mask) -> str:
    """A short name of a support: equal supports, equal names, in both libraries."""
    return hashlib.blake2b(np.packbits(to_numpy(support)).tobytes(), digest_size=8).hexdigest()
