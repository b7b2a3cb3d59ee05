"""The same f with bounds on the coefficients: non-negative, or in a box.

>>> from sparsopt.problems import Quadratic
>>> problem = constrained(Quadratic(np.eye(3), np.array([3.0, -4.0, 2.0])), lower=0.0)
>>> sparsopt.solve(problem, 1).x
array([3., 0., 0.])

Methods see the gradient that remains inside the box, h_j (x_j - P(x_j - g_j / h_j)), P the projection: it is zero where
the only way down leads out, so such a coordinate is not selected, and a step along it of at most 1 / L stays inside.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsopt.errors import InvalidInput, NotFinite
from sparsopt.problems.base import Problem
from sparsopt.problems.inputs import check_support
from sparsopt.problems.newton import minimise
from sparsopt.state import Array, Mask, State

__all__ = ["Constrained", "constrained"]


class Constrained(Problem):
    """f on lower <= x <= upper. What `constrained` returns; value and gradient are those of f, everywhere."""

    limited = True

    def __init__(self, problem: Any, lower: Array, upper: Array) -> None:
        super().__init__(problem.layout.n, problem.dtype)
        self.problem, self.lower, self.upper = problem, lower, upper
        self.structure = problem.structure

    def __repr__(self) -> str:
        return f"Constrained({self.problem!r})"

    def __getattr__(self, name: str) -> Any:
        """Constants and data of f; not what searches for unbounded minimisers ask for."""
        if name.startswith("_") or name not in PASSED or "problem" not in self.__dict__:
            raise AttributeError(f"{type(self).__name__} has no {name}")
        return getattr(self.__dict__["problem"], name)

    def open(self) -> Constrained:
        opened = Constrained(self.problem.open(), self.lower, self.upper)
        opened.structure = self.structure
        return opened

    def value(self, x: Array) -> float:
        return self.problem.value(x)

    def gradient(self, x: Array) -> Array:
        return self.problem.gradient(x)

    def intercept(self, x: Array) -> Any:
        return self.problem.intercept(x)

    def floor(self) -> float:
        return self.problem.floor()

    def rounding(self, x: Array) -> tuple[float, Array]:
        return self.problem.rounding(x)

    def project(self, x: Array) -> Array:
        """The nearest point of the box."""
        return np.clip(x, self.lower, self.upper).astype(x.dtype, copy=False)

    def at(self, state: State) -> Any:
        """f with the gradient that remains inside the box."""
        return Inside(self, self.problem.at(state))

    def minimise_on(self, support: Mask, x: Array | None = None) -> tuple[Array, float]:
        """The minimiser in the box among vectors supported there, (p,), and its value, by projected Newton steps."""
        indices = np.flatnonzero(check_support(support, self.p))
        try:
            found, value = self.problem.minimise_on(support, x)
        except NotFinite:  # without bounds there is no minimum
            found, value = np.zeros(self.p, self.dtype), np.nan
        inside = self.project(found)
        if np.isfinite(value) and np.array_equal(inside, found):
            return found, value
        part, low, high = self.problem.restricted(indices), self.lower[indices], self.upper[indices]
        start = min((inside[indices], 0 * inside[indices]), key=part.value)
        found = np.zeros(self.p, self.dtype)
        found[indices] = minimise(part, start, low, high)
        return found, self.problem.value(found)


class Inside:
    """f as a method in the box sees it."""

    def __init__(self, problem: Constrained, f: Any) -> None:
        self.problem, self.f = problem, f

    def __getattr__(self, name: str) -> Any:
        return getattr(self.problem, name)

    def curvature(self) -> Array:
        return self.f.curvature()

    def gradient(self, x: Array) -> Array:
        g, h = self.f.gradient(x), self.f.curvature()
        step = g / np.where(h > 0, h, 1.0)
        return (h * (x - self.problem.project(x - step))).astype(x.dtype, copy=False)


PASSED = (
    "curvature",
    "curvature_at",
    "hessian_product",
    "smoothness",
    "relative_smoothness",
    "strong_convexity",
    "ridge",
    "samples",
    "design",
)


def constrained(problem: Any, lower: Any = -np.inf, upper: Any = np.inf) -> Any:
    """The problem with lower <= x <= upper, numbers or (p,); 0 has to be inside, as most coefficients are 0.

    lower=0: non-negative coefficients. Catalogue methods keep within the box or are followed by a refit in it. Lower
    bounds are those of the problem without bounds, which hold here too. Raises `InvalidInput`.
    """
    if hasattr(problem, "confined"):
        return problem.confined(lower, upper)
    try:
        bounds = [np.broadcast_to(np.asarray(bound, dtype=np.float64), (problem.layout.n,)) for bound in (lower, upper)]
    except ValueError:
        raise InvalidInput(f"lower and upper are numbers, or vectors of {problem.layout.n} numbers") from None
    wrong = np.flatnonzero(~((bounds[0] <= 0) & (bounds[1] >= 0)))
    if wrong.size:
        j = wrong[0]
        raise InvalidInput(
            f"coordinate {j} is confined to [{bounds[0][j]:g}, {bounds[1][j]:g}], which does not contain 0, the value "
            "of every coordinate that is not selected"
        )
    return Constrained(problem, *bounds)
