"""The portfolio for any f, and for any structure of supports: several starts, replacement, exchanges with refits.

A. Fully corrective greedy, hard thresholding pursuit, FoBa, CoSaMP and (up to 60 units) backward elimination, each as
   far as problem and structure allow; then replacement from every support that they found.
B. From the best: take a member out, put another in, refit; the first that helps is kept. Exchanges that promise most
   come first (what the entry gains less what the exit costs). All are tried where there are few, else up to `MOST`,
   fewer on large data.

What k counts (coordinates, groups, rows) is moved as one.

>>> from sparsopt.problems import Quadratic
>>> result = search(Quadratic(np.diag([1.0, 2.0, 4.0]), np.array([3.0, -2.0, 1.0])), k=1, seed=0, effort=1)
>>> result.x
array([3., 0., 0.])
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from sparsopt import catalogue
from sparsopt import support as sp
from sparsopt.errors import MissingCapability
from sparsopt.method import adapted, check, run
from sparsopt.result import Result
from sparsopt.schedules import Linear
from sparsopt.state import Array, Mask, State
from sparsopt.support import Elements, allows, unit_labels, units

__all__ = ["search"]

SMALL = 60  # units up to which backward elimination is a start
MOST = 100  # refits without success that end the exchanges, times effort
WORK = 2e9  # operations that those may take, times effort; at least 2 k are looked at


def search(problem: Any, k: int, seed: int, effort: int) -> Result:
    """The best point found. Raises `MissingCapability` where the problem supports none of the starts."""
    best = min(_replaced(problem, k, _starts(problem, k, seed)), key=lambda result: problem.value(result.x))
    if effort == 0 or not hasattr(problem, "minimise_on"):
        return best
    refit = 10 * getattr(problem, "samples", problem.layout.n) * (k + 1) ** 2
    problem, state, most = problem.open(), best.state, max(2 * k, min(MOST, int(WORK / refit)))
    for times in range(1, effort + 1):  # each goes on from the last, so that more is never worse
        state = _exchanged(problem, k, state, times * most)
    return Result(state, best.status, best.trace, best.method, 0.0)


def _starts(problem: Any, k: int, seed: int) -> list[Result]:
    """What the methods return that this problem supports."""
    p = units(problem)
    methods = [catalogue.METHODS[name](k, problem) for name in ("omp", "htp", "foba", "cosamp")]
    if p <= SMALL and k < p:
        methods.append(catalogue.backward_elimination(Linear(p, k, p - k)))
    found, missing = [], []
    for method in methods:
        try:
            ready = adapted(method, problem)
            check(ready, problem, problem.start(seed))
        except MissingCapability as error:
            missing.append(error)
        else:
            found.append(run(ready, problem, problem.start(seed)))
    if not found:
        raise missing[0]
    return [result for result in found if np.isfinite(result.x).all()] or found[:1]


def _replaced(problem: Any, k: int, starts: list[Result]) -> Iterator[Result]:
    """Each start, continued by replacement, once for each support."""
    seen: set[str] = set()
    for result in starts:
        name = sp.digest(result.support)
        if name not in seen:
            seen.add(name)
            longer = adapted(catalogue.replacement(k, start=result.method), problem)
            yield run(longer, problem, result.state, trace=result.trace)


def _exchanged(problem: Any, k: int, state: State, most: int) -> State:
    """Exchanges until none of those looked at lowers f."""
    value = float(problem.value(state.x))
    while True:
        better = None
        for support in _neighbours(problem, k, state, most):
            x, new = problem.minimise_on(support, sp.restrict(state.x, support))
            if new < value - 1e-10 * abs(value):
                better = state.but(x=x, support=support, value=new)
                break
        if better is None:
            return state
        state, value = better, float(better.value)


def _neighbours(problem: Any, k: int, state: State, most: int) -> Iterator[Mask]:
    """Allowed supports that differ in one member, by what the exchange promises; additions where there is room."""
    structure = getattr(problem, "structure", Elements())
    labels = unit_labels(structure, problem.layout.n)
    inside = np.bincount(labels, state.support) > 0
    costs, gains = _promises(problem, state, labels)
    members, others = np.flatnonzero(inside), np.flatnonzero(~inside)
    members = members[np.argsort(costs[members], kind="stable")]
    others = others[np.argsort(-gains[others], kind="stable")]
    if members.size * others.size > most:  # the corner where the best are
        side = max(2, int(most**0.5))
        members, others = members[: max(side, most // max(others.size, 1))], others[: max(side, most // members.size)]
    table = gains[others][None, :] - costs[members][:, None]
    exchanges = [divmod(int(at), others.size) for at in np.argsort(-table, axis=None, kind="stable")[:most]]
    for out, into in [(-1, j) for j in range(min(others.size, most))] + exchanges:
        support = state.support | (labels == others[into])
        if out >= 0:
            support &= labels != members[out]
        if allows(structure, support, k, problem.layout):
            yield support


def _promises(problem: Any, state: State, labels: Array) -> tuple[Array, Array]:
    """For every unit the sum of x_j^2 h_j / 2 and of g_j^2 / (2 h_j), with h = 1 where the problem has no curvature."""
    f = problem.at(state)
    g = np.asarray(f.gradient(state.x), dtype=np.float64)
    h = np.asarray(f.curvature(), dtype=np.float64) if hasattr(f, "curvature") else np.ones(g.size)
    gain = np.where(h > 0, g**2 / np.where(h > 0, 2 * h, 1.0), 0.0)
    return np.bincount(labels, state.x.astype(np.float64) ** 2 * h / 2), np.bincount(labels, gain)
