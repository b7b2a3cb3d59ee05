"""Several seeds of a run at once: processes of one thread each, against one process."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.speed.imp import images, ours


def throughput(share: float, levels: int, epochs: int, engine: str, seeds: int, jobs: int) -> tuple[float, float]:
    """(runs a second of one process, of `jobs` processes), from `jobs` and from `seeds` runs; workers are warm."""
    import joblib

    began = time.perf_counter()
    for _ in range(jobs):
        _one(share, levels, epochs, engine)
    alone = jobs / (time.perf_counter() - began)
    with joblib.parallel_config("loky", n_jobs=jobs, inner_max_num_threads=1):
        pool: Any = joblib.Parallel()
        pool(joblib.delayed(_one)(0.01, 2, 1, engine) for _ in range(2 * jobs))  # imports and compiles
        began = time.perf_counter()
        pool(joblib.delayed(_one)(share, levels, epochs, engine) for _ in range(seeds))
    return alone, seeds / (time.perf_counter() - began)


def _one(share: float, levels: int, epochs: int, engine: str) -> float:
    import torch

    torch.set_num_threads(1)
    return ours(images(share), engine, levels, epochs).seconds
