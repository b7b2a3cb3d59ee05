"""A network as an oracle, and training as a fit.

`Network` is to a module and its data what `LeastSquares` is to (X, y): it gives methods a value, a gradient and a
layout, and `train` in the place of `minimise_on`. `Train` is the fit that uses it. So a convex method becomes a pruning
method by replacing `Exact()` with `Train(...)`, and nothing else.

    >>> network = Network(nets.models.build("lenet-300-100", data.inputs), data)
    >>> method = Method("static", (Stage((Phase(Choose(ERK(26620), Random()), Train(1000, Recipe())),)),))
    >>> result = run(method, network, network.start(seed=0))
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from nets import probes, ranks, seeds
from nets.captured import CapturedEngine, captures
from nets.data import Batches, DataSet
from nets.engine import BUFFER, Engine
from nets.gates import Gate, Masked
from nets.recipe import Recipe
from nets.sampled import Sampled
from nets.sparse import ConvolutionalEngine, SparseEngine, engine_of, trains
from nets.sparse.choice import choose
from nets.sparse.skipping import SkippingEngine
from nets.sparse.zeros import skips
from nets.weights import ConvolutionsAndLinear, Rule, Weights
from sparsopt import support as sp
from sparsopt.errors import InvalidInput
from sparsopt.state import Layout, State

JUDGED = 2048  # training samples on which a judge compares two states


class Network:
    """Oracle of a module and its data. The module that is given is never changed.

    model       an nn.Module, or a function seed -> nn.Module for weights that are a function of the seed
    data        nets.data.DataSet
    prunable    rule: which parameters x consists of
    recipe      how gradients for scores and judges are taken (batch size, loss); training has its own in `Train`
    data_seed   of order and augmentation; default the state's seed
    device      where it runs
    chunk       steps between two chances to save; None: a fit is not interrupted
    batches     (data, size, seed, dtype=) -> object with .at(step); default nets.data.Batches
    engine      "dense"; with other last digits "explicit" (`nets.explicit`, perceptrons), "skipping" and
                "sparse" (`nets.sparse`, fixed masks on perceptrons, "sparse" also on convolutions); "auto": the fastest
                of these as measured; "captured" (`nets.captured`: on CUDA the whole step as one graph)
    """

    def __init__(
        self,
        model: nn.Module | Callable[[int], nn.Module],
        data: DataSet,
        *,
        prunable: Rule = ConvolutionsAndLinear(),
        recipe: Recipe = Recipe(),
        data_seed: int | None = None,
        device: str | torch.device = "cpu",
        chunk: int | None = None,
        batches: Callable[..., Any] = Batches,
        engine: str = "dense",
    ) -> None:
        self.build = (lambda seed: model) if isinstance(model, nn.Module) else model
        self.template = self.build(0)
        self.device = device_of(device)
        self.data, self.recipe, self.data_seed = data.to(self.device), recipe, data_seed
        self.weights = Weights(self.template, prunable)
        self.chunk, self.batches = chunk, batches
        self._engine: Engine | None = None
        self._sparse: SparseEngine | ConvolutionalEngine | None = None
        self._captured: CapturedEngine | None = None
        self._skipping: SkippingEngine | None = None
        self.choice = choose(engine, self.template, self.weights, self.device, self.data, recipe)
        self.engine_name, self.capturing = self.choice.name, engine == "captured"
        self._batches: dict[tuple[int, int], Any] = {}
        self._parts: dict[tuple[float, int], Network] = {}
        self.probed = probes.Memory()

    def __repr__(self) -> str:
        return f"Network({type(self.template).__name__}, {self.data!r}, {self.layout.n} prunable weights)"

    @property
    def layout(self) -> Layout:
        return self.weights.layout

    def start(self, seed: int = 0) -> State:
        """All weights present, as the module (or its builder, for this seed) has them."""
        return self._state_of(self.build(seed), seed)

    def fresh(self, seed: int) -> State:
        """As `start`, but another draw even where one module was given: its layers' own `reset_parameters`."""
        model = self.build(seed)
        return self._state_of(redrawn(model, seed) if model is self.template else model, seed)

    def _state_of(self, model: nn.Module, seed: int) -> State:
        x, rest = (part.to(self.device) for part in self.weights.flatten(model))
        constants = self.weights.constants(model).items()
        slots = {BUFFER + name: c.detach().clone().to(self.device) for name, c in constants}
        return State(x, sp.everything(x), seed, slots={"rest": rest, **slots})

    def open(self) -> Network:
        """A copy with an engine of its own."""
        new = copy.copy(self)
        new._engine = self.choice.usual(self.template, self.weights, self.device)
        new._sparse = new._captured = new._skipping = None
        new._batches = {}
        return new

    def at(self, state: State) -> NetworkFunction:
        return NetworkFunction(self, state)

    def train(self, state: State, recipe: Recipe, gate: Gate, steps: int, total: int) -> State:
        """Up to `chunk` of the steps that remain; `inner` of the result is what has been done, 0 when finished."""
        if state.inner == 0:
            state = gate.enter(state)
        now = steps - state.inner if self.chunk is None else min(self.chunk, steps - state.inner)
        engine = self._engine_for(state, recipe, gate)
        new = engine.train(state, recipe, gate, self.batches_of(state, recipe), now, total)
        done = state.inner + now
        return new.but(inner=done if done < steps else 0)

    def test(self, state: State) -> tuple[float, float]:
        """(loss, accuracy) of the restricted weights on the test split; nan for data without one."""
        if len(self.data.test_labels) == 0:
            return math.nan, math.nan
        return self._evaluate(state, self.data.test_images, self.data.test_labels)

    def outputs(self, state: State, images: Tensor) -> Tensor:
        """What the restricted weights make of some images of the data set, in evaluation mode."""
        (inputs, _), *_ = self.data.evaluation(images, images.new_zeros(len(images)), dtype=self.weights.dtype)
        return self.engine.outputs(state, sp.restrict(state.x, state.support), inputs)

    def samples(self, count: int = 2) -> Tensor:
        """The first training samples as the module gets them, on the CPU: to see what goes through it."""
        (inputs, _), *_ = self.data.evaluation(
            self.data.images[:count], self.data.labels[:count], dtype=self.weights.dtype
        )
        return inputs.cpu()

    def module(self, state: State) -> nn.Module:
        """A copy of the module with the state's restricted weights, on the CPU."""
        model = copy.deepcopy(self.template)
        constants = {name: state.slots[BUFFER + name] for name in self.weights.constants(model)}
        self.weights.write(model, sp.restrict(state.x, state.support), state.slots["rest"], constants)
        return model

    # ---- what functions and fits use -------------------------------------------------------------------------------

    @property
    def engine(self) -> Engine:
        if self._engine is None:
            self._engine = self.choice.usual(self.template, self.weights, self.device)
        return self._engine

    @property
    def sparse(self) -> SparseEngine | ConvolutionalEngine:
        if self._sparse is None:
            self._sparse = engine_of(self.engine, self.choice.below)
        return self._sparse

    @property
    def skipping(self) -> SkippingEngine:
        if self._skipping is None:
            self._skipping = SkippingEngine(self.engine)
        return self._skipping

    def _engine_for(
        self, state: State, recipe: Recipe, gate: Gate
    ) -> Engine | SparseEngine | ConvolutionalEngine | CapturedEngine:
        """Which engine trains a phase: one with few enough weights goes to the sparse one, if that can train it, others
        to the skipping one, if it is chosen and can."""
        if (
            self.capturing
            and ranks.count() == 1
            and captures(recipe, gate, self.batches_of(state, recipe), self.weights.dtype)
        ):
            self._captured = self._captured or CapturedEngine(self.engine)
            return self._captured
        if not trains(recipe, gate, self.template) or ranks.count() > 1:
            return self.engine
        if sp.count(state.support) > self.choice.below * self.layout.n:
            return self.skipping if self.choice.skipping and skips(self.batches_of(state, recipe)) else self.engine
        return self.sparse

    def batches_of(self, state: State, recipe: Recipe) -> Any:
        key = (recipe.batch, state.seed if self.data_seed is None else self.data_seed)
        if key not in self._batches:
            self._batches[key] = self.batches(self.data, *key, dtype=self.weights.dtype)
        return self._batches[key]

    def _evaluate(self, state: State, images: Tensor, labels: Tensor, x: Tensor | None = None) -> tuple[float, float]:
        where = sp.restrict(state.x, state.support) if x is None else x
        if self.choice.skipping:
            few = int((where != 0).sum()) <= self.choice.below * self.layout.n
            engine = self.sparse if few else self.skipping
            return engine.evaluate(state, where, self.recipe, self.data, images, labels)  # type: ignore[union-attr]
        chunks = self.data.evaluation(images, labels, self.engine.chunk, dtype=self.weights.dtype)
        return self.engine.evaluate(state, where, self.recipe, chunks)


def device_of(name: str | torch.device) -> torch.device:
    """The device, if this machine has it."""
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise InvalidInput(f"device {str(name)!r} cannot be used here: {str(error).splitlines()[0]}") from error


def redrawn(model: nn.Module, seed: int) -> nn.Module:
    """A copy with every layer reset by its own rule, parts before wholes, as when it was built."""
    model = copy.deepcopy(model)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seeds.mixed("fresh", seed))
        for name, module in reversed(list(model.named_modules())):
            reset = getattr(module, "reset_parameters", getattr(module, "_reset_parameters", None))
            if reset is not None:
                reset()
            elif any(True for _ in module.parameters(recurse=False)):
                raise InvalidInput(
                    f"fresh weights are asked for, but {type(module).__name__} {name!r} has parameters and no "
                    "reset_parameters(); give it one, or a function seed -> module instead of the module"
                )
    return model


class NetworkFunction:
    """f(x): the loss as a function of the prunable weights, everything else (rest, buffers, batch) bound."""

    def __init__(self, network: Network, state: State) -> None:
        self.network, self.state, self.layout = network, state, network.layout

    def value(self, x: Tensor) -> float:
        """Mean loss on the first training samples (at most 2,048, not augmented), in evaluation mode."""
        data = self.network.data
        return self.network._evaluate(self.state, data.images[:JUDGED], data.labels[:JUDGED], x)[0]

    def gradient(self, x: Tensor) -> Tensor:
        """Gradient of the mini-batch that the next training step would use, in all of x, in training mode."""
        network, state = self.network, self.state
        batch = network.batches_of(state, network.recipe).at(state.cost)
        return network.engine.gradient(state, x, network.recipe, batch)

    def sampled(self, per_class: int = 10, temperature: float = 1.0, mode: str = "train") -> Sampled:
        """The loss over `per_class` training samples of each class, as a function that is twice differentiable."""
        return Sampled(self.network, self.state, per_class, temperature, mode)

    def flow(self, x: Tensor) -> Tensor:
        """The synaptic flow |x_j dR/d|x_j|| through each weight, (n,) float64: no data, one input of ones."""
        return self.network.engine.flow(self.state, x, tuple(self.network.data.images.shape[1:]))

    def gradients(self, x: Tensor, *asked: Any) -> Any:
        """(count, n) NumPy: gradients of mini-batches, `probes.gradients(..., count, batch, key)`."""
        return self._probed(probes.gradients, x, *asked)

    def square_roots(self, x: Tensor, *asked: Any) -> Any:
        """(count, n) NumPy: rows of a Gauss-Newton matrix, `probes.square_roots(..., count, key)`."""
        return self._probed(probes.square_roots, x, *asked)

    def grams(self, x: Tensor, *asked: Any) -> Any:
        """Second moments of the inputs of each block, `probes.grams(..., samples, key)`."""
        return self._probed(probes.grams, x, *asked)

    def _probed(self, probe: Callable[..., Any], x: Tensor, *asked: Any) -> Any:
        once = self.network.probed.once
        return once((probe, *asked), self.state, x, lambda: probe(self.network, self.state, x, *asked))


@dataclass(frozen=True)
class Train:
    """The fit of networks: `steps` optimiser steps on the support, through a gate.

    total: the length of the learning-rate schedule, in steps of `clock`; default `steps`.
    """

    steps: int
    recipe: Recipe = Recipe()
    through: Gate = Masked()
    total: int | None = None
    needs = ("train",)
    autonomous = False  # batches and rates depend on the clocks: a repeated support is no cycle

    def __post_init__(self) -> None:
        if self.steps < 0:
            raise InvalidInput(f"Train: steps = {self.steps} is negative")

    def __call__(self, oracle: Any, state: State) -> State:
        if self.steps == 0:
            return self.through.enter(state)
        return oracle.train(state, self.recipe, self.through, self.steps, self.total or self.steps)
