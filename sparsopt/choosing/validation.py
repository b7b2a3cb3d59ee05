"""Cross-validation: a k is as good as its losses on rows that were held out.

>>> rng = np.random.default_rng(0)
>>> X = rng.standard_normal((30, 3))
>>> data = Data(X, X[:, 1] + 0.1 * rng.standard_normal(30))
>>> losses = CrossValidation(5).scores(data, [0, 1], "omp", seed=0)
>>> losses.shape, int(losses.mean(axis=0).argmin())
((5, 2), 1)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sparsopt.choosing.paths import path
from sparsopt.errors import InvalidInput
from sparsopt.problems import LeastSquares
from sparsopt.state import Array

__all__ = ["CrossValidation", "Data"]


@dataclass(frozen=True)
class Data:
    """Rows that a problem can be made of, all or some: what cross-validation needs.

    X (n, p) dense or sparse, y (n,), loss: LeastSquares, Logistic, ... , options: its keyword arguments (a
    sample_weight among them is divided as the rows are). groups (n,): rows with one label (of one patient, say) are
    held out together.
    """

    X: Any
    y: Any
    loss: Any = LeastSquares
    options: Mapping[str, Any] = field(default_factory=lambda: {"intercept": True})
    groups: Any = None

    def problem(self, rows: Array | None = None) -> Any:
        """The problem of these rows."""
        if rows is None:
            return self.loss(self.X, self.y, **self.options)
        return self.loss(_rows(self.X, rows), np.asarray(self.y)[rows], **self._divided(rows))

    def held_out(self, rows: Array, x: Array, b: Any) -> float:
        """The mean loss of weights x and intercept b on these rows: a problem with a column of ones."""
        X = _rows(self.X, rows)
        ones = np.ones((X.shape[0], 1))
        if hasattr(X, "tocsc"):
            from scipy import sparse

            wide = sparse.hstack([X, sparse.csc_array(ones)]).tocsc()
        else:
            wide = np.hstack([np.asarray(X), ones])
        options = {**self._divided(rows), "intercept": False, "ridge": 0.0}
        return float(self.loss(wide, np.asarray(self.y)[rows], **options).value(np.append(x, b)))

    def _divided(self, rows: Array) -> dict[str, Any]:
        weight = self.options.get("sample_weight")
        return {**self.options, "sample_weight": None if weight is None else np.asarray(weight)[rows]}


def _rows(X: Any, rows: Array) -> Any:
    return X.tocsr()[rows] if hasattr(X, "tocsc") else np.asarray(X)[rows]


@dataclass(frozen=True)
class CrossValidation:
    """K-fold cross-validation of the mean loss on rows that were held out.

    folds   rows sorted by y (ties in random order) are dealt out in turn, so every fold has its share of each label;
            whole groups by their mean y where data have groups
    slack   the smallest k whose mean is within `slack` standard errors of the best: 0 the best, 1 the usual rule of
            one standard error
    """

    folds: int = 5
    slack: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.slack >= 0:
            raise InvalidInput(f"CrossValidation: slack = {self.slack}; a number of standard errors >= 0 is needed")

    def parts(self, y: Array, groups: Any = None) -> list[Array]:
        """The rows of each fold."""
        rank = np.unique(np.asarray(y), return_inverse=True)[1]
        unit = np.arange(len(rank)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
        if len(unit) != len(rank):
            raise InvalidInput(f"groups has {len(unit)} entries for {len(rank)} rows; one label a row is needed")
        level = np.bincount(unit, rank) / np.bincount(unit)
        if self.folds not in range(2, len(level) + 1):
            what = "rows" if groups is None else "groups"
            raise InvalidInput(
                f"CrossValidation: folds = {self.folds} for {len(level)} {what}; between 2 and the {what}"
            )
        dealt = np.lexsort((np.random.default_rng([self.seed, 5]).random(len(level)), level))
        return [np.flatnonzero(np.isin(unit, dealt[start :: self.folds])) for start in range(self.folds)]

    def scores(self, data: Data, ks: list[int], method: Any, seed: int) -> Array:
        """Held-out losses, (folds, len(ks))."""
        found = []
        for part in self.parts(data.y, data.groups):
            problem = data.problem(np.setdiff1d(np.arange(len(data.y)), part))
            results = path(problem, ks, method, seed)
            found.append([data.held_out(part, result.x, problem.intercept(result.x)) for result in results])
        return np.array(found)
