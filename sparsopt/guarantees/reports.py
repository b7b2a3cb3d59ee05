"""What was promised for a result on one's own data, what was achieved, and the slack between the two.

>>> import sparsopt
>>> X = np.random.default_rng(0).standard_normal((100, 8))
>>> problem = sparsopt.LeastSquares(X, X[:, 1] + X[:, 2])
>>> found = report(problem, sparsopt.solve(problem, 3, "omp"))
>>> found.holds, [verdict.theorem for verdict in found.verdicts]
(True, ['T2', 'T3'])
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsopt import support as sp
from sparsopt.certificates import Certificates
from sparsopt.guarantees.base import Verdict, observe
from sparsopt.guarantees.verification import THEOREMS
from sparsopt.result import Result
from sparsopt.state import Array

__all__ = ["Bracket", "Report", "report"]


@dataclass(frozen=True)
class Bracket:
    """An interval that holds a restricted eigenvalue: a proved bound on one side, one that occurs on the other."""

    low: float
    high: float

    def __str__(self) -> str:
        return (
            f"{self.low:.4g}" if self.high - self.low <= 1e-9 * abs(self.high) else f"[{self.low:.4g}, {self.high:.4g}]"
        )


@dataclass(frozen=True)
class Report:
    """What is proved about the point, constants of the problem as intervals, and a verdict for each theorem that
    promises something for the method. Print it.
    """

    method: str
    size: int
    value: float
    lower_bound: float
    standing: str
    smoothness: Bracket
    strong_convexity: Bracket
    condition: Bracket
    verdicts: tuple[Verdict, ...]
    silent: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether no theorem is violated."""
        return not any(verdict.violated for verdict in self.verdicts)

    def __str__(self) -> str:
        lines = [f"{self.method}: {self.size} coordinates, f(x) = {self.value:.8g}", *self._proved(), ""]
        lines += [
            f"On any {self.size} coordinates: smoothness {self.smoothness}, strong convexity {self.strong_convexity},",
            f"condition number {self.condition} (an interval: a proved bound, and what occurs on those selected)",
        ]
        for verdict in self.verdicts:
            lines += [
                "",
                f"{verdict.theorem}  {verdict.statement}",
                f"    {_compared(verdict)}",
                f"    {_origin(verdict)}",
            ]
        if self.verdicts:
            lines += ["", LEGEND]
        else:
            lines += [
                "",
                "No theorem promises anything for this method on this problem: what is proved about the point counts.",
            ]
        return "\n".join([*lines, *(f"    {line}" for line in self.silent)])

    def _proved(self) -> list[str]:
        """What holds for the point itself, whoever found it."""
        if not math.isfinite(self.lower_bound):
            return [self.standing, "No lower bound is known."]
        gap = max(self.value - self.lower_bound, 0.0)
        share = f", {100 * gap / abs(self.value):.3g} % of f(x)" if self.value else ""
        return [
            self.standing,
            f"With as many coordinates nothing is below {self.lower_bound:.8g}: gap {gap:.3g}{share}.",
        ]


LEGEND = (
    "w: any sparse vector, here those of the result's largest coordinates, the best for the promise; s of them;\n"
    "m of w not selected; beta, lambda: smoothness and strong convexity, kappa = beta/lambda; tau = 1: exact gradients."
)


def _compared(verdict: Verdict) -> str:
    share = f", {100 * verdict.ratio:.3g} % of that" if verdict.promised > 0 and verdict.achieved >= 0 else ""
    held = "holds" if verdict.holds else "VIOLATED"
    told = f"at most {verdict.promised:.8g} promised, {verdict.achieved:.8g} seen{share}"
    return f"{held}: {told}; slack {verdict.slack:.3g}"


def _origin(verdict: Verdict) -> str:
    known = verdict.proof.value
    return verdict.source if known.split(",")[0] in verdict.source else f"{verdict.source}; {known}"


def report(problem: Any, result: Result, targets: Sequence[Array] = ()) -> Report:
    """For each theorem about the result's method: what it promises here, by comparison with sparse targets.

    The method is run once more to see its rounds (T6a looks at each of them). targets: vectors (p,) to compare
    with; by default the minimisers on the s largest coordinates of the result, s = 1..|S|, and the minimiser on all
    coordinates. Constants are exact where the problem can enumerate, else sound bounds, which promise less.
    """
    compared = list(targets) or _targets(problem, result)
    about = [theorem for theorem in THEOREMS if theorem.about(result.method)]
    verdicts, silent = [], []
    for theorem in about:
        observed = observe(problem, result.method, result.state.seed)
        verdict = theorem.promise(observed, compared)
        if verdict is None:
            silent.append(f"{theorem.name}: {theorem.remark(observed)}")
        else:
            verdicts.append(verdict)
    size = max(sp.count(result.support), 1)
    name = getattr(result.method, "name", type(result.method).__name__)
    point = Certificates(problem, result.x, result.support, sp.count(result.support))
    shown = (point.value, point.lower_bound, str(point.standing))
    brackets = _brackets(problem, result, size)
    return Report(name, sp.count(result.support), *shown, *brackets, tuple(verdicts), tuple(silent))


def _targets(problem: Any, result: Result) -> list[Array]:
    order = np.argsort(-np.abs(result.x), kind="stable")[: sp.count(result.support)]
    supports = [np.isin(np.arange(problem.layout.n), order[:s]) for s in range(1, len(order) + 1)]
    return [problem.minimise_on(support, None)[0] for support in [*supports, np.ones(problem.layout.n, dtype=bool)]]


def _brackets(problem: Any, result: Result, size: int) -> tuple[Bracket, Bracket, Bracket]:
    """Bounds for all supports of this size; the other ends occur on the result's own, up to rounding.

    Smoothness (the largest eigenvalue), strong convexity (the smallest), and the largest ratio of the two.
    """
    bound, floor = float(problem.smoothness(size)), float(problem.strong_convexity(size))
    S = np.flatnonzero(result.support)
    worst = bound / floor if floor > 0 else math.inf
    if not S.size:
        return Bracket(0.0, bound), Bracket(floor, bound), Bracket(1.0, worst)
    blocks = np.stack(
        [problem.hessian_product(result.x, e)[S] for e in np.eye(problem.layout.n, dtype=problem.dtype)[S]]
    )
    values = np.linalg.eigvalsh((blocks + blocks.T) / 2)
    slack = float(np.finfo(problem.dtype).eps) * (S.size + 20) * float(np.abs(values).max())
    high, low = max(float(values[-1]) - slack, 0.0), max(float(values[0]), 0.0) + slack
    largest, smallest = Bracket(min(high, bound), bound), Bracket(floor, max(low, floor))
    return largest, smallest, Bracket(min(max(largest.low / smallest.high, 1.0), worst), worst)
