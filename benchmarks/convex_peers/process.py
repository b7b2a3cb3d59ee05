"""A worker process of its own for every question: what it answers, line by line, and how it ended.

Threads of every pool are pinned. A process that is not finished when its seconds are over is ended with all that it
started; the lines that it had written count. A crash is an answer too.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "BLIS_NUM_THREADS")
MISSING, LATE, REFUSED, DIED = "cannot be imported", "not finished after", "not asked", "died of"


@dataclass(frozen=True)
class Answer:
    """The lines that a worker wrote, and why there are no more ("": it was finished)."""

    lines: tuple[dict[str, Any], ...]
    failure: str = ""


def ask(python: str, request: dict[str, Any], threads: int = 1, budget: float = 60.0) -> Answer:
    """What `python -m benchmarks.convex_peers.worker REQUEST` answers within `budget` seconds."""
    command = [python, "-m", "benchmarks.convex_peers.worker", json.dumps(request)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=_environment(threads), start_new_session=True, **pipes) as process:
        try:
            out, complaint = process.communicate(timeout=budget)
            failure = _failure(process.returncode, complaint)
        except subprocess.TimeoutExpired:
            _end(process)
            out, failure = process.communicate()[0], f"{LATE} {budget:g} s"
        except BaseException:  # Ctrl-C, above all: nothing goes on behind the user's back
            _end(process)
            raise
    return Answer(_lines(out), failure)


def _environment(threads: int) -> dict[str, str]:
    pinned = {**dict.fromkeys(POOLS, str(threads)), "PYTHONPATH": str(ROOT), "JAX_ENABLE_X64": "1"}
    if threads == 1:
        pinned["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    return {**os.environ, **pinned}


def _end(process: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _failure(status: int, complaint: str) -> str:
    if status == 0:
        return ""
    if status < 0:
        died = signal.Signals(-status).name
        return f"{DIED} {died}" + (" (out of memory?)" if died == "SIGKILL" else "")
    said = (complaint.strip().splitlines() or ["no reason given"])[-1][:200]
    if said.startswith(("ImportError", "ModuleNotFoundError", "OSError: lib")):
        return f"{MISSING}: {said}"
    return said.removeprefix("sparsopt.errors.InvalidInput: ")


def _lines(out: str) -> tuple[dict[str, Any], ...]:
    """Those that are whole JSON objects: packages print what they like."""
    found = []
    for line in out.splitlines():
        with suppress(ValueError):
            thing = json.loads(line)
            found += [thing] if isinstance(thing, dict) else []
    return tuple(found)
