"""ThiNet's selection: which channels of a layer the next one can do without, as a sparse least-squares problem.

Sampled outputs of the layer that reads them are sums over channels, y = sum_c x_c, one row of X for each sample. With
coefficients w in place of the ones, f(w) = |y - X w|^2 / (2 m) is `sparsopt.LeastSquares`, the selection is backward
elimination from w = 1 without refits, and the weights of those that stay are its restricted minimiser.

>>> problem = sparsopt.LeastSquares(np.array([[1.0, 2, 3], [1, -2, 1]]), np.array([6.0, 0]))
>>> eliminated(problem, 2), eliminated(problem, 1)             # (1, 1) goes first, then (2, -2): the sum is (3, -1)
(array([False,  True,  True]), array([False, False,  True]))

Luo, Wu and Lin (2017), "ThiNet: a filter level pruning method for deep neural network compression".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

import sparsopt
from nets.moves import shared_out
from nets.structured.contributions import Read, Samples, contributions
from nets.structured.groups import Filters
from sparsopt import catalogue as convex
from sparsopt import support as sp
from sparsopt.fits import Restrict, restricted
from sparsopt.method import Method, run
from sparsopt.result import Result
from sparsopt.schedules import Decay, Geometric, Linear
from sparsopt.state import Array, Mask, State

__all__ = ["Deletion", "Eliminate", "Elimination", "Reweigh", "eliminated"]

OWN = "removal"  # the authors' search; every other name is one of sparsopt's


@dataclass(frozen=True)
class Deletion:
    """f(x - x_j e_j) - f(x) = h_j x_j^2 / 2 - g_j x_j, exact for quadratics: `Removal` away from a minimum."""

    needs = ("gradient", "curvature")

    def __call__(self, f: Any, state: State) -> Array:
        return state.x * (state.x * f.curvature() / 2 - f.gradient(state.x))


def elimination(counts: Decay) -> Method:
    """S = all;  repeat:  S = the k_r coordinates of S whose deletion costs most, the others as they are."""
    return convex.backward_elimination(counts, Deletion(), Restrict())


def eliminated(problem: Any, k: int, search: str = OWN) -> Mask:
    """The k columns that stay of X w, w = 1, where those that leave go one by one, each time the one that raises
    |y - X w|^2 least; or what another method of sparsopt finds (`omp`: the authors' later code)."""
    n = problem.layout.n
    if k in (0, n):
        return np.full(n, k == n)
    if search != OWN:
        return sp.top(sparsopt.solve(problem, k, search).support.astype(float), k)
    start = problem.start(0).but(x=np.ones(n), support=np.ones(n, dtype=bool))
    return run(elimination(Linear(n, k, n - k)), problem, start).support


@dataclass(frozen=True)
class Elimination:
    """The same search as a solver for local models, on single weights: from the weights as they are, in `rounds`."""

    rounds: int = 20

    @property
    def name(self) -> str:
        return "elimination"

    def solve(self, problem: Any, k: int, seed: int) -> Result:
        start = problem.here(seed)
        return run(elimination(Geometric(int(start.support.sum()), k, self.rounds)), problem, start)


# ---- on networks ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Eliminate:
    """Round r takes channels from layer r, so that it keeps its share of the k that stay in all.

    The sums of the layers that read them are made equally large first, where there are several (a shortcut's channels:
    the paper leaves those alone).
    """

    k: int
    structure: Filters
    samples: Samples = Samples()
    search: str = OWN
    needs: ClassVar = ("network",)
    gradients: ClassVar[int] = 1  # forward passes of a hundred images: less than that

    def __call__(self, f: Any, state: State) -> Mask:
        layer = members(self.structure, state.round)
        reads = _reads(f.network, state, self)
        X = np.concatenate([read.X / (np.linalg.norm(read.X.sum(1)) or 1.0) for read in reads])
        stays = eliminated(sparsopt.LeastSquares(X, X.sum(1)), self._share(state.round), self.search)
        gone = np.isin(self.structure.units(f.layout.n), layer[~stays])
        return state.support & ~sp.like(gone, state.support)

    def _share(self, layer: int) -> int:
        sizes = [len(members(self.structure, i)) for i in range(layers(self.structure))]
        return shared_out(self.k, sizes, sizes)[layer]


@dataclass(frozen=True)
class Reweigh:
    """x_S; and in every layer that reads channels of layer r, each is multiplied by its least-squares coefficient.

    Of coefficients that fit equally well those nearest to 1 are taken; where nothing left, nothing changes.
    """

    structure: Filters
    samples: Samples = Samples()
    needs: ClassVar = ("weights", "module")

    def __call__(self, oracle: Any, state: State) -> State:
        layer = members(self.structure, state.round)
        kept = self.structure.units(oracle.layout.n)[sp.to_numpy(state.support)]
        stays = np.isin(layer, kept)
        if stays.all():
            return restricted(state)
        model, reads = oracle.module(state), _reads(oracle, state, self)
        for read in reads:
            scale = np.append(coefficients(read.X, stays), 1.0)[read.columns]  # column -1: another layer's channel
            weight = model.get_parameter(read.name).data
            weight.mul_(weight.new_tensor(scale).view(1, -1, *[1] * (weight.dim() - 2)))
        x, rest = (part.to(state.x.device) for part in oracle.weights.flatten(model))
        return restricted(state.but(x=x, slots={**state.slots, "rest": rest}))


def coefficients(X: Array, stays: Mask) -> Array:
    """w (c,) minimising |X 1 - X w| over w supported where `stays`, nearest to 1 there; 1 elsewhere."""
    missing = X[:, ~stays].sum(1)
    return 1.0 + sparsopt.LeastSquares(X, missing).minimise_on(stays, None)[0]


def layers(structure: Filters) -> int:
    """How many layers share out channels."""
    return len(set(structure.layers))


def members(structure: Filters, layer: int) -> Array:
    """The channels of the layer of that number, in the order of x."""
    return np.flatnonzero(np.array(structure.layers) == sorted(set(structure.layers))[layer])


def _reads(network: Any, state: State, part: Eliminate | Reweigh) -> list[Read]:
    """What the next layers make of each channel; a fit is given what the move before it has seen."""
    layer, key = members(part.structure, state.round), (state.seed, state.round)
    return network.probed.once(
        (contributions, part.structure, state.round, part.samples, key), state, state.x,
        lambda: contributions(network, state, part.structure, layer, part.samples, key),
    )  # fmt: skip
