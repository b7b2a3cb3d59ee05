"""SparseGPT's sweep: go through the columns of a layer once, and let each pruned weight be made up for by later ones.

With U'U = H^-1 (U upper triangular), pruning w_j of a row costs w_j^2 / (2 U_jj^2) and is compensated by
w_l -= (w_j / U_jj) U_jl for l > j: the surgeon's update with everything up to j frozen, for all rows at once.

>>> W = np.array([[1.0, 2.0]])
>>> swept(W, np.array([[False, True]]), np.array([[2.0, 1.0], [1.0, 2.0]]))
array([[0. , 2.5]])
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from nets.local_models.curvature import Matrix
from nets.local_models.parts import Model
from nets.local_models.rows import as_mask, divided
from sparsopt import support as sp
from sparsopt.errors import InvalidInput, NotFinite
from sparsopt.fits import restricted
from sparsopt.schedules import Schedule, amount
from sparsopt.state import Mask, State

__all__ = ["Sweep", "SweepUpdate", "swept"]

Select = Callable[[Matrix, Matrix, slice], Matrix]  # (weights of the block as they are, diag U, columns) -> kept


@dataclass(frozen=True)
class Sweep:
    """The support that SparseGPT's sweep selects: in each `block` of columns the largest w^2 / U_jj^2 as they are then.

    k is divided over layers, and within a layer over blocks of columns, in proportion to the weights still there: the
    same sparsity everywhere, and exactly k in all. Source: Frantar and Alistarh (2023), Algorithm 1; block 128 there.
    """

    k: int | Schedule
    of: Model
    block: int = 128

    def __call__(self, f: Any, state: State) -> Mask:
        k = amount(self.k, state.round, f.layout)
        if not isinstance(k, int):
            raise InvalidInput(f"{self} divides one number over layers itself; give the sum of {k}")
        model, candidates = self.of(f, state), sp.to_numpy(state.support)
        sizes = np.array([np.count_nonzero(candidates[part.indices]) for part in model.parts])
        support = np.zeros(model.p, dtype=bool)
        for part, total in zip(model.parts, divided(k, sizes), strict=True):
            W, allowed = model.x0[part.indices], candidates[part.indices]
            support[part.indices] = self._selected(W, allowed, part.curvature.matrix(), int(total))
        return as_mask(support, state.support)

    def _selected(self, W: Matrix, allowed: Matrix, H: Matrix, total: int) -> Matrix:
        edges = range(0, W.shape[1], self.block)
        sizes = np.array([np.count_nonzero(allowed[:, i : i + self.block]) for i in edges])
        counts = dict(zip(edges, divided(total, sizes).tolist(), strict=True))
        kept = np.zeros(W.shape, dtype=bool)

        def select(now: Matrix, pivots: Matrix, columns: slice) -> Matrix:
            score = (now / pivots) ** 2
            within = allowed[:, columns]
            kept[:, columns] = sp.top(score.ravel(), counts[columns.start], within.ravel()).reshape(score.shape)
            return kept[:, columns]

        _sweep(W, H, select, self.block)
        return kept


@dataclass(frozen=True)
class SweepUpdate:
    """What the sweep makes of the survivors when the support is given: the fit that belongs to `Sweep`.

    On any other support, too. Runs on a local model (`LocalFit(SweepUpdate(), Layerwise())`).
    """

    block: int = 128
    needs: ClassVar = ("parts",)

    def __call__(self, oracle: Any, state: State) -> State:
        x = state.x.copy()
        for part in oracle.parts:
            x[part.indices] = swept(x[part.indices], state.support[part.indices], part.curvature.matrix(), self.block)
        return restricted(state.but(x=x))


def swept(W: Matrix, kept: Matrix, H: Matrix, block: int = 128) -> Matrix:
    """W (b, d) after the sweep that prunes all but `kept` (b, d), H (d, d)."""
    return _sweep(W, H, lambda _now, _pivots, columns: kept[:, columns], block)


def _sweep(W: Matrix, H: Matrix, select: Select, block: int) -> Matrix:
    U, W = _inverse_root(H), W.copy()
    for start in range(0, W.shape[1], block):
        columns = slice(start, min(start + block, W.shape[1]))
        inside = U[columns, columns]
        kept = select(W[:, columns], np.diagonal(inside), columns)
        errors = np.zeros(kept.shape)
        now = W[:, columns]  # a view
        for j in range(kept.shape[1]):
            errors[:, j] = np.where(kept[:, j], 0.0, now[:, j]) / inside[j, j]
            now[:, j:] -= np.outer(errors[:, j], inside[j, j:])
            now[~kept[:, j], j] = 0.0
        W[:, columns.stop :] -= errors @ U[columns, columns.stop :]
    return W


def _inverse_root(H: Matrix) -> Matrix:
    """U upper triangular with U'U = H^-1."""
    from scipy.linalg import LinAlgError, cholesky, solve_triangular

    try:
        L = cholesky(H[::-1, ::-1], lower=True)[::-1, ::-1]  # H = L L' with L upper triangular
    except (LinAlgError, ValueError) as error:
        raise NotFinite(f"the Hessian of a layer cannot be inverted ({error}): give it more damping") from error
    return solve_triangular(L, np.eye(len(L)))
