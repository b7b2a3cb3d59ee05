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
KILLS = {"nightly": 100}.get(PROFILE, 5) // len(METHODS)
LONGEST = 0.35  # seconds after which a process is killed at the latest


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


def until_finished(processes: Any, method: str, folder: Path, rng: random.Random, limit: int) -> int:
    """Starts and kills processes; how many died before one came through. After `limit` deaths none is killed."""
    died = 0
    while True:
        process = processes.Process(target=one_run, args=(method, str(folder)))
        process.start()
        process.join(rng.uniform(0.0, LONGEST) if died < limit else 120)
        if process.exitcode is None:
            os.kill(process.pid, signal.SIGKILL)
            process.join(60)
        if process.exitcode == 0:
            return died
        assert process.exitcode == -signal.SIGKILL, "it failed by itself"
        died += 1


@pytest.mark.parametrize("method", METHODS)
def test_a_killed_run_ends_at_the_same_bits(processes: Any, tmp_path: Path, method: str) -> None:
    rng = random.Random(f"{method} {KILLS} {time.time_ns() if PROFILE == 'nightly' else ''}")
    assert until_finished(processes, method, tmp_path / "whole", rng, 0) == 0
    saved, result, model = left_behind(tmp_path / "whole")
    died, run = 0, 0
    while died < KILLS:
        folder = tmp_path / f"killed {run}"
        died, run = died + until_finished(processes, method, folder, rng, KILLS - died), run + 1
        saved_again, result_again, model_again = left_behind(folder)
        assert difference(saved_again.state, saved.state) == ""
        assert repr(saved_again.trace) == repr(saved.trace) and result_again == result
        for part in ("model", "masks"):
            assert all(torch.equal(model_again[part][name], value) for name, value in model[part].items())
        assert sorted(path.name for path in folder.iterdir()) == [
            "checkpoint.pt",
            "model.pt",
            "result.json",
            "run.json",
        ]
