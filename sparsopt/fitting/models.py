"""A model of a table for one k: its gap, its error on rows held out, and the path over k.

>>> rng = np.random.default_rng(0)
>>> X = rng.standard_normal((60, 4))
>>> fitted = fit(Table(X, 2 * X[:, 1] + 0.1 * rng.standard_normal(60), list("abcd")), 1)
>>> list(fitted.coefficients), fitted.result.certificates.optimal
(['b'], True)
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from sparsopt.certificates.tangents import TOLERANCE
from sparsopt.choosing import CrossValidation, Data, choose, path
from sparsopt.errors import InvalidInput
from sparsopt.fitting.enumeration import enumerated
from sparsopt.names import lookup
from sparsopt.result import Result, Status
from sparsopt.solvers import solve
from sparsopt.state import Array
from sparsopt.tables import Table

__all__ = ["LOSSES", "Fitted", "fit"]

LOSSES = {
    "squares": "LeastSquares",
    "logistic": "Logistic",
    "poisson": "Poisson",
    "gamma": "Gamma",
    "huber": "Huber",
    "hinge": "SquaredHinge",
}


@dataclass(frozen=True)
class Fitted:
    """A table, the result for k, and what else is asked about it (computed when asked)."""

    table: Table
    data: Data
    problem: Any
    k: int
    result: Result
    method: Any
    seed: int
    folds: int
    ks: range | None = None  # that k was chosen from

    @property
    def coefficients(self) -> dict[str, float]:
        """The selected ones by name, the largest first."""
        chosen = np.flatnonzero(self.result.support)
        chosen = chosen[np.argsort(-np.abs(self.result.x[chosen]), kind="stable")]
        return {self.table.names[j]: float(self.result.x[j]) for j in chosen}

    @property
    def standing(self) -> str:
        """What is shown about the point: by a search if there was one, else by its certificates."""
        proof, certificates = self.result.proof, self.result.certificates
        if proof is None or not proof.complete:
            return str(certificates.standing)
        if self.result.status is Status.PROVED:
            return str(self.result.status)
        slack = TOLERANCE * max(abs(certificates.value), abs(float(self.problem.value(0 * self.result.x))))
        found = "Optimal" if self.result.gap <= slack else f"Not optimal, by {self.result.gap:.3g}"
        return f"{found}: {proof.assumes}."

    @property
    def intercept(self) -> float:
        return float(self.problem.intercept(self.result.x))

    def held_out(self, ks: list[int]) -> tuple[Array, Array]:
        """Mean loss on rows that were held out, and its standard error, for each k. (len(ks),) both."""
        each = CrossValidation(self.folds, seed=self.seed).scores(self.data, ks, self.method, self.seed)
        return each.mean(axis=0), each.std(axis=0, ddof=1) / math.sqrt(len(each))

    @cached_property
    def error(self) -> tuple[float, float, float] | None:
        """(held-out loss at k, its standard error, the loss with no feature); None without folds."""
        if not self.folds:
            return None
        size = int(np.count_nonzero(self.result.support))
        means, errors = self.held_out([0, size] if size else [0])
        return float(means[-1]), float(errors[-1]), float(means[0])

    def path(self) -> list[dict[str, Any]]:
        """For k = 0, 1, ... to twice the k asked for, or the largest: value, held-out loss, coefficients by name."""
        most = 2 * self.k if self.ks is None else self.ks[-1]
        ks = list(range(min(most, len(self.table.names)) + 1))
        found = path(self.problem, ks, self.method, self.seed)
        means, errors = self.held_out(ks) if self.error is not None else (np.full(len(ks), math.nan),) * 2
        return [
            {
                "k": k,
                "value": float(result.value),
                "held_out": _number(mean),
                "standard_error": _number(error),
                "intercept": float(self.problem.intercept(result.x)),
                "coefficients": {self.table.names[j]: float(result.x[j]) for j in np.flatnonzero(result.support)},
            }
            for k, result, mean, error in zip(ks, found, means, errors, strict=True)
        ]

    def __str__(self) -> str:
        """The result, the held-out loss, the coefficients, and notes on the table."""
        rows = [*self.coefficients.items(), ("(intercept)", self.intercept)]
        width = max(len(name) for name, _ in rows)
        lines = [str(self.result)]
        if self.result.proof is not None and self.result.status is not Status.PROVED:
            lines.append(f"shown        {self.standing}")
        if self.error is not None:
            loss, error, without = self.error
            lines.append(
                f"held out     {loss:.5g} +- {error:.2g} loss in {self.folds} folds ({without:.5g} without features)"
            )
        lines += [f"note         {note}" for note in self.notes]
        return "\n".join([*lines, "", *(f"{name:<{width}}  {weight: .8g}" for name, weight in rows)])

    def summary(self) -> dict[str, Any]:
        """All of it as JSON; numbers that are not finite are null."""
        result, error = self.result, self.error
        return {
            "rows": len(self.data.y),
            "columns": len(self.table.names),
            "k": self.k,
            "chosen_from": None if self.ks is None else list(self.ks),
            "method": getattr(result.method, "name", repr(result.method)),
            "problem": repr(self.problem),
            "value": result.value,
            "lower_bound": _number(result.lower_bound),
            "gap": _number(result.gap),
            "standing": self.standing,
            "status": str(result.status),
            "coefficients": self.coefficients,
            "intercept": self.intercept,
            "held_out": None if error is None else dict(zip(("loss", "error", "without"), error, strict=True)),
            "seed": self.seed,
            "folds": self.folds,
            "notes": self.notes,
            "deviations": self.deviations,
            "path": self.path(),
        }

    @property
    def notes(self) -> list[str]:
        """On the table, and on what was made of it."""
        notes, rule = list(self.table.notes), f"{self.folds}-fold cross-validation" if self.folds else "EBIC"
        if self.ks is not None:
            notes.append(f"k = {self.k} was chosen from {self.ks[0]} to {self.ks[-1]} by {rule}")
        if type(self.problem).__name__ == "LeastSquares" and np.isin(self.data.y, (0, 1)).all():
            notes.append("the target is 0 or 1 in every row: --loss logistic would model its odds")
        return notes

    @property
    def deviations(self) -> dict[str, float]:
        """The standard deviation of each column: a coefficient times it is what the column contributes."""
        return dict(zip(self.table.names, np.sqrt(self.problem.design.variance).tolist(), strict=True))


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def fit(
    table: Table,
    k: int | range,
    loss: str = "squares",
    ridge: float = 0.0,
    method: Any = "auto",
    seed: int = 0,
    folds: int = 5,
) -> Fitted:
    """The best model of a table with at most k coefficients, with intercept. folds: of cross-validation, 0 for none.

    k: a range chooses by the least held-out loss, without folds by EBIC.
    """
    from sparsopt import problems

    kind = getattr(problems, lookup(LOSSES, loss, "loss"))
    if folds < 0 or folds == 1:
        raise InvalidInput(f"folds = {folds}; give 2 or more, or 0 for no cross-validation")
    options: Mapping[str, Any] = {"ridge": ridge, "intercept": True}
    if folds > len(table.y):
        raise InvalidInput(f"folds = {folds} for {len(table.y)} rows; give at most as many folds as rows, or 0")
    data = Data(table.X, table.y, kind, options)
    if isinstance(k, range):
        found = choose(data, k, CrossValidation(folds, seed=seed) if folds else "ebic", method, seed)
        problem = found.path.problem
        return Fitted(table, data, problem, found.k, enumerated(problem, found.k, found.result), method, seed, folds, k)
    problem = data.problem()
    return Fitted(table, data, problem, k, enumerated(problem, k, solve(problem, k, method, seed)), method, seed, folds)
