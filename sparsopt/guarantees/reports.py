"""What was promised for a result on one's own data, what was achieved, and the slack between the two.

>>> import sparsopt
>>> X = np.random.default_rng(0).standard_normal((100, 8))
>>> problem = sparsopt.LeastSquares(X, X[:, 1] + X[:, 2])
>>> found = report(problem, sparsopt.solve(problem, 3, "omp"))
>>> found.holds, [verdict.theorem for verdict in found.verdicts]
(True, ['T2', 'T3', 'T5b', 'T8'])
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsopt import support as sp
from sparsopt.certificates import Certificates
from sparsopt.errors import InvalidInput
from sparsopt.guarantees.base import Observed, Setting, Theorem, Verdict, observe, roots
from sparsopt.guarantees.verification import THEOREMS
from sparsopt.method import Method
from sparsopt.result import Result
from sparsopt.state import Array
from sparsopt.support import Elements, unit_labels

__all__ = ["Bracket", "Report", "report"]

MOST_TARGETS = 30  # sizes of the targets that a result is compared with
WHOLE = 1000  # coordinates up to which the minimiser on all of them is one of the targets


@dataclass(frozen=True)
class Bracket:
    """An interval that holds a restricted eigenvalue: a proved bound on one side, one that occurs on the other."""

    low: float
    high: float

    def __str__(self) -> str:
        point = math.isfinite(self.high) and self.high - self.low <= 1e-9 * abs(self.high)
        return f"{self.low:.4g}" if point else f"[{self.low:.4g}, {self.high:.4g}]"


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
    others: tuple[str, ...] = ()

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
                *([f"    {verdict.note}"] if verdict.note else []),
                f"    {_origin(verdict)}",
            ]
        if self.verdicts:
            lines += ["", LEGEND]
        else:
            lines += [
                "",
                "No theorem promises anything for this method on this problem: what is proved about the point counts.",
            ]
        lines += [f"    {line}" for line in self.silent]
        if self.others:
            lines += ["", f"Not about what this method does: {', '.join(self.others)}."]
        return "\n".join(lines)

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
    "w: any sparse vector, here the minimisers on the result's largest coordinates and on those that start best, the\n"
    "best for the promise; s of them, m of w not selected; beta, lambda: smoothness and strong convexity, kappa =\n"
    "beta/lambda, in the units in which the method compares coordinates; tau = 1: exact gradients."
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
    """For each theorem about the result's method or point: what it promises here, by comparison with sparse targets.

    The method is run once more to see its rounds. targets: vectors (p,) to compare with; by default the minimisers on
    the s largest coordinates of the result and on the s that lower f most from 0, s = 1..|S|, and the minimiser on all
    coordinates (from 1,000 on, on 200 of them). Constants are eigenvalues of the blocks that occur, else sound bounds,
    which promise less; a promise no better than f where the method began is called vacuous. Groups are units, as in
    `Setting`. What works in standardised units is reported in those. Raises `InvalidInput` for what is no result, or
    one of a problem with another number of coordinates.
    """
    _check_result(problem, result)
    if hasattr(problem, "working"):
        return report(problem.working, _raised(problem, result), [problem.scale * w for w in targets])
    point = Certificates(problem, result.x, result.support, sp.count(result.support))
    about = [theorem for theorem in THEOREMS if theorem.about(result.method) or theorem.about_point(point)]
    verdicts, silent = _spoken(problem, result, targets, about)
    size, method = sp.count(result.support), result.method
    return Report(
        getattr(method, "name", type(method).__name__),
        size,
        point.value,
        point.lower_bound,
        str(point.standing),
        *_brackets(problem, result, max(size, 1)),
        tuple(verdicts),
        tuple(silent),
        tuple(theorem.name for theorem in THEOREMS if theorem not in about and theorem.name not in ("T7", "C1")),
    )


def _check_result(problem: Any, result: Any) -> None:
    if not isinstance(result, Result):
        raise InvalidInput(f"{type(result).__name__} is no Result; report(problem, sparsopt.solve(problem, k)) has one")
    if result.x.shape != (problem.layout.n,):
        raise InvalidInput(
            f"the result has {result.x.size} coordinates, but {problem!r} has {problem.layout.n}: give the problem "
            "that was solved"
        )


def _spoken(
    problem: Any, result: Result, targets: Sequence[Array], about: Sequence[Theorem]
) -> tuple[list[Verdict], list[str]]:
    """The promises, and why theorems about this method promise nothing."""
    reason = _barred(problem)
    if reason or not about:
        return [], [f"{theorem.name}: {reason}" for theorem in about]
    compared, observed = list(targets) or _targets(problem, result), _observed(problem, result)
    found = [(theorem, theorem.promise(observed, compared)) for theorem in about]
    silent = [f"{theorem.name}: {theorem.remark(observed)}" for theorem, verdict in found if verdict is None]
    return [verdict for _, verdict in found if verdict is not None], silent


def _barred(problem: Any) -> str:
    """Why no theorem holds as it is stated, whatever the method; empty where that is not so."""
    if not (hasattr(problem, "curvature") and hasattr(problem, "smoothness")):
        return "f has no bound on its curvature, so nothing is promised (a loss such as Poisson bends without limit)"
    if getattr(problem, "limited", False):
        return "coefficients are confined, and the theorems compare with refits and targets that are not"
    return ""


def _observed(problem: Any, result: Result) -> Observed:
    """The rounds of a method; of a solver that has none, its beginning and its end."""
    structure, p = getattr(problem, "structure", Elements()), problem.layout.n
    labels = None if structure == Elements() else tuple(unit_labels(structure, p).tolist())
    setting = Setting(labels)
    if isinstance(result.method, Method):
        return dataclasses.replace(observe(problem, result.method, result.state.seed, setting), result=result)
    return Observed(problem, result.method, (problem.start(0), result.state), result, setting)


def _raised(problem: Any, result: Result) -> Result:
    """The result of a standardised problem in standardised units."""
    return dataclasses.replace(result, state=result.state.but(x=problem.scale * result.x), certificates=None)


def _targets(problem: Any, result: Result) -> list[Array]:
    p, size = problem.layout.n, sp.count(result.support)
    structure = getattr(problem, "structure", Elements())
    labels, count = unit_labels(structure, p), sp.size(structure, result.support)
    first = np.asarray(problem.gradient(np.zeros(p, problem.dtype)), dtype=float) ** 2 / roots(problem) ** 2
    ranks = [np.argsort(-np.bincount(labels, v), kind="stable") for v in (np.square(result.x, dtype=float), first)]
    sizes = np.unique(np.geomspace(1, max(count, 1), MOST_TARGETS).astype(int))
    supports = [np.isin(labels, order[:s]) for order in ranks for s in sizes if size]
    widest = np.ones(p, dtype=bool) if p <= WHOLE else result.support | sp.top(first, min(WHOLE // 5, p))
    return [problem.minimise_on(support, None)[0] for support in [*supports, widest]]


def _brackets(problem: Any, result: Result, size: int) -> tuple[Bracket, Bracket, Bracket]:
    """Bounds for all supports of this size; the other ends occur on the result's own, up to rounding.

    Smoothness (the largest eigenvalue), strong convexity (the smallest), and the largest ratio of the two; those that
    a problem does not bound are inf and 0.
    """
    bound = float(problem.smoothness(size)) if hasattr(problem, "smoothness") else math.inf
    floor = float(problem.strong_convexity(size)) if hasattr(problem, "strong_convexity") else 0.0
    S = np.flatnonzero(result.support)
    worst = bound / floor if floor > 0 else math.inf
    if not S.size or not hasattr(problem, "hessian_product"):
        return Bracket(0.0, bound), Bracket(floor, bound), Bracket(1.0, worst)
    columns = (np.where(np.arange(problem.layout.n) == j, 1.0, 0.0).astype(problem.dtype) for j in S)
    blocks = np.stack([problem.hessian_product(result.x, e)[S] for e in columns])
    values = np.linalg.eigvalsh((blocks + blocks.T) / 2)
    slack = float(np.finfo(problem.dtype).eps) * (S.size + 20) * float(np.abs(values).max())
    high, low = max(float(values[-1]) - slack, 0.0), max(float(values[0]), 0.0) + slack
    largest, smallest = Bracket(min(high, bound), bound), Bracket(floor, max(low, floor))
    return largest, smallest, Bracket(min(max(largest.low / smallest.high, 1.0), worst), worst)
