"""Best-first search with the bound of `relaxation` at every node.

A node is a pair of masks: coordinates that are in, coordinates that are out. Its bound also says which of the others
must be in or out (screening), and which support looks best (a new incumbent, perhaps); what is left is split on one
free coordinate.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from sparsopt.branch_and_bound.incumbent import Incumbent
from sparsopt.branch_and_bound.relaxation import Bound, Relaxation
from sparsopt.branch_and_bound.splitting import Flags

__all__ = ["Node", "best_first", "dearest", "undecided"]

Split = Callable[[Relaxation, Bound, Flags, Flags], int]


@dataclass(frozen=True, order=True)
class Node:
    """A part of the space that is still open; ordered by its bound."""

    value: float
    number: int
    bound: Bound = field(compare=False)
    inside: Flags = field(compare=False)
    outside: Flags = field(compare=False)


def dearest(relaxation: Relaxation, bound: Bound, inside: Flags, free: Flags) -> int:
    """The free coordinate of largest t, whose absence costs most: one child is often closed at once."""
    return int(np.argmax(np.where(free, bound.t, -1.0)))


def undecided(relaxation: Relaxation, bound: Bound, inside: Flags, free: Flags) -> int:
    """The free coordinate that the relaxation takes by half: at its minimiser z_j^2 = min(D_j u_j^2 / t_(k), 1)."""
    places = relaxation.k - int(np.count_nonzero(inside))
    level = float(np.sort(bound.t[free])[-min(places, np.count_nonzero(free))]) if places > 0 else 1.0
    z = np.sqrt(relaxation.curvature * bound.u**2 / max(level, 1e-300))
    known = free & np.isfinite(z)
    if not known.any():  # the relaxation has broken down
        return int(np.argmax(free))
    distance = np.where(known, np.abs(np.minimum(z, 1.0) - 0.5), np.inf)
    nearest = distance <= distance.min() * (1 + 1e-9)
    return int(np.argmax(np.where(nearest, bound.t, -1.0)))


def best_first(
    relaxation: Relaxation, found: Incumbent, most: float = math.inf, split: Split = undecided
) -> list[Node]:
    """Splits until nothing is open, `most` nodes were made, or `found` is spent; returns what is open.

    Improves `found`, and closes in it what is done with.
    """
    numbers = itertools.count()
    none = np.zeros(relaxation.p, dtype=bool)
    heap: list[Node] = []
    _visit(relaxation, found, heap, none, none, None, next(numbers))
    while heap and next(numbers) < most and not found.spent:
        node = heapq.heappop(heap)
        inside, outside = relaxation.screened(node.bound, node.inside, node.outside, found.target)
        free = ~(inside | outside)
        if node.value >= found.target:
            continue
        if not free.any():
            _visit(relaxation, found, heap, inside, outside, node.bound, next(numbers))
            continue
        j = split(relaxation, node.bound, inside, free)
        within, without = inside.copy(), outside.copy()
        within[j] = without[j] = True
        _visit(relaxation, found, heap, within, outside, node.bound, next(numbers))
        _visit(relaxation, found, heap, inside, without, node.bound, next(numbers))
    return [node for node in heap if node.value < found.target]


def _visit(
    relaxation: Relaxation,
    found: Incumbent,
    heap: list[Node],
    inside: Flags,
    outside: Flags,
    near: Bound | None,
    number: int,
) -> None:
    """Bounds a part of the space, and closes it or puts it on the heap."""
    found.nodes += 1
    places = relaxation.k - int(np.count_nonzero(inside))
    if places < 0:
        return  # more must be in than may be: nothing here is below the target
    bound = relaxation.solve(inside, outside, found.target, near)
    free = ~(inside | outside)
    if places == 0 or np.count_nonzero(free) <= places:
        found.offer(bound.u.astype(relaxation.problem.dtype), float(relaxation.problem.value(bound.u)))
        found.close(bound.value)
        return
    found.try_support(_best_support(bound, inside, free, places))
    if bound.value < found.target:
        inside, outside = relaxation.screened(bound, inside, outside, found.target)
        if np.count_nonzero(inside) <= relaxation.k:
            heapq.heappush(heap, Node(bound.value, number, bound, inside, outside))


def _best_support(bound: Bound, inside: Flags, free: Flags, places: int) -> Flags:
    """What is in, and the free coordinates of largest t."""
    score = np.where(free, bound.t, -1.0)
    support = inside.copy()
    support[np.argpartition(score, score.size - places)[score.size - places :]] = True
    return support
