"""Branch and bound as a method of `solve`: a good point first, then a proof, as far as time allows.

>>> from sparsopt.problems import LeastSquares
>>> rng = np.random.default_rng(0)
>>> X = rng.standard_normal((60, 20))
>>> problem = LeastSquares(X, X[:, 3] - X[:, 5] + rng.standard_normal(60))
>>> result = BranchAndBound(seconds=5.0).solve(problem, 4, seed=0)
>>> result.proof.complete
True
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsopt.branch_and_bound.compiled import compiled_leaps
from sparsopt.branch_and_bound.incumbent import Incumbent, check_budget
from sparsopt.branch_and_bound.leaps import Leaps
from sparsopt.branch_and_bound.model import Quadratic
from sparsopt.branch_and_bound.relaxation import Relaxation, capable
from sparsopt.branch_and_bound.sharpening import sharpened
from sparsopt.branch_and_bound.splitting import ENTIRE
from sparsopt.branch_and_bound.tree import Node, best_first, dearest
from sparsopt.names import lookup
from sparsopt.portfolio.auto import Auto
from sparsopt.result import Result, Status, Trace
from sparsopt.state import Array

__all__ = ["BranchAndBound", "Proof"]

NARROW = 150  # up to this many free coordinates a quadratic is handed to leaps and bounds
BLUNT = 1e-4  # of f(0): leaps and bounds with a margin above this would solve too many pairs one by one
FIRST = 16  # nodes with the stronger bound before that
SHARP = 600  # up to this many coordinates a better diagonal is looked for
EARLY = 64  # nodes before that
EQUAL = 1e-11  # 1 - correlation^2 of columns that may be one and the same
EPS = float(np.finfo(float).eps)
BACKENDS: dict[str, Callable[[], type[Leaps]]] = {"arrays": lambda: Leaps, "compiled": compiled_leaps}


@dataclass(frozen=True)
class Proof:
    """What a tree has proved: no vector with at most k non-zeros has f below `lower_bound`.

    Not recomputed from (problem, x, k), unlike `certificates`: it rests on the `nodes` of the search, each closed by a
    bound that is sound in floating point. complete: nothing was left open. assumes: what was taken for granted.
    """

    lower_bound: float
    nodes: int
    complete: bool
    assumes: str = ""


@dataclass(frozen=True)
class BranchAndBound:
    """Exact search: the best support of size k with a proof, or the best found and a lower bound when time is up.

    seconds: how long the tree may grow, >= 0 (the start comes on top). nodes: how many it may have (None: any number).
    Least squares and quadratics need n > p or a ridge, other losses a ridge: without, the result is the start, its
    status says so, and `proof` is None. Up to 150 coordinates: leaps and bounds (Furnival and Wilson 1974), after a
    few splits with the perspective bound; else that bound at every node.

    backend: of leaps and bounds, "arrays", or "compiled" by Numba (pip install sparsopt[fast]): the same nodes, about
    six times as fast; compiling it takes some seconds once a machine. Raises `MissingCapability` without Numba.
    """

    seconds: float = 10.0
    nodes: int | None = None
    backend: str = "arrays"
    name: str = "branch-and-bound"

    def __post_init__(self) -> None:
        check_budget(self.seconds, self.nodes)

    @property
    def describes(self) -> type[BranchAndBound]:
        return BranchAndBound

    def solve(self, problem: Any, k: int, seed: int) -> Result:
        leaps = lookup(BACKENDS, self.backend, "backend")()
        began = time.perf_counter()
        kept = _distinct(problem)
        part = problem if kept.size == problem.layout.n else problem.restricted(kept)
        k = min(k, kept.size)
        found, value = _start(part, k, seed)
        proof, status = None, Status.NO_BOUND
        if capable(part):
            found, value, proof = self._prove(part, found, value, k, leaps)
        if proof is not None:
            status = Status.PROVED if proof.complete else Status.LIMIT
            if part is not problem:
                proof = dataclasses.replace(proof, assumes="columns that agree up to rounding are equal")
        x = np.zeros(problem.layout.n, problem.dtype)
        x[kept] = found
        state = problem.start(seed).but(x=x, support=x != 0, value=value)
        return Result(state, status, Trace(), self, time.perf_counter() - began, proof=proof)

    def _prove(
        self, problem: Any, x: Array, value: float, k: int, leaps: type[Leaps]
    ) -> tuple[Array, float, Proof | None]:
        relaxation = Relaxation(problem, k)
        if relaxation.D is None:
            return x, value, None
        found = Incumbent(relaxation.problem, x, value, self.seconds, self.nodes)
        bound, complete = _grow(relaxation, found, leaps)
        return found.x, found.value, Proof(bound, found.nodes, complete)


def _grow(relaxation: Relaxation, found: Incumbent, leaps: type[Leaps]) -> tuple[float, bool]:
    """Searches; the lower bound on all of f, and whether nothing is open."""
    H, model = relaxation.H, None
    if H is not None and relaxation.p <= NARROW:
        model = Quadratic(relaxation.problem, H, relaxation.k)
    if model is not None and model.margin <= BLUNT * found.scale:
        nodes = best_first(relaxation, found, FIRST, dearest)
        bounds = [_finish(relaxation, leaps(model, found), node, found) for node in nodes]
    else:
        bounds = _best_first(relaxation, found)
    open_ = min(bounds, default=math.inf)
    return float(min(found.target, found.closed, open_)), open_ >= found.target


def _best_first(relaxation: Relaxation, found: Incumbent) -> list[float]:
    """The tree to its end; where that is not near, once more from its root with a better diagonal. What is open."""
    few = EARLY if relaxation.H is not None and relaxation.p <= SHARP else math.inf
    nodes = best_first(relaxation, found, few)
    if nodes and not found.spent:
        before = min(node.value for node in nodes)
        nodes = best_first(sharpened(relaxation, found), found)
        return [max(node.value, before) for node in nodes]
    return [node.value for node in nodes]


def _finish(relaxation: Relaxation, search: Leaps, node: Node, found: Incumbent) -> float:
    """Leaps and bounds below a node; a bound on what is still open there."""
    inside, outside = relaxation.screened(node.bound, node.inside, node.outside, found.target)
    if np.count_nonzero(inside) > relaxation.k:
        return math.inf
    return max(search.run(inside, outside), node.value)


def _start(problem: Any, k: int, seed: int) -> tuple[Array, float]:
    """The best point of the portfolio."""
    result = Auto().solve(problem, k, seed)
    return result.x, float(problem.value(result.x))


def _distinct(problem: Any) -> Array:
    """The coordinates that matter.

    Without strong convexity, coordinates of a quadratic that are copies of another one, up to rounding, and those that
    f does not depend on, are left out: whatever they can do, the kept ones can.
    """
    p = problem.layout.n
    everything = np.arange(p)
    if not hasattr(problem, "hessian_block") or p > ENTIRE or problem.strong_convexity() > 0:
        return everything
    zero = np.zeros(p, problem.dtype)
    H, c, error = problem.hessian_block(everything), np.asarray(problem.gradient(zero)), problem.rounding(zero)[1]
    h = np.asarray(problem.curvature())
    same = (1 - EQUAL) * h * h[:, None] <= H**2
    same &= (h > 0) & (h[:, None] > 0)
    kept: list[int] = []
    for j in np.flatnonzero((h > 0) | (np.abs(c) > error)):
        if not any(_copies(problem, H, c, error, i, int(j)) for i in kept if same[i, j]):
            kept.append(int(j))
    return np.array(kept or [0], dtype=np.intp)


def _copies(problem: Any, H: Array, c: Array, error: Array, i: int, j: int) -> bool:
    """Whether f does not change along v = e_j - H_ij / H_ii e_i by more than rounding makes it change.

    The curvature along v is computed from v, not as a difference of entries of H, where half of the digits are lost.
    In single precision rounding hides differences that matter: there only columns that are equal, but for a sign and
    a power of two, are copies.
    """
    share, v = (problem.dtype.type(-H[i, j] / H[i, i])), np.zeros(problem.layout.n, problem.dtype)
    v[j], v[i] = np.array([1.0, share]) / 2.0 ** np.round(np.log2(H[j, j]) / 2)
    bend, e = abs(float(v @ problem.hessian_product(np.zeros_like(v), v))), float(problem.hessian_rounding()[j])
    least = (16 * EPS * e**2 if e > 0 else 4 * EPS * H[j, j]) / H[j, j]  # the rounding of X, or of H
    if problem.dtype != np.float64:
        least = 0.0 if abs(np.frexp(share)[0]) == 0.5 else -1.0
    return bend <= least and abs(c[j] + float(share) * c[i]) <= error[j] + abs(float(share)) * error[i]
