"""A block-diagonal quadratic around a point: what second-order pruning minimises in place of the loss.

f(x) = 1/2 (x - x0)' H (x - x0), H block-diagonal. It is one of sparsopt's problems, so every convex method runs on it.

>>> H = Dense(np.array([[2.0, 1.0], [1.0, 2.0]]))
>>> f = BlockQuadratic(Layout.single(2), np.array([1.0, 3.0]), [Part(H, np.array([[0, 1]]))])
>>> f.minimise_on(np.array([False, True]), None)
(array([0. , 3.5]), 0.75)

A `Part` is one Hessian and the rows of coordinates it belongs to: one row for a block of a Fisher matrix; as many as a
layer has outputs where a loss is a sum over outputs with the same inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from nets.local_models.curvature import Curvature, Matrix
from sparsopt.problems.base import Problem
from sparsopt.state import Array, Layout, Mask, State

__all__ = ["BlockQuadratic", "Part"]


@dataclass(frozen=True, eq=False)
class Part:
    """A Hessian of order d, and the coordinates (b, d) that its b rows stand for.

    alive: (b, d), the coordinates that are variables; those that are not are zero and stay so. Default: all.
    """

    curvature: Curvature
    indices: Matrix
    alive: Matrix | None = None

    @property
    def variables(self) -> Matrix:
        """(b, d) boolean."""
        return np.ones(self.indices.shape, dtype=bool) if self.alive is None else self.alive

    def each(self) -> Iterator[tuple[int, Matrix, Curvature]]:
        """(row, columns that are variables, their Hessian); rows that are whole share one."""
        for row, alive in enumerate(self.variables):
            kept = np.flatnonzero(alive)
            if kept.size:
                yield row, kept, self.curvature.restricted(kept)


class BlockQuadratic(Problem):
    """f(x) = 1/2 sum over parts and rows of (x - x0)_r' H (x - x0)_r; coordinates of no part do not matter.

    layout: of all n coordinates; x0 (n,) is zero where there is no variable. Pursuits start from `here`, at x0.
    """

    portfolio = "quadratic"

    def __init__(self, layout: Layout, x0: Array, parts: list[Part]) -> None:
        super().__init__(layout.n)
        self.layout, self.x0, self.parts = layout, x0, parts

    def __repr__(self) -> str:
        return f"BlockQuadratic(n={self.p}, parts={len(self.parts)})"

    def here(self, seed: int = 0) -> State:
        """x0 with all that are variables."""
        return State(self.x0.copy(), self._scattered(lambda part: part.variables).astype(bool), seed)

    def floor(self) -> float:
        """0, at x0."""
        return 0.0

    # ---- the function ----------------------------------------------------------------------------------------------

    def value(self, x: Array) -> float:
        d = x - self.x0
        return float(d @ self.hessian_product(x, d)) / 2

    def gradient(self, x: Array) -> Array:
        return self.hessian_product(x, x - self.x0)

    def hessian_product(self, x: Array, v: Array) -> Array:
        """H v."""
        return self._scattered(lambda part: part.curvature.product(v[part.indices] * part.variables))

    def curvature(self) -> Array:
        """The diagonal of H."""
        return self._diagonal

    def inverse_diagonal(self) -> Array:
        """The diagonal of the inverse of H on the variables; 0 elsewhere."""
        return self._inverse_diagonal

    @cached_property
    def _diagonal(self) -> Array:
        return self._scattered(lambda part: np.broadcast_to(part.curvature.diagonal(), part.indices.shape))

    @cached_property
    def _inverse_diagonal(self) -> Array:
        return self._scattered(lambda part: _rowwise(part, lambda H, _: H.inverse_diagonal()))

    def inverse_product(self, v: Array) -> Array:
        """H^-1 v on the variables, (n,)."""
        return self._scattered(
            lambda part: (
                _rowwise(part, lambda H, u: H.solve(u[None])[0], v[part.indices])
                if part.alive is not None
                else part.curvature.solve(v[part.indices])
            )
        )

    def hessian_columns(self, indices: Array) -> Array:
        """Columns of H, (n, k). For small problems."""
        return np.stack([self.hessian_product(self.x0, _unit(self.p, j)) for j in indices], axis=1)

    def hessian_block(self, indices: Array) -> Array:
        """H on these coordinates, (k, k). For small problems."""
        return self.hessian_columns(indices)[indices]

    def smoothness(self, s: int | None = None) -> float:
        """The largest eigenvalue of H (of each block, by its smaller side)."""
        return max((_largest(part.curvature) for part in self.parts), default=0.0)

    def _scattered(self, of: Callable[[Part], Matrix]) -> Array:
        """(n,): what `of` gives for each part, (b, d), in its place; 0 off the variables."""
        out = np.zeros(self.p)
        for part in self.parts:
            out[part.indices] = of(part) if part.alive is None else np.where(part.alive, of(part), 0.0)
        return out

    # ---- the restricted minimiser ----------------------------------------------------------------------------------

    def minimise_on(self, support: Mask, x: Array | None = None) -> tuple[Array, float]:
        """The minimiser among vectors supported there, and its value: one linear system a row.

        With d the step from x0, out = the variables that leave:  H_SS d_S = H_S,out x0_out.
        """
        found = np.where(support, self.x0, 0.0)
        for part in self.parts:
            stays = support[part.indices] & part.variables
            leaves = part.variables & ~stays
            asks = part.curvature.product(self.x0[part.indices] * leaves)
            for row in np.flatnonzero((leaves & (self.x0[part.indices] != 0)).any(axis=1)):
                kept = np.flatnonzero(stays[row])
                if kept.size:
                    step = part.curvature.restricted(kept).solve(asks[row, kept][None])[0]
                    found[part.indices[row, kept]] += step
        return found, self.value(found)


def _rowwise(part: Part, of: Callable[[Curvature, Any], Matrix], V: Matrix | None = None) -> Matrix:
    """(b, d): of(H on the row's variables, the row of V), each in its place."""
    out = np.zeros(part.indices.shape)
    if part.alive is None and V is None:
        out[:] = of(part.curvature, None)
        return out
    for row, kept, H in part.each():
        out[row, kept] = of(H, None if V is None else V[row, kept])
    return out


def _unit(n: int, j: int) -> Array:
    e = np.zeros(n)
    e[j] = 1.0
    return e


def _largest(curvature: Any) -> float:
    """The largest eigenvalue: for a low rank from the smaller of A'A and AA'."""
    A = getattr(curvature, "A", None)
    if A is None or curvature.d <= curvature.m:
        return float(np.linalg.eigvalsh(curvature.matrix())[-1])
    A = A.astype(np.float64, copy=False)
    return float(np.linalg.eigvalsh(A @ A.T)[-1]) / curvature.m + curvature.damping
