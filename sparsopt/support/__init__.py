"""Supports: boolean masks with exactly the size that was asked for.

A support is a boolean vector `S` of the length of `x`. `top` chooses one: the k largest scores, ties broken by the
lowest index, so that |S| = k whatever ties, zeros, signed zeros or subnormals the scores hold, and the same S for a
NumPy array, a Torch tensor on the CPU and one on a GPU.

>>> top(np.array([3.0, 1.0, 3.0, 3.0]), 2)
array([ True, False,  True, False])

A *structure* says which supports are allowed: single `Elements`, `NM` (n of every m consecutive), whole `Groups` and
more. It takes counts globally (one integer) or one a block of the layout (a sequence):

>>> Elements()(np.array([3.0, 2.0, 1.0, 0.5]), (1, 1), Layout(("a", "b"), ((2,), (2,))))
array([ True, False,  True, False])

`arrays` is what NumPy and Torch spell differently, `largest` the choice, `structures` what is chosen from, `draws` the
random numbers. This is the only folder in `sparsopt` that knows NumPy from Torch; everything else uses operators and
these functions.
"""

from __future__ import annotations

from sparsopt.support.arrays import (
    block_counts,
    copy,
    count,
    digest,
    everything,
    finite,
    is_tensor,
    like,
    nothing,
    projection,
    restrict,
    square_norm,
    to_numpy,
)
from sparsopt.support.draws import draw_counts, uniform
from sparsopt.support.largest import top
from sparsopt.support.structures import (
    NM,
    Always,
    Counts,
    Elements,
    Groups,
    PerGroup,
    Rows,
    Structure,
    allows,
    extended,
    group_norms,
    most,
    size,
    unit_labels,
    units,
)

__all__ = [
    "NM",
    "Always",
    "Counts",
    "Elements",
    "Groups",
    "PerGroup",
    "Rows",
    "Structure",
    "allows",
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
    "most",
    "nothing",
    "projection",
    "restrict",
    "size",
    "square_norm",
    "to_numpy",
    "top",
    "uniform",
    "unit_labels",
    "units",
]
