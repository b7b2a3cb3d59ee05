"""A quadratic given by its matrix, x'Hx/2 - c'x + constant.

>>> problem = Quadratic(np.array([[2.0, 0.0], [0.0, 1.0]]), np.array([2.0, 3.0]))
>>> problem.minimise_on(np.array([False, True]), None)
(array([0., 3.]), -4.5)
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import numpy as np

from sparsopt.errors import InvalidInput, NotFinite
from sparsopt.problems.base import Last, Problem
from sparsopt.problems.factor import Factor
from sparsopt.problems.inputs import check_matrix, check_support, check_vector
from sparsopt.problems.shrinking import Shrinking
from sparsopt.problems.spectrum import restricted_extremes, symmetric_extremes
from sparsopt.state import Array, Mask

__all__ = ["Quadratic"]


class Memory:
    """What one run keeps: a factor, and the last gradient."""

    def __init__(self) -> None:
        self.factor, self.shrinking, self.gradient = Factor(), Shrinking(), Last()


class Quadratic(Problem):
    """f(x) = x'Hx/2 - c'x + constant, H (p, p) symmetric positive semi-definite, c (p,).

    `minimise_on` uses a Cholesky factor that grows with the support; where H_SS is singular it returns the minimiser
    of least norm, or raises `NotFinite` where f has no lower bound. Raises `InvalidInput` for an H that is not
    symmetric or has a negative diagonal entry.
    """

    portfolio = "quadratic"  # the search that `method="auto"` uses

    def __init__(self, H: Any, c: Any, constant: float = 0.0) -> None:
        if hasattr(H, "tocsc"):
            raise InvalidInput("H is a sparse matrix; give a NumPy array (H.toarray()), or LeastSquares with sparse X")
        H = np.asarray(check_matrix(H, name="H"), dtype=np.float64)
        if H.shape[0] != H.shape[1]:
            raise InvalidInput(f"H has shape {H.shape}; a square matrix is needed")
        asymmetry = float(np.max(np.abs(H - H.T)))
        if asymmetry > 1e-8 * float(np.max(np.abs(H))):
            raise InvalidInput(f"H is not symmetric: |H - H'| is up to {asymmetry:.3g}; (H + H.T) / 2 gives the same f")
        super().__init__(H.shape[0])
        self.H = H if asymmetry == 0 else (H + H.T) / 2
        self.c = check_vector(c, self.p, "c")
        h, j = np.diagonal(H), int(np.argmin(np.diagonal(H)))
        if h[j] < -1e-10 * np.max(np.abs(h)):
            raise InvalidInput(f"H[{j}, {j}] = {h[j]:g}, but H must be positive semi-definite: f is not convex")
        self.constant = float(constant)
        if not math.isfinite(self.constant):
            raise InvalidInput(f"constant = {constant} is not finite")

    def __repr__(self) -> str:
        return f"Quadratic(p={self.p})"

    def memory(self) -> Memory:
        return Memory()

    def value(self, x: Array) -> float:
        return float(x @ (self._times(x) / 2 - self.c)) + self.constant

    def gradient(self, x: Array) -> Array:
        """H x - c."""
        return self._gradient(x) if self._memo is None else self._memo.gradient.once(x, self._gradient)

    def _gradient(self, x: Array) -> Array:
        return self._times(x) - self.c

    def hessian_product(self, x: Array, v: Array) -> Array:
        """H v."""
        return self._times(v)

    def as_quadratic(self) -> tuple[Array, Array, float]:
        """(H, c, f(0))."""
        return self.H, self.c, self.constant

    def hessian_columns(self, indices: Array) -> Array:
        """H[:, indices], (p, k)."""
        return self.H[:, indices]

    def hessian_block(self, indices: Array) -> Array:
        """H on these coordinates, (k, k)."""
        return self.H[np.ix_(indices, indices)]

    def hessian_rounding(self) -> Array:
        """Zeros (p,): the entries of H are exact."""
        return np.zeros(self.p)

    def restricted(self, indices: Array) -> Quadratic:
        """f as a function of these coordinates only, the others zero."""
        return Quadratic(self.hessian_block(indices), self.c[indices], self.constant)

    def curvature(self) -> Array:
        """The diagonal of H."""
        return np.diagonal(self.H)

    def check_bounded(self) -> None:
        """Raises `NotFinite` where f falls without end along a single coordinate: H_jj = 0 and c_j != 0."""
        without = np.flatnonzero((np.diagonal(self.H) <= 0) & (self.c != 0))
        if without.size:
            j = without[0]
            raise NotFinite(
                f"f falls without end along coordinate {j}: H[{j}, {j}] = {self.H[j, j]:g} and c[{j}] = {self.c[j]:g}; "
                "leave that coordinate out, or add a ridge to the diagonal of H"
            )

    def _times(self, x: Array) -> Array:
        """H x, by the rows of H where x is not zero if those are few."""
        active = np.flatnonzero(x)
        return x[active] @ self.H[active] if active.size * 4 <= self.p else self.H @ x

    @cached_property
    def _extremes(self) -> tuple[float, float]:
        return symmetric_extremes(self.H)

    def smoothness(self, s: int | None = None) -> float:
        """An upper bound on the eigenvalues of H, restricted to principal submatrices of order <= s if given."""
        if s is None or s >= self.p:
            return max(self._extremes[1], 0.0)
        return max(min(self._extremes[1], restricted_extremes(self.H, s)[1]), 0.0) if s else 0.0

    def relative_smoothness(self) -> float:
        """L with v'H v <= L sum_j h_j v_j^2, h the diagonal."""
        return self._relative

    @cached_property
    def _relative(self) -> float:
        used = np.diagonal(self.H) > 0
        root = np.sqrt(np.diagonal(self.H)[used])
        return symmetric_extremes(self.H[np.ix_(used, used)] / root / root[:, None])[1] if root.size else 0.0

    def strong_convexity(self, s: int | None = None) -> float:
        """A lower bound on the eigenvalues of H (not below 0), restricted to submatrices of order <= s if given."""
        if s is None or s >= self.p:
            return max(self._extremes[0], 0.0)
        return max(self._extremes[0], restricted_extremes(self.H, s)[0], 0.0) if s else math.inf

    def rounding(self, x: Array) -> tuple[float, Array]:
        """eps (2 p + 10) (|H| |x| + |c|), and that times |x| for the value."""
        unit = float(np.finfo(float).eps) * (2 * self.p + 10)
        size = np.abs(x)
        active = np.flatnonzero(x)
        reach = size[active] @ np.abs(self.H[active]) + np.abs(self.c)
        return unit * (float(size @ reach) + abs(self.constant)), unit * reach

    def minimise_on(self, support: Mask, x: Array | None = None) -> tuple[Array, float]:
        """The minimiser among vectors supported there, (p,), and its value. A direct solve: x is not needed.

        Raises `NotFinite` where f is not bounded below on the support.
        """
        memo = self.memory() if self._memo is None else self._memo
        found, known = np.zeros(self.p), memo.shrinking.follow(check_support(support, self.p))
        if known is not None:
            found[support] = known[0]
            return found, known[1]
        factor = memo.factor
        order = factor.arrange(support)
        G, b = self.H[np.ix_(order, order)], self.c[order]
        weights = factor.solve(order, G, b)
        weights = _least_norm(G, b, order) if weights is None else weights + factor.apply(b - G @ weights)
        found[order] = weights
        value = float(weights @ (G @ weights / 2 - b)) + self.constant
        memo.shrinking.begin(order, factor, weights, value)
        return found, value


def _least_norm(G: Array, b: Array, order: Array) -> Array:
    """The minimiser of least norm of w'Gw/2 - b'w for a singular G."""
    values, Q = np.linalg.eigh(G)
    size = max(float(np.abs(values).max()), np.finfo(float).tiny)
    flat = values <= size * 1e-13 * len(b)
    along = Q.T @ b
    shown = f"f on the support {np.sort(order)[:10].tolist()}{'...' if order.size > 10 else ''}"
    if values[0] < -size * 1e-10:
        raise NotFinite(f"{shown} is not convex (eigenvalue {values[0]:.3g}); H must be positive semi-definite")
    if np.abs(along[flat]).max(initial=0.0) > 1e-8 * np.linalg.norm(b):
        raise NotFinite(f"{shown} has no minimum: c is not in the range of H there; add a ridge to the diagonal of H")
    return Q[:, ~flat] @ (along[~flat] / values[~flat])
