"""What a hard instance is: a problem, its answer, the methods that provably fail and those that provably do not.

>>> problem, truth = planted(np.eye(3), np.array([1.0, 0.0, 0.0]), 1, seed=0)
>>> int(truth.sum()), round(float(problem.minimise_on(truth)[1]), 12)
(1, 0.0)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsopt.catalogue import backward_elimination
from sparsopt.method import Method, run
from sparsopt.problems import LeastSquares
from sparsopt.result import Result
from sparsopt.schedules import Linear
from sparsopt.state import State

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

__all__ = ["HardInstance"]


@dataclass(frozen=True, eq=False)
class HardInstance:
    """A problem with a known good support and what is proved about methods on it.

    truth: (p,) boolean, the support to compete with, |truth| <= k. fails, succeeds: methods built for this k.
    start: the state from which they run (None: x = 0).
    """

    name: str
    problem: Any
    k: int
    truth: NDArray[np.bool_]
    fails: tuple[Method, ...]
    succeeds: tuple[Method, ...]
    why: str
    start: State | None = None

    @property
    def target(self) -> float:
        """min f on the truth."""
        return float(self.problem.minimise_on(self.truth, None)[1])

    def solved(self, x: Vector) -> bool:
        """Whether f(x) is down to the target, up to 1e-9 of f(0)."""
        return self.problem.value(x) <= self.target + 1e-9 * self.problem.value(np.zeros_like(x))

    def run(self, method: Method, seed: int = 0) -> Result:
        """The method from this instance's start."""
        return run(method, self.problem, self.problem.start(seed) if self.start is None else self.start)


def planted(A: Matrix, b: Vector, s: int, seed: int) -> tuple[LeastSquares, NDArray[np.bool_]]:
    """Least squares with value |A w - b|^2 / 2, columns reordered and signed; the support of the first s columns."""
    order, signs = _order(A.shape[1], seed)
    root = math.sqrt(len(b))
    return LeastSquares(root * A[:, order] * signs, root * b), order < s


def _order(p: int, seed: int) -> tuple[NDArray[np.intp], Vector]:
    random = np.random.default_rng([seed, p])
    return random.permutation(p), random.choice([-1.0, 1.0], p)


def backward(problem: LeastSquares, k: int) -> Method:
    """One coordinate at a time. Square invertible A: the unrestricted minimiser is zero off the truth, or diagonal."""
    p = problem.layout.n
    return backward_elimination(Linear(p, k, p - k))
