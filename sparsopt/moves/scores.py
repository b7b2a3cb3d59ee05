"""Scores: a number for each coordinate, by which moves choose. Called with (f, state).

>>> from sparsopt.problems import Quadratic
>>> problem = Quadratic(np.diag([1.0, 4.0]), np.array([2.0, 3.0]))
>>> Gradient()(problem, problem.start(0)), Gain()(problem, problem.start(0))
(array([2., 3.]), array([2.   , 1.125]))
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsopt import support as sp
from sparsopt.state import Array, State

Score = Callable[[Any, State], Array]

__all__ = ["Gain", "Gradient", "Magnitude", "Noisy", "Random", "Removal", "Score"]


@dataclass(frozen=True)
class Magnitude:
    """|x_j|."""

    def __call__(self, f: Any, state: State) -> Array:
        return abs(state.x)


@dataclass(frozen=True)
class Gradient:
    """|g_j|, g the gradient of f at x."""

    needs = ("gradient",)

    def __call__(self, f: Any, state: State) -> Array:
        return abs(f.gradient(state.x))


@dataclass(frozen=True)
class Gain:
    """g_j^2 / (2 h_j): the guaranteed decrease of f by a step along coordinate j, h_j = curvature()[j] >= d2f/dx_j2.

    For least squares this is the exact decrease, and the rule of OMP with normalised columns: rescaling a column does
    not change what is selected (with `Gradient` it does). A coordinate without curvature has no gain.
    """

    needs = ("gradient", "curvature")
    additive = True

    def __call__(self, f: Any, state: State) -> Array:
        g, h = f.gradient(state.x), f.curvature()
        return sp.restrict(g * g / (2 * h + (h <= 0)), h > 0)


@dataclass(frozen=True)
class Removal:
    """x_j^2 h_j / 2: the increase of f when x_j is set to zero at a point whose gradient vanishes on the support.

    Exact for quadratics, an upper bound where h_j bounds the curvature.
    """

    needs = ("curvature",)
    additive = True

    def __call__(self, f: Any, state: State) -> Array:
        return state.x * state.x * f.curvature() / 2


@dataclass(frozen=True)
class Random:
    """Uniform numbers, a function of the state's seed and position. `salt` separates scores of one phase."""

    salt: int = 0
    autonomous = False  # another round, other numbers: a repeated state is no cycle

    def __call__(self, f: Any, state: State) -> Array:
        return sp.uniform((*state.key, self.salt), state.x)


@dataclass(frozen=True)
class Noisy:
    """Another score times independent exponential numbers, a function of the state's seed and position, and `salt`.

    Good coordinates are likely to come first, and none is sure to.
    """

    by: Score = Gain()
    salt: int = 0
    autonomous = False

    def __call__(self, f: Any, state: State) -> Array:
        return self.by(f, state) * -np.log1p(-sp.uniform((*state.key, self.salt), state.x))
