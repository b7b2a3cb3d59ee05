"""f + rho/2 |x_R|^2: a regulariser on a set R of coordinates that the run itself learns.

ARHT (Axiotis and Sviridenko 2021) starts with R = everything and takes coordinates out of R when swaps stall; the set
travels in the state's slot "regularised". Regularised IHT (the same authors, 2022) learns weights w in [1/2, 1] or 0
for each coordinate, in slot "weights".

>>> from sparsopt.problems import Quadratic
>>> oracle = Regularised(Quadratic(np.eye(2), np.array([2.0, 1.0])), 1.0)
>>> oracle.at(oracle.start()).minimise_on(np.array([True, False]))
(array([1., 0.]), -1.0)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsopt import support as sp
from sparsopt.fits import InverseSmoothness, StepSize, step_length
from sparsopt.judges import value_of
from sparsopt.result import Status
from sparsopt.state import Array, Mask, State

__all__ = ["Penalised", "PenalisedStep", "Regularised", "Reweigh", "Unregularise"]

STEPS, HALVINGS = 50, 30


class Regularised:
    """The oracle of f + rho/2 |x_R|^2; R is everything at the start. f: with restricted() and hessian_product()."""

    def __init__(self, problem: Any, rho: float) -> None:
        self.problem, self.rho, self.layout = problem, rho, problem.layout

    def __repr__(self) -> str:
        return f"Regularised({self.problem!r}, {self.rho!r})"

    def start(self, seed: int = 0) -> State:
        state = self.problem.start(seed)
        return state.but(slots={"regularised": np.ones(self.layout.n)})

    def open(self) -> Regularised:
        return Regularised(self.problem.open(), self.rho)

    def at(self, state: State) -> Penalised:
        return Penalised(self.problem.at(state), self.rho * state.slots["regularised"])


class Penalised:
    """f(x) + sum_j r_j x_j^2 / 2 for a vector r >= 0."""

    def __init__(self, problem: Any, r: Array) -> None:
        self.problem, self.r, self.layout = problem, r, problem.layout

    def loss(self, x: Array) -> float:
        """f(x), without the regulariser."""
        return float(self.problem.value(x))

    def value(self, x: Array) -> float:
        return self.loss(x) + float(self.r @ (x * x)) / 2

    def gradient(self, x: Array) -> Array:
        return self.problem.gradient(x) + self.r * x

    def curvature(self) -> Array:
        return self.problem.curvature() + self.r

    def hessian_product(self, x: Array, v: Array) -> Array:
        return self.problem.hessian_product(x, v) + self.r * v

    def smoothness(self, s: int | None = None) -> float:
        return self.problem.smoothness(s) + float(np.max(self.r, initial=0.0))

    def minimise_on(self, support: Mask, x: Array | None = None) -> tuple[Array, float]:
        """The minimiser among vectors supported there and its value: damped Newton on the selected coordinates."""
        S = np.flatnonzero(support)
        f = Penalised(self.problem.restricted(S), self.r[S]) if len(S) else None
        w = np.zeros(len(S)) if x is None else np.asarray(x, dtype=np.float64)[S]
        found = np.zeros(self.layout.n, dtype=self.problem.dtype)
        if f is not None:
            found[S] = _newton(f, w)
        return found, self.value(found)


def _newton(f: Penalised, w: Array) -> Array:
    """Full steps where they lower f enough; ends where f is as low as its rounding lets one see."""
    value = f.value(w)
    for _ in range(STEPS):
        g = np.asarray(f.gradient(w), dtype=np.float64)
        H = np.stack([f.hessian_product(w, unit) for unit in np.eye(len(w))])
        d = -np.linalg.lstsq(H, g, rcond=1e-13)[0]
        fall = -float(g @ d)
        if not fall > 1e-15 * (abs(value) + 1e-300):
            return w + d if f.value(w + d) <= value else w
        step = 1.0
        while (new := f.value(w + step * d)) > value - 1e-4 * step * fall and step > 2.0**-HALVINGS:
            step /= 2
        if new >= value:
            return w
        w, value = w + step * d, new
    return w


@dataclass(frozen=True)
class Unregularise:
    """A swap that makes too little progress towards `target` is undone, and one coordinate leaves R instead.

    Too little: g(x) - g(x') < share (g(x) - target), g = f + rho/2 |x_R|^2. The coordinate is drawn from R and S with
    probability x_i^2 / |x_R|^2, a function of seed and position, and x is refitted. Ends where f(x) <= target, or
    where a swap fails and nothing of S is regularised any more.
    """

    target: float
    share: float
    autonomous = False

    def __call__(self, oracle: Any, old: State, new: State) -> tuple[State, Status | None]:
        g = oracle.at(old)
        before, after = value_of(oracle, old), value_of(oracle, new)
        if g.loss(old.x) <= self.target:
            return _back(old, new, before), Status.TARGET
        if after < before and before - after >= self.share * (before - self.target):
            return new, Status.TARGET if g.loss(new.x) <= self.target else None
        regularised = old.slots["regularised"]
        square = np.where(old.support, regularised * old.x**2, 0.0)
        if not square.any():
            return _back(old, new, before), Status.NO_DECREASE
        draw = np.random.default_rng(new.key).random() * square.sum()
        i = min(int(np.searchsorted(np.cumsum(square), draw, side="right")), int(np.flatnonzero(square)[-1]))
        freed = regularised.copy()
        freed[i] = 0.0
        state = _back(old, new, before).but(slots={**old.slots, "regularised": freed})
        x, value = oracle.at(state).minimise_on(state.support, state.x)
        return state.but(x=x, value=value), None


def _back(old: State, new: State, value: float) -> State:
    return new.but(x=old.x, support=old.support, slots=old.slots, value=value)


# ---- regularised IHT -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PenalisedStep:
    """x <- (1 - decay w) x - step g: a gradient step of f + decay / (2 step) sum_j w_j x_j^2, w in slot "weights"."""

    step_size: float | StepSize = InverseSmoothness(0.5)
    decay: float = 0.5
    needs = ("gradient",)

    def __call__(self, oracle: Any, state: State) -> State:
        f, w = oracle.at(state), state.slots.get("weights", 1.0)
        g = sp.restrict(f.gradient(state.x), state.support)
        x = state.x - self.decay * w * state.x - step_length(self.step_size, f, state, g) * g
        return state.but(x=x, clock=state.clock + 1, cost=state.cost + 1)


@dataclass(frozen=True)
class Reweigh:
    """w_i <- w_i (1 - rate w_i x_i^2 / sum_j w_j x_j^2), and 0 below `least`: what is large is regularised less."""

    rate: float
    least: float = 0.5

    def __call__(self, oracle: Any, state: State) -> State:
        w = state.slots.get("weights")
        w = np.ones(len(state.x)) if w is None else w
        square = w * state.x * state.x
        total = float(square.sum())
        if total > 0:
            w = w * np.maximum(1 - self.rate * square / total, 0.0)
        return state.but(slots={**state.slots, "weights": np.where(w < self.least, 0.0, w)})
