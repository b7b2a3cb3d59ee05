"""`auto` on gene expression: value, processor seconds and gap for k = 5, 10, 20 with and without ridge.

Beside them the values that a prototype of the portfolio reached, and the best that was ever seen with far longer
searches. riboflavin is least squares, the others logistic regression. Lower bounds are the better of the certificate
and what branch and bound proves in `PATIENCE` seconds; without a ridge there is none but 0.

>>> REFERENCE["colon", 1e-3, 5]
(0.088346, 0.086464)
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.convex_peers.problems import REAL
from sparsopt.branch_and_bound.solver import BranchAndBound
from sparsopt.certificates import Standing
from sparsopt.errors import DataError
from sparsopt.solvers import solve

REFERENCE: Mapping[tuple[str, float, int], tuple[float, float]] = {
    ("riboflavin", 0.0, 5): (0.05536, 0.05536),
    ("riboflavin", 0.0, 10): (0.02025, 0.016395),
    ("riboflavin", 0.0, 20): (0.00428, 0.000769),
    ("leukemia", 1e-3, 5): (0.020269, 0.020269),
    ("leukemia", 1e-3, 10): (0.011763, 0.011740),
    ("leukemia", 1e-3, 20): (0.006866, 0.006866),
    ("colon", 1e-3, 5): (0.088346, 0.086464),
    ("colon", 1e-3, 10): (0.042639, 0.041744),
    ("colon", 1e-3, 20): (0.024095, 0.023707),
    ("prostate", 1e-3, 5): (0.041896, 0.041531),
    ("prostate", 1e-3, 10): (0.017056, 0.016840),
    ("prostate", 1e-3, 20): (0.009347, 0.009315),
}
RIDGES = (0.0, 1e-3, 1e-1)
PATIENCE = 3.0
EXACT = 1e-9  # relative


@dataclass(frozen=True)
class Row:
    """A cell of the table; bound: a lower bound on the best value there is (-inf: none is known).

    seconds of the processor, without and with the proof; standing: what is shown about the point.
    """

    name: str
    ridge: float
    k: int
    value: float
    seconds: float
    bound: float
    seconds_bound: float
    standing: str = ""


def measure(names: Sequence[str] = ("riboflavin", "leukemia", "colon", "prostate")) -> list[Row]:
    """Every set whose data are there."""
    rows = []
    for name in names:
        try:
            case = REAL[name].draw(0)
        except DataError:
            continue
        solve(replace(case, ridge=1.0).problem(), 1)  # what is loaded on first use is not timed
        for ridge in RIDGES:
            problem = replace(case, ridge=ridge).problem()
            rows.extend(_row(name, problem, k) for k in (5, 10, 20))
    return rows


def _row(name: str, problem: Any, k: int) -> Row:
    began = time.process_time()
    result = solve(problem, k)
    solved = time.process_time()
    bound, standing = result.lower_bound, result.certificates.standing
    if problem.ridge > 0:
        bound = max(bound, solve(problem, k, BranchAndBound(PATIENCE)).lower_bound)
        if bound >= result.value * (1 - EXACT):
            standing = Standing.OPTIMAL
    ended = time.process_time()
    words = standing.name.lower().replace("_", " ")
    return Row(name, problem.ridge, k, result.value, solved - began, bound, ended - solved, words)


def markdown(rows: Sequence[Row]) -> str:
    """As a table."""
    head = "| set | ridge | k | auto | s | prototype | best seen | lower bound | gap, % | s | shown |"
    return "\n".join([head, "|" + "---|" * 11, *map(_line, rows)]) + "\n"


def _line(row: Row) -> str:
    known = REFERENCE.get((row.name, row.ridge, row.k))
    proto, best = ("", "") if known is None else (f"{known[0]:g}", f"{known[1]:g}")
    finite = math.isfinite(row.bound) and row.bound > 0  # 0 holds for every mean of losses
    gap = f"{100 * (1 - row.bound / row.value):.1f}" if finite else ""
    bound = f"{row.bound:.5g}" if finite else "none but 0"
    cells = (row.name, f"{row.ridge:g}", str(row.k), f"{row.value:.6g}", f"{row.seconds:.2f}", proto, best, bound, gap)
    return "| " + " | ".join((*cells, f"{row.seconds_bound:.2f}", row.standing)) + " |"
