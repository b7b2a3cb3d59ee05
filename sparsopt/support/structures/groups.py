"""Coordinates that go in together: labelled `Groups`, or the `Rows` of a matrix; k counts groups.

>>> Groups((0, 1, 0, 1))(np.array([3.0, 1.0, 0.0, 1.0]), 1, Layout.single(4))
array([ True, False,  True, False])
>>> Rows(2)(np.array([3.0, 1.0, 0.0, 1.0]), 1, Layout.single(4))
array([ True,  True, False, False])
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sparsopt.errors import InvalidInput
from sparsopt.state import Array, Layout, Mask
from sparsopt.support.arrays import like, nothing, to_numpy
from sparsopt.support.largest import top
from sparsopt.support.structures.base import Counts, one_count

__all__ = ["Groups", "Rows", "group_norms"]


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


@dataclass(frozen=True)
class Rows:
    """`width` consecutive coordinates are one: the row of a feature in a matrix of coefficients, ranked by its norm.

    The same as `Groups` with such labels, at the cost of one pass.
    """

    width: int

    def __post_init__(self) -> None:
        if self.width < 1:
            raise InvalidInput(f"Rows: width = {self.width}; give the number of coefficients in a row, >= 1")

    def size(self, support: Mask) -> int:
        """The number of rows with a coordinate in the support."""
        return int(support.reshape(-1, self.width).any(1).sum())

    def most(self, k: int) -> int:
        return k * self.width

    def units(self, n: int) -> np.ndarray:
        """The row of each coordinate."""
        return np.arange(n) // self.width

    def __call__(self, score: Array, counts: Counts, layout: Layout, within: Mask | None = None) -> Mask:
        if score.shape[0] % self.width:
            raise InvalidInput(f"{self}: {score.shape[0]} coordinates are not a number of rows")
        norms = (score * score).reshape(-1, self.width).sum(1) ** 0.5
        allowed = None if within is None else within.reshape(-1, self.width).any(1)
        chosen = top(norms, one_count(self, counts), allowed)
        return (chosen.reshape(-1, 1) | nothing(score[: self.width]).reshape(1, -1)).reshape(-1)
