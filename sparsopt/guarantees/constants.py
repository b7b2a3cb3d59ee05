"""Smoothness and strong convexity of a problem, on the sets that a theorem talks about.

>>> from sparsopt.problems import Quadratic
>>> problem = Quadratic(np.diag([1.0, 2.0, 4.0]), np.ones(3))
>>> constants = Constants(problem, Setting())
>>> constants.smoothness(1), round(constants.strong_convexity(np.array([False, True, True])), 9)
(4.0, 2.0)
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from sparsopt.guarantees.variations import Setting
from sparsopt.state import Array, Mask

__all__ = ["Constants", "roots"]

MOST_PAIRS = 100  # groups up to this number are looked at in pairs
MOST_BLOCK = 1000  # coordinates up to which the eigenvalues of a block are computed


class Constants:
    """Smoothness and strong convexity of f on the sets that a theorem talks about.

    For quadratics and least squares they are eigenvalues of blocks of the Hessian; otherwise what
    `problem.smoothness(r)` and `problem.strong_convexity(r)` promise for all supports of r coordinates: sound, and
    larger and smaller. root: (p,) f is looked at as a function of u_j = x_j root_j; with the roots of the curvatures
    (`unit_curvature`) that is where rules by gain and removal are rules by gradient and magnitude.
    """

    def __init__(self, problem: Any, setting: Setting, root: Array | None = None) -> None:
        self.problem, self.setting = problem, setting
        self.root = np.ones(problem.layout.n) if root is None else root
        labels = setting.group_of(problem.layout.n)
        self.groups = [np.flatnonzero(labels == label) for label in np.unique(labels)]
        self.quadratic = hasattr(problem, "hessian_block")

    @classmethod
    def unit_curvature(cls, problem: Any, setting: Setting) -> Constants:
        """Those of f in units in which every curvature is 1."""
        return cls(problem, setting, roots(problem))

    def smoothness(self, units: int) -> float:
        """beta: f is that smooth along every union of `units` (1 or 2) groups."""
        units = min(units, len(self.groups))
        size = sum(sorted((len(group) for group in self.groups), reverse=True)[:units])
        most = float(np.max(self.problem.curvature() / self.root**2))
        if size == 1:
            return most
        if self.quadratic and size == 2 == units and len(self.groups) <= 2 * MOST_BLOCK:
            return self._of_pairs()
        if not self.quadratic or math.comb(len(self.groups), units) > MOST_PAIRS * MOST_PAIRS / 2:
            return min(float(self.problem.smoothness(size)) / float(np.min(self.root)) ** 2, size * most)
        unions = itertools.combinations(self.groups, units)
        return max(self._of_block(np.concatenate(union))[1] for union in unions)

    def strong_convexity(self, support: Mask) -> float:
        """lambda of f restricted to this support, not below 0."""
        size = int(np.count_nonzero(support))
        if not size:
            return math.inf
        if not self.quadratic or size > MOST_BLOCK:
            return max(float(self.problem.strong_convexity(size)), 0.0) / float(np.max(self.root)) ** 2
        return max(self.spectrum(support)[0], 0.0)

    def isometry(self, support: Mask) -> tuple[float, float]:
        """(delta, c): all eigenvalues on this support are between (1 - delta) c and (1 + delta) c. Quadratics only."""
        low, high = self.spectrum(support)
        return (high - low) / (high + low), (high + low) / 2

    def spectrum(self, support: Mask) -> tuple[float, float]:
        """The smallest and the largest eigenvalue of the Hessian on this support. Quadratics only."""
        return self._of_block(np.flatnonzero(support))

    def _of_pairs(self) -> float:
        """The largest eigenvalue on any two coordinates, (a + b)/2 + sqrt((a - b)^2/4 + c^2)."""
        p = self.problem.layout.n
        H = self.problem.hessian_block(np.arange(p)) / np.outer(self.root, self.root)
        h = np.diagonal(H)
        largest = (h[:, None] + h) / 2 + np.hypot((h[:, None] - h) / 2, np.where(np.eye(p, dtype=bool), 0.0, H))
        return float(largest.max()) * (1 + 50 * float(np.finfo(self.problem.dtype).eps))

    def _of_block(self, indices: Array) -> tuple[float, float]:
        """Extreme eigenvalues of the block, moved outwards by their rounding."""
        block = self.problem.hessian_block(indices) / np.outer(self.root[indices], self.root[indices])
        values = np.linalg.eigvalsh((block + block.T) / 2)
        slack = 50 * float(np.finfo(self.problem.dtype).eps) * len(values) * abs(values[-1])
        return float(values[0] - slack), float(values[-1] + slack)


def roots(problem: Any) -> Array:
    """sqrt(h_j), (p,); 1 where f does not depend on a coordinate."""
    h = np.asarray(problem.curvature(), dtype=float)
    return np.sqrt(np.where(h > 0, h, 1.0))
