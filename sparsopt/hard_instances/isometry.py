"""Where a restricted isometry constant decides: OMP fails just above the bound, and does not just below.

>>> above, below = sharp(4), sharp_below(4)
>>> above.solved(above.run(above.fails[0]).x), below.solved(below.run(below.succeeds[0]).x)
(False, True)
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sparsopt.catalogue import forward_greedy, omp
from sparsopt.errors import InvalidInput
from sparsopt.hard_instances.instance import HardInstance, backward, planted
from sparsopt.moves import Gradient
from sparsopt.problems import LeastSquares

__all__ = ["sharp", "sharp_below"]


def sharp(size: int = 4, epsilon: float = 0.01, seed: int = 0) -> HardInstance:
    """OMP's restricted isometry condition is sharp: unit columns, delta_{K+1} = (1 + epsilon)/sqrt(K), and it fails.

    Gram [[I_K, c 1], [c 1', 1]], c = (1 + epsilon)/K, b = the sum of the first K: the last column correlates K c >
    1 with b, the others 1. With delta_{K+1} < 1/sqrt(K), K >= 4, OMP cannot fail (Kim, Wang, Shim 2019; Wen et al.
    2017).
    """
    if not (size >= 2 and 0 < epsilon < math.sqrt(size) - 1):
        raise InvalidInput(f"sharp: K = {size}, epsilon = {epsilon}; choose K >= 2 and 0 < epsilon < sqrt(K) - 1")
    problem, truth = _sharp(size, 1 + epsilon, seed)
    fails = (omp(size), omp(size, by=Gradient()), forward_greedy(size))
    return HardInstance(
        "sharp", problem, size, truth, fails, (backward(problem, size),), "K c > 1: the wrong column first"
    )


def sharp_below(size: int = 4, epsilon: float = 0.01, seed: int = 0) -> HardInstance:
    """The same just below the threshold, c = (1 - epsilon)/K: OMP takes the first K columns, and is done."""
    if not (size >= 2 and 0 < epsilon < 1):
        raise InvalidInput(f"sharp_below: K = {size}, epsilon = {epsilon}; choose K >= 2 and 0 < epsilon < 1")
    problem, truth = _sharp(size, 1 - epsilon, seed)
    succeeds = (omp(size), omp(size, by=Gradient()), backward(problem, size))
    return HardInstance("sharp-below", problem, size, truth, (), succeeds, "K c < 1: the right columns first")


def _sharp(size: int, correlation: float, seed: int) -> tuple[LeastSquares, NDArray[np.bool_]]:
    c = correlation / size
    A = np.eye(size + 1)
    A[:size, size], A[size, size] = c, math.sqrt(1 - size * c * c)
    return planted(A, np.repeat([1.0, 0.0], [size, 1]), size, seed)
