"""The convex panel: every solver of the catalogue, and scikit-learn's, on the same problems.

Quality is the objective f after one refit on the support that a solver returned, the same refit for all. Cost is the
number of gradients (products with all of X, counted by a proxy around the problem), of refits, and seconds of one
thread, the best of a few runs that nothing counts. A cell is one method on one problem at all sizes k.

>>> cell = ConvexCell("diabetes", "omp", seed=0)
>>> round(cell.compute(Path("unused"), threads=1)["sizes"][-1]["refit"], 6)
0.223545
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from benchmarks.designs import PROBLEMS, Drawn
from sparsopt import catalogue
from sparsopt.method import run
from sparsopt.problems import LeastSquares
from sparsopt.solvers import solve
from sparsopt.state import Array, State

FROM_THE_MINIMISER = ("backward-elimination", "frank-wolfe", "randomised")  # the unrestricted one: it must be unique
REFERENCE = "omp"
PEERS = ("sklearn-omp", "sklearn-lasso")
ASKED_FOR = ("local-search", "aiht", "momentum-iht", "regularised-iht")  # by --solvers only: half of all the time
METHODS = (*(name for name in catalogue.METHODS if name not in ASKED_FOR), "auto", *PEERS)
POINTS = 60  # of a curve of objective against cost
PATIENCE = 0.2  # seconds of repetition


@dataclass(frozen=True)
class ConvexCell:
    """One method on one problem, at each of the problem's sizes."""

    problem: str
    method: str
    seed: int

    kind: ClassVar[str] = "convex"
    packages: ClassVar[tuple[str, ...]] = ("numpy", "scipy", "scikit-learn")
    sources: ClassVar[tuple[str, ...]] = ("sparsopt/**/*.py", "benchmarks/convex.py", "benchmarks/designs.py")

    @property
    def label(self) -> str:
        return f"{self.method} on {self.problem}, seed {self.seed}"

    @property
    def weight(self) -> float:
        slow = {"iht": 20.0, "niht": 10.0, "iht-with-feedback": 20.0, "backward-elimination": 10.0}
        return slow.get(self.method, 1.0) * (2.0 if PROBLEMS[self.problem].singular else 1.0)

    def compute(self, folder: Path, threads: int) -> dict[str, Any]:
        """Every size from the smallest."""
        from threadpoolctl import threadpool_limits

        design = PROBLEMS[self.problem]
        with threadpool_limits(threads):
            drawn = _draw(self.problem, self.seed)
            return {"sizes": [self._size(drawn, k, curve=k == design.k) for k in design.sizes]}

    def _size(self, drawn: Drawn, k: int, curve: bool) -> dict[str, Any]:
        X, y, truth = drawn
        problem = LeastSquares(X, y)
        solver = _solver(self.method)
        counted = Counted(problem)
        x, support, points = solver(counted, k, self.seed)
        _, refit = problem.minimise_on(support, None)
        return {
            "k": k,
            "size": int(support.sum()),
            "value": problem.value(x),
            "refit": refit,
            "hits": None if truth is None else int(support[truth].sum()),
            "gradients": counted.counts.gradients,
            "refits": counted.counts.refits,
            "seconds": _seconds(lambda: solver(LeastSquares(X, y), k, self.seed)),
            "curve": _thinned(points) if curve else [],
        }

    def records(self, result: Mapping[str, Any]) -> list[dict[str, Any]]:
        """One row of results for every size."""
        asked = {"problem": self.problem, "method": self.method, "seed": self.seed}
        return [{**asked, **size} for size in result["sizes"]] if "sizes" in result else [{**asked, **result}]


@lru_cache(maxsize=2)
def _draw(problem: str, seed: int) -> Drawn:
    return PROBLEMS[problem].draw(seed)


def _seconds(call: Callable[[], Any]) -> float:
    """Best wall time of up to five runs, fewer where they are long."""
    times: list[float] = []
    while not times or (len(times) < 5 and sum(times) < PATIENCE):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return min(times)


def _thinned(points: list[list[float]]) -> list[list[float]]:
    """At most `POINTS` of them: the first, the last, and evenly on a logarithmic scale between."""
    if len(points) <= POINTS:
        return points
    places = np.unique(np.geomspace(1, len(points), POINTS).round().astype(int)) - 1
    return [points[i] for i in places]


# ---- counting ------------------------------------------------------------------------------------------------------


@dataclass
class Counts:
    """What a run asked of its problem; a gradient at the point of the last one is free, and counts once."""

    gradients: int = 0
    refits: int = 0
    paused: float = 0.0
    last: Array = field(default_factory=lambda: np.empty(0))


class Counted:
    """A problem that counts gradients and refits, and is otherwise the problem."""

    def __init__(self, problem: Any, counts: Counts | None = None) -> None:
        self.problem, self.counts = problem, Counts() if counts is None else counts

    def __getattr__(self, name: str) -> Any:
        return getattr(self.problem, name)

    def open(self) -> Counted:
        return Counted(self.problem.open(), self.counts)

    def at(self, state: State) -> Counted:
        return self

    def gradient(self, x: Array) -> Array:
        if not np.array_equal(x, self.counts.last):
            self.counts.gradients += 1
            self.counts.last = x.copy()
        return self.problem.gradient(x)

    def minimise_on(self, support: Array, x: Array | None) -> Any:
        self.counts.refits += 1
        return self.problem.minimise_on(support, x)


# ---- the solvers, all as (problem, k, seed) -> (x, support, curve) -------------------------------------------------

Answer = tuple[Array, Array, list[list[float]]]  # curve: [gradients, seconds, objective] of every feasible iterate
Solve = Callable[[Any, int, int], Answer]


def _solver(method: str) -> Solve:
    peers: dict[str, Solve] = {"auto": _automatic, "sklearn-omp": _sklearn_omp, "sklearn-lasso": _sklearn_lasso}
    return peers.get(method) or (lambda problem, k, seed: _catalogued(method, problem, k, seed))


def _catalogued(name: str, problem: Any, k: int, seed: int) -> Answer:
    """Run a method of the catalogue; where the problem counts, note the objective of every feasible iterate."""
    began, points = time.perf_counter(), []
    counts: Counts | None = getattr(problem, "counts", None)
    plain = problem.problem if counts is not None else problem

    def measure(state: State) -> dict[str, float]:
        if counts is not None and state.support.sum() <= k:
            now = time.perf_counter()
            value = plain.value(np.where(state.support, state.x, 0.0))
            points.append([counts.gradients, now - began - counts.paused, value])
            counts.paused += time.perf_counter() - now
        return {}

    method = catalogue.METHODS[name](k, problem)
    result = run(method, problem, problem.start(seed), measure=measure if counts is not None else None)
    return result.x, result.support, points


def _automatic(problem: Any, k: int, seed: int) -> Answer:
    result = solve(problem, k, "auto", seed)
    return result.x, result.support, []


def _sklearn_omp(problem: Any, k: int, seed: int) -> Answer:
    from sklearn.linear_model import orthogonal_mp

    x = np.asarray(orthogonal_mp(problem.design.X, problem.target, n_nonzero_coefs=k))
    _note(problem, gradients=k, refits=k)
    return x, x != 0, []


def _sklearn_lasso(problem: Any, k: int, seed: int) -> Answer:
    """The lasso path by LARS, to its first point with k non-zeros; the k largest where it has more."""
    from sklearn.linear_model import lars_path

    X, y = problem.design.X, problem.target
    _, _, path = lars_path(X, y, method="lasso", max_iter=8 * k)
    many = np.count_nonzero(path, axis=0) >= k
    point = path[:, int(np.argmax(many)) if many.any() else -1]
    x = np.where(np.argsort(np.argsort(-np.abs(point))) < k, point, 0.0)
    _note(problem, gradients=path.shape[1] - 1, refits=0)
    return x, x != 0, []


def _note(problem: Any, gradients: int, refits: int) -> None:
    """What a peer does in each step of its own: one product with all of X."""
    if isinstance(problem, Counted):
        problem.counts.gradients, problem.counts.refits = gradients, refits


def cells(problems: Sequence[str], methods: Sequence[str], seeds: Sequence[int]) -> Iterator[ConvexCell]:
    """Every cell of the panel; real data have one seed, and what starts from the minimiser needs a unique one."""
    for problem in problems:
        design = PROBLEMS[problem]
        for method in methods:
            if not (design.singular and method in FROM_THE_MINIMISER):
                yield from (ConvexCell(problem, method, seed) for seed in (seeds if design.random else (0,)))
