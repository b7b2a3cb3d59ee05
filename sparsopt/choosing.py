"""Choosing k along a path: by an information criterion, or by cross-validation.

>>> rng = np.random.default_rng(0)
>>> X = rng.standard_normal((100, 30))
>>> y = X[:, 2] - X[:, 5] + 0.3 * rng.standard_normal(100)
>>> sparsopt.choose(sparsopt.LeastSquares(X, y), range(6)).k
2
>>> sparsopt.choose(sparsopt.Data(X, y), range(6), criterion="cv").k >= 2
True
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sparsopt.criteria import CRITERIA, Criterion, rows_of
from sparsopt.errors import InvalidInput, MissingCapability
from sparsopt.names import lookup
from sparsopt.paths import Path, path, sizes
from sparsopt.problems import LeastSquares
from sparsopt.result import Result
from sparsopt.solvers import Solver
from sparsopt.state import Array
from sparsopt.support import units

__all__ = ["Choice", "CrossValidation", "Data", "choose", "default_ks"]


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

    def parts(self, y: Array, groups: Any = None) -> list[Array]:
        """The rows of each fold."""
        rank = np.unique(np.asarray(y), return_inverse=True)[1]
        unit = np.arange(len(rank)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
        if len(unit) != len(rank):
            raise InvalidInput(f"groups has {len(unit)} entries for {len(rank)} rows; one label a row is needed")
        level = np.bincount(unit, rank) / np.bincount(unit)
        if not 2 <= self.folds <= len(level):
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


@dataclass(frozen=True)
class Choice:
    """The chosen k, the result on all rows, and what it was chosen by: a score for each k of the path."""

    k: int
    result: Result
    path: Path
    scores: Array
    errors: Array | None
    criterion: Any

    def __str__(self) -> str:
        rows = [f"{self.criterion!r} chose k = {self.k}", "k        score"]
        for k, score in zip(self.path.ks, self.scores, strict=True):
            rows.append(f"{k:<8} {score:.6g}{'   <-' if k == self.k else ''}")
        return "\n".join(rows)


def choose(
    problem: Any,
    ks: Iterable[int] | None = None,
    criterion: str | Criterion | CrossValidation = "ebic",
    method: str | Solver = "auto",
    seed: int = 0,
    samples: float | None = None,
) -> Choice:
    """The k of a path with the lowest score.

    problem     a problem, or `Data` (needed for cross-validation)
    ks          the sizes that compete; default: 0 to `default_ks`
    criterion   "aic", "bic", "ebic", "gic", "cv", or an object: EBIC(0.5), CrossValidation(10, slack=1)
    method      as for `path`
    samples     how many rows the data count as; default: all of them. Weights that stand for repetitions: their sum

    Ties go to the smallest k. Raises `InvalidInput` and `MissingCapability` as `solve` does.
    """
    data = problem if isinstance(problem, Data) else None
    whole = problem if data is None else data.problem()
    rule = (
        lookup({**CRITERIA, "cv": CrossValidation()}, criterion, "criterion")
        if isinstance(criterion, str)
        else criterion
    )
    if ks is None:
        ks = default_ks(rows_of(whole) if samples is None else samples, units(whole))
    wanted = sizes(ks)
    found = path(whole, wanted, method, seed)
    if not isinstance(rule, CrossValidation):
        scores, errors, allowed = found.scores(rule, samples), None, 0.0
    elif data is None:
        raise MissingCapability(
            f"cross-validation divides rows, which a {type(problem).__name__} does not give back; "
            "choose(sparsopt.Data(X, y, sparsopt.LeastSquares), ...) does"
        )
    else:
        each = rule.scores(data, wanted, method, seed)
        scores, errors = each.mean(axis=0), each.std(axis=0, ddof=1) / math.sqrt(len(each))
        allowed = rule.slack * float(errors[scores.argmin()])
    best = int(np.flatnonzero(scores <= scores.min() + allowed)[0])
    return Choice(wanted[best], found.results[best], found, scores, errors, rule)


def default_ks(n: float, p: int) -> range:
    """0 to min(p, n / (log p log log n)), at least 1: sizes that n rows can tell apart (the range that abess uses)."""
    most = n / max(math.log(max(p, 2)) * math.log(max(math.log(max(n, 3)), math.e)), 1.0)
    return range(max(1, min(p, int(n) - 1, int(most))) + 1)
