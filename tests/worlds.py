"""One least-squares problem in two worlds: NumPy formulas, and `nn.Linear` trained by full-batch gradient descent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from nets.gates import Masked, StraightThrough
from nets.recipe import SGD, Constant, Recipe
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

    def to(self, device: Any) -> FullBatch:
        return self

    def evaluation(self, images: Any, labels: Any, dtype: Any = None) -> list[Any]:
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

    def train(self, state: State, recipe: Recipe, gate: Any, steps: int, total: int) -> State:
        seen, felt = SPELLED_OUT[type(gate)]
        state = gate.enter(state)
        x, S = state.x, state.support
        for step in range(steps):
            rate = recipe.rate(state.clock + step, total)
            x = x - rate * felt(self.gradient(seen(x, S)), S)
        return state.but(x=x, clock=state.clock + steps, cost=state.cost + steps)


def _everywhere(x: np.ndarray, S: np.ndarray) -> np.ndarray:
    return x


SPELLED_OUT = {Masked: (_everywhere, sp.restrict), StraightThrough: (sp.restrict, _everywhere)}


def draw(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, int, float]:
    """A correlated problem (X, y), a start w, a k, and a step below 1/L."""
    rng = np.random.default_rng(seed)
    p = int(rng.integers(4, 16))
    X = rng.standard_normal((int(rng.integers(p, 40)), p)) + rng.uniform(0, 1) * rng.standard_normal((1, p))
    y = X @ (rng.standard_normal(p) * (rng.random(p) < 0.5)) + 0.1 * rng.standard_normal(len(X))
    L = float(np.linalg.eigvalsh(X.T @ X / len(X))[-1])
    return X, y, 0.3 * rng.standard_normal(p), int(rng.integers(1, p)), float(rng.uniform(0.3, 0.95) / L)
