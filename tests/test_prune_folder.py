"""A run's folder is found again, continued, or refused."""

from __future__ import annotations

import dataclasses
import errno
import itertools
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from nets import checkpoint
from nets.catalogue import Plan
from nets.data import DataSet
from nets.data.dataset import Augmentation
from nets.outcome import Outcome
from nets.weights import Matrices
from sparsopt.errors import CheckpointError
from sparsopt.judges import IfDecreasing
from sparsopt.result import Trace
from sparsopt.state import State
from tests.networks import MOMENTUM, module, perceptron
from tests.pruning import DATA, prune


def untrained(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on, training is an error."""

    def fails(*_: Any) -> None:
        raise AssertionError("trained")

    monkeypatch.setattr("nets.engine.Engine.train", fails)


def test_a_finished_folder_returns_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = prune(out=tmp_path, evaluate_every=5)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert sorted(before) == ["checkpoint.pt", "model.pt", "result.json", "run.json"]
    untrained(monkeypatch)
    again = prune(out=str(tmp_path), evaluate_every=5)
    assert str(again) == str(first) and repr(again.trace) == repr(first.trace) and again.cost == first.cost
    assert all(torch.equal(again.masks[name], mask) for name, mask in first.masks.items())
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_what_a_folder_holds(tmp_path: Path) -> None:
    outcome = prune(out=tmp_path / "deep" / "er")
    result = json.loads((tmp_path / "deep/er/result.json").read_text(), parse_constant=lambda name: pytest.fail(name))
    assert (result["accuracy"], result["sparsity"], result["status"]) == (
        outcome.accuracy,
        outcome.sparsity,
        "FINISHED",
    )
    assert len(result["trace"]) == len(outcome.trace) and result["densities"] == dict(outcome.densities)
    saved = torch.load(tmp_path / "deep/er/model.pt", weights_only=True)
    fresh = perceptron()
    fresh.load_state_dict(saved["model"], strict=True)
    assert torch.equal(fresh.eval()(DATA.test_images), outcome.model.eval()(DATA.test_images))
    assert all(torch.equal(saved["masks"][name], mask) for name, mask in outcome.masks.items())


def flipped(data: DataSet, name: str) -> DataSet:
    values = getattr(data, name).clone()
    values[0] = 1 - values[0] if values.dtype == torch.int64 else values[0] + 1e-3
    return dataclasses.replace(data, **{name: values})


OTHERS: dict[str, dict[str, Any]] = {
    "method": {"method": "imp"},
    "sparsity": {"sparsity": 0.81},
    "seed": {"seed": 1},
    "epochs": {"epochs": 4},
    "recipe": {"recipe": dataclasses.replace(MOMENTUM, learning_rate=0.051)},
    "first weights": {"model": module(seed=1)},
    "activation": {"model": nn.Sequential(*(nn.Tanh() if isinstance(m, nn.ReLU) else m for m in module()))},
    "prunable": {"prunable": Matrices(exclude=("6.weight",))},
    "evaluate_every": {"evaluate_every": 7},
    **{name: {"data": flipped(DATA, name)} for name in ("images", "labels", "test_images", "test_labels")},
    "augmentation": {"data": dataclasses.replace(DATA, augmentation=Augmentation(flip=True))},
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    prune(out=folder)
    return folder


@pytest.mark.parametrize("name", OTHERS)
def test_whatever_decides_the_numbers_is_another_run(finished: Path, name: str) -> None:
    before = {path.name: path.read_bytes() for path in finished.iterdir()}
    with pytest.raises(CheckpointError, match=r"another configuration \(.* there, .* here.*give another folder"):
        prune(out=finished, **OTHERS[name])
    assert {path.name: path.read_bytes() for path in finished.iterdir()} == before


def test_what_does_not_is_the_same_run(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    untrained(monkeypatch)
    prune(out=finished, chunk=3, save_every=0, progress=lambda s, t: None)


def test_functions_as_parts_do_not_make_a_folder_foreign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their repr holds an address, which is another one in the next process."""
    alive: list[Any] = []  # so that no address is used again

    def once() -> Outcome:
        def by_hand(f: Any, state: State) -> torch.Tensor:
            return state.x.abs()

        alive.append(by_hand)

        def entry(plan: Plan) -> Any:
            from sparsopt.method import Method, Phase, Stage
            from sparsopt.moves import Keep

            return Method("own", (Stage((Phase(Keep(plan.k, by=by_hand), plan.train(5)),)),))

        return prune(entry, out=tmp_path)

    first = once()
    untrained(monkeypatch)
    assert str(once()) == str(first)


def test_a_damaged_folder_is_refused(tmp_path: Path) -> None:
    prune(out=tmp_path)
    whole = (tmp_path / "checkpoint.pt").read_bytes()
    (tmp_path / "checkpoint.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match=r"checkpoint.pt: not a readable checkpoint .*damaged or cut short"):
        prune(out=tmp_path)
    (tmp_path / "checkpoint.pt").unlink()
    for rubbish in (b"", b"\xff\xfe", b"[1, 2]", b'{"a": 1}'):
        (tmp_path / "run.json").write_bytes(rubbish)
        with pytest.raises(CheckpointError, match=r"run\.json is not readable|another configuration"):
            prune(out=tmp_path)


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    prune(out=tmp_path / "a")
    prune(out=tmp_path / "b", seed=1)
    os.replace(tmp_path / "a/checkpoint.pt", tmp_path / "b/checkpoint.pt")
    with pytest.raises(CheckpointError, match="belongs to run"):
        prune(out=tmp_path / "b", seed=1)


def test_a_disk_that_fills_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The typed error, the last checkpoint whole, and once there is room the same call finishes the same run."""
    expected, room = prune("imp", chunk=3), 4
    real = checkpoint._write

    def until_full(file: Any, content: Any) -> None:
        nonlocal room
        room -= 1
        if room < 0:
            file.write(bytes(content[:100]))
            raise OSError(errno.ENOSPC, "No space left on device")
        real(file, content)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "_write", until_full)
        with pytest.raises(CheckpointError, match="No space left on device"):
            prune("imp", out=tmp_path, chunk=3, save_every=0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint.pt", "run.json"]
    again = prune("imp", out=tmp_path, chunk=3, save_every=0)
    assert repr(again.trace) == repr(expected.trace)
    assert all(torch.equal(a, b) for a, b in zip(again.model.parameters(), expected.model.parameters(), strict=True))


def test_ctrl_c_keeps_every_step_up_to_the_last_chunk(tmp_path: Path) -> None:
    expected = prune("rigl", epochs=10)
    seen: list[int] = []

    def interrupt(state: State, trace: Trace) -> None:
        seen.append(state.cost)
        if len(seen) % 7 == 0:
            raise KeyboardInterrupt

    for _ in range(20):
        try:
            outcome = prune("rigl", epochs=10, out=tmp_path, chunk=1, progress=interrupt)
            break
        except KeyboardInterrupt:
            assert checkpoint._read(tmp_path / "checkpoint.pt")
    assert len(seen) > 20 and all(a < b for a, b in itertools.pairwise(seen)), "no step is taken twice"
    assert repr(outcome.trace) == repr(expected.trace)
    assert all(torch.equal(a, b) for a, b in zip(outcome.model.parameters(), expected.model.parameters(), strict=True))


def test_checkpoints_are_as_far_apart_as_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock of which every look takes a second."""
    kept: list[float] = []
    now = itertools.count()
    monkeypatch.setattr(time, "monotonic", lambda: float(next(now)))
    monkeypatch.setattr("nets.folder.Folder.keep", lambda folder, saved: kept.append(saved.seconds))
    prune("dense", epochs=20, out=tmp_path, chunk=1, save_every=30)
    assert len(kept) > 5 and min(np.diff(kept[:-1])) >= 30, "the last is the end"


def test_ctrl_c_between_a_phase_and_its_state_leaves_no_row_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a judge thinks, the phase is in the trace and its state is not yet complete."""
    expected, judged, judge = prune("rigl-accept", epochs=10), 0, IfDecreasing.__call__

    def interrupted(*arguments: Any) -> Any:
        nonlocal judged
        judged += 1
        if judged in (3, 9):
            raise KeyboardInterrupt
        return judge(*arguments)

    monkeypatch.setattr(IfDecreasing, "__call__", interrupted)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            prune("rigl-accept", epochs=10, out=tmp_path)
    assert repr(prune("rigl-accept", epochs=10, out=tmp_path).trace) == repr(expected.trace)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="could not be written"):
        prune(out=tmp_path / "file")


def test_what_a_killed_process_left_is_swept(tmp_path: Path) -> None:
    (tmp_path / ".checkpoint.pt.123.partial").write_bytes(b"half")
    prune(out=tmp_path)
    assert not list(tmp_path.glob(".*"))
