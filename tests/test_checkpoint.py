"""Checkpoints: exact, atomic, damaged ones known as such, and nothing in them that runs."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import pickle
import resource
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nets import checkpoint
from nets.catalogue import METHODS
from nets.checkpoint import Saved, load, save
from sparsopt.errors import CheckpointError
from sparsopt.machine.files import write_atomically
from sparsopt.method import run
from sparsopt.result import Row, Trace
from sparsopt.state import State
from tests.networks import ADAM, difference, network, plan_of, rows


def full() -> Saved:
    """Every field in use: snapshots, a judge's memory in NumPy, what `run` remembers, numbers that are not finite."""
    x, support = torch.tensor([1.0, -0.0, 3.5e-42]), torch.tensor([True, False, True])
    slots = {"rest": torch.ones(2, dtype=torch.bfloat16), "momentum.step": torch.tensor(3.0), "none": torch.empty(0)}
    then = State(x.clone(), support, 3, slots={"rest": torch.zeros(2)}, clock=5)
    state = State(
        x, support, 7, 1, 2, 3, 4, 5, 6, float("inf"), {**slots, "gains": np.array([0.1, 2.0])}, {"early": then},
        then.but(cost=8), ((1, "ab", ((0.5, 1.5),)), (0, "cd", ((0.25, 2.0),))), "NO_DECREASE",
    )  # fmt: skip
    rows_ = [Row(0, 0, 0, 2, "ab", float("nan"), 1, 1, {"accuracy": 0.5}), Row(0, 1, 0, 2, "cd", -1.0, 2, 2)]
    return Saved(state, Trace(rows_), 12.5, "FINISHED")


def content(saved: Saved) -> str:
    """Everything in a form in which equal means equal bits."""

    def plain(value: Any) -> Any:
        if isinstance(value, State):
            return {name: plain(v) for name, v in sorted(vars(value).items())}
        if isinstance(value, dict):
            return {name: plain(v) for name, v in sorted(value.items())}
        if isinstance(value, torch.Tensor):
            return ("torch", str(value.dtype), tuple(value.shape), bytes(value.reshape(-1).view(torch.uint8).numpy()))
        return ("numpy", str(value.dtype), value.tobytes()) if isinstance(value, np.ndarray) else value

    return repr((plain(saved.state), saved.trace.rows, saved.seconds, saved.status))


def test_everything_comes_back_to_the_bit(tmp_path: Path) -> None:
    save(tmp_path / "c.pt", full(), "me")
    back = load(tmp_path / "c.pt", "me")
    assert content(back) == content(full())
    assert isinstance(back.state.slots["gains"], np.ndarray) and back.state.seen == full().state.seen
    assert vars(State(torch.ones(1), torch.ones(1))).keys() == vars(back.state).keys(), "a new field of State is packed"


def test_a_real_run(tmp_path: Path) -> None:
    """Also its random numbers: there are none to save, they are functions of seed and cost (a known gap elsewhere)."""
    world = network("dropout", ADAM, chunk=4)
    plan, path = plan_of(world, 0.7, steps=30), tmp_path / "c.pt"
    expected = run(METHODS["rigl-accept"](plan), world, world.start(0))
    count = 0

    def through_disk(state: State, trace: Trace) -> None:
        nonlocal count
        count += 1
        if count % 5 == 0:
            save(path, Saved(state, trace))
            back = load(path)
            torch.manual_seed(count)  # whatever the caller's generator does
            again = run(METHODS["rigl-accept"](plan), network("dropout", ADAM), back.state, trace=back.trace)
            assert difference(again.state, expected.state) == "" and rows(again) == rows(expected)

    run(METHODS["rigl-accept"](plan), world, world.start(0), save=through_disk)
    assert count > 10


# ---- damaged files ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    path = tmp_path_factory.mktemp("fuzz") / "c.pt"
    save(path, full(), "me")
    return path, path.read_bytes()


def exact_or_refused(path: Path, damaged: bytes) -> bool:
    other = path.with_name("damaged.pt")
    other.write_bytes(damaged)
    try:
        assert content(load(other, "me")) == content(full())
    except CheckpointError as error:
        assert str(error).startswith(str(other)) and "\n" not in str(error)
        return True
    return False


@given(st.data())
def test_truncated(written: tuple[Path, bytes], data: st.DataObject) -> None:
    path, whole = written
    assert exact_or_refused(path, whole[: data.draw(st.integers(0, len(whole) - 1))])


@given(st.data())
def test_mutated(written: tuple[Path, bytes], data: st.DataObject) -> None:
    """Any byte anywhere, header and weights included."""
    path, whole = written
    changed = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    assert exact_or_refused(path, bytes(changed)) == (bytes(changed) != whole)


@given(st.binary(max_size=200), st.booleans())
def test_rubbish(written: tuple[Path, bytes], rubbish: bytes, appended: bool) -> None:
    path, whole = written
    assert exact_or_refused(path, whole + rubbish + b"!" if appended else rubbish)


@given(st.data())
def test_a_valid_digest_of_nonsense(written: tuple[Path, bytes], data: st.DataObject) -> None:
    """Even then: the typed error, or data, never another exception."""
    path, whole = written
    body = bytearray(whole[checkpoint.HEADER :])
    for _ in range(3):
        body[data.draw(st.integers(0, len(body) - 1))] ^= data.draw(st.integers(1, 255))
    path.with_name("n.pt").write_bytes(checkpoint.MAGIC + hashlib.sha256(body).digest() + bytes(body))
    with contextlib.suppress(CheckpointError):
        load(path.with_name("n.pt"), "me")


@pytest.mark.parametrize("content_", [3, {}, {"version": 1}, {"version": 1, "owner": "me", "trace": 4}, [1, 2]])
def test_whole_but_something_else(tmp_path: Path, content_: Any) -> None:
    memory = io.BytesIO()
    torch.save(content_, memory)
    (tmp_path / "c.pt").write_bytes(checkpoint.MAGIC + hashlib.sha256(memory.getvalue()).digest() + memory.getvalue())
    with pytest.raises(CheckpointError, match=r"not a readable checkpoint .*delete it to start anew"):
        load(tmp_path / "c.pt", "me")


def test_code_in_a_checkpoint_does_not_run(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "ran"),)

    memory = io.BytesIO()
    torch.save(Bomb(), memory)
    for i, body in enumerate((memory.getvalue(), pickle.dumps(Bomb()))):
        path = tmp_path / f"{i}.pt"
        path.write_bytes(checkpoint.MAGIC + hashlib.sha256(body).digest() + body)
        with pytest.raises(CheckpointError, match="not a readable checkpoint"):
            load(path)
        assert not (tmp_path / "ran").exists()


def test_another_owner(tmp_path: Path) -> None:
    save(tmp_path / "c.pt", full(), "me")
    with pytest.raises(CheckpointError, match=r"belongs to run 'me' .* not to 'you' .*give another folder"):
        load(tmp_path / "c.pt", "you")


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="No such file"):
        load(tmp_path / "c.pt")


# ---- places that cannot be written ----------------------------------------------------------------------------------


def intact(path: Path, before: bytes) -> None:
    assert path.read_bytes() == before and os.listdir(path.parent) == [path.name]
    assert content(load(path, "me")) == content(full())


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, call: str) -> None:
    path = tmp_path / "c.pt"
    save(path, full(), "me")
    before = path.read_bytes()

    def fails(*_: Any) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        if call == "write":
            patch.setattr(checkpoint, "_write", fails)
        else:
            patch.setattr(os, call, fails)
        with pytest.raises(
            CheckpointError, match=f"could not be written .{os.strerror(code)}.; what was there .* intact"
        ):
            save(path, full(), "me")
    intact(path, before)


def test_a_limit_of_the_file_size_set_by_the_system(tmp_path: Path) -> None:
    """A real refusal of the kernel in the middle of a write (as a full disk is), also through torch's own writer."""
    path = tmp_path / "c.pt"
    save(path, full(), "me")
    before = path.read_bytes()
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        with pytest.raises(CheckpointError, match="could not be written"):
            save(path, full(), "me")
        with pytest.raises(CheckpointError, match="could not be written"):
            write_atomically(path, lambda file: checkpoint.dump({"a": torch.ones(1000)}, file), CheckpointError)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    intact(path, before)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CheckpointError, match="could not be written"):
        save(tmp_path / "file" / "c.pt", full())
    assert (tmp_path / "file").read_text() == "in the way"


@pytest.mark.skipif(not Path("/proc/version").exists(), reason="needs a folder that is read-only even for root")
def test_a_read_only_folder() -> None:
    with pytest.raises(CheckpointError, match="could not be written"):
        save("/proc/sparsopt/c.pt", full())


def test_a_file_is_on_disk_in_full_before_it_takes_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or a power cut could leave a name that points to half of it."""
    path, order = tmp_path / "c.pt", []
    replace = os.replace
    monkeypatch.setattr(os, "fsync", lambda file: order.append(os.fstat(file).st_size))
    monkeypatch.setattr(os, "replace", lambda *names: order.append("replaced") or replace(*names))
    write_atomically(path, lambda file: file.write(b"0123456789") and None)
    assert order == [10, "replaced"] and path.read_bytes() == b"0123456789"


def test_an_interrupt_leaves_no_partial_file(tmp_path: Path) -> None:
    path = tmp_path / "c.pt"
    save(path, full(), "me")
    before = path.read_bytes()

    def interrupted(file: Any) -> None:
        file.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, interrupted)
    intact(path, before)
