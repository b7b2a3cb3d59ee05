"""Units in which every coordinate has curvature 1, u_j = x_j sqrt(h_j): there the scale of a column means nothing.

A step of one length for all coordinates and "the k largest weights" depend on the units of the data's columns. In u
they do not: a length t becomes t / h_j for coordinate j, and the largest |u_j| are the largest x_j^2 h_j (`Removal`).

>>> from sparsopt.problems import Quadratic
>>> problem = Quadratic(np.diag([1.0, 100.0]), np.array([1.0, 1.0]))
>>> PerCurvature(1.0)(problem, problem.start(0), problem.gradient(np.zeros(2)))
array([1.  , 0.01])
>>> round(problem.smoothness(), 6), round(relative_smoothness(problem), 6)
(100.0, 1.0)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsopt.fits.step_sizes import StepSize, step_length
from sparsopt.state import Array, State

__all__ = ["PerCurvature", "View", "relative_smoothness"]


def relative_smoothness(f: Any, s: int | None = None) -> float:
    """L with v'H(x) v <= L sum_j h_j v_j^2 for every v (with at most s non-zeros, if given): the smoothness in u.

    The smallest of three bounds: f's own `relative_smoothness()`, smoothness(s) / min h, and the number of coordinates,
    which needs no more than |H_ij| <= sqrt(h_i h_j). Relative smoothness: Lu, Freund, Nesterov (2018).
    """
    h = np.asarray(f.curvature(), dtype=np.float64)
    h = h[h > 0]
    if not h.size:
        return 0.0
    own = [f.relative_smoothness()] if hasattr(f, "relative_smoothness") else []
    size = h.size if s is None else min(s, h.size)
    return float(min(*own, f.smoothness(s) / float(h.min()), size))


class View:
    """f as a function of u, as far as rules for step lengths ask."""

    def __init__(self, f: Any, root: Array) -> None:
        self.f, self.root = f, root

    def smoothness(self, s: int | None = None) -> float:
        return relative_smoothness(self.f, s)

    def hessian_product(self, u: Array, v: Array) -> Array:
        return self.f.hessian_product(u / self.root, v / self.root) / self.root


@dataclass(frozen=True)
class PerCurvature:
    """A length, or a rule for one, taken in u: coordinate j steps by that over h_j. (p,); 0 without curvature."""

    rule: float | StepSize
    needs = ("curvature",)

    def __call__(self, f: Any, state: State, g: Array) -> Array:
        h = np.asarray(f.curvature(), dtype=np.float64)
        curved = h > 0
        root = np.sqrt(np.where(curved, h, 1.0)).astype(g.dtype)
        slope = np.where(curved, g / root, 0).astype(g.dtype)
        length = step_length(self.rule, View(f, root), state.but(x=state.x * root), slope)
        return np.where(curved, length / root**2, 0).astype(g.dtype)
