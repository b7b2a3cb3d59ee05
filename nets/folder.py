"""The run folder: what was asked for (`run.json`), where the run stands (`checkpoint.pt`), and what it gave.

The configuration's hash owns the checkpoint: another configuration is another run and needs another folder. A folder
with `result.json` is finished; `model.pt` (state dict and masks) lies beside it. One process at a time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from nets import checkpoint, ranks
from nets.outcome import Outcome
from nets.training import Network
from sparsopt.errors import CheckpointError
from sparsopt.machine.files import write_atomically
from sparsopt.method import Method

ADDRESS = re.compile(" at 0x[0-9a-f]+")  # in a function's repr; it would make every process another run
SUMMARY = (
    "sparsity", "effective_sparsity", "accuracy", "loss", "prunable", "unit", "densities", "cost", "collapsed",
    "collapses", "warnings",
)  # fmt: skip


class Folder:
    """Where a run keeps its configuration, checkpoint and result."""

    def __init__(self, path: Path, configuration: Mapping[str, Any]) -> None:
        text = json.dumps(configuration, indent=1)
        self.path, self.owner = path, hashlib.sha256(text.encode()).hexdigest()[:16]
        self.checkpoint = path / "checkpoint.pt"
        known = path / "run.json"
        if not known.exists() and ranks.rank() == 0:
            _write(known, text)
        ranks.together()
        _compare(known, configuration)
        for left_by_a_killed_process in path.glob(".*.partial") if ranks.rank() == 0 else ():
            with contextlib.suppress(OSError):
                left_by_a_killed_process.unlink()

    def resume(self, device: torch.device) -> checkpoint.Saved | None:
        found = checkpoint.load(self.checkpoint, self.owner, device) if self.checkpoint.exists() else None
        ranks.together()  # before anyone writes another
        return found

    def keep(self, saved: checkpoint.Saved) -> None:
        if ranks.rank() == 0:
            checkpoint.save(self.checkpoint, saved, self.owner)

    def finish(self, outcome: Outcome) -> None:
        """The model, then the result. What is there already is the same and stays, so an archive may be read-only."""
        if ranks.rank() or (self.path / "result.json").exists():
            return
        content = {"model": outcome.model.state_dict(), "masks": dict(outcome.masks)}
        write_atomically(self.path / "model.pt", lambda file: checkpoint.dump(content, file), CheckpointError)
        summary = {name: getattr(outcome, name) for name in SUMMARY}
        summary |= {"status": outcome.status.name, "trace": [dataclasses.asdict(row) for row in outcome.trace]}
        _write(self.path / "result.json", json.dumps(_plain(summary), indent=1))


def configuration(network: Network, method: Method, seed: int, evaluate_every: int) -> dict[str, Any]:
    """What decides the numbers of a run, the weights it starts from and every tensor of the data included."""
    start, data = network.start(seed), network.data
    tensors = (start.x, *start.slots.values(), data.images, data.labels, data.test_images, data.test_labels)
    parts = {
        "method": repr(method),
        "network": repr(network),
        "layers": _digest(repr((network.template, network.layout)).encode()),
        "start and data": _digest(b"".join(_bytes(tensor) for tensor in tensors)),
        "input": repr((data.mean, data.std, data.augmentation)),
        "recipe": repr(network.recipe),
        "seed": seed,
        "evaluate every": evaluate_every,
        "device": network.device.type,
        "engine": network.engine_name,
        "threads": torch.get_num_threads(),
        "processes": ranks.count(),
        "torch": torch.__version__,
    }
    return {name: ADDRESS.sub("", part) if isinstance(part, str) else part for name, part in parts.items()}


def engine_of(path: Path, engine: str) -> str:
    """The engine that is asked for; "auto" is what an earlier sitting in this folder measured, so that it resumes."""
    try:
        before = json.loads((path / "run.json").read_bytes()).get("engine", "")
    except (OSError, ValueError, AttributeError):
        return engine
    return before if engine == "auto" and str(before).startswith("auto:") else engine


def _compare(known: Path, configuration: Mapping[str, Any]) -> None:
    """Refuse a folder of another configuration, and say in what it differs."""
    try:
        before = json.loads(known.read_bytes())
        differing = [name for name in configuration if before.get(name) != configuration[name]]
    except (OSError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{known} is not readable ({error}); give another folder, or delete this one") from error
    if differing or len(before) != len(configuration):
        pairs = ((name, _short(before.get(name)), _short(configuration[name])) for name in differing)
        found = "; ".join(f"{name}: {there} there, {here} here" for name, there, here in pairs)
        raise CheckpointError(f"{known.parent} holds a run with another configuration ({found}); give another folder")


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _bytes(tensor: Tensor) -> bytes:
    """A digest of type, shape and every byte (also of types that NumPy does not know)."""
    host = tensor.detach().cpu().contiguous()
    digest = hashlib.sha256(f"{host.dtype}{tuple(host.shape)}".encode())
    digest.update(host.reshape(-1).view(torch.uint8).numpy().data)
    return digest.digest()


def _plain(value: Any) -> Any:
    """The same with null for what JSON has no number for."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _write(path: Path, text: str) -> None:
    def fill(file: IO[bytes]) -> None:
        file.write(text.encode())

    write_atomically(path, fill, CheckpointError)
