"""Checkpoints: a run that dies continues where it was, bit for bit.

A checkpoint is written to a temporary file beside its destination, flushed to disk and moved over it, so that at any
moment the old or the new one is there, whole. It begins with a digest of what follows, so that a damaged file is known
before it is read, and it is read without pickle's ability to run code (`weights_only`).

    >>> save("run/checkpoint.pt", Saved(state, trace), owner="a hash of the configuration")
    >>> load("run/checkpoint.pt", owner="a hash of the configuration").state
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch

from sparsopt.errors import CheckpointError
from sparsopt.machine.files import write_atomically
from sparsopt.result import Row, Trace
from sparsopt.state import State

VERSION = 3
MAGIC = b"sparsopt checkpoint\n"  # then 32 bytes of SHA-256 of the rest, then the rest
HEADER = len(MAGIC) + hashlib.sha256().digest_size
PLAIN = ("seed", "stage", "round", "phase", "inner", "clock", "cost", "value", "seen", "ended")


@dataclass(frozen=True)
class Saved:
    """The content of a checkpoint. seconds: wall time so far; status: the name of why it stopped, "" if it has not."""

    state: State
    trace: Trace
    seconds: float = 0.0
    status: str = ""


def save(path: str | os.PathLike[str], saved: Saved, owner: str = "") -> None:
    """Write a checkpoint. owner: what the run belongs to (a hash of its configuration); `load` compares it.

    Raises `CheckpointError` where the disk is full or the folder read-only; the previous checkpoint stays.
    """
    content = {
        "version": VERSION,
        "owner": owner,
        "seconds": saved.seconds,
        "status": saved.status,
        "state": _pack(saved.state),
        "trace": [dataclasses.astuple(row) for row in saved.trace],
    }
    memory = io.BytesIO()
    torch.save(content, memory)
    write_atomically(Path(path), lambda file: _write(file, memory.getbuffer()), CheckpointError)


def _write(file: IO[bytes], content: memoryview) -> None:
    file.write(MAGIC + hashlib.sha256(content).digest())
    file.write(content)


def dump(content: Any, file: IO[bytes]) -> None:
    """torch.save, whose writer hides a full disk in a RuntimeError; here it is the OSError that it was."""
    try:
        torch.save(content, file)
    except RuntimeError as error:
        raise OSError(None, str(error).splitlines()[0]) from error


def load(path: str | os.PathLike[str], owner: str = "", device: str | torch.device = "cpu") -> Saved:
    """Read a checkpoint.

    Raises `CheckpointError` for a file that is no whole checkpoint, or one that another configuration has written.
    """
    try:
        content = torch.load(_read(Path(path)), map_location=device, weights_only=True)
        version, found = content["version"], content["owner"]
        trace = Trace([Row(*row) for row in content["trace"]])
        saved = Saved(_unpack(content["state"]), trace, float(content["seconds"]), str(content["status"]))
    except Exception as error:  # torch raises many kinds for a damaged archive
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise CheckpointError(f"{path}: not a readable checkpoint ({reason}); delete it to start anew") from error
    if (version, found) != (VERSION, owner):
        raise CheckpointError(
            f"{path}: belongs to run '{found}' (format {version}), not to '{owner}' (format {VERSION}); "
            "give another folder"
        )
    return saved


def _read(path: Path) -> io.BytesIO:
    content = path.read_bytes()
    if content[: len(MAGIC)] != MAGIC:
        raise ValueError("it does not begin as one")
    if hashlib.sha256(memoryview(content)[HEADER:]).digest() != content[len(MAGIC) : HEADER]:
        raise ValueError("its content is not what was written: it is damaged or cut short")
    return io.BytesIO(memoryview(content)[HEADER:])


def _pack(state: State) -> dict[str, Any]:
    return {
        **{name: getattr(state, name) for name in PLAIN},
        "x": state.x.detach(),
        "support": torch.from_numpy(np.packbits(state.support.cpu().numpy())),  # a bit a weight
        "slots": {name: _tagged(array) for name, array in state.slots.items()},
        "saved": {name: _pack(snapshot) for name, snapshot in state.saved.items()},
        "before": None if state.before is None else _pack(state.before),
    }


def _unpack(content: Mapping[str, Any]) -> State:
    x, bits = content["x"], content["support"].cpu().numpy()
    return State(
        **{name: content[name] for name in PLAIN},
        x=x,
        support=torch.from_numpy(np.unpackbits(bits, count=len(x)).astype(bool)).to(x.device),
        slots={name: _untagged(*item) for name, item in content["slots"].items()},
        saved={name: _unpack(snapshot) for name, snapshot in content["saved"].items()},
        before=None if content["before"] is None else _unpack(content["before"]),
    )


def _tagged(array: Any) -> tuple[str, torch.Tensor]:
    """Judges keep NumPy arrays; they come back as such."""
    return ("numpy", torch.from_numpy(array)) if isinstance(array, np.ndarray) else ("torch", array.detach())


def _untagged(kind: str, array: torch.Tensor) -> Any:
    return array.cpu().numpy() if kind == "numpy" else array
