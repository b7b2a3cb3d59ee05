"""Inertial manifolds: a network cut once, where the spectrum of its linearised training has a gap. Experimental.

Gradient flow near w is dw/dt = -g - H (w - w0) + the rest. If H has a gap after its d-th eigenvalue, an inertial
manifold (Foias, Sell, Temam 1988) may carry all that lasts of the motion on d modes. What is here reads off the gap,
says what the removal of each weight changes in the d modes before it, and how many weights these need.

    >>> A, w = np.random.default_rng(0).standard_normal((6, 20)), np.ones(20)
    >>> modes = Modes.of(A)                                   # H = A'A / m, A (m, n)
    >>> modes.dimension, modes.ratio                          # d, eigenvalue d over eigenvalue d + 1
    >>> modes.leverage                                        # (n,), sums to d
    >>> modes.carriers(w**2 * modes.leverage)                 # the number of weights that the gap asks for
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sparsopt import support as sp
from sparsopt.errors import InvalidInput
from sparsopt.fits import restricted
from sparsopt.state import Array, Mask, State

__all__ = ["AtGap", "Modes", "RecordGap", "Shadow", "Spectrum", "gap"]

Matrix = NDArray[Any]

RANK = 1e-10  # eigenvalues below this share of the first are rounding
MEMORY = 2**28  # entries of A: 1 GiB


@dataclass(frozen=True)
class Modes:
    """The spectrum of H = A'A / m, descending, for m rows A; where its gap is; and each weight's part before it.

    dimension   d: where eigenvalue d / eigenvalue d + 1 is largest, in the larger half of the spectrum (the smaller
                half of m random rows is noise); 0 if H is 0
    leverage    (n,): the squared length of each coordinate axis's shadow on the first d eigenvectors, sum d
    """

    rows: Matrix
    values: Matrix
    dimension: int
    leverage: Matrix

    @classmethod
    def of(cls, rows: Matrix) -> Modes:
        """By the m x m matrix A A' / m, whose non-zero eigenvalues are H's."""
        values, U = np.linalg.eigh(_gram(rows))
        values, U = np.maximum(values[::-1], 0), U[:, ::-1]
        d = gap(values)
        V = (U[:, :d] / np.sqrt(values[:d] * len(rows))).T.astype(rows.dtype) @ rows
        return cls(rows, values, d, np.einsum("dn,dn->n", V, V, dtype=np.float64))

    @property
    def ratio(self) -> float:
        """Eigenvalue d over eigenvalue d + 1: how wide the gap is."""
        return self._before / self._after if self.dimension else 1.0

    @property
    def _before(self) -> float:
        return float(self.values[self.dimension - 1])

    @property
    def _after(self) -> float:
        behind = self.values[self.dimension] if self.dimension < len(self.values) else 0.0
        return float(max(behind, RANK * self.values[0]))

    def carriers(self, score: Matrix) -> int:
        """The smallest k such that the k weights of largest score keep the gap.

        With S these weights, eigenvalue d of H_SS must reach the geometric mean of H's on both sides of the gap. By
        interlacing eigenvalue d + 1 of H_SS is not above H's, so that the ratio at d is at least the root of H's; and
        eigenvalue d only grows with k, so that bisection finds the smallest. All n if H is 0.
        """
        order = np.argsort(-score, kind="stable")
        if self.dimension == 0:
            return len(order)
        least, low, high = np.sqrt(self._before * self._after), self.dimension - 1, len(order)
        while high - low > 1:
            middle = (low + high) // 2
            inside = np.linalg.eigvalsh(_gram(self.rows[:, order[:middle]]))[-self.dimension]
            low, high = (low, middle) if inside >= least else (middle, high)
        return high


def gap(values: Matrix) -> int:
    """d, 1 <= d <= max(1, rank / 2), where values[d - 1] / values[d] is largest, the first of equals; 0 if all are 0.

    >>> gap(np.array([9.0, 8.0, 7.0, 0.2, 0.1, 0.1]))
    3
    """
    rank = int(np.count_nonzero(values > RANK * values[0])) if len(values) else 0
    if rank < 2:
        return rank
    return 1 + int(np.argmax(values[: rank // 2] / values[1 : rank // 2 + 1]))


def _gram(rows: Matrix) -> Matrix:
    return np.asarray(rows @ rows.T, dtype=np.float64) / len(rows)


@dataclass(frozen=True)
class Spectrum:
    """(f, state) -> Modes of the generalised Gauss-Newton matrix, from one row of each of `samples` training samples.

    Memory: 4 n samples bytes, at most 1 GiB (then from fewer samples, at least 2).
    """

    samples: int = 300
    needs: ClassVar = ("square_roots",)
    autonomous: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.samples < 2:
            raise InvalidInput(f"samples = {self.samples}: a gap needs 2 eigenvalues at least")

    def __call__(self, f: Any, state: State) -> Modes:
        count = max(2, min(self.samples, MEMORY // f.layout.n))
        return Modes.of(f.square_roots(state.x, count, (state.seed, state.cost)))


@dataclass(frozen=True)
class Shadow:
    """w_j^2 l_j, l the leverages of the modes before the gap: how far the removal of w_j alone moves along them,
    squared."""

    of: Spectrum = Spectrum()

    @property
    def gradients(self) -> int:
        """Gradients, of one sample each."""
        return self.of.samples

    def __call__(self, f: Any, state: State) -> Array:
        return _like(_shadow(self.of(f, state), state), state.x)


@dataclass(frozen=True)
class AtGap:
    """The weights that the gap asks for, in the place of a k that is given: the largest shadows that keep it."""

    of: Spectrum = Spectrum()

    @property
    def gradients(self) -> int:
        """As of `Shadow`."""
        return self.of.samples

    def __call__(self, f: Any, state: State) -> Mask:
        modes = self.of(f, state)
        score = _shadow(modes, state)
        return sp.top(_like(score, state.x), modes.carriers(score), state.support)


@dataclass(frozen=True)
class RecordGap:
    """What the spectrum says, kept as reports: `gap_dimension`, `gap_ratio`, and `gap_k`, the size that the gap asks
    for. x is restricted to the support."""

    of: Spectrum = Spectrum()

    def __call__(self, oracle: Any, state: State) -> State:
        modes = self.of(oracle.at(state), state)
        found = {"dimension": modes.dimension, "ratio": modes.ratio, "k": modes.carriers(_shadow(modes, state))}
        slots = {f"report.gap_{name}": _like(np.array(float(value)), state.x) for name, value in found.items()}
        return restricted(state.but(slots={**state.slots, **slots}))


def _shadow(modes: Modes, state: State) -> Matrix:
    return sp.to_numpy(state.x).astype(np.float64) ** 2 * modes.leverage


def _like(array: Matrix, x: Array) -> Array:
    return array.astype(x.dtype, copy=False) if isinstance(x, np.ndarray) else x.new_tensor(array)
