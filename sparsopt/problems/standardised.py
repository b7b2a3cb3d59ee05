"""The same model with columns brought to standard deviation 1, and coefficients in the units of the data.

>>> from sparsopt.problems import LeastSquares
>>> X = np.array([[1000.0, 0.0], [-1000.0, 0.1], [0.0, -0.1]])
>>> problem = standardised(LeastSquares(X, X @ np.array([0.002, 3.0]), ridge=1e-12))
>>> sparsopt.solve(problem, 2).x.round(6).tolist()
[0.002, 3.0]

What it changes is the ridge, which charges the coefficient of a standardised column, and every rule that compares
coefficients or gradients (hard thresholding). `solve` works on the scaled problem, `working`, and scales back.
"""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import numpy as np

from sparsopt.errors import MissingCapability
from sparsopt.problems.base import Problem
from sparsopt.problems.constrained import constrained
from sparsopt.state import Array, Mask

__all__ = ["Standardised", "standardised"]


class Standardised(Problem):
    """f(w) = g(s w), g the problem on columns divided by s. What `standardised` returns."""

    def __init__(self, inner: Any, scale: Array) -> None:
        super().__init__(inner.layout.n, inner.dtype)
        self.inner, self.scale, self.structure = inner, scale, inner.structure

    def __repr__(self) -> str:
        return f"Standardised({self.inner!r})"

    @property
    def working(self) -> Any:
        """The problem in standardised units, with the same structure."""
        work = copy.copy(self.inner)
        work.structure = self.structure
        return work

    def confined(self, lower: Any, upper: Any) -> Standardised:
        """The problem with bounds in the units of the data."""
        inner = constrained(self.working, np.multiply(lower, self.scale), np.multiply(upper, self.scale))
        return Standardised(inner, self.scale)

    def restored(self, result: Any) -> Any:
        """A result for `working` with its x in the units of the data. Its certificates are about the former."""
        state = result.state
        return dataclasses.replace(result, state=state.but(x=self._down(state.x), value=state.value))

    def _up(self, x: Array) -> Array:
        return (x * self.scale).astype(self.dtype, copy=False)

    def _down(self, x: Array) -> Array:
        return (x / self.scale).astype(self.dtype, copy=False)

    def value(self, x: Array) -> float:
        return self.inner.value(self._up(x))

    def gradient(self, x: Array) -> Array:
        return self._up(self.inner.gradient(self._up(x)))

    def hessian_product(self, x: Array, v: Array) -> Array:
        return self._up(self.inner.hessian_product(self._up(x), self._up(v)))

    def intercept(self, x: Array) -> Any:
        return self.inner.intercept(self._up(x))

    def floor(self) -> float:
        return self.inner.floor()

    def minimise_on(self, support: Mask, x: Array | None = None) -> tuple[Array, float]:
        found, value = self.inner.minimise_on(support, None if x is None else self._up(x))
        return self._down(found), value


def standardised(problem: Any) -> Standardised:
    """The problem on standardised columns; x, and the results of `solve`, in the units of the data.

    s_j is the standard deviation with the sample weights (about 0 where there is no intercept), 1 for a constant
    column. Copies X. Bounds and structures come after: constrained(standardised(problem), lower=0).
    """
    if not (hasattr(problem, "design") and hasattr(problem, "_with")):
        raise MissingCapability(
            f"{problem!r} has no columns to standardise; losses of X, such as LeastSquares, have, and bounds come "
            "after: constrained(standardised(problem), lower=0)"
        )
    deviation = np.sqrt(problem.design.variance)
    scale = np.where(deviation > 0, deviation, 1.0)
    inner = problem._with(problem.design.scaled(scale))
    return Standardised(inner, np.repeat(scale, problem.layout.n // scale.size))
