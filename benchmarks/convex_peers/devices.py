"""The same call on a Torch tensor and on the NumPy array it came from: `python -m benchmarks convex --device cuda`.

Passes over X run where the tensor lives, the small rest on the host. Both are timed alike, in this process, the problem
object included; the tensor is on its device before the clock starts, and results come back as NumPy arrays, which waits
for the device. Supports may differ by rounding where two are equally good: objectives are compared.

>>> rows = measure(("P8",), "cpu", ("auto",), patience=0.0)
>>> rows[0].method, rows[0].device, rows[0].excess < 1e-6
('auto', 'cpu', True)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.convex_peers.problems import Case, source
from sparsopt.errors import InvalidInput

METHODS = ("auto", "omp", "htp")


@dataclass(frozen=True)
class Row:
    """A method on a problem. numpy, torch: seconds, the best of a few; excess: of the tensor's objective, relative."""

    problem: str
    method: str
    device: str
    numpy: float
    torch: float
    excess: float


def measure(problems: Sequence[str], device: str, methods: Sequence[str] = METHODS, patience: float = 0.5) -> list[Row]:
    """Every method on every problem. Raises `InvalidInput` for a device that is not here."""
    import torch

    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InvalidInput(f"device {device!r} is not here: {str(error).splitlines()[0]}") from error
    rows = []
    for name in problems:
        case = source(name).draw(0)
        there = torch.tensor(case.X, device=device)
        for method in methods:
            plain, value = _solved(case, case.X, method, patience)
            moved, other = _solved(case, there, method, patience)
            rows.append(Row(name, method, device, plain, moved, other / value - 1))
    return rows


def _solved(case: Case, X: Any, method: str, patience: float) -> tuple[float, float]:
    """Seconds and objective; one run before the clock starts."""
    from sparsopt.problems import LeastSquares, Logistic
    from sparsopt.solvers import solve

    def run() -> Any:
        if case.loss == "squares":
            return solve(LeastSquares(X, case.y, ridge=case.ridge), case.k, method)
        return solve(Logistic(X, case.y, ridge=case.ridge, intercept=False), case.k, method)

    value = case.problem().minimise_on(run().support, None)[1]
    return _best(run, patience), float(value)


def _best(run: Callable[[], Any], patience: float) -> float:
    times: list[float] = []
    while not times or sum(times) < patience:
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return min(times)


def markdown(rows: Sequence[Row]) -> str:
    """As a table; ratio: seconds on the tensor over seconds on the array."""
    head = "| problem | method | device | NumPy, ms | Torch, ms | ratio | objective, relative excess |"
    lines = [
        f"| {r.problem} | {r.method} | {r.device} | {1000 * r.numpy:.3g} | {1000 * r.torch:.3g} | "
        f"{r.torch / r.numpy:.2f} | {r.excess:.1e} |"
        for r in rows
    ]
    return "\n".join([head, "|" + "---|" * 7, *lines]) + "\n"
