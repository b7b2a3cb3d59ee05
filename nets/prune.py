"""Pruning a network: one call.

    >>> outcome = nets.prune(model, data, method="imp", sparsity=0.9, out="runs/imp-90")
    >>> outcome.accuracy, outcome.sparsity, outcome.cost["steps"]

With `out`, the run writes its configuration (`run.json`), a checkpoint now and then, and at the end its result
(`result.json`, `model.pt`). The same call again continues where a killed run was, bit for bit, or returns at once what
is finished. The module that is given is never changed.
"""

from __future__ import annotations

import dataclasses
import math
import time
import warnings
from collections.abc import Callable, Mapping
from numbers import Real
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from nets import catalogue, checkpoint, controls, flops, models
from nets.catalogue import Plan
from nets.data import DataSet, from_arrays
from nets.folder import Folder, configuration, engine_of
from nets.models import Named
from nets.outcome import Outcome, outcome_of, reports
from nets.plan import configured
from nets.recipe import Recipe
from nets.recipes import RECIPES, Published
from nets.structured.rule import rule_of, structure_of
from nets.training import Network
from nets.weights import Rule
from sparsopt import support as sp
from sparsopt.errors import InvalidInput, NotFinite
from sparsopt.method import Method, run
from sparsopt.names import lookup
from sparsopt.result import Result, Status, Trace
from sparsopt.state import State
from sparsopt.support import Elements, Structure, unit_labels

__all__ = ["DEFAULT", "Outcome", "prune"]

OWN = RECIPES["adam"]
DEFAULT = OWN.recipe

Progress = Callable[[State, Trace], None]
Entry = Callable[[Plan], Method]


def prune(
    model: str | nn.Module | Callable[[int], nn.Module],
    data: DataSet | tuple[Any, Any],
    method: str | Method | Entry | None = None,
    sparsity: float = 0.9,
    recipe: Recipe | Published | str | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    *,
    epochs: float | None = None,
    budget: int | None = None,
    settings: Mapping[str, Any] | None = None,
    prunable: Rule | None = None,
    device: str = "cpu",
    engine: str = "dense",
    progress: Progress | None = None,
    evaluate_every: int | None = None,
    save_every: float = 20.0,
    chunk: int = 500,
) -> Outcome:
    """Prune a network to `sparsity` of its prunable weights.

    model           a name of `nets.models.names()`, an nn.Module, whose weights are the start, or a function seed ->
                    nn.Module
    data            a nets.data.DataSet, or (X, y) arrays
    method          a name of `nets.methods()`, with the name of a control behind it if wanted ("imp+reinit"; see
                    `nets.controls`), an entry (Plan -> Method), or a Method (which brings its own counts and lengths:
                    sparsity, epochs and budget do not change it); default imp
    sparsity        fraction of the prunable weights to remove, 0 <= sparsity < 1; met exactly. Of structured methods:
                    fraction of the channels (`nets.structured`)
    recipe          how one trains; default Adam with a cosine schedule. A name of `nets.recipes.RECIPES` is how a paper
                    did, and sets the defaults of method, settings, epochs and prunable too
    out             folder for checkpoints and results; the same call resumes
    epochs          length of one training, default 20; methods that train several times cost several of them
    budget          instead: training steps in all, shared out by the method
    settings        parameters of the method's entry by name, such as {"early": 500} for imp; its docstring has them
    prunable        which parameters count, a rule of `nets.weights` or one's own (path, module, name) -> bool; default
                    ConvolutionsAndLinear(), with a warning where most of the network is something else, such as an
                    LSTM or embeddings
    engine          "dense"; "sparse" or "auto" (`nets.sparse`): phases with few weights cost what these weights cost;
                    the same steps with sums in another order, so the last digits differ; "captured"
                    (`nets.captured`): on CUDA a training step is recorded once and replayed
    progress        called with (state, trace) after every phase and `chunk`
    evaluate_every  steps between test accuracies in the trace (default: at the end of each phase that trains 5 % of a
                    training or more)
    save_every      seconds between checkpoints
    chunk           steps after which a long training offers to be saved; changes no number

    Raises InvalidInput for arguments that cannot be met, NotFinite if training diverges, CheckpointError for a folder
    that belongs to another run or cannot be written. After Ctrl-C the folder holds all steps up to the last chunk.
    """
    paper = _published(recipe)
    method = paper.method if method is None else method
    if isinstance(method, str) and method.split("+")[0] == paper.method:
        settings = {**paper.settings, **(settings or {})}
    recipe = paper.recipe
    epochs = paper.epochs if epochs is None else epochs
    dataset = _dataset(data)
    engine = engine if out is None else engine_of(Path(out), engine)
    named = Named(model, dataset.inputs, dataset.classes) if isinstance(model, str) else model
    if not callable(named):
        raise InvalidInput(
            f"model = {model!r}: give an nn.Module, a function seed -> nn.Module, or a name of "
            f"nets.models.names(): {', '.join(models.names())}"
        )
    entry = catalogue.find(method) if isinstance(method, str) else method
    rule = rule_of(entry, prunable, paper.prunable, named, dataset.inputs)
    how: dict[str, Any] = {"prunable": rule, "recipe": recipe, "device": device, "chunk": max(1, chunk)}
    network = Network(named, dataset, engine=engine, **how)
    if prunable is None and rule == OWN.prunable and (said := network.weights.overlooked(network.template)):
        warnings.warn(said, stacklevel=2)
    plan = _plan(network, sparsity, epochs, recipe, structure_of(entry, rule, network.layout))
    chosen = _method(entry, plan, budget, settings or {})
    trained = entry.model(named, plan.k, rule) if isinstance(entry, controls.Controlled) else named
    network = network if trained is named else Network(trained, dataset, engine=engine, **how)
    _check(network, seed)
    every = evaluate_every or max(1, plan.steps // 20)
    folder = None if out is None else Folder(Path(out), configuration(network, chosen, seed, every))
    one = flops.forward(network.template, network.samples(), network.layout.names)
    result, seconds = _Session(network, folder, progress, every, save_every, one).run(chosen, seed)
    outcome = None if result.status is Status.NOT_FINITE else outcome_of(network, result, seconds, one, plan.structure)
    if outcome is None or (math.isnan(outcome.loss) and len(dataset.test_labels)):
        raise NotFinite(
            f"training diverged after step {result.state.cost}: a weight became NaN or infinite. "
            f"Give a learning rate below {recipe.learning_rate:g}"
        )
    if folder is not None:
        folder.finish(outcome)
    return outcome


# ---- what is asked for ---------------------------------------------------------------------------------------------


def _published(recipe: Recipe | Published | str | None) -> Published:
    """A recipe with all that goes with it; a bare one gets what the default has."""
    if isinstance(recipe, Recipe):
        return dataclasses.replace(OWN, recipe=recipe)
    return lookup(RECIPES, recipe, "recipe") if isinstance(recipe, str) else recipe or OWN


def _dataset(data: DataSet | tuple[Any, Any]) -> DataSet:
    if isinstance(data, str):
        raise InvalidInput(f"data = {data!r} is a name; give nets.data.load({data!r}), or (X, y) arrays")
    return data if isinstance(data, DataSet) else from_arrays(*data)


def _plan(network: Network, sparsity: float, epochs: float, recipe: Recipe, structure: Structure) -> Plan:
    n = int(unit_labels(structure, network.layout.n).max(initial=-1)) + 1
    k = round((1 - sparsity) * n) if isinstance(sparsity, Real) and 0 <= sparsity < 1 else 0
    if k == 0:
        what = "weight" if structure == Elements() else "channel"
        wrong = f"would keep no {what} of {n}" if isinstance(sparsity, Real) and sparsity >= 0 else "is no fraction"
        raise InvalidInput(
            f"sparsity = {sparsity!r} {wrong}; give 0 <= sparsity <= {1 - 1 / n:.8g}, "
            f"the fraction of prunable {what}s to remove"
        )
    if not epochs > 0 or not math.isfinite(epochs):
        raise InvalidInput(f"epochs = {epochs}: one training must have a positive length")
    per_epoch = max(1, len(network.data.labels) // min(recipe.batch, len(network.data.labels)))
    return Plan(network.layout, k, max(1, round(epochs * per_epoch)), recipe, structure)


def _method(method: Method | Entry, plan: Plan, budget: int | None, settings: Mapping[str, Any]) -> Method:
    if isinstance(method, Method):
        if budget is not None or settings:
            given = f"budget = {budget}" if budget is not None else f"settings = {dict(settings)}"
            raise InvalidInput(f"{given}: method '{method.name}' brings its own lengths and settings; give a name")
        return method
    entry = configured(method, settings)
    return entry(plan) if budget is None else catalogue.within(entry, plan, budget)


def _check(network: Network, seed: int) -> None:
    """Numbers that are finite, and a module that takes the data and tells its classes apart."""
    data, start = network.data, network.start(seed)
    if data.images.is_floating_point() and not bool(data.images.isfinite().all() & data.test_images.isfinite().all()):
        raise InvalidInput(f"{data!r} contains NaN or infinite values")
    if not bool(start.x.isfinite().all() & start.slots["rest"].isfinite().all()):
        raise InvalidInput(f"the weights of {type(network.template).__name__} contain NaN or infinite values")
    try:
        outputs = network.outputs(start, data.images[:2])
    except (RuntimeError, ValueError, TypeError) as error:
        reason = str(error).splitlines()[0][:160]
        raise InvalidInput(
            f"{type(network.template).__name__} does not take inputs {data.inputs} of {data!r}: {reason}"
        ) from error
    if not isinstance(outputs, Tensor):
        raise InvalidInput(
            f"{type(network.template).__name__} gives outputs of type {type(outputs).__name__}, not a tensor"
        )
    if outputs.ndim != 2 or outputs.shape[1] < data.classes:
        raise InvalidInput(
            f"{type(network.template).__name__} gives outputs of shape {tuple(outputs.shape)} for two inputs; "
            f"one row each and at least {data.classes} columns are needed, one a class of {data!r}"
        )


# ---- one sitting ---------------------------------------------------------------------------------------------------


class _Session:
    """Starts or resumes a run, measures it, and keeps it."""

    def __init__(
        self, network: Network, folder: Folder | None, progress: Progress | None, every: int, save_every: float,
        one: flops.Forward,
    ) -> None:  # fmt: skip
        self.network, self.folder, self.progress, self.one = network, folder, progress, one
        self.every, self.save_every = every, save_every

    def run(self, method: Method, seed: int) -> tuple[Result, float]:
        found = None if self.folder is None else self.folder.resume(self.network.device)
        found = checkpoint.Saved(self.network.start(seed), Trace()) if found is None else found
        if found.status:
            return Result(found.state, Status[found.status], found.trace, method, 0.0), found.seconds
        self.began = self.saved = time.monotonic()
        self.before, self.latest, self.rows = found.seconds, found, len(found.trace)
        try:
            result = run(method, self.network, found.state, measure=self._measure, save=self._save, trace=found.trace)
        except KeyboardInterrupt:  # the trace may be a row ahead of the last complete state
            self._keep(dataclasses.replace(self.latest, trace=Trace(found.trace.rows[: self.rows])))
            raise
        last = checkpoint.Saved(result.state, result.trace, self._seconds(), result.status.name)
        if result.status is not Status.NOT_FINITE:
            self._keep(last)
        return result, last.seconds

    def _measure(self, state: State) -> dict[str, Any]:
        """What a forward pass costs with this mask, which layers it has emptied, what fits report; at times a test."""
        layout = self.network.layout
        counts = sp.block_counts(state.support, layout)
        cost = self.one.sparse([k / n for k, n in zip(counts, layout.sizes, strict=True)])
        empty = [name for name, k in zip(layout.names, counts, strict=True) if k == 0]
        emptied = {"empty": ",".join(empty)} if empty else {}
        return {"flops": cost, **emptied, **reports(state), **self._tested(state)}

    def _tested(self, state: State) -> dict[str, float]:
        """Loss and accuracy, whenever `every` steps have passed since they were last measured."""
        last = next((row.cost for row in reversed(self.latest.trace.rows) if "accuracy" in row.measured), 0)
        if state.cost - last < self.every:
            return {}
        loss, accuracy = self.network.test(state)
        return {"loss": loss, "accuracy": accuracy}

    def _save(self, state: State, trace: Trace) -> None:
        self.latest, self.rows = checkpoint.Saved(state, trace, self._seconds()), len(trace)
        if self.progress is not None:
            self.progress(state, trace)
        if time.monotonic() - self.saved >= self.save_every:
            self._keep(self.latest)
            self.saved = time.monotonic()

    def _keep(self, saved: checkpoint.Saved) -> None:
        if self.folder is not None:
            self.folder.keep(saved)

    def _seconds(self) -> float:
        return self.before + time.monotonic() - self.began
