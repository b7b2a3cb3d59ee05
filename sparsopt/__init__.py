"""Sparse-constrained optimisation: minimise f(x) over vectors with at most k non-zeros.

>>> rng = np.random.default_rng(0)
>>> X = rng.standard_normal((100, 20))
>>> problem = sparsopt.LeastSquares(X, X[:, 3] - 2 * X[:, 7])
>>> result = sparsopt.solve(problem, k=2)
>>> result.x.round(3)[[3, 7]]
array([ 1., -2.])

A method is a tuple of stages made of moves (which coordinates?) and fits (which values?); `sparsopt.catalogue` holds
the published ones, `sparsopt.run` executes any of them, and `nets` runs the same objects on neural networks.

Everything is imported when it is first asked for, so `import sparsopt` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sparsopt import (
        branch_and_bound,
        catalogue,
        certificates,
        errors,
        exact,
        fits,
        guarantees,
        hard_instances,
        judges,
        mixed_integer,
        moves,
        penalised,
        schedules,
        subset_sum,
        support,
    )
    from sparsopt.certificates import Certificates
    from sparsopt.choosing import AIC, BIC, EBIC, GIC, Choice, CrossValidation, Data, Path, choose, path
    from sparsopt.errors import (
        CheckpointError,
        DataError,
        InvalidInput,
        InvalidResult,
        MissingCapability,
        NotFinite,
        SparsoptError,
    )
    from sparsopt.estimators import (
        SparseClassifier,
        SparseClassifierCV,
        SparseRegressor,
        SparseRegressorCV,
        SparseSelector,
    )
    from sparsopt.exact import enumerate_supports
    from sparsopt.method import Method, Phase, Stage, run
    from sparsopt.portfolio.auto import Auto
    from sparsopt.problems import (
        Cox,
        Gamma,
        Huber,
        LeastSquares,
        Logistic,
        MultiOutput,
        Poisson,
        Problem,
        Quadratic,
        Smooth,
        Softmax,
        SquaredHinge,
        TorchFunction,
        check_problem,
        constrained,
        grouped,
        per_group,
        preselected,
        standardised,
    )
    from sparsopt.result import Result, Status
    from sparsopt.solvers import methods, solve
    from sparsopt.state import Layout, State

__version__ = "0.1.0"

__all__ = [
    "AIC",
    "BIC",
    "EBIC",
    "GIC",
    "Auto",
    "Certificates",
    "CheckpointError",
    "Choice",
    "Cox",
    "CrossValidation",
    "Data",
    "DataError",
    "Gamma",
    "Huber",
    "InvalidInput",
    "InvalidResult",
    "Layout",
    "LeastSquares",
    "Logistic",
    "Method",
    "MissingCapability",
    "MultiOutput",
    "NotFinite",
    "Path",
    "Phase",
    "Poisson",
    "Problem",
    "Quadratic",
    "Result",
    "Smooth",
    "Softmax",
    "SparseClassifier",
    "SparseClassifierCV",
    "SparseRegressor",
    "SparseRegressorCV",
    "SparseSelector",
    "SparsoptError",
    "SquaredHinge",
    "Stage",
    "State",
    "Status",
    "TorchFunction",
    "branch_and_bound",
    "catalogue",
    "certificates",
    "check_problem",
    "choose",
    "constrained",
    "enumerate_supports",
    "errors",
    "exact",
    "fits",
    "grouped",
    "guarantees",
    "hard_instances",
    "judges",
    "methods",
    "mixed_integer",
    "moves",
    "path",
    "penalised",
    "per_group",
    "preselected",
    "run",
    "schedules",
    "solve",
    "standardised",
    "subset_sum",
    "support",
]

_HOMES = {
    "certificates": "Certificates",
    "errors": ("CheckpointError DataError InvalidInput InvalidResult MissingCapability NotFinite SparsoptError"),
    "estimators": "SparseClassifier SparseClassifierCV SparseRegressor SparseRegressorCV SparseSelector",
    "exact": "enumerate_supports",
    "method": "Method Phase Stage run",
    "choosing": "AIC BIC EBIC GIC Choice CrossValidation Data Path choose path",
    "portfolio.auto": "Auto",
    "problems": (
        "Cox Gamma Huber LeastSquares Logistic MultiOutput Poisson Problem Quadratic Smooth Softmax SquaredHinge "
        "TorchFunction check_problem constrained grouped per_group preselected standardised"
    ),
    "result": "Result Status",
    "solvers": "methods solve",
    "state": "Layout State",
}
_HOME = {name: module for module, names in _HOMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'sparsopt' has no attribute '{name}'")
    module = importlib.import_module(f"sparsopt.{_HOME.get(name, name)}")
    value = getattr(module, name) if name in _HOME else module
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
