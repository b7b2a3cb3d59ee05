"""Tiny networks and data for tests of `nets`, and ways to look at a run from the inside."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from nets.catalogue import Plan
from nets.data import DataSet, from_arrays
from nets.recipe import SGD, Adam, Milestones, Recipe
from nets.training import Network
from nets.weights import ConvolutionsAndLinear, Matrices, Rule
from sparsopt.method import Method, run
from sparsopt.result import Result
from sparsopt.state import State

torch.set_num_threads(1)  # tiny tensors: a second thread only waits

SIDE, CLASSES = 6, 3
MOMENTUM = Recipe(0.05, Milestones(), SGD(0.9, weight_decay=1e-3), batch=16, label_smoothing=0.1, name="momentum")
NESTEROV = Recipe(0.05, Milestones(), SGD(0.8, nesterov=True, weight_decay=1e-2), batch=16, name="nesterov")
PLAIN = Recipe(0.1, Milestones(), SGD(0.0, weight_decay=0.0), batch=16, name="plain")
HEAVY = Recipe(0.05, Milestones(), SGD(0.9, weight_decay=1e-2), batch=16, name="heavy")
ADAM = Recipe(0.01, Milestones(), Adam(weight_decay=1e-2), batch=16, name="adam")
RECIPES = {recipe.name: recipe for recipe in (MOMENTUM, NESTEROV, PLAIN, ADAM)}


def blobs(train: int = 70, test: int = 30, seed: int = 0) -> DataSet:
    """Images (1, 6, 6) of three overlapping classes."""
    g = torch.Generator().manual_seed(seed)
    y = torch.arange(train + test) % CLASSES
    centres = torch.randn(CLASSES, 1, SIDE, SIDE, generator=g)
    X = centres[y] + 1.5 * torch.randn(train + test, 1, SIDE, SIDE, generator=g)
    return from_arrays(X[:train], y[:train], (X[train:], y[train:]), name="blobs", classes=CLASSES)


# ---- modules that a user might bring -------------------------------------------------------------------------------


def perceptron() -> nn.Module:
    """Batch norm, biases, a buffer of each kind."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(SIDE * SIDE, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(),
        nn.Linear(8, CLASSES),
    )  # fmt: skip


class Tied(nn.Module):
    """One layer used twice, and another that shares its weight."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.again, self.other, self.head = (
            nn.Linear(36, 8),
            nn.Linear(8, 8),
            nn.Linear(8, 8),
            nn.Linear(8, 3),
        )
        self.other.weight = self.again.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.first(x.flatten(1)).relu()
        return self.head(self.other(self.again(self.again(h).relu()).relu()))


class Residual(nn.Module):
    """Grouped convolution, batch norm, 1 x 1 shortcut; no bias anywhere but in the head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1, bias=False)
        self.grouped = nn.Conv2d(4, 8, 3, stride=2, padding=1, groups=2, bias=False)
        self.norm, self.shortcut = nn.BatchNorm2d(8), nn.Conv2d(4, 8, 1, stride=2, bias=False)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.stem(x).relu()
        return self.head((self.norm(self.grouped(h)) + self.shortcut(h)).relu().mean((2, 3)))


class Attention(nn.Module):
    """Rows as tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.attention, self.norm, self.head = (
            nn.MultiheadAttention(SIDE, 2, batch_first=True),
            nn.LayerNorm(SIDE),
            nn.Linear(SIDE, CLASSES),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = x.squeeze(1)
        return self.head(self.norm(tokens + self.attention(tokens, tokens, tokens, need_weights=False)[0]).mean(1))


class Recurrent(nn.Module):
    """An LSTM over rows; its weights are prunable under `Matrices`."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(SIDE, 4, batch_first=True), nn.Linear(4, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.lstm(x.squeeze(1))[0][:, -1])


def dropout() -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(36, 12), nn.ReLU(), nn.Dropout(0.5), nn.Linear(12, CLASSES, bias=False)
    )


MODULES: dict[str, tuple[Callable[[], nn.Module], Rule]] = {
    "perceptron": (perceptron, ConvolutionsAndLinear()),
    "tied": (Tied, ConvolutionsAndLinear()),
    "residual": (Residual, ConvolutionsAndLinear()),
    "attention": (Attention, ConvolutionsAndLinear()),
    "recurrent": (Recurrent, Matrices()),
    "dropout": (dropout, ConvolutionsAndLinear()),
}


def module(name: str = "perceptron", seed: int = 0) -> nn.Module:
    """A module whose weights are a function of the seed; the global generator stays."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MODULES[name][0]()


def network(name: str = "perceptron", recipe: Recipe = MOMENTUM, **options: Any) -> Network:
    return Network(module(name), blobs(), prunable=MODULES[name][1], recipe=recipe, **options)


def plan_of(world: Network, sparsity: float = 0.8, steps: int = 20) -> Plan:
    return Plan(world.layout, max(1, round((1 - sparsity) * world.layout.n)), steps, world.recipe)


# ---- looking inside ------------------------------------------------------------------------------------------------


def rebuilt(thing: Any, change: Callable[[Any], Any]) -> Any:
    """A method with every part p inside it replaced by change(p), innermost first."""
    if isinstance(thing, tuple):
        return tuple(rebuilt(item, change) for item in thing)
    if dataclasses.is_dataclass(thing) and not isinstance(thing, type):
        fields = {f.name: rebuilt(getattr(thing, f.name), change) for f in dataclasses.fields(thing) if f.init}
        thing = dataclasses.replace(thing, **fields)
    return change(thing)


def states(method: Method, world: Network, start: State | None = None) -> tuple[Result, list[State]]:
    """The result, and every state in which the run could have been saved."""
    seen: list[State] = []
    result = run(method, world, world.start(0) if start is None else start, save=lambda s, _: seen.append(s))
    return result, seen


def rows(result: Result) -> list[str]:
    """The trace in a form in which nan equals nan."""
    return [repr(row) for row in result.trace]


def tensors(state: State) -> Iterator[tuple[str, Any]]:
    yield from (("x", state.x), ("support", state.support), *sorted(state.slots.items()))


def difference(one: State, two: State, ignore: tuple[str, ...] = ()) -> str:
    """The first thing in which two states differ, bit for bit; "" if there is none."""
    numbers = [
        name for name in ("seed", "stage", "round", "phase", "inner", "clock", "cost", "ended") if name not in ignore
    ]
    for name in numbers:
        if getattr(one, name) != getattr(two, name):
            return f"{name}: {getattr(one, name)} and {getattr(two, name)}"
    for a, b in itertools.zip_longest(tensors(one), tensors(two)):
        if a is None or b is None or a[0] != b[0]:
            return f"slots: {a and a[0]} and {b and b[0]}"
        if not torch.equal(torch.as_tensor(a[1]), torch.as_tensor(b[1])):
            return a[0]
    for name in {*one.saved, *two.saved}:
        if name not in one.saved or name not in two.saved:
            return f"snapshot {name}"
        if found := difference(one.saved[name], two.saved[name], ignore):
            return f"{found} in snapshot {name}"
    return "" if (math.isnan(one.value) and math.isnan(two.value)) or one.value == two.value else "value"
