"""An oracle from elsewhere: the problem as a mixed-integer quadratic programme, through cvxpy (SCIP, Gurobi, ...).

    minimise  x'Hx/2 - c'x   over  |x_j| <= M_j z_j,  z_j in {0, 1},  sum z <= k

For small problems and for checking others; `branch-and-bound` is faster and certifies. Needs `pip install cvxpy
pyscipopt`.

>>> MixedInteger(seconds=10.0)
MixedInteger(solver='SCIP', seconds=10.0, bound=None)
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sparsopt import catalogue
from sparsopt import support as sp
from sparsopt.errors import InvalidInput, MissingCapability
from sparsopt.method import run
from sparsopt.penalised import needs_hessian
from sparsopt.result import Result, Status, Trace
from sparsopt.searches import Search
from sparsopt.state import Array

__all__ = ["MixedInteger"]


@dataclass(frozen=True)
class MixedInteger(Search):
    """Mixed-integer quadratic programming, for quadratic f.

    solver   as cvxpy names it; it has to know mixed-integer quadratic (or second-order cone) programmes
    seconds  its time limit
    bound    M, one for all. Default: with u the unrestricted minimiser, lambda the strong convexity and F the value
             of best swaps, M_j = |u_j| + sqrt(2 (F - f(u)) / lambda), which no better x exceeds

    The solver's answer is refitted; optimal up to the solver's tolerances where it says so. Raises `InvalidInput`
    where lambda = 0 and no bound is given, `MissingCapability` without cvxpy or for other f.
    Source: Bertsimas, King, Mazumder (2016), Best subset selection via a modern optimization lens.
    """

    solver: str = "SCIP"
    seconds: float = 60.0
    bound: float | None = None
    name: ClassVar[str] = "mixed-integer"

    def search(self, problem: Any, k: int, seed: int) -> Result:
        needs_hessian(self, problem)
        start = run(catalogue.best_swap(k), problem, problem.start(seed)).state
        x, complete = self._programme(problem, k, self._bounds(problem, start.value))
        support = sp.top(abs(x), k) if complete is not None else start.support
        found, value = problem.minimise_on(support, None)
        if value > start.value:  # the solver's tolerances, or its time
            found, value, support = start.x, start.value, start.support
        state = start.but(x=found, support=support, value=value)
        return Result(state, Status.FINISHED if complete else Status.LIMIT, Trace(), self, 0.0)

    def _bounds(self, problem: Any, best: float) -> Array:
        if self.bound is not None:
            return np.full(problem.layout.n, float(self.bound))
        strength = float(problem.strong_convexity())
        if not strength > 0:
            raise InvalidInput(
                "MixedInteger: f is not strongly convex, so nothing bounds the coefficients; give bound=M or a ridge"
            )
        u, least = problem.minimise_on(np.ones(problem.layout.n, dtype=bool), None)
        return np.abs(u) + np.sqrt(2 * max(best - least, 0.0) / strength) * (1 + 1e-6)

    def _programme(self, problem: Any, k: int, bounds: Array) -> tuple[Array, bool | None]:
        """The solver's x, and whether it calls it optimal; None: it found nothing."""
        try:
            cp: Any = importlib.import_module("cvxpy")
        except ImportError as error:
            raise MissingCapability("MixedInteger needs cvxpy: pip install cvxpy pyscipopt") from error
        H = np.asarray(problem.hessian_columns(np.arange(problem.layout.n)), dtype=np.float64)
        c = -np.asarray(problem.gradient(problem.start(0).x), dtype=np.float64)
        values, Q = np.linalg.eigh(H)
        root = (Q * np.sqrt(np.maximum(values, 0.0))).T
        x, z = cp.Variable(len(c)), cp.Variable(len(c), boolean=True)
        limits = [x <= cp.multiply(bounds, z), x >= -cp.multiply(bounds, z), cp.sum(z) <= k]
        programme = cp.Problem(cp.Minimize(cp.sum_squares(root @ x) / 2 - c @ x), limits)
        options = {"scip_params": {"limits/time": self.seconds}} if self.solver == "SCIP" else {}
        try:
            programme.solve(solver=self.solver, **options)
        except cp.SolverError:
            return np.zeros(len(c)), None
        found = x.value is not None
        return np.asarray(x.value) if found else np.zeros(len(c)), programme.status == "optimal" if found else None
