"""The structure of row-wise pruning: every output keeps the same share of its weights.

>>> layout = Layout(("fc",), ((2, 3),))
>>> Rows()(np.array([9.0, 8.0, 7.0, 1.0, 2.0, 3.0]), 3, layout)
array([ True,  True, False, False, False,  True])
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sparsopt import support as sp
from sparsopt.errors import InvalidInput, NotFinite
from sparsopt.state import Array, Layout, Mask

__all__ = ["Rows", "as_mask", "divided"]


@dataclass(frozen=True)
class Rows:
    """The best coordinates of each row of each block (of each output: the first axis of a weight).

    `counts`, in all or one a block, are divided over rows in proportion to how many candidates each has (by largest
    remainder, ties to the first row), so that sizes are exact and no row is asked for more than it has.
    """

    def __call__(self, score: Array, counts: sp.Counts, layout: Layout, within: Mask | None = None) -> Mask:
        host = sp.to_numpy(score)
        allowed = np.ones(len(host), dtype=bool) if within is None else sp.to_numpy(within)
        if np.isnan(host[allowed]).any():
            raise NotFinite("Rows: a score is NaN, so no order exists; look at the weights it came from")
        chosen = np.zeros(len(host), dtype=bool)
        blocks = zip(layout.slices, layout.shapes, _per_block(counts, allowed, layout), strict=True)
        for block, shape, total in blocks:
            indices = np.arange(block.start, block.stop).reshape(shape[0], -1)
            kept = divided(total, allowed[indices].sum(axis=1))
            order = np.lexsort((-host[indices], ~allowed[indices]))  # candidates first, then by score, then in order
            first = np.arange(indices.shape[1]) < kept[:, None]
            chosen[np.take_along_axis(indices, order, axis=1)[first]] = True
        return as_mask(chosen, score)


def _per_block(counts: sp.Counts, allowed: Mask, layout: Layout) -> NDArray[np.intp]:
    sizes = np.array([np.count_nonzero(allowed[block]) for block in layout.slices])
    if isinstance(counts, (int, np.integer)):
        return divided(int(counts), sizes)
    if len(counts) != len(sizes):
        raise InvalidInput(f"Rows: {len(counts)} counts for {len(sizes)} blocks {layout.names}")
    return np.minimum(np.asarray(counts), sizes)


def divided(total: int, sizes: NDArray[np.intp]) -> NDArray[np.intp]:
    """Integers proportional to `sizes`, none above its size, that sum to min(total, sum of sizes) exactly.

    >>> divided(5, np.array([3, 3, 3]))
    array([2, 2, 1])
    """
    whole = int(sizes.sum())
    total = min(total, whole)
    products = total * sizes.astype(object) if total * whole > 2**62 else total * sizes
    counts = (products // max(whole, 1)).astype(np.intp)
    remainders = np.asarray(products - counts * whole)
    missing = total - int(counts.sum())
    counts[np.argsort(-remainders, kind="stable")[:missing]] += 1
    return counts


def as_mask(chosen: NDArray[np.bool_], like: Array) -> Mask:
    """A boolean NumPy array in the library and on the device of `like`."""
    if isinstance(like, np.ndarray):
        return chosen
    import torch

    return torch.from_numpy(chosen).to(like.device)
