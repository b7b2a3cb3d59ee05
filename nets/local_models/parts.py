"""Moves, scores and fits that run on a local model of f in place of f itself.

`LocalScore`, `LocalFit` and `Solve` put sparsopt's own parts to work on the convex quadratic that a model makes of f
at the state: optimal brain damage is the convex `Removal` on a Fisher matrix, CHITA a convex method on it, and what the
survivors become is the convex `Exact`.

>>> fisher = Fisher(block=500)
>>> damage = Keep(1000, by=LocalScore(Removal(), fisher))                            # optimal brain damage
>>> surgeon = Phase(Keep(1000, by=LocalScore(Surgeon(), fisher)), LocalFit(SurgeonUpdate(), fisher))   # WoodFisher
>>> chita = Phase(Solve(1000, fisher), LocalFit(Exact(), fisher))
>>> wanda = Keep(1000, by=LocalScore(Removal(), Layerwise()), structure=Rows())
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

import sparsopt
from nets.local_models.pursuit import Pursuit
from nets.local_models.quadratic import BlockQuadratic
from nets.local_models.rows import as_mask
from sparsopt import support as sp
from sparsopt.errors import InvalidInput
from sparsopt.fits import Fit, restricted
from sparsopt.moves import Magnitude, Score
from sparsopt.problems import Quadratic
from sparsopt.schedules import Schedule, amount
from sparsopt.state import Array, Mask, State
from sparsopt.support import Elements, Structure

__all__ = ["LocalFit", "LocalScore", "Model", "Solve", "SolveEach"]

Model = Callable[[Any, State], BlockQuadratic]


@dataclass(frozen=True)
class LocalScore:
    """A score of the local model: `by`, asked at the state's weights with the model in the place of f."""

    by: Score
    of: Model
    elsewhere: ClassVar = ("by",)  # what `by` needs it needs of the model

    def __call__(self, f: Any, state: State) -> Array:
        model = self.of(f, state)
        return _like(self.by(model, model.here(state.seed)), state.x)


@dataclass(frozen=True)
class LocalFit:
    """A fit on the local model: x becomes what `fit` makes of it there, zero off the support, momenta too.

    steps: what the model costs in training steps (its gradients, counted as samples over the recipe's batch); added to
    the run's cost, not to its learning-rate clock.
    """

    fit: Fit
    of: Model
    steps: int = 0
    elsewhere: ClassVar = ("fit",)

    def __post_init__(self) -> None:
        if self.steps < 0:
            raise InvalidInput(f"LocalFit: steps = {self.steps} is negative")

    def __call__(self, oracle: Any, state: State) -> State:
        model = self.of(oracle.at(state), state)
        start = model.here(state.seed).but(support=sp.to_numpy(state.support))
        x = _like(self.fit(model, start).x, state.x)
        return restricted(state.but(x=x, cost=state.cost + self.steps))


@dataclass(frozen=True)
class Solve:
    """The support that a convex method finds for the local model: minimise it over vectors with k non-zeros.

    method: a name of `sparsopt.methods()`, or an object with .solve(problem, k, seed). Should it use fewer than k
    coordinates or some that are no variables, the first variables take their place: |S| is k exactly.
    """

    k: int | Schedule
    of: Model
    method: str | Any = Pursuit()
    elsewhere: ClassVar = ("method",)

    def __call__(self, f: Any, state: State) -> Mask:
        k = _total(amount(self.k, state.round, f.layout), self)
        found = sparsopt.solve(self.of(f, state), k, self.method, state.seed)
        return _filled(found.support, k, state.support)


@dataclass(frozen=True)
class SolveEach:
    """The same, each row of each part of the model (a block of a Fisher matrix, an output of a layer) by itself.

    How many of k a row keeps is what `structure` would give it by the score `first`. CHITA's code divides k so over
    blocks, by global magnitude. Each row is a `sparsopt.Quadratic`; use it where rows are small.
    """

    k: int | Schedule
    of: Model
    method: str | Any = "omp"
    first: Score = Magnitude()
    structure: Structure = Elements()
    elsewhere: ClassVar = ("method",)

    def __call__(self, f: Any, state: State) -> Mask:
        k = _total(amount(self.k, state.round, f.layout), self)
        model = self.of(f, state)
        share = sp.to_numpy(self.structure(self.first(f, state), k, f.layout, state.support))
        found = np.zeros(model.p, dtype=bool)
        for part in model.parts:
            for row, kept, H in part.each():
                indices = part.indices[row, kept]
                matrix = H.matrix()
                row_problem = Quadratic(matrix, matrix @ model.x0[indices])
                size = int(np.count_nonzero(share[indices]))
                found[indices] = sparsopt.solve(row_problem, size, self.method, state.seed).support
        return _filled(found, k, state.support)


def _total(k: Any, move: Any) -> int:
    if not isinstance(k, int):
        raise InvalidInput(f"{type(move).__name__} divides one number over the layers itself; give the sum of {k}")
    return k


def _filled(found: Mask, k: int, within: Mask) -> Mask:
    """k of the candidates, those that were found first."""
    return as_mask(sp.top(found.astype(float), k, sp.to_numpy(within)), within)


def _like(array: Array, x: Array) -> Array:
    return array.astype(x.dtype, copy=False) if isinstance(x, np.ndarray) else x.new_tensor(array)
