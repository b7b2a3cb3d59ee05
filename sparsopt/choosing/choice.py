"""The choice of k: every size of a path has a score, and the lowest score is taken.

>>> rng = np.random.default_rng(0)
>>> X = rng.standard_normal((100, 30))
>>> choose(sparsopt.LeastSquares(X, X[:, 2] + 0.3 * rng.standard_normal(100)), range(4)).k
1
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsopt.choosing.criteria import CRITERIA, Criterion, rows_of
from sparsopt.choosing.paths import Path, path, sizes
from sparsopt.choosing.validation import CrossValidation, Data
from sparsopt.errors import InvalidInput, MissingCapability
from sparsopt.names import lookup
from sparsopt.result import Result
from sparsopt.solvers import Solver
from sparsopt.state import Array
from sparsopt.support import units

__all__ = ["Choice", "choose", "default_ks"]


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
    if not isinstance(rule, CrossValidation) and not callable(rule):
        known = ", ".join([*CRITERIA, "cv"])
        raise InvalidInput(f"criterion is {rule!r}; one of {known}, or an object such as EBIC(0.5), is needed")
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
