"""One method on one problem, alone in its process: `python -m benchmarks.convex_peers.worker REQUEST`.

REQUEST is JSON: {"data": a file of arrays, "method": ..., "loss": ..., "k": ..., "ridge": ..., "patience": ...}; the
answer is one JSON line on stdout. {"installed": true} asks for the peers that can be imported, with their versions.

Before the clock starts, the method solves a tiny problem, so that imports and compilation are not counted; then it is
timed three times or more, up to `patience` seconds, and the best counts. memory is how far the resident set rises
above what the process holds with the data loaded, in the first timed solve. reach, of `auto` on least squares: see
`benchmarks.convex_peers.reach`.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.convex_peers.methods import Solve, solver
from benchmarks.convex_peers.peers import installed
from benchmarks.convex_peers.problems import Case
from benchmarks.convex_peers.reach import METHOD, reach

MOST, LEAST = 25, 3


def main(request: dict[str, Any]) -> dict[str, Any]:
    """The answer to a request."""
    if "installed" in request:
        return installed()
    warnings.simplefilter("ignore")
    with np.load(request["data"], allow_pickle=False) as file:
        X, y = file["X"], file["y"]
    case = Case(request["loss"], X, y, request["k"], request["ridge"])
    solve = solver(request["method"])
    warm_up(solve, case)
    before = _peak_from_here()
    support, first = _timed(lambda: solve(case))
    memory = _resident("VmHWM") - before
    times = [first]
    while len(times) < MOST and sum(t[0] for t in times) < request["patience"] * (1 if len(times) >= LEAST else 4):
        times.append(_timed(lambda: solve(case))[1])
    value = float("nan")
    if request["method"] != "floor":
        value = case.problem().minimise_on(support, None)[1]
    answer = {} if request["method"] != METHOD or case.loss != "squares" else {"reach": reach(case)}
    return {
        **answer,
        "support": [int(j) for j in np.flatnonzero(support)],
        "value": float(value),
        "seconds": min(t[0] for t in times),
        "cpu": min(t[1] for t in times),
        "repetitions": len(times),
        "memory": memory,
    }


def warm_up(solve: Solve, case: Case) -> None:
    """A tiny problem with the same loss."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 20))
    y = X[:, 0] - X[:, 1] + rng.standard_normal(60)
    solve(Case(case.loss, X, y if case.loss == "squares" else (y > 0).astype(float), 2, case.ridge))


def _timed(call: Callable[[], Any]) -> tuple[Any, tuple[float, float]]:
    wall, cpu = time.perf_counter(), time.process_time()
    result = call()
    return result, (time.perf_counter() - wall, time.process_time() - cpu)


def _peak_from_here() -> float:
    """Resident megabytes now; the peak that the system remembers starts again, where it lets us."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return float("nan")
    return _resident("VmRSS")


def _resident(field: str) -> float:
    """Megabytes, from the system's account of this process; nan where there is none."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return float("nan")
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(field)), float("nan"))


if __name__ == "__main__":
    answer = main(json.loads(sys.argv[1]))
    print(json.dumps(answer))
