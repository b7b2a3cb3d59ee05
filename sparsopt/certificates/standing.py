"""What can be shown about a point from (problem, x, support, k) alone, whoever found it.

A lower bound holds for every vector with at most k non-zeros; the gap is what could still be gained. Nothing is
computed before it is asked for.

>>> from sparsopt.problems import Quadratic
>>> problem = Quadratic(np.eye(3), np.array([3.0, 2.0, 1.0]))
>>> proof = Certificates(problem, np.array([3.0, 2.0, 0.0]), np.array([True, True, False]), 2)
>>> proof.value, proof.optimal, proof.gap < 1e-12
(-6.5, True, True)
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from sparsopt.certificates.swaps import neighbour_gain
from sparsopt.certificates.tangents import TOLERANCE, lower_bound, tightened_bound
from sparsopt.state import Array, Mask

__all__ = ["Certificates", "Standing"]

STATIONARY = 1e-7  # of a gradient, relative to that at 0
MOST_STEPS = 200  # towards a better lower bound
MOST_WORK = 2e9  # operations that looking at every swap may take
ROOT_WORK = 2e10  # operations that the bound of the relaxation may take: about a second
NEAR = 0.1  # of what could be gained at most: what is called within a gap


class Standing(enum.Enum):
    """What is shown about a point, the strongest first. The value is a sentence for the user."""

    OPTIMAL = "Optimal: proved that no vector with at most k non-zeros has a lower value, beyond rounding."
    WITHIN_GAP = (
        "Within a gap: proved that no vector with at most k non-zeros is lower by more than a tenth of f(x), nor by "
        "more than a tenth of what x gained over 0."
    )
    ONE_SWAP_OPTIMAL = (
        "One-swap optimal: no exchange of one coordinate lowers the value; what larger exchanges do is not known."
    )
    FEASIBLE = "Feasible: at most k non-zeros; that it is the best or near it is not shown."
    INFEASIBLE = "Not feasible: more than k coordinates, a weight off the support, or one that is not finite."

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Certificates:
    """Facts about x with the given support as a solution of: minimise f over vectors with at most k non-zeros.

    problem: anything with value and gradient; lower bounds need `strong_convexity`, `floor` and `rounding`, and swaps
    `hessian_columns` (where these are missing: -inf, None). x (p,), support (p,) boolean. seconds: how long a better
    lower bound may be looked for (`sharpened`).
    """

    problem: Any
    x: Array
    support: Mask
    k: int
    seconds: float = 0.0

    @cached_property
    def value(self) -> float:
        """f(x), recomputed."""
        return float(self.problem.value(self.x))

    @cached_property
    def feasible(self) -> bool:
        """Whether |S| <= k and x is finite, and exactly zero off S."""
        inside = int(np.count_nonzero(self.support)) <= self.k and not np.any(self.x[~self.support])
        return bool(inside and np.isfinite(self.x).all())

    @cached_property
    def lower_bound(self) -> float:
        """No vector with at most k non-zeros has a smaller f than this; -inf where no bound is known.

        The larger of two: `lower_bound` at x itself, and unless that is f(x), the perspective relaxation with a
        diagonal splitting (`branch_and_bound.relaxation.root_bound`), or `tightened_bound` where that costs too much.
        """
        from sparsopt.branch_and_bound.relaxation import capable, root_bound
        from sparsopt.branch_and_bound.sharpening import sharp_bound

        best = lower_bound(self.problem, self.x, self.k)
        if self._closes(best) or not np.isfinite(self.x).all():
            return best
        if capable(self.problem) and _root_work(self.problem) <= ROOT_WORK:
            if self.seconds > 0:
                return max(best, sharp_bound(self.problem, self.k, self.value, self.seconds))
            return max(best, root_bound(self.problem, self.k, self.value))
        steps = min(MOST_STEPS, int(MOST_WORK / 2 / (_rows(self.problem) * self.x.shape[0])))
        return max(best, tightened_bound(self.problem, self.x, self.k, steps))

    def sharpened(self, seconds: float = 1.0) -> Certificates:
        """The same with a better lower bound where f is a quadratic: that of the relaxation with the best diagonal.

        A quarter of the gap is gone after some ten times the price of `lower_bound`, sometimes all of it. Raises
        `InvalidInput` for seconds that are no number >= 0.
        """
        from sparsopt.branch_and_bound.incumbent import check_budget

        check_budget(seconds)
        return replace(self, seconds=seconds)

    @cached_property
    def floor(self) -> float:
        """What f is never below, whatever x and k; -inf where that is not known. As a lower bound it says nothing."""
        return float(self.problem.floor()) if hasattr(self.problem, "floor") else -math.inf

    @cached_property
    def gap(self) -> float:
        """value - lower_bound >= 0: the most that could still be gained."""
        return max(self.value - self.lower_bound, 0.0)

    @cached_property
    def optimal(self) -> bool:
        """Whether it is proved that no feasible vector is better by more than 1e-10 max(|f(x)|, |f(0)|).

        False says that there is no proof, not that there is a better vector.
        """
        return self.feasible and math.isfinite(self.value) and self._closes(self.lower_bound)

    def _closes(self, bound: float) -> bool:
        """Whether nothing but rounding is between this bound and f(x)."""
        return bool(self.value - bound <= TOLERANCE * max(abs(self.value), abs(self._value_at_zero)))

    @cached_property
    def standing(self) -> Standing:
        """The strongest of: optimal, within a tenth, one-swap optimal, feasible.

        A tenth of f(x) less the least that f can be, and of f(0) - f(x): the bound `floor()`, which holds for every x,
        puts nothing within a gap.
        """
        if not self.feasible:
            return Standing.INFEASIBLE
        if self.optimal:
            return Standing.OPTIMAL
        if self.gap <= NEAR * min(self._value_at_zero - self.value, self.value - self.floor):
            return Standing.WITHIN_GAP
        return Standing.ONE_SWAP_OPTIMAL if self.one_swap_optimal else Standing.FEASIBLE

    @cached_property
    def l_stationary(self) -> bool | None:
        """Whether x is among the k-sparse vectors nearest to x - g/L, L = smoothness(): a fixed point of IHT.

        That is g_S = 0 and |g_j| <= L * (the k-th largest |x_i|) off S, up to 1e-7 of the gradient at 0 (Beck, Eldar
        2013). Every optimal x is; few others are. None where f has no smoothness.
        """
        if not (self._plain and hasattr(self.problem, "smoothness")):
            return None
        g, L = np.abs(self.problem.gradient(self.x)).astype(np.float64), float(self.problem.smoothness())
        slack = STATIONARY * float(np.abs(self.problem.gradient(np.zeros_like(self.x))).max())
        moved = self.x != 0
        smallest = 0.0
        if 0 < self.k <= np.count_nonzero(moved):
            smallest = float(np.sort(np.abs(self.x))[-self.k])
        still = bool(np.all(g[moved] <= slack)) and self.feasible
        return still and (self.k == 0 or bool(np.all(g[~moved] <= L * smallest + slack)))

    @cached_property
    def one_swap_optimal(self) -> bool | None:
        """Whether no refit gives a smaller f: on S, after any swap of one coordinate, or any addition while |S| < k.

        For quadratics and least squares; smaller by more than 1e-9 of f(0) - f(x), and than the last digits of f(x).
        True is a proof: exchanges about which rounding leaves a doubt are made in rational arithmetic. None where f is
        neither, where looking at all swaps would take more than 2e9 operations, or too many of them are doubtful.
        """
        size, p = int(np.count_nonzero(self.support)), self.x.shape[0]
        if not (self._plain and hasattr(self.problem, "hessian_columns")):
            return None
        if _rows(self.problem) * p * (size + 1) > MOST_WORK:
            return None
        if not self.feasible:
            return False
        slack = 1e-9 * max(self._value_at_zero - self.value, 0.0) + 1e-13 * abs(self.value)
        most = neighbour_gain(self.problem, self.x, self.support, additions=size < self.k, enough=slack)
        return None if math.isnan(most) else most <= slack

    @property
    def _plain(self) -> bool:
        """Whether any k coordinates may have any values: else fewer points compete than these tests see."""
        return bool(getattr(self.problem, "plain", True))

    @cached_property
    def _value_at_zero(self) -> float:
        return float(self.problem.value(np.zeros_like(self.x)))


def _root_work(problem: Any) -> float:
    """About how many operations the relaxation at the root takes: a Hessian, a spectrum, passes over the data."""
    from sparsopt.branch_and_bound.relaxation import ROUNDS, WHOLE
    from sparsopt.branch_and_bound.splitting import ENTIRE

    n, p = float(_rows(problem)), float(problem.layout.n)
    passes, width = 2 * n * p * ROUNDS, min(p, WHOLE)
    if not hasattr(problem, "hessian_block"):
        return passes + 20 * ROUNDS * n * width**2
    return passes + (n * p**2 + (10 * p**3 if n >= p else 0.0) if p <= ENTIRE else ROUNDS * n * width**2)


def _rows(problem: Any) -> int:
    """How many numbers a coordinate costs in a gradient."""
    return getattr(getattr(problem, "design", None), "n", problem.layout.n)
