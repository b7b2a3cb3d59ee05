"""What may be asked of any structure: a hook of its own answers, or what holds for single coordinates.

>>> from sparsopt.support import Elements, Groups, Rows
>>> most(Rows(3), 2), most(Elements(), 2)
(6, 2)
>>> size(Groups((0, 0, 1)), np.array([True, True, False])), size(Elements(), np.array([True, True, False]))
(1, 2)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sparsopt.errors import InvalidInput
from sparsopt.state import Array, Layout, Mask
from sparsopt.support.arrays import count, to_numpy

Counts = int | Sequence[int]
Structure = Callable[..., Mask]  # (score, counts, layout, within=None) -> support

__all__ = ["Counts", "Structure", "allows", "extended", "most", "one_count", "size", "unit_labels", "units"]


def size(structure: Structure, support: Mask) -> int:
    """|S| in the structure's own units: coordinates, or what its method `size` counts (whole groups)."""
    own = getattr(structure, "size", None)
    return count(support) if own is None else own(support)


def extended(structure: Structure, score: Array, counts: Counts, layout: Layout, support: Mask) -> Mask:
    """S and the best so many outside it; a structure for which that depends on what is in S has a method `extend`."""
    own = getattr(structure, "extend", None)
    return support | structure(score, counts, layout, ~support) if own is None else own(score, counts, layout, support)


def most(structure: Structure, k: int) -> int:
    """How many coordinates a support of size k can hold."""
    own = getattr(structure, "most", None)
    return k if own is None else own(k)


def unit_labels(structure: Structure, n: int) -> np.ndarray:
    """For each of n coordinates the number of what it is counted with."""
    own = getattr(structure, "units", None)
    return np.arange(n) if own is None else own(n)


def units(problem: Any) -> int:
    """How many of what k counts there are: coordinates, groups or rows."""
    structure: Any = getattr(problem, "structure", None)  # without one, k counts coordinates
    return int(unit_labels(structure, problem.layout.n).max(initial=-1)) + 1


def allows(structure: Structure, support: Mask, k: int, layout: Layout) -> bool:
    """Whether a support has at most size k and is what the structure would make of it."""
    score = np.ones(support.shape[0])
    return bool((structure(score, k, layout, to_numpy(support)) == to_numpy(support)).all())


def one_count(structure: Structure, counts: Counts) -> int:
    """The counts, for a structure that only knows one number of them."""
    if not isinstance(counts, (int, np.integer)):
        raise InvalidInput(f"{type(structure).__name__}: counts one a block are not defined; give one number")
    return int(counts)
