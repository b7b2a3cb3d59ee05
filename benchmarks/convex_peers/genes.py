"""`auto` on gene expression: value, seconds and gap for k = 5, 10, 20 with and without ridge.

Beside them the values that a prototype of the portfolio reached, and the best that was ever seen with far longer
searches. riboflavin is least squares, the others logistic regression.

>>> REFERENCE["colon", 1e-3, 5]
(0.088346, 0.086464)
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from benchmarks.convex_peers.problems import REAL
from sparsopt.errors import DataError
from sparsopt.solvers import solve

REFERENCE: Mapping[tuple[str, float, int], tuple[float, float]] = {
    ("riboflavin", 0.0, 5): (0.05536, 0.05536),
    ("riboflavin", 0.0, 10): (0.02025, 0.01652),
    ("riboflavin", 0.0, 20): (0.00428, 0.00149),
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


@dataclass(frozen=True)
class Row:
    """A cell of the table; bound: a lower bound on the best value there is (-inf: none is known)."""

    name: str
    ridge: float
    k: int
    value: float
    seconds: float
    bound: float
    seconds_bound: float


def measure(names: Sequence[str] = ("riboflavin", "leukemia", "colon", "prostate")) -> list[Row]:
    """Every set whose data are there."""
    rows = []
    for name in names:
        try:
            case = REAL[name].draw(0)
        except DataError:
            continue
        for ridge in RIDGES:
            problem = replace(case, ridge=ridge).problem()
            for k in (5, 10, 20):
                began = time.perf_counter()
                result = solve(problem, k)
                solved = time.perf_counter()
                bound = result.lower_bound
                rows.append(Row(name, ridge, k, result.value, solved - began, bound, time.perf_counter() - solved))
    return rows


def markdown(rows: Sequence[Row]) -> str:
    """As a table."""
    head = "| set | ridge | k | auto | s | prototype | best seen | lower bound | gap, % | s |"
    return "\n".join([head, "|" + "---|" * 10, *map(_line, rows)]) + "\n"


def _line(row: Row) -> str:
    known = REFERENCE.get((row.name, row.ridge, row.k))
    proto, best = ("", "") if known is None else (f"{known[0]:g}", f"{known[1]:g}")
    finite = math.isfinite(row.bound) and row.bound > 0  # 0 holds for every mean of losses
    gap = f"{100 * (1 - row.bound / row.value):.1f}" if finite else ""
    bound = f"{row.bound:.5g}" if finite else "none but 0"
    cells = (row.name, f"{row.ridge:g}", str(row.k), f"{row.value:.6g}", f"{row.seconds:.2f}", proto, best, bound, gap)
    return "| " + " | ".join((*cells, f"{row.seconds_bound:.2f}")) + " |"
