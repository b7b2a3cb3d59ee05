"""Least squares, |y - X w|^2 / (2 n) + ridge/2 |w|^2, with optional sample weights and an unpenalised intercept.

>>> problem = LeastSquares(np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]), np.array([3.0, 1.0, 0.0]))
>>> x, value = problem.minimise_on(np.array([True, False]), None)
>>> x, round(value, 6)
(array([3., 0.]), 0.166667)
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from sparsopt.problems.base import Last, Problem
from sparsopt.problems.designs import design
from sparsopt.problems.factor import Factor
from sparsopt.problems.foresight import Foresight, Step
from sparsopt.problems.inputs import (
    check_intercept,
    check_matrix,
    check_moments,
    check_ridge,
    check_support,
    check_vector,
    check_weights,
)
from sparsopt.problems.shrinking import Shrinking
from sparsopt.problems.spectrum import EPS, EXACT, above, below, error, restricted_extremes
from sparsopt.state import Array, Layout, Mask

__all__ = ["LeastSquares"]

REFINEMENTS = 3
CACHED = 1 << 20  # bytes of X over which a pass costs next to nothing


class Memory:
    """What one run keeps: columns with inner products, a factor, the last residual and gradient, the steps to come."""

    def __init__(self, problem: LeastSquares) -> None:
        self.columns = problem.design.columns()
        self.factor, self.shrinking = Factor(), Shrinking()
        self.residual, self.gradient = Last(), Last()
        self.foresight = Foresight(problem, self.columns, self.factor)

    def taken(self, step: Step) -> tuple[Array, float]:
        """The minimiser and f of a step that was foreseen, whose residual and gradient are the last ones from now."""
        x = np.zeros(self.columns.slot.size, step.weights.dtype)
        x[step.order] = step.weights
        self.residual.put(x, step.residual)
        if step.gradient is not None:
            self.gradient.put(x, step.gradient)
        return x, step.value


@dataclass(frozen=True)
class Part:
    """Some of the columns of a run, as one matrix."""

    columns: Any
    slots: Array

    def dot(self, w: Array) -> Array:
        return self.columns.dot(self.slots, w)

    def tdot(self, r: Array) -> Array:
        return self.columns.tdot(self.slots, r)


class LeastSquares(Problem):
    """f(w) = min_b sum_i s_i (y_i - x_i'w - b)^2 / (2 sum_i s_i) + ridge/2 |w|^2; b = 0 unless intercept.

    X: (n, p) NumPy array (float64 or float32, not copied; other numbers become float64), scipy.sparse matrix, which is
    never made dense, or Torch tensor, whose full products are computed on its device. y: (n,). sample_weight: (n,)
    s_i >= 0; a weight of 2 is a row that occurs twice. Do not change X while the problem is in use. Raises
    `InvalidInput`.

    `minimise_on` solves the normal equations on the support by a Cholesky factor that grows with it and refines the
    solution by residuals; where columns are dependent, it returns the minimiser of least norm by a singular value
    decomposition (sparse X: by eigenvalues of the Gram, which see singular values above 1e-7 of the largest).
    """

    portfolio = "quadratic"  # the search that `method="auto"` uses
    unknown_scale = 1  # outputs of one variance that is not known: likelihoods are profiled over it

    def __init__(self, X: Any, y: Any, ridge: float = 0.0, intercept: bool = False, sample_weight: Any = None) -> None:
        intercept = check_intercept(intercept)
        plain = sample_weight is None and not intercept
        later = plain and isinstance(X, np.ndarray) and X.nbytes > CACHED
        X = check_matrix(X, entries=not later)
        n, p = X.shape
        super().__init__(p, X.dtype)
        y = check_vector(y, n)
        self.ridge = check_ridge(ridge)
        self.design = design(X, check_weights(sample_weight, n), intercept)
        if later:
            with np.errstate(all="ignore"):
                check_moments(X, self.design.second)
        self.centre = float((self.design.shares * y).sum()) if intercept else 0.0
        self.target = y - self.centre

    def __repr__(self) -> str:
        n, p = self.design.X.shape
        return f"LeastSquares(n={n}, p={p}, ridge={self.ridge:g}, intercept={self.design.centred})"

    def memory(self) -> Memory:
        return Memory(self)

    # ---- the function ----------------------------------------------------------------------------------------------

    def value(self, x: Array) -> float:
        return self.value_from(x, self._residual(x))

    def gradient(self, x: Array) -> Array:
        """-A'W r + ridge x, r the residual at x: one product with all of X, none if x is that of the last call."""
        return self._gradient(x) if self._memo is None else self._memo.gradient.once(x, self._gradient)

    def gradient_on(self, indices: Array, weights: Array) -> Array:
        """The same at the point that has these weights there and is 0 elsewhere; no step is foreseen from there."""
        memo = self._memo
        fitted = self.design.part(indices, weights) if memo is None else self._product(memo, indices, weights)
        g = self.design.tdot(self.design.weight * (fitted - self.target))
        g[indices] += self.ridge * weights
        return g.astype(self.dtype, copy=False)

    def hessian_product(self, x: Array, v: Array) -> Array:
        """(A'WA + ridge I) v."""
        product = self.design.tdot(self.design.weight * self.design.dot(v)) + self.ridge * v
        return product.astype(self.dtype, copy=False)

    def curvature(self) -> Array:
        """h_j = sum_i w_i a_ij^2 + ridge, the curvature along each coordinate, (p,)."""
        return self.design.variance + self.ridge

    def hessian_columns(self, indices: Array) -> Array:
        """Columns of the Hessian A'WA + ridge I, (p, k) float64."""
        H = self.design.gram_columns(indices)
        H[indices, np.arange(indices.size)] += self.ridge
        return H

    def hessian_block(self, indices: Array) -> Array:
        """The Hessian on these coordinates, (k, k) float64: costs only their columns."""
        H = self._gram(indices)
        H.flat[:: indices.size + 1] += self.ridge
        return H

    def as_quadratic(self) -> tuple[Array, Array, float]:
        """(H, c, f(0)) with f(x) = x'Hx/2 - c'x + f(0), all (p, p) of H: where columns are few."""
        (H, c), weighted = self.design.normal(self.target), self.design.weight * self.target
        if self.ridge:
            H.flat[:: self.p + 1] += self.ridge
        return H, c, float(weighted @ self.target) / 2

    def _gram(self, indices: Array) -> Array:
        """Inner products of these columns; a run computes each once."""
        if self._memo is None:
            return self.design.restricted(indices).gram()
        columns = self._memo.columns
        return columns.gram(columns.slots(indices))

    def hessian_rounding(self) -> Array:
        """e (p,) with |error of H_ij| <= e_i e_j for the entries that `hessian_block` computes."""
        return np.sqrt(EPS * (self.design.n + 20) * (self.design.second + self.ridge))

    @property
    def samples(self) -> int:
        """n, the number of rows of X."""
        return self.design.n

    def restricted(self, indices: Array) -> LeastSquares:
        """f as a function of these coordinates only, the others zero."""
        return self._with(self.design.restricted(indices))

    def _with(self, part: Any) -> Self:
        """The same loss on another design."""
        new = copy.copy(self)
        new.layout, new.design, new._memo = Layout.single(part.p), part, None
        return new

    def intercept(self, x: Array) -> float:
        return self.centre - float(self.design.mean @ x)

    def floor(self) -> float:
        """0: a mean of squares."""
        return 0.0

    def gradient_from(self, x: Array, residual: Array) -> Array:
        """The gradient at x, given the residual there."""
        g = self.ridge * x - self.design.tdot(self.design.weight * residual)
        return g.astype(self.dtype, copy=False)

    def _gradient(self, x: Array) -> Array:
        r = self._residual(x)
        return self.gradient_from(x, r) if self._memo is None else self._memo.foresight.gradient(x, r)

    def _residual(self, x: Array) -> Array:
        if self._memo is None:
            return self.target - self.design.dot(x)
        known = self._memo.residual.get(x)
        return self._memo.residual.put(x, self.target - self._fitted(x)) if known is None else known

    def _fitted(self, x: Array) -> Array:
        """A x, from the columns of this run where it has them all."""
        columns, active = self._memo.columns, np.flatnonzero(x)
        slots = columns.slot[active]
        return columns.dot(slots, x[active]) if (slots >= 0).all() else self.design.dot(x)

    def value_from(self, x: Array, r: Array) -> float:
        """f at x, given the residual there."""
        x = x.astype(np.float64, copy=False)
        return 0.5 * float((self.design.weight * r) @ r) + 0.5 * self.ridge * float(x @ x)

    # ---- constants -------------------------------------------------------------------------------------------------

    def smoothness(self, s: int | None = None) -> float:
        """An upper bound on the eigenvalues of the Hessian, restricted to supports of at most s coordinates if given.

        Restricted: exact for up to 20,000 supports, else the smallest of the whole bound, the sum of the s largest
        h_j, and (p <= 2000) Gershgorin discs.
        """
        whole = self.design.extremes[1]
        if s is None or s >= self.p:
            return above(whole, self.ridge)
        trace = float(np.sort(self.design.variance)[self.p - s :].sum())
        return above(min(whole, trace + error(self.design.n + s, trace), self._restricted(s)[1]), self.ridge)

    def relative_smoothness(self) -> float:
        """L with v'H v <= L sum_j h_j v_j^2: that without the ridge, which only brings the two sides together."""
        return self.design.unit_smoothness

    def strong_convexity(self, s: int | None = None) -> float:
        """A lower bound on the eigenvalues of the Hessian, restricted to supports of at most s coordinates if given.

        At least the ridge. Restricted: exact for up to 20,000 supports, else (p <= 2000) Gershgorin discs.
        """
        whole = 0.0 if self.p > self.design.n else self.design.extremes[0]
        if s is None or s >= self.p:
            return below(whole, self.ridge)
        return below(max(whole, self._restricted(s)[0], 0.0), self.ridge)

    def _restricted(self, s: int) -> tuple[float, float]:
        if s == 0:
            return math.inf, 0.0
        if self.p > EXACT:
            return 0.0, math.inf
        low, high = restricted_extremes(self.design.gram(), s)
        slack = error(self.design.n + 20, float(np.sort(self.design.second)[-s:].sum()))
        return low - slack, high + slack

    def rounding(self, x: Array) -> tuple[float, Array]:
        """With |.| the weighted norm, sum_i w_i a_ij r_i is off by at most eps |a_j| ((2n + 10) |r| + |dr| / eps).

        |dr| <= eps (2k + 20) (|y| + sum_l |x_l a_l|) is the error of the residual; the value is off by
        eps (n + 5) |r|^2 and (|r| + |dr|) |dr|.
        """
        size, eps = np.sqrt(self.design.second), float(np.finfo(self.dtype).eps)
        reach = math.sqrt(float((self.design.shares * self.target) @ self.target)) + abs(self.centre)
        reach += float(np.abs(x) @ size)
        r = self._residual(x)
        slip = eps * (2 * np.count_nonzero(x) + 20) * reach
        length = math.sqrt(float((self.design.shares * r) @ r)) * (1 + eps * self.design.n) + slip
        value = eps * (self.design.n + 5) * length**2 + length * slip + 8 * eps * self.ridge * float(x @ x)
        value += eps * np.count_nonzero(x) * self.ridge * float(x @ x)
        gradient = size * (eps * (2 * self.design.n + 10) * length + slip)
        return value, gradient + 4 * eps * self.ridge * np.abs(x)

    # ---- the restricted minimiser ----------------------------------------------------------------------------------

    def minimise_on(self, support: Mask, x: Array | None = None) -> tuple[Array, float]:
        """The minimiser among vectors supported there, (p,), and its value. A direct solve: x is not needed."""
        support, memo = check_support(support, self.p), self._memo
        if memo is None:
            return self._once(np.flatnonzero(support))
        step = memo.foresight.next(support)
        if step is not None:
            return memo.taken(step)
        memo.foresight.solved(support)
        found, known = np.zeros(self.p, self.dtype), memo.shrinking.follow(support)
        if known is not None:
            found[support] = known[0]
            return found, known[1]
        order = memo.factor.arrange(support)
        if order.size <= self.design.n:
            part = Part(memo.columns, memo.columns.slots(order))
            weights = self._primal(part, memo.columns.gram(part.slots), memo.factor, order)
        else:
            weights = self._dual(order)
        found[order] = weights
        r = memo.residual.put(found, self.target - self._product(memo, order, found[order]))
        value = self.value_from(found, r)
        memo.shrinking.begin(order, memo.factor, weights, value)
        return found, value

    def _product(self, memo: Memory, order: Array, weights: Array) -> Array:
        if order.size > self.design.n:
            return self.design.part(order, weights)
        return memo.columns.dot(memo.columns.slots(order), weights)

    def _once(self, order: Array) -> tuple[Array, float]:
        """The same, remembering nothing."""
        found = np.zeros(self.p, self.dtype)
        if order.size > self.design.n:
            found[order] = self._dual(order)
            r = self.target - self.design.part(order, found[order])
        else:
            A = self.design.block(order)
            found[order] = self._primal(A, A.cross(A, self.design.shares), Factor(), order)
            r = self.target - A.dot(found[order])
        return found, self.value_from(found, r)

    def refined(self, order: Array, weights: Array, inverse: Array) -> tuple[Array, float] | None:
        """The minimiser on `order` and its value, from one that rounding has touched and the inverse of H there.

        One step of iterative refinement; None where that is not enough.
        """
        A, found = self.design.block(order), np.zeros(self.p, self.dtype)
        r = self.target - A.dot(weights)
        correction = inverse @ (A.tdot(self.design.weight * r) - self.ridge * weights)
        found[order] = weights + correction
        if not _small(correction, weights):
            return None
        return found, self.value_from(found, self.target - A.dot(found[order]))

    def _primal(self, A: Any, G: Array, factor: Factor, order: Array) -> Array:
        """Normal equations on at most n columns A, refined until the corrections are down to rounding. G: A'WA."""
        share = self.design.weight
        G.flat[:: order.size + 1] += self.ridge
        if not factor.update(order, G):
            return self.design.restricted(order).least_norm(self.target, self.ridge)
        weights = factor.apply(A.tdot(share * self.target))
        for _ in range(REFINEMENTS):
            r = self.target - A.dot(weights)
            correction = factor.apply(A.tdot(share * r) - self.ridge * weights)
            weights = weights + correction
            if _small(correction, weights):
                return weights
        return self.design.restricted(order).least_norm(self.target, self.ridge)

    def _dual(self, order: Array) -> Array:
        """More columns than rows: w = A'W^1/2 a with (W^1/2 A A' W^1/2 + ridge I) a = W^1/2 y, n equations."""
        part, root = self.design.restricted(order), np.sqrt(self.design.shares)
        K = part.outer()
        K[np.diag_indices_from(K)] += self.ridge
        if part.centred:  # W^1/2 1 is in the null space and orthogonal to the right-hand side
            K += np.outer(root, root) * (np.trace(K) / self.design.n)
        solver, b = Factor(), root * self.target
        a = solver.solve(np.arange(self.design.n), K, b)
        if a is None:
            return part.least_norm(self.target, self.ridge)
        correction = solver.apply(b - root * part.dot(part.tdot(root * a)) - self.ridge * a)
        if not _small(correction, a, 1e-4):
            return part.least_norm(self.target, self.ridge)
        return part.tdot(root * (a + correction))


def _small(correction: Array, weights: Array, share: float = 1e-9) -> bool:
    """Whether a refinement changed little: then the factor could be trusted."""
    return bool(np.abs(correction).max(initial=0.0) <= share * np.abs(weights).max(initial=0.0))
