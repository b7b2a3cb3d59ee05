"""Penalised paths as solvers for a fixed k: coordinate descent with l0, l1 or MCP, and scikit-learn's lasso.

A penalty has no k; one follows its path downwards while the support has at most k coordinates, takes the largest
supports, fills them up greedily where the path jumped over k, and refits. In units u_j = x_j sqrt(h_j) every
coordinate has curvature 1, so the scale of a column does not matter.

>>> from sparsopt.problems import Quadratic
>>> CoordinateDescent().solve(Quadratic(np.eye(3), np.array([1.0, 3.0, 2.0])), 2, 0).x
array([0., 3., 2.])
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sparsopt.errors import InvalidInput, MissingCapability
from sparsopt.fits import Exact
from sparsopt.judges import WhileDecreasing
from sparsopt.method import Method, Phase, Stage, run
from sparsopt.moves import Add, Exchange, Gain, hessian_columns
from sparsopt.result import Result, Status
from sparsopt.searches import Search
from sparsopt.state import Array, State

__all__ = ["CoordinateDescent", "Firm", "Hard", "LassoPath", "Soft", "needs_hessian"]

SWEEPS = 1000
CONVERGED = 1e-10  # relative change of u in a sweep


# ---- thresholds ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Hard:
    """argmin (v - u)^2 / 2 + t [v != 0]: u where u^2 / 2 > t, else 0. The l0 penalty."""

    def __call__(self, u: Any, t: float) -> Any:
        return u * (u * u > 2 * t)

    def level(self, u: Any) -> Any:
        """The t below which u survives."""
        return u * u / 2


@dataclass(frozen=True)
class Soft:
    """argmin (v - u)^2 / 2 + t |v|: sign(u) max(|u| - t, 0). The l1 penalty."""

    def __call__(self, u: Any, t: float) -> Any:
        return np.sign(u) * np.maximum(abs(u) - t, 0.0)

    def level(self, u: Any) -> Any:
        """The t below which u survives."""
        return abs(u)


@dataclass(frozen=True)
class Firm:
    """Soft(u, t) / (1 - 1/gamma) for |u| <= gamma t, else u: the minimax concave penalty (Zhang 2010), gamma > 1."""

    gamma: float = 3.0

    def __post_init__(self) -> None:
        if not self.gamma > 1:
            raise InvalidInput(f"Firm: gamma = {self.gamma}; the penalty is convex enough only for gamma > 1")

    def __call__(self, u: Any, t: float) -> Any:
        return np.where(abs(u) <= self.gamma * t, Soft()(u, t) / (1 - 1 / self.gamma), u)

    def level(self, u: Any) -> Any:
        """The t below which u survives."""
        return abs(u)


# ---- coordinate descent --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CoordinateDescent(Search):
    """Cyclic coordinate descent along a penalty's path, then best swaps (L0Learn; with Soft the lasso, Firm MCP).

    t = the largest level at x = 0
    while |S| <= k:  cycle u_j <- threshold(u_j - g_j / sqrt(h_j), t) until nothing changes
                     t <- min(decay t, the largest level outside S)
    S = the best refit of the largest supports seen, filled up to k by largest gain;  `swaps` rounds of best swaps

    Quadratic f only (it needs hessian_columns()). Source: Hazimeh, Mazumder (2020), Fast best subset selection, which
    swaps along the penalised path; swaps = 0 leaves them out.
    """

    threshold: Hard | Soft | Firm = Hard()
    decay: float = 0.95
    levels: int = 300
    swaps: int = 1000
    name: ClassVar[str] = "coordinate-descent"

    def __post_init__(self) -> None:
        if not 0 < self.decay < 1:
            raise InvalidInput(f"CoordinateDescent: decay = {self.decay}; a number between 0 and 1 is needed")

    def search(self, problem: Any, k: int, seed: int) -> Result:
        needs_hessian(self, problem)
        found = [x != 0 for x in self.path(problem.open(), lambda x: int(np.count_nonzero(x)) > k)]
        return _finished(problem, found, k, seed, self.swaps)

    def path(self, f: Any, stop: Callable[[Array], bool]) -> Iterator[Array]:
        """The weights at each level, from the empty support until `stop`."""
        root = np.sqrt(np.asarray(f.curvature(), dtype=np.float64))
        usable = root > 0
        unit = np.where(usable, root, 1.0)
        c = np.where(usable, -np.asarray(f.gradient(f.start(0).x), dtype=np.float64) / unit, 0.0)
        u, left = np.zeros(len(c)), c
        t = float(self.threshold.level(c).max())
        for _ in range(self.levels):
            if not t > 1e-14 * self.threshold.level(c).max():
                return
            u, left = self._descend(f, u, t, c, unit, usable)
            if stop(u):
                return
            yield u / unit
            outside = float(self.threshold.level(np.where((u == 0) & usable, left, 0.0)).max())
            t = min(self.decay * t, outside * (1 - 1e-9))

    def _descend(self, f: Any, u: Array, t: float, c: Array, unit: Array, usable: Array) -> tuple[Array, Array]:
        """Cycles over an active set, which grows by what would enter; (u, minus the gradient in the same units)."""
        active = np.flatnonzero(u)
        while True:
            H = hessian_columns(f, f.start(0).x, active) / unit[:, None] / unit[active]
            u = u.copy()
            u[active] = self._cycle(H[active], c[active], u[active], t)
            left = np.where(usable, c - H @ u[active], 0.0)
            enters = (self.threshold(left, t) != 0) & ~np.isin(np.arange(len(u)), active) & usable
            if not enters.any():
                return u, left
            best = np.argsort(-np.where(enters, self.threshold.level(left), -1.0), kind="stable")[:20]
            active = np.sort(np.concatenate([active, best[enters[best]]]))

    def _cycle(self, G: Array, c: Array, u: Array, t: float) -> Array:
        left = c - G @ u
        for _ in range(SWEEPS):
            moved = 0.0
            for j in range(len(u)):
                new = float(self.threshold(u[j] + left[j], t))
                change = new - u[j]
                if change:
                    left -= change * G[:, j]
                    u[j] = new
                    moved = max(moved, abs(change))
            if moved <= CONVERGED * abs(u).max(initial=0.0):
                break
        return u


# ---- through a library ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LassoPath(Search):
    """The lasso path of scikit-learn (LARS on the p x p Hessian, unit columns), refitted on its k-th support.

    The largest supports with at most k coordinates along the exact path; the best refit, filled up to k by largest
    gain. A reference, not a contender: O(p^2) memory. Quadratic f only. Raises `MissingCapability` without
    scikit-learn.
    """

    name: ClassVar[str] = "lasso-path"

    def search(self, problem: Any, k: int, seed: int) -> Result:
        needs_hessian(self, problem)
        try:
            from sklearn.linear_model import lars_path_gram
        except ImportError as error:
            raise MissingCapability(
                "LassoPath needs scikit-learn; pip install scikit-learn, or CoordinateDescent"
            ) from error
        used = np.flatnonzero(np.asarray(problem.curvature()) > 0)
        H = np.asarray(problem.hessian_columns(used), dtype=np.float64)[used]
        unit = np.sqrt(np.diagonal(H))
        c = -np.asarray(problem.gradient(problem.start(seed).x), dtype=np.float64)[used] / unit
        path = lars_path_gram(c, H / unit / unit[:, None], n_samples=1, max_iter=8 * k, method="lasso", alpha_min=0)[2]
        found = []
        for column in path.T:
            support = np.zeros(problem.layout.n, dtype=bool)
            support[used[column != 0]] = True
            if support.sum() > k:
                break
            found.append(support)
        return _finished(problem, found, k, seed, 0)


# ---- from supports to a result -------------------------------------------------------------------------------------


def needs_hessian(solver: Any, problem: Any) -> None:
    """Refuse an f that is not quadratic, by name."""
    if not hasattr(problem, "hessian_columns"):
        raise MissingCapability(
            f"{type(solver).__name__} needs hessian_columns(), which {type(problem).__name__} does not have: it is for "
            "quadratic f; best_swap(k) or method='auto' take any"
        )


def _finished(problem: Any, supports: list[Array], k: int, seed: int, swaps: int) -> Result:
    """The best refit of the largest supports, filled up to k, then swapped."""
    f, start = problem.open(), problem.start(seed)
    size = max((int(S.sum()) for S in supports), default=0)
    largest = {S.tobytes(): S for S in supports if S.sum() == size}.values()
    states: list[State] = []
    for S in largest:
        x, value = f.minimise_on(S, start.x)
        states.append(start.but(x=x, support=S, value=value))
    state = min(states, key=lambda state: state.value, default=start)
    fill = [Stage((Phase(Add(1, Gain()), Exact()),), k - size)] if size < k else []
    polish = [Stage((Phase(Exchange(), Exact()),), swaps, WhileDecreasing())] if swaps else []
    return dataclasses.replace(run(Method("finish", (*fill, *polish)), problem, state), status=Status.FINISHED)
