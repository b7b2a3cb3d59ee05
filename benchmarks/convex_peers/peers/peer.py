"""What an entry is, and what several packages need."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Solve = Callable[[Any, Any, int, str, float], NDArray[Any]]
BOTH, SQUARES = ("squares", "logistic"), ("squares",)


@dataclass(frozen=True)
class Peer:
    """A method of another package. module: what has to be importable; settings: how it is called, in a line."""

    name: str
    module: str
    losses: tuple[str, ...]
    settings: str
    solve: Solve
    most: int = 10**9  # numbers in X beyond which it is not asked (minutes, or more memory than there is)
    widest: int = 10**9  # columns


def labels(y: NDArray[Any]) -> NDArray[Any]:
    """-1 and 1 for 0 and 1."""
    return 2 * y - 1


def first_with(k: int, path: Iterable[NDArray[Any]]) -> NDArray[Any]:
    """The first point of a path that has k non-zeros, else the last one."""
    point = np.empty(0)
    for point in path:
        if np.count_nonzero(point) >= k:
            break
    return np.asarray(point)


def largest(points: Iterable[NDArray[Any]], k: int) -> NDArray[Any]:
    """The point with most non-zeros up to k."""
    return max((point for point in points if np.count_nonzero(point) <= k), key=np.count_nonzero)
