"""Paths over k, and choosing k: by an information criterion, or by cross-validation.

>>> rng = np.random.default_rng(0)
>>> X = rng.standard_normal((100, 30))
>>> y = X[:, 2] - X[:, 5] + 0.3 * rng.standard_normal(100)
>>> sparsopt.path(sparsopt.LeastSquares(X, y), range(1, 6)).ks
(1, 2, 3, 4, 5)
>>> sparsopt.choose(sparsopt.LeastSquares(X, y), range(6)).k
2
>>> sparsopt.choose(sparsopt.Data(X, y), range(6), criterion="cv").k >= 2
True
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from sparsopt import support as sp
from sparsopt.adapted import adapted
from sparsopt.catalogue import METHODS
from sparsopt.criteria import CRITERIA, Criterion, named, rows_of
from sparsopt.errors import InvalidInput, MissingCapability
from sparsopt.exchanges import Exit
from sparsopt.fits import Exact
from sparsopt.method import Method, Phase, Stage, check, run
from sparsopt.moves import Add, Drop, Gain
from sparsopt.names import lookup
from sparsopt.problems import LeastSquares
from sparsopt.result import Result
from sparsopt.solvers import Solver, solve
from sparsopt.state import Array, State
from sparsopt.structures import units
from sparsopt.support import Elements

__all__ = ["Choice", "CrossValidation", "Data", "Path", "choose", "default_ks", "path"]

FORWARD = ("omp", "ols", "fully-corrective", "gradient-pursuit")  # one run passes through every size
BACKWARD = ("backward-elimination",)
GROWN = (  # the support before, grown, in the place of their own start
    "replacement",
    "best-swap",
    "local-search",
    "splicing",
    "oscillation",
    "partial-hard-thresholding",
    "subspace-pursuit",
)
CONTINUED = ("iht", "niht", "htp", "aiht", "momentum-iht", "cosamp")  # from the weights before


@dataclass(frozen=True)
class Path:
    """One result for each k, in the order of growing k."""

    problem: Any
    ks: tuple[int, ...]
    results: tuple[Result, ...]

    def __iter__(self) -> Iterator[Result]:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.ks)

    def __getitem__(self, k: int) -> Result:
        """The result for k (not the k-th one)."""
        if k not in self.ks:
            raise InvalidInput(f"k = {k} is not on this path; its sizes are {self.ks}")
        return self.results[self.ks.index(k)]

    @cached_property
    def values(self) -> Array:
        """f at each result, (len,)."""
        return np.array([result.value for result in self.results])

    @cached_property
    def weights(self) -> Array:
        """x of each result, (len, p)."""
        return np.stack([result.x for result in self.results])

    @property
    def nested(self) -> bool:
        """Whether every support contains those before it."""
        return all((a.support <= b.support).all() for a, b in zip(self.results, self.results[1:], strict=False))

    def scores(self, criterion: str | Criterion, samples: float | None = None) -> Array:
        """An information criterion at each result, (len,); samples: how many rows count, default all."""
        measure = named(criterion)
        return np.array([measure(self.problem, result.x, samples) for result in self.results])


def path(problem: Any, ks: Iterable[int], method: str | Solver = "auto", seed: int = 0) -> Path:
    """Solutions for several k, each helped by the ones before where the method can be.

    ks       sizes, in any order
    method   a name out of `methods()` or an object with .solve(problem, k, seed), which then solves for each k afresh

    Greedy methods (omp, ols, fully-corrective, gradient-pursuit, backward-elimination) run once and pass every size:
    their paths are nested. Exchanging and thresholding ones start from the result before. "auto" solves for every k
    and also tries the neighbours' supports, grown or shrunk and swapped: f never rises with k. Others solve afresh.
    """
    if hasattr(problem, "working"):  # the same problem in other units
        found = path(problem.working, ks, method, seed)
        return Path(problem, found.ks, tuple(problem.restored(result) for result in found))
    sizes = _sizes(ks)
    inner = [k for k in sizes if 0 < k < units(problem)]
    known = _strategy(method)(problem, inner, method, seed) if inner else {}
    results = tuple(solve(problem, k, _Known(known[k], method) if k in known else "omp", seed) for k in sizes)
    return Path(problem, tuple(sizes), results)


def _sizes(ks: Iterable[int]) -> list[int]:
    sizes = sorted({int(k) for k in ks})
    if not sizes or sizes[0] < 0:
        raise InvalidInput(f"ks = {sizes}; one or more sizes k >= 0 are needed, for example range(1, 11)")
    return sizes


@dataclass(frozen=True)
class _Known:
    """A solver that has the answer already: `solve` then checks and certifies it."""

    result: Result
    method: Any
    structured = True

    def solve(self, problem: Any, k: int, seed: int) -> Result:
        return self.result


# ---- strategies: (problem, ks, method, seed) -> {k: result} --------------------------------------------------------

Found = dict[int, Result]


def _strategy(method: Any) -> Any:
    if method == "auto":
        return _neighbours
    for names, strategy in ((FORWARD, _forward), (BACKWARD, _backward), (GROWN, _grown), (CONTINUED, _continued)):
        if isinstance(method, str) and method in names:
            return strategy
    return _afresh


def _afresh(problem: Any, ks: list[int], method: Any, seed: int) -> Found:
    return {k: solve(problem, k, method, seed) for k in ks}


def _forward(problem: Any, ks: list[int], method: str, seed: int) -> Found:
    return _passing(problem, ks, METHODS[method](ks[-1], problem), seed)


def _backward(problem: Any, ks: list[int], method: str, seed: int) -> Found:
    return _passing(problem, ks, METHODS[method](ks[0], problem), seed)


def _passing(problem: Any, ks: list[int], method: Method, seed: int) -> Found:
    """The states of the given sizes that one run passes."""
    states: dict[int, State] = {}

    def keep(state: State, trace: Any) -> None:
        size = _size(problem, state)
        if size in ks:
            states.setdefault(size, state.but(before=None))

    result = run(adapted(method, problem), problem, problem.start(seed), save=keep)
    return {k: dataclasses.replace(result, state=states[k]) for k in ks if k in states}


def _size(problem: Any, state: State) -> int:
    return sp.size(getattr(problem, "structure", Elements()), state.support)


def _grown(problem: Any, ks: list[int], method: str, seed: int) -> Found:
    """The method's own start at the first k; then its main stages from the support before, grown by gain."""
    found = {ks[0]: solve(problem, ks[0], method, seed)}
    for before, k in itertools.pairwise(ks):
        grow = Stage((Phase(Add(k - before, Gain()), Exact()),))
        warm = Method(method, (grow, *METHODS[method](k, problem).stages[1:]))
        found[k] = run(adapted(warm, problem), problem, _restarted(found[before], seed))
    return found


def _continued(problem: Any, ks: list[int], method: str, seed: int) -> Found:
    """The method from the weights before."""
    found = {ks[0]: solve(problem, ks[0], method, seed)}
    for before, k in itertools.pairwise(ks):
        warm = adapted(METHODS[method](k, problem), problem)
        found[k] = run(warm, problem, _restarted(found[before], seed))
    return found


def _restarted(result: Result, seed: int) -> State:
    return State(result.x, result.support, seed, value=result.value)


def _neighbours(problem: Any, ks: list[int], method: str, seed: int) -> Found:
    """Every k afresh; then up and down the path, each support grown or shrunk to the next k and swapped."""
    found = _afresh(problem, ks, method, seed)
    swaps = METHODS["best-swap"](1, problem).stages[1:]
    plain = getattr(problem, "structure", Elements()) == Elements()
    try:
        check(Method("swaps", swaps), problem, problem.start(seed))
    except MissingCapability:
        return found
    if not plain:
        return found
    for order, change in ((ks, lambda m: Add(m, Gain())), (ks[::-1], lambda m: Drop(m, Exit()))):
        for before, k in itertools.pairwise(order):
            step = Stage((Phase(change(abs(k - before)), Exact()),))
            new = run(Method("neighbour", (step, *swaps)), problem, _restarted(found[before], seed))
            if new.state.value < found[k].value:
                found[k] = dataclasses.replace(new, method=found[k].method)
    return found


# ---- choosing k ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Data:
    """Rows that a problem can be made of, all or some: what cross-validation needs.

    X (n, p) dense or sparse, y (n,), loss: LeastSquares, Logistic, ... , options: its keyword arguments (a
    sample_weight among them is divided as the rows are).
    """

    X: Any
    y: Any
    loss: Any = LeastSquares
    options: Mapping[str, Any] = field(default_factory=lambda: {"intercept": True})

    def problem(self, rows: Array | None = None) -> Any:
        """The problem of these rows."""
        if rows is None:
            return self.loss(self.X, self.y, **self.options)
        return self.loss(_rows(self.X, rows), np.asarray(self.y)[rows], **self._divided(rows))

    def held_out(self, rows: Array, x: Array, b: Any) -> float:
        """The mean loss of weights x and intercept b on these rows: a problem with a column of ones."""
        X = _rows(self.X, rows)
        ones = np.ones((X.shape[0], 1))
        if hasattr(X, "tocsc"):
            from scipy import sparse

            wide = sparse.hstack([X, sparse.csc_array(ones)]).tocsc()
        else:
            wide = np.hstack([np.asarray(X), ones])
        options = {**self._divided(rows), "intercept": False, "ridge": 0.0}
        return float(self.loss(wide, np.asarray(self.y)[rows], **options).value(np.append(x, b)))

    def _divided(self, rows: Array) -> dict[str, Any]:
        weight = self.options.get("sample_weight")
        return {**self.options, "sample_weight": None if weight is None else np.asarray(weight)[rows]}


def _rows(X: Any, rows: Array) -> Any:
    return X.tocsr()[rows] if hasattr(X, "tocsc") else np.asarray(X)[rows]


@dataclass(frozen=True)
class CrossValidation:
    """K-fold cross-validation of the mean loss on rows that were held out.

    folds   rows sorted by y (ties in random order) are dealt out in turn, so every fold has its share of each label
    slack   the smallest k whose mean is within `slack` standard errors of the best: 0 the best, 1 the usual rule of
            one standard error
    """

    folds: int = 5
    slack: float = 0.0
    seed: int = 0

    def parts(self, y: Array) -> list[Array]:
        """The rows of each fold."""
        y = np.asarray(y)
        if not 2 <= self.folds <= len(y):
            raise InvalidInput(f"CrossValidation: folds = {self.folds} for {len(y)} rows; between 2 and the rows")
        random = np.random.default_rng([self.seed, 5]).random(len(y))
        dealt = np.lexsort((random, y))
        return [np.sort(dealt[start :: self.folds]) for start in range(self.folds)]

    def scores(self, data: Data, ks: list[int], method: Any, seed: int) -> Array:
        """Held-out losses, (folds, len(ks))."""
        found = []
        for part in self.parts(data.y):
            problem = data.problem(np.setdiff1d(np.arange(len(data.y)), part))
            results = path(problem, ks, method, seed)
            found.append([data.held_out(part, result.x, problem.intercept(result.x)) for result in results])
        return np.array(found)


@dataclass(frozen=True)
class Choice:
    """The chosen k, the result on all rows, and what it was chosen by: a score for each k of the path."""

    k: int
    result: Result
    path: Path
    scores: Array
    errors: Array | None
    criterion: Any

    def __str__(self) -> str:
        rows = [f"{self.criterion!r} chose k = {self.k}", "k        score"]
        for k, score in zip(self.path.ks, self.scores, strict=True):
            rows.append(f"{k:<8} {score:.6g}{'   <-' if k == self.k else ''}")
        return "\n".join(rows)


def choose(
    problem: Any,
    ks: Iterable[int] | None = None,
    criterion: str | Criterion | CrossValidation = "ebic",
    method: str | Solver = "auto",
    seed: int = 0,
    samples: float | None = None,
) -> Choice:
    """The k of a path with the lowest score.

    problem     a problem, or `Data` (needed for cross-validation)
    ks          the sizes that compete; default: 0 to `default_ks`
    criterion   "aic", "bic", "ebic", "gic", "cv", or an object: EBIC(0.5), CrossValidation(10, slack=1)
    method      as for `path`
    samples     how many rows the data count as; default: all of them. Weights that stand for repetitions: their sum

    Ties go to the smallest k. Raises `InvalidInput` and `MissingCapability` as `solve` does.
    """
    data = problem if isinstance(problem, Data) else None
    whole = problem if data is None else data.problem()
    rule = (
        lookup({**CRITERIA, "cv": CrossValidation()}, criterion, "criterion")
        if isinstance(criterion, str)
        else criterion
    )
    if ks is None:
        ks = default_ks(rows_of(whole) if samples is None else samples, units(whole))
    sizes = _sizes(ks)
    found = path(whole, sizes, method, seed)
    if not isinstance(rule, CrossValidation):
        scores, errors, allowed = found.scores(rule, samples), None, 0.0
    elif data is None:
        raise MissingCapability(
            f"cross-validation divides rows, which a {type(problem).__name__} does not give back; "
            "choose(sparsopt.Data(X, y, sparsopt.LeastSquares), ...) does"
        )
    else:
        each = rule.scores(data, sizes, method, seed)
        scores, errors = each.mean(axis=0), each.std(axis=0, ddof=1) / math.sqrt(len(each))
        allowed = rule.slack * float(errors[scores.argmin()])
    best = int(np.flatnonzero(scores <= scores.min() + allowed)[0])
    return Choice(sizes[best], found.results[best], found, scores, errors, rule)


def default_ks(n: float, p: int) -> range:
    """0 to min(p, n / (log p log log n)), at least 1: sizes that n rows can tell apart (the range that abess uses)."""
    most = n / max(math.log(max(p, 2)) * math.log(max(math.log(max(n, 3)), math.e)), 1.0)
    return range(max(1, min(p, int(n) - 1, int(most))) + 1)
