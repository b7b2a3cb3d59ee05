"""Several outputs: a row of coefficients for each column of X, selected as one. k counts columns of X.

x is the (p, c) matrix W row by row: x.reshape(p, c), so that the c coefficients of a feature are consecutive, and the
problem's structure is `Rows(c)`.

>>> Y = np.array([[1.0, 2.0], [0.0, 0.0], [3.0, 1.0]])
>>> problem = MultiOutput(np.eye(3), Y)
>>> sparsopt.solve(problem, 2).x.reshape(3, 2)
array([[1., 2.],
       [0., 0.],
       [3., 1.]])
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from sparsopt.errors import InvalidInput
from sparsopt.problems.base import Last, Problem
from sparsopt.problems.inputs import check_matrix, check_support, check_vector
from sparsopt.problems.least_squares import LeastSquares
from sparsopt.problems.linear import LinearModel
from sparsopt.problems.spectrum import above
from sparsopt.state import Array, Layout, Mask
from sparsopt.support import Rows

__all__ = ["MultiOutput", "Softmax"]

FAR = 8.0  # scores up to this size let Newton's method start anywhere


@dataclass(frozen=True)
class Chances:
    """A `Point` of the softmax loss: P (n, c), H = w_i (diag(p_i) - p_i p_i'), less what a following b takes."""

    product: Array
    b: Array
    loss: float
    residual: Array
    P: Array
    shares: Array
    following: bool

    def times(self, u: Array) -> Array:
        if self.following:
            u = u - self.inverse @ self._bent(u).sum(axis=0)
        return self._bent(u)

    def gram(self, columns: Any, slots: Array) -> Array:
        c = self.P.shape[1]
        H = np.empty((slots.size, c, slots.size, c))
        along = np.empty((slots.size, c, c))
        for a in range(c):
            for b in range(a, c):
                weight = self.shares * self.P[:, a] * (float(a == b) - self.P[:, b])
                H[:, a, :, b] = H[:, b, :, a] = columns.weighted_gram(slots, weight)
                along[:, a, b] = along[:, b, a] = columns.tdot(slots, weight)
        H, along = H.reshape(slots.size * c, -1), along.reshape(slots.size * c, c)
        return H - along @ self.inverse @ along.T if self.following else H

    def _bent(self, u: Array) -> Array:
        return self.shares[:, None] * self.P * (u - (self.P * u).sum(axis=1, keepdims=True))

    @property
    def inverse(self) -> Array:
        """The pseudo-inverse of the Hessian in b, (c, c)."""
        return _inverse(self.P, self.shares)


class Softmax(LinearModel):
    """f(W) = min_b -sum_i s_i log softmax(W'x_i + b)_{y_i} / sum_i s_i + ridge/2 |W|^2; b = 0 without an intercept.

    Multinomial logistic regression, all classes alike. X as for `Logistic`; y: (n,) labels, of any kind but fractions,
    at least two distinct; `classes` (c,) are they, in order. x = W.ravel(), W (p, c); k counts features. intercept(x):
    (c,), sums to 0. Without a ridge a row plus a constant is the same model: `minimise_on` returns rows of sum 0.
    """

    steepest = 0.5

    def __init__(self, X: Any, y: Any, ridge: float = 0.0, intercept: bool = True, sample_weight: Any = None) -> None:
        X, labels = check_matrix(X), np.asarray(y)
        if labels.shape != X.shape[:1]:
            raise InvalidInput(f"y has shape {labels.shape}; one label for each of {X.shape[0]} rows is needed")
        if labels.dtype.kind == "f" and not np.isfinite(labels).all():
            raise InvalidInput("y has labels NaN or infinite; drop these rows first")
        if labels.dtype.kind == "f" and (labels % 1).any():
            raise InvalidInput(
                f"y has labels such as {labels[labels % 1 != 0][0]:g}: measurements have no classes; LeastSquares "
                "models them, and np.digitize(y, edges) makes classes of them"
            )
        self.classes, found = np.unique(labels, return_inverse=True)
        super().__init__(X, ridge, intercept, sample_weight, outputs=self.classes.size)
        seen = np.bincount(found, self.design.shares, self.classes.size)
        if self.classes.size < 2 or not seen.all():
            raise InvalidInput(
                f"y has the labels {self.classes[seen > 0][:5]} with weight; at least two, all of them, need it"
            )
        self.structure = Rows(self.outputs)
        self.found, self.balance = found, seen

    def curvature(self) -> Array:
        """h = variance_j / 4 + ridge for each coefficient of column j, (p c,)."""
        return np.repeat(self.design.variance, self.outputs) / 4 + self.ridge

    def smoothness(self, s: int | None = None) -> float:
        """Half that of least squares on the same design (diag(p) - p p' <= 1/2), plus the ridge."""
        return above(self.design.extremes[1] / 2, self.ridge)

    def relative_smoothness(self) -> float:
        """L with v'H(x) v <= L sum_j h_j v_j^2: H <= A'WA / 2 + ridge, and h has a quarter of the variance."""
        return 2 * self.design.unit_smoothness

    def rounding(self, x: Array) -> tuple[float, Array]:
        """As for other losses of z, whose errors have the norm dz: |p - y| <= sqrt(2), l'' <= 1/2."""
        size, eps, n = np.sqrt(self.design.second), float(np.finfo(self.dtype).eps), self.design.n
        reach = 1.0 + float(np.abs(self._point(x).b).max()) + float(size @ np.linalg.norm(self._matrix(x), axis=1))
        unit = eps * (2 * n + 2 * np.count_nonzero(x) + 2 * self.outputs + 20)
        gradient = np.repeat(unit * (reach + 2.0) * size, self.outputs) + 4 * eps * self.ridge * np.abs(x)
        return 2 * unit * (reach + self.p * self.ridge * float(x @ x)), gradient

    def _evaluate(self, product: Array) -> Chances:
        b = self._best_intercept(product) if self.design.centred else np.zeros(self.outputs)
        logs = _log_softmax(product + b)
        rows = np.arange(self.found.size)
        P = np.exp(logs)
        wrong = P.copy()
        wrong[rows, self.found] = -(P.sum(axis=1) - P[rows, self.found])  # p - 1 without cancellation
        shares = self.design.shares
        return Chances(product, b, self._mean_loss(logs), shares[:, None] * wrong, P, shares, self.design.centred)

    def _best_intercept(self, product: Array) -> Array:
        """The best c intercepts, which sum to 0; of scores far apart those of scores divided by 2^m lead there."""
        b, halvings = np.log(self.balance), max(math.frexp(float(np.abs(product).max()) / FAR)[1], 0)
        for m in range(halvings, 0, -1):
            b = 2 * self._newton(product / 2.0**m, b)
        return self._newton(product, b)

    def _newton(self, product: Array, b: Array) -> Array:
        """Newton's method from b, with halved steps where the loss would rise."""
        logs = _log_softmax(product + b)
        for _ in range(100):
            P = np.exp(logs)
            slope = self.design.shares @ P - self.balance
            step = -_inverse(P, self.design.shares) @ slope
            value, size = self._mean_loss(logs), 1.0
            new = _log_softmax(product + b + step)
            if -float(slope @ step) <= 1e-15 * value:  # the loss no longer tells one step from another
                b = b + step if self._mean_loss(new) <= value else b
                break
            while self._mean_loss(new) > value * (1 + 1e-15) + 1e-4 * size * float(slope @ step) and size > 1e-9:
                size /= 2
                new = _log_softmax(product + b + size * step)
            b, logs = b + size * step, new
        return b - b.mean()

    def _mean_loss(self, logs: Array) -> float:
        return -float(self.design.shares @ logs[np.arange(self.found.size), self.found])


def _log_softmax(z: Array) -> Array:
    z = z - z.max(axis=1, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=1, keepdims=True))


def _inverse(P: Array, shares: Array) -> Array:
    M = np.diag(shares @ P) - P.T @ (shares[:, None] * P)
    values, Q = np.linalg.eigh(M)
    used = values > 1e-13 * max(float(values[-1]), 1e-300) * len(M)
    return (Q[:, used] / values[used]) @ Q[:, used].T


class Memory:
    """What one run keeps: that of every output, with one set of columns and one factor, and the last gradient."""

    def __init__(self, outputs: list[LeastSquares]) -> None:
        self.outputs = [output.open() for output in outputs]
        for output in self.outputs[1:]:
            output._memo.columns, output._memo.factor = self.outputs[0]._memo.columns, self.outputs[0]._memo.factor
        self.gradient = Last()


class MultiOutput(Problem):
    """f(W) = min_b sum_i s_i |y_i - W'x_i - b|^2 / (2 sum_i s_i) + ridge/2 |W|^2; b = 0 unless intercept.

    X as for `LeastSquares`; Y: (n, c). x = W.ravel(), W (p, c); k counts features. intercept(x): (c,). Least squares
    on each output, with the support in common: one Cholesky factor serves all of them.
    """

    def __init__(self, X: Any, Y: Any, ridge: float = 0.0, intercept: bool = False, sample_weight: Any = None) -> None:
        X, Y = check_matrix(X), np.asarray(Y)
        if Y.ndim != 2 or Y.shape[0] != X.shape[0] or Y.shape[1] == 0:
            raise InvalidInput(
                f"Y has shape {Y.shape}; a matrix with {X.shape[0]} rows is needed, one column an output"
            )
        first = LeastSquares(X, Y[:, 0], ridge, intercept, sample_weight)
        self.parts = [first]
        for column in Y.T[1:]:
            part, y = copy.copy(first), check_vector(column, X.shape[0], "Y")
            part.centre = float(first.design.shares @ y) if intercept else 0.0
            part.target = y - part.centre
            self.parts.append(part)
        super().__init__(first.p * len(self.parts), first.dtype)
        self.structure, self.ridge = Rows(len(self.parts)), first.ridge

    def __repr__(self) -> str:
        n, p = self.design.X.shape
        return f"MultiOutput(n={n}, p={p}, outputs={len(self.parts)}, ridge={self.ridge:g})"

    @property
    def samples(self) -> int:
        """The number of rows."""
        return self.parts[0].samples

    @property
    def unknown_scale(self) -> int:
        """How many outputs share the one variance that is not known."""
        return len(self.parts)

    @property
    def design(self) -> Any:
        return self.parts[0].design

    def _with(self, part: Any) -> Self:
        """The same loss on another design."""
        new = copy.copy(self)
        new.parts, new._memo = [output._with(part) for output in self.parts], None
        new.layout = Layout.single(part.p * len(self.parts))
        return new

    def memory(self) -> Memory:
        return Memory(self.parts)

    def _each(self, x: Array) -> list[tuple[LeastSquares, Array]]:
        """Every output with its column of W."""
        outputs = self.parts if self._memo is None else self._memo.outputs
        return list(zip(outputs, np.ascontiguousarray(self._matrix(x).T), strict=True))

    def _matrix(self, x: Array) -> Array:
        return x.reshape(-1, len(self.parts))

    def value(self, x: Array) -> float:
        return sum(part.value(w) for part, w in self._each(x))

    def gradient(self, x: Array) -> Array:
        """A'W R + ridge x: one product with all of X for all outputs."""
        return self._gradient(x) if self._memo is None else self._memo.gradient.once(x, self._gradient)

    def _gradient(self, x: Array) -> Array:
        R = np.stack([part.design.weight * part._residual(w) for part, w in self._each(x)], axis=1)
        return (self.ridge * x - self.design.tdot(R).ravel()).astype(self.dtype, copy=False)

    def hessian_product(self, x: Array, v: Array) -> Array:
        """(A'WA + ridge I) V."""
        along = self.design.shares[:, None] * self.design.dot(self._matrix(v))
        return (self.design.tdot(along).ravel() + self.ridge * v).astype(self.dtype, copy=False)

    def curvature(self) -> Array:
        return np.repeat(self.parts[0].curvature(), len(self.parts))

    def smoothness(self, s: int | None = None) -> float:
        return self.parts[0].smoothness()

    def relative_smoothness(self) -> float:
        return self.parts[0].relative_smoothness()

    def strong_convexity(self, s: int | None = None) -> float:
        return self.parts[0].strong_convexity()

    def intercept(self, x: Array) -> Any:
        return np.array([part.intercept(w) for part, w in self._each(x)])

    def floor(self) -> float:
        """0: a mean of squares."""
        return 0.0

    def rounding(self, x: Array) -> tuple[float, Array]:
        """The sum, and the entries, of what least squares says of each output."""
        found = [part.rounding(w) for part, w in self._each(x)]
        return sum(value for value, _ in found) * 1.01, np.stack([g for _, g in found], axis=1).ravel()

    def minimise_on(self, support: Mask, x: Array | None = None) -> tuple[Array, float]:
        """The minimiser among matrices supported there, and its value: least squares on each output."""
        own = self if self._memo is not None else self.open()
        columns = self._matrix(check_support(support, self.p)).T
        found = [
            part.minimise_on(np.ascontiguousarray(S)) for (part, _), S in zip(own._each(support), columns, strict=True)
        ]
        return np.stack([w for w, _ in found], axis=1).ravel(), sum(value for _, value in found)
