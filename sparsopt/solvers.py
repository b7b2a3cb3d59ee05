"""Solving by name: what is not a method but a plain function around `run`.

`solve` checks what it was given, runs a method (or anything with a `solve` of its own), checks what came back, and
attaches the certificates.

>>> from sparsopt.problems import Quadratic
>>> problem = Quadratic(np.diag([1.0, 1.0, 4.0]), np.array([3.0, -2.0, 1.0]))
>>> solve(problem, 1).x
array([3., 0., 0.])
>>> solve(problem, 1, method="opm")
Traceback (most recent call last):
...
sparsopt.errors.InvalidInput: unknown method 'opm'; did you mean omp?
"""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from sparsopt import catalogue
from sparsopt import support as sp
from sparsopt.branch_and_bound.solver import BranchAndBound
from sparsopt.certificates import Certificates
from sparsopt.errors import InvalidInput, InvalidResult, MissingCapability
from sparsopt.fits import Exact, Restrict
from sparsopt.machine.threads import one_pool
from sparsopt.method import Method, Phase, Stage
from sparsopt.moves import Everything
from sparsopt.names import lookup
from sparsopt.portfolio.auto import Auto
from sparsopt.result import Result, Status
from sparsopt.searches import Arht, BeamSearch, IteratedLocalSearch
from sparsopt.state import State
from sparsopt.support import allows, most

__all__ = ["Auto", "Solver", "methods", "solve"]

ELEMENTS = sp.Elements()


class Solver(Protocol):
    """What `solve` accepts beside a name: a `Method`, or any object like this."""

    def solve(self, problem: Any, k: int, seed: int) -> Result: ...


@one_pool()
def solve(problem: Any, k: int, method: str | Solver = "auto", seed: int = 0) -> Result:
    """Minimise f(x) over vectors x with at most k non-zeros.

    problem   LeastSquares, Logistic, Quadratic, or anything with their methods
    k         how many coordinates may be non-zero; groups or features where the problem counts those. k = 0 gives the
              zero vector; a k that holds everything the unrestricted minimiser, with the status CLIPPED
    method    a name out of `methods()`, a Method (built for this k), or any object with .solve(problem, k, seed)
    seed      of methods that draw random numbers

    The result's support has at most k coordinates, and x is zero off it: a method that breaks this raises
    `InvalidResult`. Value, lower bound and gap are recomputed from (problem, x, k), never taken from the method.
    Raises `InvalidInput` for a k, seed or method that make no sense, `MissingCapability` where problem and method do
    not fit together, `NotFinite` where f has no minimum along a coordinate.
    """
    _check_problem(problem)
    if hasattr(problem, "working"):
        return problem.restored(solve(problem.working, k, method, seed))
    k, seed = _natural(k, "k"), _natural(seed, "seed")
    solver = _solver(method)
    _check_structure(problem, k, solver)
    dense = _holds_all(problem, k)
    if k > 0 and hasattr(problem, "check_bounded") and getattr(problem, "plain", True):
        problem.check_bounded()
    if k == 0:
        solver = Method("zero", ())
    elif dense:
        solver = Method("unrestricted", (Stage((Phase(Everything(), Exact()),)),))
    result = _closed(solver.solve(problem, k, seed), problem, k)
    if dense:
        result = dataclasses.replace(result, status=Status.CLIPPED)
    return _certified(problem, result, min(k, problem.layout.n))


def methods() -> dict[str, str]:
    """The names that `solve` takes, each with what it stands for in one line."""
    return {name: _first_line(solver.describes) for name, solver in SOLVERS.items()}


def _first_line(thing: Any) -> str:
    return (thing.__doc__ or "").strip().splitlines()[0]


# ---- what a name stands for ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Named:
    """A catalogue entry, built for the problem and k at hand."""

    describes: Callable[..., Method]
    build: Callable[[int, Any], Method]
    structured = True

    def solve(self, problem: Any, k: int, seed: int) -> Result:
        return self.build(k, problem).solve(problem, k, seed)


SEARCHES = (BeamSearch(), IteratedLocalSearch(), Arht())
SOLVERS: dict[str, Any] = (
    {"auto": Auto(), "branch-and-bound": BranchAndBound()}
    | {s.name: s for s in SEARCHES}
    | {name: Named(getattr(catalogue, name.replace("-", "_")), build) for name, build in catalogue.METHODS.items()}
)


def _solver(method: Any) -> Solver:
    if isinstance(method, str):
        return lookup(SOLVERS, method, "method")
    if not hasattr(method, "solve"):
        raise InvalidInput(
            f"method is {method!r}; a name out of sparsopt.methods(), a Method such as sparsopt.catalogue.iht(10), or "
            "an object with .solve(problem, k, seed) is needed"
        )
    return method


# ---- what comes in, what goes out ----------------------------------------------------------------------------------


def _natural(number: Any, name: str) -> int:
    """A non-negative integer; booleans and floats are more likely a slip than a size."""
    example = "the number of coordinates that may be non-zero" if name == "k" else "for example 0"
    wanted = f"a non-negative integer is needed ({example})"
    if isinstance(number, (bool, np.bool_)):
        raise InvalidInput(f"{name} = {number} is a truth value; {wanted}")
    try:
        value = operator.index(number)
    except TypeError:
        raise InvalidInput(f"{name} = {number!r} is no integer; {wanted}") from None
    if value < 0:
        raise InvalidInput(f"{name} = {value} is negative; {wanted}")
    return value


def _check_problem(problem: Any) -> None:
    missing = [name for name in ("layout", "start", "open", "at", "value") if not hasattr(problem, name)]
    if missing:
        raise MissingCapability(
            f"solve needs a problem, but {type(problem).__name__} has no {', '.join(missing)}; "
            "LeastSquares(X, y), Logistic(X, y) and Quadratic(H, c) are ready-made"
        )


def _structure(problem: Any) -> sp.Structure:
    return getattr(problem, "structure", ELEMENTS)


def _check_structure(problem: Any, k: int, solver: Any) -> None:
    structure = _structure(problem)
    if getattr(problem, "plain", True):
        return
    least = getattr(structure, "least", 0)
    if k < least:
        raise InvalidInput(f"k = {k} is less than the {least} that are always in; give k >= {least}")
    if not getattr(solver, "structured", False):
        raise MissingCapability(
            f"{solver!r} does not know groups, always-selected columns or bounds, which {problem!r} has; auto and the "
            "methods that move through a structure (omp, replacement, iht, htp, ...) do"
        )


def _holds_all(problem: Any, k: int) -> bool:
    """Whether a support of size k can be everything."""
    n, structure = problem.layout.n, _structure(problem)
    return k >= n if structure == ELEMENTS else sp.count(structure(np.zeros(n), k, problem.layout)) == n


def _closed(result: Result, problem: Any, k: int) -> Result:
    """A run that diverged in mid-round leaves a dense iterate: its k largest weights are returned, restricted.

    Every other result is as the method returned it.
    """
    if result.status is not Status.NOT_FINITE:
        return result
    state: State = result.state
    if sp.size(_structure(problem), state.support) > k:
        state = state.but(support=_structure(problem)(abs(state.x), k, problem.layout, state.support))
    return dataclasses.replace(result, state=Restrict()(None, state))


def _certified(problem: Any, result: Result, k: int) -> Result:
    name = getattr(result.method, "name", type(result.method).__name__)
    structure, plain = _structure(problem), getattr(problem, "plain", True)
    room = most(structure, k)
    size, stray = sp.count(result.support), sp.count((result.x != 0) & ~result.support)
    if size > room:
        raise InvalidResult(
            f"method '{name}' returned a support of {size} coordinates for k = {k}; was it built for another k?"
        )
    if not (plain or allows(structure, result.support, k, problem.layout)):
        raise InvalidResult(
            f"method '{name}' returned a support that the problem does not allow: a defect of the method"
        )
    if stray:
        raise InvalidResult(
            f"method '{name}' returned {stray} non-zero weights off its support: a defect of the method"
        )
    certificates = Certificates(problem, result.x, result.support, min(room, problem.layout.n))
    if result.proof is not None and result.proof.lower_bound > certificates.value + problem.rounding(result.x)[0]:
        raise InvalidResult(
            f"method '{name}' claims that f is nowhere below {result.proof.lower_bound!r}, but f(x) is "
            f"{certificates.value!r}: a defect of the method"
        )
    return dataclasses.replace(result, certificates=certificates)
