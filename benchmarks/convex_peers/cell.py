"""A cell of the side-by-side: every method on one problem at one seed, one process after the other.

All that is compared by seconds is measured in one go, so a ratio within a cell is a ratio within one run.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from benchmarks.convex_peers.methods import FLOOR
from benchmarks.convex_peers.problems import Case, source
from sparsopt.errors import DataError

ROOT = Path(__file__).resolve().parents[2]
POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "BLIS_NUM_THREADS")


@dataclass(frozen=True)
class SideCell:
    """methods on one problem; patience: seconds of repetitions; budget: seconds after which a process is ended.

    python: the interpreter of the processes, whose peers are measured.
    """

    problem: str
    seed: int
    methods: tuple[str, ...]
    patience: float = 0.5
    budget: float = 60.0
    python: str = sys.executable

    kind: ClassVar[str] = "side-by-side"
    packages: ClassVar[tuple[str, ...]] = ("numpy", "scipy", "scikit-learn")
    sources: ClassVar[tuple[str, ...]] = (
        *(
            "sparsopt/*.py",
            "sparsopt/catalogue/*.py",
            "sparsopt/problems/*.py",
            "sparsopt/portfolio/*.py",
            "sparsopt/branch_and_bound/*.py",
        ),
        *(f"benchmarks/convex_peers/{name}.py" for name in ("cell", "methods", "peers", "problems", "reach", "worker")),
        "benchmarks/designs.py",
    )

    @property
    def label(self) -> str:
        return f"{self.problem}, seed {self.seed}"

    @property
    def weight(self) -> float:
        return float(len(self.methods))

    def compute(self, folder: Path, threads: int) -> dict[str, Any]:
        """A row for every method, and the seconds of the floor."""
        case = source(self.problem).draw(self.seed)
        folder.mkdir(parents=True, exist_ok=True)
        data = folder / "data.npz"
        np.savez(data, X=case.X, y=case.y)
        task = {"data": str(data), "loss": case.loss, "k": case.k, "ridge": case.ridge, "patience": self.patience}
        floor = self._ask({**task, "method": FLOOR}, threads)
        if "failure" in floor:
            raise DataError(f"the process that measures {self.problem} does not run: {floor['failure']}")
        rows = [{"method": name, **self._row({**task, "method": name}, threads, case)} for name in self.methods]
        shape = {"n": case.X.shape[0], "p": case.X.shape[1], "k": case.k, "loss": case.loss, "ridge": case.ridge}
        return {"rows": rows, "floor": floor["seconds"], "truth": _true_value(case), **shape}

    def _row(self, request: dict[str, Any], threads: int, case: Case) -> dict[str, Any]:
        answer = self._ask(request, threads)
        if "failure" in answer:
            return answer
        chosen = answer.pop("support")
        hits = None if case.truth is None else len(set(chosen) & set(case.truth.tolist()))
        return {**answer, "size": len(chosen), "hits": hits}

    def _ask(self, request: dict[str, Any], threads: int) -> dict[str, Any]:
        return ask(self.python, request, threads, self.budget)

    def records(self, result: Mapping[str, Any]) -> list[dict[str, Any]]:
        """One row of results for every method."""
        asked = {"problem": self.problem, "seed": self.seed}
        shared = {name: result[name] for name in ("n", "p", "k", "floor", "truth") if name in result}
        return [{**asked, **shared, **row} for row in result.get("rows", [dict(result)])]


def ask(python: str, request: dict[str, Any], threads: int = 1, budget: float = 60.0) -> dict[str, Any]:
    """What a worker process of its own answers, or why it does not ("failure")."""
    environment = {**os.environ, **dict.fromkeys(POOLS, str(threads)), "PYTHONPATH": str(ROOT), "JAX_ENABLE_X64": "1"}
    if threads == 1:
        environment["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    command = [python, "-m", "benchmarks.convex_peers.worker", json.dumps(request)]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=budget)
    except subprocess.TimeoutExpired:
        return {"failure": f"not finished after {budget:g} s"}
    if done.returncode < 0:
        return {"failure": f"the process died of signal {-done.returncode}"}
    if done.returncode > 0:
        return {"failure": (done.stderr.strip().splitlines() or ["no reason given"])[-1][:200]}
    answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer


def _true_value(case: Case) -> float:
    """The objective at the true support, nan where there is none."""
    if case.truth is None:
        return math.nan
    support = np.zeros(case.X.shape[1], dtype=bool)
    support[case.truth] = True
    return float(case.problem().minimise_on(support, None)[1])
