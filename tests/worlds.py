"""One least-squares problem in two worlds: NumPy formulas, and `nn.Linear` trained by full-batch gradient descent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from nets import probes
from nets.adaptive import Ridged
from nets.gates import (
    Averaging,
    CompressionAware,
    Exploring,
    Extruded,
    Gate,
    Lasso,
    Masked,
    SoftThreshold,
    StraightThrough,
    TopProducts,
)
from nets.recipe import SGD, Constant, Recipe
from nets.structured import Slimming
from nets.training import Network
from sparsopt import support as sp
from sparsopt.state import Layout, State

DESCENT = SGD(momentum=0.0, weight_decay=0.0)


@dataclass(frozen=True)
class HalfSquares(Recipe):
    """Half the mean squared error, plain gradient descent."""

    optimiser: SGD = DESCENT
    schedule: Any = Constant()

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return (outputs.squeeze(-1) - targets).square().mean() / 2


class FullBatch:
    """Data of which every batch is the whole, as `Network` wants it."""

    def __init__(self, X: np.ndarray, y: np.ndarray) -> None:
        self.images, self.labels = torch.from_numpy(X), torch.from_numpy(y)
        self.test_images, self.test_labels = self.images, self.labels
        self.inputs = tuple(X.shape[1:])

    def to(self, device: Any) -> FullBatch:
        return self

    def evaluation(self, images: Any, labels: Any, chunk: int = 0, dtype: Any = None) -> list[Any]:
        return [(images, labels)]

    def at(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self.images, self.labels


def torch_world(X: np.ndarray, y: np.ndarray, w: np.ndarray, chunk: int | None = None) -> Network:
    """f(w) = |y - Xw|^2 / (2n) as the loss of one linear layer, started at w."""
    layer = nn.Linear(X.shape[1], 1, bias=False, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(w)[None])
    data: Any = FullBatch(X, y)
    return Network(layer, data, recipe=HalfSquares(), chunk=chunk, batches=lambda data, *_, dtype: data)


class NumpyWorld:
    """The same f in NumPy; training is gradient descent written out."""

    def __init__(self, X: np.ndarray, y: np.ndarray, w: np.ndarray) -> None:
        self.X, self.y, self.w = X, y, w
        self.layout = Layout(("weight",), ((1, X.shape[1]),))

    def start(self, seed: int = 0) -> State:
        return State(self.w.copy(), np.ones(len(self.w), dtype=bool), seed)

    def open(self) -> NumpyWorld:
        return self

    def at(self, state: State) -> NumpyWorld:
        return self

    def value(self, x: np.ndarray) -> float:
        return float(np.mean((self.X @ x - self.y) ** 2) / 2)

    def gradient(self, x: np.ndarray) -> np.ndarray:
        return self.X.T @ (self.X @ x - self.y) / len(self.y)

    def gradients(self, x: np.ndarray, count: int, batch: int, key: tuple[int, ...]) -> np.ndarray:
        rows = probes.chosen(len(self.y), count * batch, key).reshape(count, batch)
        return np.einsum("cb,cbj->cj", self.X[rows] @ x - self.y[rows], self.X[rows]) / batch

    def square_roots(self, x: np.ndarray, count: int, key: tuple[int, ...]) -> np.ndarray:
        return self.X[probes.chosen(len(self.y), count, key)] * probes.signs((count, 1), key)

    def grams(self, x: np.ndarray, samples: int, key: tuple[int, ...]) -> list[np.ndarray]:
        seen = self.X[probes.chosen(len(self.y), min(samples, len(self.y)), key)]
        return [(seen.T @ seen / len(seen))[None]]

    def train(self, state: State, recipe: Recipe, gate: Any, steps: int, total: int) -> State:
        state = gate.enter(state)
        for step in range(steps):
            state = SPELLED_OUT[type(gate)](self, gate, state, recipe, recipe.rate(state.clock + step, total))
        return state.but(clock=state.clock + steps, cost=state.cost + steps)


# ---- every gate's step, written out --------------------------------------------------------------------------------


def _descended(state: State, g: np.ndarray, recipe: Recipe, rate: float) -> State:
    """SGD with the recipe's momentum and weight decay."""
    sgd: Any = recipe.optimiser
    move, slots = g + sgd.weight_decay * state.x, state.slots
    if sgd.momentum:
        move = sgd.momentum * slots.get(BUFFER, 0.0) + move
        slots = {**slots, BUFFER: move}
    return state.but(x=state.x - rate * move, slots=slots)


def _plain(f: NumpyWorld, gate: Gate, state: State, recipe: Recipe, rate: float) -> State:
    return _descended(state, f.gradient(state.x), recipe, rate)


def _masked(f: NumpyWorld, gate: Masked, state: State, recipe: Recipe, rate: float) -> State:
    return _descended(state, sp.restrict(f.gradient(state.x), state.support), recipe, rate)


def _straight_through(f: NumpyWorld, gate: StraightThrough, state: State, recipe: Recipe, rate: float) -> State:
    return _descended(state, f.gradient(sp.restrict(state.x, state.support)), recipe, rate)


def _averaging(f: NumpyWorld, gate: Averaging, state: State, recipe: Recipe, rate: float) -> State:
    average = gate.beta * state.slots.get("average", 0.0) + (1 - gate.beta) * f.gradient(state.x)
    return _masked(f, gate, state, recipe, rate).but(slots={**state.slots, "average": average})


def _exploring(f: NumpyWorld, gate: Exploring, state: State, recipe: Recipe, rate: float) -> State:
    A, B = state.support, state.slots["backward"]
    g = f.gradient(np.where(A, state.x, 0.0))
    penalty = gate.decay * np.where(A, 1.0, len(A) / max(A.sum(), 1)) * state.x
    return _descended(state, np.where(B, g + penalty, 0.0), recipe, rate)


def _top_products(f: NumpyWorld, gate: TopProducts, state: State, recipe: Recipe, rate: float) -> State:
    g = f.gradient(state.x)
    return _descended(state, sp.restrict(g, sp.top(abs(g * state.x), gate.k)), recipe, rate)


def _compression_aware(f: NumpyWorld, gate: CompressionAware, state: State, recipe: Recipe, rate: float) -> State:
    g = f.gradient(state.x)
    climbed = state.x + gate.radius * g
    C = sp.top(abs(climbed), gate.k)
    return _descended(state, sp.restrict(f.gradient(sp.restrict(climbed, C)), C) + gate.dense * g, recipe, rate)


def _soft_threshold(f: NumpyWorld, gate: SoftThreshold, state: State, recipe: Recipe, rate: float) -> State:
    """One block."""
    v, (s, speed) = state.slots["latent"], state.slots.get("s", (gate.start, 0.0))
    t = 1 / (1 + np.exp(-s))
    g = np.where(abs(v) > t, f.gradient(_shrunk(v, t)), 0.0)
    speed = gate.momentum * speed - t * (1 - t) * (g @ np.sign(v)) + gate.decay * s
    v, s = _descended(state.but(x=v), g, recipe, rate).x, s - rate * speed
    return state.but(x=_shrunk(v, 1 / (1 + np.exp(-s))), slots={**state.slots, "latent": v, "s": (s, speed)})


def _shrunk(v: np.ndarray, t: float) -> np.ndarray:
    return np.sign(v) * np.maximum(abs(v) - t, 0.0)


def _lasso(f: NumpyWorld, gate: Lasso, state: State, recipe: Recipe, rate: float) -> State:
    return _descended(state, f.gradient(state.x) + gate.strength * np.sign(state.x), recipe, rate)


def _extruded(f: NumpyWorld, gate: Extruded, state: State, recipe: Recipe, rate: float) -> State:
    """Steps are counted from where the fit started, which its clock tells apart."""
    began, t = state.slots.get("t", (None, 0))
    t = t + 1 if began == state.clock else 1
    penalty = gate.limit * min(1.0, t / max(1.0, gate.rise * gate.steps))
    g = np.where(state.support, f.gradient(state.x), f.gradient(state.x) + penalty * state.x)
    slots = {**state.slots, "t": (state.clock, t)}
    return _descended(state.but(slots=slots), np.where(state.slots["present"], g, 0.0), recipe, rate)


def _ridged(f: NumpyWorld, gate: Ridged, state: State, recipe: Recipe, rate: float) -> State:
    g = f.gradient(state.x) + gate.rho * state.slots["regularised"] * state.x
    return _descended(state, np.where(state.support, g, 0.0), recipe, rate)


BUFFER = "momentum.momentum_buffer.x"
SPELLED_OUT: dict[type[Gate], Callable[..., State]] = {
    Gate: _plain,
    Masked: _masked,
    StraightThrough: _straight_through,
    Averaging: _averaging,
    Exploring: _exploring,
    TopProducts: _top_products,
    CompressionAware: _compression_aware,
    SoftThreshold: _soft_threshold,
    Lasso: _lasso,
    Extruded: _extruded,
    Ridged: _ridged,
    Slimming: _lasso,  # one block and no norm: all weights are scales
}


def draw(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, int, float]:
    """A correlated problem (X, y), a start w, a k, and a step below 1/L."""
    rng = np.random.default_rng(seed)
    p = int(rng.integers(4, 16))
    X = rng.standard_normal((int(rng.integers(p, 40)), p)) + rng.uniform(0, 1) * rng.standard_normal((1, p))
    y = X @ (rng.standard_normal(p) * (rng.random(p) < 0.5)) + 0.1 * rng.standard_normal(len(X))
    L = float(np.linalg.eigvalsh(X.T @ X / len(X))[-1])
    return X, y, 0.3 * rng.standard_normal(p), int(rng.integers(1, p)), float(rng.uniform(0.3, 0.95) / L)
