"""Processes that are killed: a run that dies at any moment and is started again ends at the very same bits.

Each run is a process of its own that is killed without warning (SIGKILL) at a random moment, in a step, while a
checkpoint is written or between two files, and started again by the same call, until enough have died: 5 by default,
100 in the nightly profile, shared out over the methods.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import nets
from nets import checkpoint
from nets.folder import Folder
from tests.conftest import PROFILE
from tests.networks import ADAM, MOMENTUM, blobs, difference, module

METHODS = {  # each has something of its own to lose: snapshots, a judge's memory, momentum, a dense shadow, the counts
    "imp-reinit": ("residual", MOMENTUM),
    "rigl-accept": ("dropout", ADAM),
    "acdc": ("residual", MOMENTUM),
    "dpf": ("tied", ADAM),
    "growth": ("perceptron", MOMENTUM),
}
FILES = ["checkpoint.pt", "model.pt", "result.json", "run.json"]
KILLS = {"nightly": 100}.get(PROFILE, 5) // len(METHODS)


def one_run(method: str, folder: str) -> None:
    """What each process does; checkpoints as often as can be."""
    name, recipe = METHODS[method]
    epochs = 3 if method == "imp-reinit" else 30
    nets.prune(
        module(name), blobs(), method, 0.8, recipe, 3, folder, epochs=epochs, chunk=2, save_every=0, evaluate_every=20
    )


@pytest.fixture(scope="module")
def processes() -> Iterator[Any]:
    """Processes are forked from one that has imported everything, so that a start costs milliseconds."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.test_resume"])
    warm = context.Process(target=os.getpid)
    warm.start()
    warm.join(60)
    yield context


def left_behind(folder: Path) -> tuple[Any, Any, Any]:
    owner = Folder(folder, json.loads((folder / "run.json").read_text())).owner
    saved = checkpoint.load(folder / "checkpoint.pt", owner)
    result = json.loads((folder / "result.json").read_text())
    result["cost"].pop("seconds")
    return saved, result, torch.load(folder / "model.pt", weights_only=True)


def until_finished(processes: Any, method: str, folder: Path, moments: Iterator[float]) -> list[bool]:
    """Starts and kills processes until one comes through; for each that died, whether it left a checkpoint.

    moments: seconds after which each process is killed; afterwards none is.
    """
    died: list[bool] = []
    while True:
        process = processes.Process(target=one_run, args=(method, str(folder)))
        process.start()
        process.join(next(moments, 300))
        if process.exitcode is None:
            os.kill(process.pid, signal.SIGKILL)
            process.join(60)
        if process.exitcode == 0:
            return died
        assert process.exitcode == -signal.SIGKILL, "it failed by itself"
        died.append((folder / "checkpoint.pt").exists())


@pytest.mark.parametrize("method", METHODS)
def test_a_killed_run_ends_at_the_same_bits(processes: Any, tmp_path: Path, method: str) -> None:
    rng = random.Random(f"{method} {time.time_ns() if PROFILE == 'nightly' else ''}")
    began = time.monotonic()
    assert until_finished(processes, method, tmp_path / "whole", iter(())) == []
    length = time.monotonic() - began
    saved, result, model = left_behind(tmp_path / "whole")
    died: list[bool] = []
    while len(died) < KILLS:
        folder = tmp_path / f"killed {rng.random()}"
        moments = (rng.uniform(0.0, 0.9) * length for _ in range(KILLS - len(died)))
        died += until_finished(processes, method, folder, moments)
        saved_again, result_again, model_again = left_behind(folder)
        assert difference(saved_again.state, saved.state) == ""
        assert repr(saved_again.trace) == repr(saved.trace) and result_again == result
        for part in ("model", "masks"):
            assert all(torch.equal(model_again[part][name], value) for name, value in model[part].items())
        assert sorted(path.name for path in folder.iterdir()) == FILES
    print(f"{method}: {len(died)} killed, {sum(died)} of them after a first checkpoint")
    assert sum(died) >= KILLS // 4, "killed before they began"
