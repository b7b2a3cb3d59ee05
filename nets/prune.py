"""Pruning a network: one call, and the run folder behind it.

    >>> outcome = nets.prune(model, data, method="imp", sparsity=0.9, out="runs/imp-90")
    >>> outcome.accuracy, outcome.sparsity, outcome.cost["steps"]

With `out`, the run writes its configuration (`run.json`), a checkpoint now and then, and at the end its result
(`result.json`, `model.pt`). The same call again continues where a killed run was, bit for bit, or returns at once what
is finished. The module that is given is never changed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nets import catalogue, checkpoint
from nets.catalogue import Plan
from nets.data import DataSet, from_arrays
from nets.recipe import Adam, Cosine, Recipe
from nets.training import Network
from nets.weights import ConvolutionsAndLinear, Rule
from sparsopt import support as sp
from sparsopt.errors import CheckpointError, InvalidInput, NotFinite
from sparsopt.method import Method, run
from sparsopt.names import lookup
from sparsopt.result import Result, Status, Trace
from sparsopt.state import State

DEFAULT = Recipe(learning_rate=1e-3, schedule=Cosine(), optimiser=Adam(), batch=64, name="adam-cosine")
SAVE_EVERY = 20.0  # seconds between checkpoints
CHUNK = 500  # steps after which a long fit offers to be saved

Progress = Callable[[State, Trace], None]
Entry = Callable[[Plan], Method]


@dataclass(frozen=True)
class Outcome:
    """What pruning gave.

    model      a copy of the module with the pruned weights set to zero: plain parameters, loads anywhere
    masks      parameter name -> boolean tensor, True where a weight is kept
    sparsity   1 - kept / prunable, exact; `prunable` is the denominator
    accuracy   on the test split after the last step
    cost       "steps" trained in all, "seconds" of wall time over all sessions
    collapsed  names of layers without any weight left: nothing passes through them
    """

    model: nn.Module
    masks: Mapping[str, Tensor]
    sparsity: float
    accuracy: float
    loss: float
    prunable: int
    densities: Mapping[str, float]
    cost: Mapping[str, float]
    trace: Trace
    status: Status
    collapsed: tuple[str, ...]

    def __str__(self) -> str:
        kept = round((1 - self.sparsity) * self.prunable)
        rows = [
            ("status", str(self.status)),
            ("sparsity", f"{self.sparsity:.4%} ({kept} of {self.prunable} prunable weights kept)"),
            ("accuracy", f"{self.accuracy:.4f} on the test split, last step"),
            ("cost", f"{self.cost['steps']:.0f} steps, {self.cost['seconds']:.1f} s"),
        ]
        if self.collapsed:
            rows.append(("collapsed", f"no weight left in {', '.join(self.collapsed)}: the output is constant"))
        return "\n".join(f"{name:<10} {text}" for name, text in rows)


def prune(
    model: nn.Module | Callable[[int], nn.Module],
    data: DataSet | tuple[Any, Any],
    method: str | Method | Entry = "imp",
    sparsity: float = 0.9,
    recipe: Recipe | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    *,
    epochs: float = 20,
    budget: int | None = None,
    prunable: Rule = ConvolutionsAndLinear(),
    device: str = "cpu",
    progress: Progress | None = None,
    evaluate_every: int | None = None,
) -> Outcome:
    """Prune a network to `sparsity` of its prunable weights.

    model           an nn.Module, whose weights are the start, or a function seed -> nn.Module
    data            a nets.data.DataSet, or (X, y) arrays
    method          a name of `nets.methods()`, an entry (Plan -> Method), or a Method
    sparsity        fraction of the prunable weights to remove, 0 <= sparsity < 1; met exactly
    recipe          how one trains; default Adam with a cosine schedule
    out             folder for checkpoints and results; the same call resumes
    epochs          length of one training; methods that train several times cost several of them
    budget          instead: training steps in all, shared out by the method
    evaluate_every  steps between test accuracies in the trace (default: at the end of each phase that trains 5 % of a
                    training or more)

    Raises InvalidInput for arguments that cannot be met, NotFinite if training diverges, CheckpointError for a folder
    that belongs to another run or cannot be written.
    """
    recipe = DEFAULT if recipe is None else recipe
    network = Network(model, _dataset(data), prunable=prunable, recipe=recipe, device=device, chunk=CHUNK)
    plan = _plan(network, sparsity, epochs, recipe)
    chosen = _method(method, plan, budget)
    folder = None if out is None else _Folder(Path(out), _configuration(network, chosen, seed))
    result, seconds = _execute(chosen, network, seed, folder, progress, evaluate_every or max(1, plan.steps // 20))
    if result.status is Status.NOT_FINITE:
        raise NotFinite(f"training diverged at step {result.state.cost}: {result.status}")
    outcome = _outcome(network, result, seconds)
    if folder is not None:
        folder.finish(outcome)
    return outcome


def _dataset(data: Any) -> DataSet:
    return data if isinstance(data, DataSet) else from_arrays(*data)


def _plan(network: Network, sparsity: float, epochs: float, recipe: Recipe) -> Plan:
    n = network.layout.n
    k = round((1 - sparsity) * n) if isinstance(sparsity, (int, float)) and 0 <= sparsity < 1 else 0
    if k == 0:
        raise InvalidInput(
            f"sparsity = {sparsity} would keep no weight of {n}; give 0 <= sparsity <= {1 - 1 / n:.8g}, "
            "the fraction of prunable weights to remove"
        )
    if not epochs > 0 or not math.isfinite(epochs):
        raise InvalidInput(f"epochs = {epochs}: one training must have a positive length")
    per_epoch = max(1, len(network.data.labels) // min(recipe.batch, len(network.data.labels)))
    return Plan(network.layout, k, max(1, round(epochs * per_epoch)), recipe)


def _method(method: str | Method | Entry, plan: Plan, budget: int | None) -> Method:
    if isinstance(method, Method):
        return method
    entry = lookup(catalogue.METHODS, method, "network method") if isinstance(method, str) else method
    return entry(plan) if budget is None else catalogue.within(entry, plan, budget)


def _execute(
    method: Method, network: Network, seed: int, folder: _Folder | None, progress: Progress | None, every: int
) -> tuple[Result, float]:
    """Run or resume; measures accuracy whenever `every` steps have passed since it was last measured."""
    network = network.open()
    found = None if folder is None else folder.resume(network.device)
    if found is None:
        found = checkpoint.Saved(network.start(seed), Trace())
    elif found.status:
        return Result(found.state, Status[found.status], found.trace, method, 0.0), found.seconds
    trace = found.trace
    began = saved = time.monotonic()

    def measure(state: State) -> dict[str, float]:
        last = next((row.cost for row in reversed(trace.rows) if "accuracy" in row.measured), 0)
        if state.cost - last < every:
            return {}
        loss, accuracy = network.test(state)
        return {"loss": loss, "accuracy": accuracy}

    def save(state: State, trace: Trace) -> None:
        nonlocal saved
        if progress is not None:
            progress(state, trace)
        now = time.monotonic()
        if folder is not None and now - saved >= SAVE_EVERY:
            folder.keep(checkpoint.Saved(state, trace, found.seconds + now - began))
            saved = now

    result = run(method, network, found.state, measure=measure, save=save, trace=trace)
    seconds = found.seconds + time.monotonic() - began
    if folder is not None and result.status is not Status.NOT_FINITE:
        folder.keep(checkpoint.Saved(result.state, trace, seconds, result.status.name))
    return result, seconds


def _outcome(network: Network, result: Result, seconds: float) -> Outcome:
    state = result.state
    loss, accuracy = network.test(state)
    masks = {name: mask.cpu().clone() for name, mask in network.weights.blocks(state.support)}
    return Outcome(
        model=network.module(state),
        masks=masks,
        sparsity=1 - sp.count(state.support) / network.layout.n,
        accuracy=accuracy,
        loss=loss,
        prunable=network.layout.n,
        densities=network.weights.densities(state.support),
        cost={"steps": state.cost, "seconds": seconds},
        trace=result.trace,
        status=result.status,
        collapsed=tuple(name for name, mask in masks.items() if not mask.any()),
    )


# ---- the run folder ------------------------------------------------------------------------------------------------


def _configuration(network: Network, method: Method, seed: int) -> dict[str, Any]:
    """What decides the numbers of a run. Its hash is the run's owner: another configuration is another run."""
    start = network.start(seed)
    parts = {"x": start.x, **start.slots, "images": network.data.images, "labels": network.data.labels}
    return {
        "method": repr(method),
        "network": repr(network),
        "start and data": hashlib.sha256(b"".join(_fingerprint(t) for t in parts.values())).hexdigest()[:16],
        "recipe": repr(network.recipe),
        "seed": seed,
        "device": str(network.device),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def _fingerprint(tensor: Tensor) -> bytes:
    return hashlib.sha256(tensor.detach().cpu().contiguous().numpy().tobytes()).digest()


class _Folder:
    """Where a run keeps its configuration, checkpoint and result."""

    def __init__(self, path: Path, configuration: Mapping[str, Any]) -> None:
        text = json.dumps(configuration, indent=1)
        self.path, self.owner = path, hashlib.sha256(text.encode()).hexdigest()[:16]
        self.checkpoint = path / "checkpoint.pt"
        known = path / "run.json"
        if known.exists() and known.read_text() != text:
            raise CheckpointError(f"{path} holds a run with another configuration (run.json); give another folder")
        if not known.exists():
            checkpoint.write_atomically(known, lambda file: _write(file, text))

    def resume(self, device: torch.device) -> checkpoint.Saved | None:
        return checkpoint.load(self.checkpoint, self.owner, device) if self.checkpoint.exists() else None

    def keep(self, saved: checkpoint.Saved) -> None:
        checkpoint.save(self.checkpoint, saved, self.owner)

    def finish(self, outcome: Outcome) -> None:
        """The model, then the result: a folder with result.json is finished."""
        content = {"model": outcome.model.state_dict(), "masks": dict(outcome.masks)}
        checkpoint.write_atomically(self.path / "model.pt", lambda file: torch.save(content, file))
        summary = {
            name: getattr(outcome, name)
            for name in ("sparsity", "accuracy", "loss", "prunable", "densities", "cost", "collapsed")
        }
        summary |= {"status": outcome.status.name, "trace": [dataclasses.asdict(row) for row in outcome.trace]}
        text = json.dumps(summary, indent=1)
        checkpoint.write_atomically(self.path / "result.json", lambda file: _write(file, text))


def _write(file: Any, text: str) -> None:
    file.write(text.encode())
