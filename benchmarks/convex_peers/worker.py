"""One method on one problem, alone in its process: `python -m benchmarks.convex_peers.worker REQUEST`.

REQUEST is JSON: {"problem": ..., "seeds": [...], "method": ..., "patience": seconds}; the answer is one JSON line on
stdout for every seed, as soon as it is there. With {"rival": ...} the two methods are timed in turns, see `duel`.
{"installed": true} asks for the peers that can be imported, with their versions.

Before the clock starts, the method solves a tiny problem, so that imports and compilation are not counted; then it is
timed three times or more, up to `patience` seconds, and the best counts. memory is how far the resident set rises
above what the process holds with the data loaded, in the first timed solve. pass: seconds of one product with all of
X', here, beside the method. reach, of `auto` on least squares: see `benchmarks.convex_peers.reach`.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import signal
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.convex_peers import referee
from benchmarks.convex_peers.methods import Solve, refuse, solver
from benchmarks.convex_peers.peers import installed
from benchmarks.convex_peers.problems import Case, source
from benchmarks.convex_peers.reach import METHOD, reach

MOST, LEAST = 25, 3
TURNS = 1001  # within `patience`: what takes less than a millisecond needs many to settle
DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of Linux


def answers(request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The answers to a request, one a seed."""
    if "installed" in request:
        yield installed()
        return
    warnings.simplefilter("ignore")
    for seed in request["seeds"]:
        case = source(request["problem"]).draw(seed)
        if "rival" in request:
            yield {"seed": seed, **duel(request["method"], request["rival"], case, request["patience"])}
        else:
            yield {"seed": seed, **measured(request["method"], case, request["patience"])}


def measured(method: str, case: Case, patience: float) -> dict[str, Any]:
    """The method on the case: its support, the objective there, what it cost."""
    refuse(method, case)
    solve = solver(method)
    warm_up(solve, case)
    before = _peak_from_here()
    support, first = _timed(lambda: solve(case))
    memory = _resident("VmHWM") - before
    times = [first]
    while len(times) < MOST and sum(t[0] for t in times) < _allowed(patience, len(times)):
        times.append(_timed(lambda: solve(case))[1])
    return {
        **({"reach": reach(case)} if method == METHOD and case.loss == "squares" else {}),
        **_shape(case),
        "support": [int(j) for j in np.flatnonzero(support)],
        "size": int(support.sum()),
        "hits": None if case.truth is None else int(support[case.truth].sum()),
        "value": referee.value(case, support),
        "truth": _true_value(case),
        "seconds": min(t[0] for t in times),
        "cpu": min(t[1] for t in times),
        "repetitions": len(times),
        "memory": memory,
        "pass": min(_timed(lambda: case.X.T @ case.y)[1][0] for _ in range(MOST)),
    }


def _allowed(patience: float, count: int) -> float:
    """Seconds within which another repetition begins: the first few may take four times as long."""
    return patience * (1 if count >= LEAST else 4)


def duel(method: str, rival: str, case: Case, patience: float) -> dict[str, Any]:
    """Both in turns until `patience` seconds are over: the median of the rounds' time ratios."""
    pair = [solver(method), solver(rival)]
    for solve in pair:
        warm_up(solve, case)
        solve(case)
    rounds: list[list[float]] = []
    began = time.perf_counter()
    while not rounds or (len(rounds) < TURNS and time.perf_counter() - began < _allowed(patience, len(rounds))):
        order = pair if len(rounds) % 2 == 0 else pair[::-1]
        spent = [_timed(lambda solve=solve: solve(case))[1][0] for solve in order]
        rounds.append(spent if len(rounds) % 2 == 0 else spent[::-1])
    ours, theirs = (statistics.median(times) for times in zip(*rounds, strict=True))
    ratio = statistics.median(a / b for a, b in rounds)
    return {"ratio": ratio, "seconds": ours, "rival_seconds": theirs, "rounds": len(rounds)}


def _shape(case: Case) -> dict[str, Any]:
    n, p = case.X.shape
    return {"n": n, "p": p, "k": case.k, "loss": case.loss, "ridge": case.ridge}


def _true_value(case: Case) -> float | None:
    """The objective at the true support, where there is one."""
    return None if case.truth is None else referee.value(case, np.isin(np.arange(case.X.shape[1]), case.truth))


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


def end_with_parent() -> None:
    """Ask the system to end this process when the one that started it is gone, where it can."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(DEATH_SIGNAL, signal.SIGKILL)


if __name__ == "__main__":
    end_with_parent()
    for answer in answers(json.loads(sys.argv[1])):
        print(json.dumps(answer), flush=True)
