"""What a search has found: the best point so far, and what is proved about everything it has finished with."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np

from sparsopt.branch_and_bound.splitting import Flags
from sparsopt.errors import InvalidInput
from sparsopt.state import Array

__all__ = ["Incumbent", "check_budget"]

TOLERANCE = 0.5e-10  # what counts as equal, relative to the larger of |f(x)| and |f(0)|


def check_budget(seconds: Any, nodes: Any = None) -> None:
    """Raises `InvalidInput` for seconds that are no number >= 0 (infinity is one), nodes that are no integer >= 0."""
    real = isinstance(seconds, (int, float, np.number)) and not isinstance(seconds, bool)
    if not (real and seconds >= 0):
        raise InvalidInput(f"seconds = {seconds!r}; give a number >= 0, or math.inf for as long as it takes")
    whole = isinstance(nodes, (int, np.integer)) and not isinstance(nodes, bool)
    if nodes is not None and not (whole and nodes >= 0):
        raise InvalidInput(f"nodes = {nodes!r}; give an integer >= 0, or None for any number")


class Incumbent:
    """The best point of a search, and the lowest bound among the parts of the space that were closed.

    A part may be closed once its lower bound reaches `target`, which is a little below the best value. Whatever the
    points are, `closed` and `target` say what was proved: no w in a closed part has f(w) < min(target, closed).
    """

    def __init__(self, problem: Any, x: Array, value: float, seconds: float, nodes: int | None) -> None:
        self.problem, self.x, self.value = problem, x, value
        self.scale = abs(float(problem.value(np.zeros_like(x))))
        self.closed = math.inf
        self.deadline, self.nodes_left = time.perf_counter() + seconds, math.inf if nodes is None else nodes
        self.nodes = 0
        self.seen: set[bytes] = set()

    @property
    def target(self) -> float:
        return self.value - TOLERANCE * max(abs(self.value), self.scale)

    @property
    def spent(self) -> bool:
        """Whether time or nodes are used up."""
        return self.nodes >= self.nodes_left or time.perf_counter() > self.deadline

    def offer(self, x: Array, value: float) -> None:
        """Keeps a point if it is better."""
        if value < self.value:
            self.x, self.value = x, value

    def try_support(self, support: Flags) -> None:
        """Minimises on a support, once."""
        key = np.packbits(support).tobytes()
        if key not in self.seen:
            self.seen.add(key)
            self.offer(*self.problem.minimise_on(support, None))

    def close(self, bound: float) -> None:
        """A part of the space is done with; nothing in it is below `bound`."""
        self.closed = min(self.closed, bound)
