"""Survival times: Cox's proportional hazards, minus the log partial likelihood with Breslow's ties, over all rows.

>>> problem = Cox(np.array([[1.0], [0.0]]), np.array([1.0, 2.0]), np.array([True, True]))
>>> round(problem.value(np.zeros(1)), 6)  # the first to go is one of two: log(2) / 2
0.346574
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from sparsopt.errors import InvalidInput
from sparsopt.problems.inputs import check_matrix, check_vector
from sparsopt.problems.linear import LinearModel
from sparsopt.problems.spectrum import EPS, above
from sparsopt.state import Array
from sparsopt.support import is_tensor, to_numpy

__all__ = ["Cox"]

SAFE = 300.0  # a range of logarithms within which sums of exponentials neither overflow nor vanish


@dataclass(frozen=True)
class Risks:
    """A `Point` of the partial likelihood, rows by falling time. H = diag(u) - sum_e w_e pi_e pi_e'.

    e runs over the distinct times of events, w_e their weight, pi_e the chances of the rows at risk: those up to
    `last[e]`, proportional to `hazard` = w_i exp(z_i), which sum to `total[e]`. order: the rows by falling time; rank:
    where each row stands there. near: whether hazards differ by no more than exp(`SAFE`).
    """

    product: Array
    loss: float
    residual: Array
    u: Array
    hazard: Array
    total: Array
    weight: Array
    last: Array
    order: Array
    rank: Array
    near: bool
    b: float = 0.0

    def times(self, v: Array) -> Array:
        v = v[self.order]
        mean = np.cumsum(self.hazard * v)[self.last] / self.total
        later = np.zeros(v.size)  # at the last row of a time: w_e mean_e / total_e; then its sum from there on
        later[self.last] = self.weight * mean / self.total
        return _back(self.u * v - self.hazard * np.cumsum(later[::-1])[::-1], self.order)

    def gram(self, columns: Any, slots: Array) -> Array:
        """B'diag(u)B - sum_e w_e (pi_e'B)'(pi_e'B) for B = A, or X: H does not see what is added to a column.

        pi_e'B = S_e / total_e, S the running sums of hazard_i b_i. Those stand still in rows without entries, so of
        sparse columns only the others are looked at.
        """
        found = columns.design.touched(columns.index[slots]) if self.near else None
        share = np.zeros(self.order.size)
        share[self.last] = np.sqrt(self.weight) / self.total
        if found is None:
            B, u, hazard = np.take(columns.take(slots).T, self.order, axis=1), self.u, self.hazard
        else:
            rows, entries = found
            if not rows.size:
                return np.zeros((slots.size, slots.size))
            place = self.rank[rows]
            by_time = np.argsort(place)
            B, place = entries[by_time].T, place[by_time]
            u, hazard, share = self.u[place], self.hazard[place], np.sqrt(np.add.reduceat(share**2, place))
        S = np.cumsum(B * hazard, axis=1) * share
        return (B * u) @ B.T - S @ S.T


class Cox(LinearModel):
    """f(w) = -sum_{i: event} s_i (x_i'w - log sum_{l: t_l >= t_i} s_l exp(x_l'w)) / sum_i s_i + ridge/2 |w|^2.

    X as for `Logistic`; time: (n,); event: (n,) booleans or {0, 1}, False where a row was censored at its time;
    sample_weight: (n,) s_i >= 0. There is no intercept: it would cancel. One pass over rows sorted by time; Hessians
    on a support cost O(n k^2) and a dense (n, k) block. Raises `InvalidInput` without events.
    Sources: Cox (1972), Regression models and life-tables; Breslow (1974) for ties.
    """

    def __init__(self, X: Any, time: Any, event: Any, ridge: float = 0.0, sample_weight: Any = None) -> None:
        X = check_matrix(X)
        super().__init__(X, ridge, True, sample_weight)  # centred columns: the same f, better conditioned
        time, event = check_vector(time, X.shape[0], "time"), check_vector(event, X.shape[0], "event")
        if not np.isin(event, (0.0, 1.0)).all():
            raise InvalidInput(
                "event has entries beside 0 and 1; give True where the event was seen, False if censored"
            )
        self.order = np.argsort(-time, kind="stable")
        self.rank = np.argsort(self.order)
        counts = self.design.shares[self.order] * event[self.order]
        if not counts.sum() > 0:
            raise InvalidInput("event is False wherever a row has weight: without events nothing can be estimated")
        sorted_time = -time[self.order]
        ends = np.searchsorted(sorted_time, sorted_time, side="right") - 1  # the last row of each time
        self.counts, weight = counts, np.bincount(ends, counts, X.shape[0])
        self.last = np.flatnonzero(weight > 0)
        raw = np.ones(X.shape[0]) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)[self.order]
        self.weight, self.logs = weight[self.last], np.where(raw > 0, np.log(np.where(raw > 0, raw, 1.0)), -np.inf)
        self.spread = float(np.abs(self.logs[raw > 0]).max())  # of the logarithms of weights
        later = np.zeros(X.shape[0])
        later[self.last] = self.weight
        self.exposure = _back(np.cumsum(later[::-1])[::-1], self.order)  # the weight of events that see a row at risk

    def __repr__(self) -> str:
        n, p = self.design.X.shape
        return f"Cox(n={n}, p={p}, ridge={self.ridge:g})"

    def intercept(self, x: Array) -> float:
        """0: it cancels."""
        return 0.0

    def floor(self) -> float:
        """sum_{i: event} s_i log(s_i) / sum_i s_i, as each row is at risk at its own event: 0 without weights."""
        seen = self.counts > 0
        least = float(self.counts[seen] @ self.logs[seen])
        return least - 1e-12 * float(self.counts[seen] @ np.abs(self.logs[seen]))

    def rounding(self, x: Array) -> tuple[float, Array]:
        """With |a_ij| <= A_j for rows of weight, z is off by at most e = eps (4 n + 2 k + 40) (2 + log n + 2 |x|'A).

        Logarithms of sums and z_i change by no more than z does, and chances by a share of 2 e.
        """
        share, n = self.design.shares, self.design.n
        largest = np.sqrt(self.design.second / share[share > 0].min())
        unit = float(np.finfo(self.dtype).eps) * (4 * n + 2 * np.count_nonzero(x) + 40)
        slip = unit * (2.0 + math.log(n) + 2 * float(np.abs(x) @ largest) + self.spread)
        penalty = 4 * unit * self.ridge * float(x @ x)
        return 4 * slip + penalty, 8 * slip * largest + 4 * unit * self.ridge * np.abs(x)

    def curvature(self) -> Array:
        """The variance of x_j among those at risk is at most range_j^2 / 4. Rounded up."""
        bend = self._up(float(self.weight.sum())) * self._ranges**2 / 4
        return np.where(bend > 0, np.nextafter(bend + self.ridge, math.inf), self.ridge)

    def smoothness(self, s: int | None = None) -> float:
        """With diag(pi) - pi pi' <= 1/2 for every event: the largest eigenvalue of A'diag(exposure)A / 2 is at most
        max(exposure / share) / 2 times that of A'WA; nor is it above the sum of the curvatures. Rounded up."""
        positive = self.design.shares > 0
        ratio = float((self.exposure[positive] / self.design.shares[positive]).max())
        ranges = float(self.weight.sum()) * float((self._ranges**2).sum()) / 4
        return above(self._up(min(ratio * self.design.extremes[1] / 2, ranges)), self.ridge)

    def _up(self, number: float) -> float:
        """A sum over rows or columns, or a product of such, not rounded down."""
        return number * (1 + (2 * self.design.n + self.p + 20) * EPS)

    @cached_property
    def _ranges(self) -> Array:
        X = self.design.X
        if is_tensor(X):
            high, low = to_numpy(X.amax(dim=0)), to_numpy(X.amin(dim=0))
        else:
            high, low = X.max(axis=0), X.min(axis=0)
        high, low = (end.toarray().ravel() if hasattr(end, "toarray") else end for end in (high, low))
        return high.astype(np.float64) - low.astype(np.float64)  # in single precision it might be rounded down

    def _evaluate(self, product: Array) -> Risks:
        z = product[self.order] - float(product.max())
        logs = self.logs + z
        near = -float(z.min()) + self.spread <= SAFE
        hazard = np.exp(logs)
        if near:
            total = np.cumsum(hazard)[self.last]  # over those at risk
            sums = np.log(total)
            later = np.zeros(z.size)
            later[self.last] = self.weight / total
            u = hazard * np.cumsum(later[::-1])[::-1]
        else:
            sums, u = self._far(logs)
            total = np.maximum(np.exp(sums), np.finfo(float).tiny)
        loss = float(self.weight @ sums) - float(self.counts @ z)
        residual = _back(u - self.counts, self.order)
        return Risks(product, loss, residual, u, hazard, total, self.weight, self.last, self.order, self.rank, near)

    def _far(self, logs: Array) -> tuple[Array, Array]:
        """Logarithms of the sums over those at risk, and u, where the sums themselves would vanish; slower."""
        with np.errstate(divide="ignore"):
            sums = np.logaddexp.accumulate(logs)[self.last]
        later = np.full(logs.size, -np.inf)
        later[self.last] = np.log(self.weight) - sums
        return sums, np.exp(logs + np.logaddexp.accumulate(later[::-1])[::-1])


def _back(sorted_values: Array, order: Array) -> Array:
    """In the order of the rows again."""
    found = np.empty_like(sorted_values)
    found[order] = sorted_values
    return found
