"""The same f with other rules for supports: groups, at most m of a group, columns that are always in.

>>> from sparsopt.problems import Quadratic
>>> problem = Quadratic(np.eye(4), np.array([3.0, 2.0, 2.5, 0.0]))
>>> sparsopt.solve(problem, 2).x, sparsopt.solve(per_group(problem, [0, 0, 0, 1], 1), 2).x
(array([3. , 0. , 2.5, 0. ]), array([3., 0., 0., 0.]))
>>> sparsopt.solve(grouped(problem, [0, 0, 1, 1]), 1).x  # k counts groups
array([3., 2., 0., 0.])
>>> sparsopt.solve(preselected(problem, [1]), 2).x
array([3., 2., 0., 0.])
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np

from sparsopt.errors import InvalidInput
from sparsopt.support import Always, Elements, Groups, PerGroup, Structure, unit_labels

__all__ = ["grouped", "per_group", "preselected"]


def grouped(problem: Any, labels: Sequence[int]) -> Any:
    """The problem with supports of whole groups; k counts groups.

    labels: (p,) one number >= 0 a coordinate. Selection rules rank a group by the sum of its gains, or by the norm of
    its gradient or weights. Lower bounds hold for every support with as many coordinates as the k largest groups.
    """
    return _with(problem, Groups(_labels(problem, labels)))


def per_group(problem: Any, labels: Sequence[int], m: int) -> Any:
    """The problem with at most m coordinates of each group; k counts coordinates.

    labels: (p,) one number >= 0 a coordinate. Fewer than k are selected where the groups have no room for more.
    """
    return _with(problem, PerGroup(_labels(problem, labels), m))


def preselected(problem: Any, columns: Sequence[int]) -> Any:
    """The problem with some columns in every support. They count towards k, so k must be at least their number.

    columns: their numbers; groups or rows of coefficients where the problem counts those. Such a column is selected,
    and its coefficient fitted (and penalised by the ridge) like any other.
    """
    structure = problem.structure
    units = unit_labels(structure, problem.layout.n)
    wanted = np.asarray(columns)
    if wanted.size and (wanted.dtype.kind not in "iu" or wanted.min() < 0 or wanted.max() > units.max()):
        raise InvalidInput(f"columns = {list(columns)[:10]}; numbers from 0 to {units.max()} are needed")
    chosen = np.flatnonzero(np.isin(units, wanted))
    if isinstance(structure, Always):
        return _with(problem, Always((*structure.coordinates, *chosen.tolist()), structure.inner))
    return _with(problem, Always(tuple(chosen.tolist()), structure))


def _labels(problem: Any, labels: Sequence[int]) -> tuple[int, ...]:
    if problem.structure != Elements():
        raise InvalidInput(
            f"{problem!r} already has the structure {type(problem.structure).__name__}; start from the plain problem "
            "(preselected() may come last)"
        )
    found = np.asarray(labels)
    if found.shape != (problem.layout.n,) or found.dtype.kind not in "iu" or found.min() < 0:
        raise InvalidInput(
            f"labels have shape {found.shape} and type {found.dtype}; {problem.layout.n} integers >= 0, one a "
            "coordinate, are needed"
        )
    return tuple(found.tolist())


def _with(problem: Any, structure: Structure) -> Any:
    new = copy.copy(problem)
    new.structure = structure
    return new
