"""At most m coordinates of each group; k counts coordinates.

>>> PerGroup((0, 0, 1, 1), 1)(np.array([3.0, 2.0, 1.0, 0.5]), 2, Layout.single(4))
array([ True, False,  True, False])
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sparsopt.errors import InvalidInput, NotFinite
from sparsopt.state import Array, Layout, Mask
from sparsopt.support.arrays import like, to_numpy
from sparsopt.support.largest import top
from sparsopt.support.structures.base import Counts, one_count

__all__ = ["PerGroup"]


@dataclass(frozen=True)
class PerGroup:
    """At most m coordinates of each group, of equal scores the first; k counts coordinates.

    labels: one non-negative group number a coordinate. Fewer than k are chosen where the groups have no room for more.
    """

    labels: tuple[int, ...]
    m: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", tuple(int(label) for label in self.labels))
        if self.m < 1 or min(self.labels, default=0) < 0:
            raise InvalidInput(f"PerGroup: at most m = {self.m} of each group; give m >= 1 and labels >= 0")
        object.__setattr__(self, "_labels", np.asarray(self.labels, dtype=np.intp))

    def __call__(self, score: Array, counts: Counts, layout: Layout, within: Mask | None = None) -> Mask:
        return self._best(score, one_count(self, counts), within, np.zeros(0, dtype=np.intp))

    def extend(self, score: Array, m: int, layout: Layout, support: Mask) -> Mask:
        """The support and the m best for which their groups have room."""
        inside = self.__dict__["_labels"][to_numpy(support)]
        return support | self._best(score, m, ~support, inside)

    def _best(self, score: Array, k: int, within: Mask | None, inside: np.ndarray) -> Mask:
        """The k best of those that are among the first of their group, as many as it has room for."""
        labels: np.ndarray = self.__dict__["_labels"]
        if labels.shape != (score.shape[0],):
            raise InvalidInput(f"PerGroup: {labels.shape[0]} labels for {score.shape[0]} coordinates")
        host = to_numpy(score)
        free = np.arange(host.size) if within is None else np.flatnonzero(to_numpy(within))
        if np.isnan(host[free]).any():
            raise NotFinite("PerGroup: a score is NaN, so no order exists; look at the gradient or the weights")
        room = self.m - np.bincount(inside, minlength=int(labels.max(initial=0)) + 1)
        order = free[np.lexsort((-host[free], labels[free]))]  # by group, the best first; stable: ties to the lowest
        first = np.searchsorted(labels[order], labels[order])
        allowed = np.zeros(host.size, dtype=bool)
        allowed[order[np.arange(order.size) - first < room[labels[order]]]] = True
        return like(top(host, k, allowed), score)
