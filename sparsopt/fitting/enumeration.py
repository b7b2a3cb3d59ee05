"""Where the supports are few, all of them are refitted: that proves what no certificate can.

>>> import numpy as np
>>> from sparsopt.problems import Logistic
>>> from sparsopt.solvers import solve
>>> rng = np.random.default_rng(0)
>>> X = rng.standard_normal((60, 4))
>>> problem = Logistic(X, X[:, 1] + rng.logistic(size=60) > 0)
>>> enumerated(problem, 2, solve(problem, 2)).proof.assumes
'all 6 supports were refitted, each up to rounding'
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from sparsopt.branch_and_bound import Proof
from sparsopt.errors import SparsoptError
from sparsopt.exact import enumerate_supports
from sparsopt.result import Result

__all__ = ["enumerated"]

FEW = 1000  # supports that are all looked at
CHEAP = 1e7  # rows times coefficients of all of them together: about a second


def enumerated(problem: Any, k: int, result: Result) -> Result:
    """With the proof that all supports give, where there are few, a refit is cheap, and the certificates prove nothing.

    What it takes for granted: that `minimise_on` finds the minimum on each support, up to rounding.
    """
    p, proof = problem.layout.n, result.certificates
    number = math.comb(p, k)
    few = 0 < k < p and number <= FEW and number * len(problem.design.shares) * k <= CHEAP
    if not few or result.proof is not None or proof.optimal:
        return result
    try:
        best = min(enumerate_supports(problem, k)[1], proof.value)
    except SparsoptError:  # on one of them f has no minimum
        return result
    assumes = f"all {number} supports were refitted, each up to rounding"
    return dataclasses.replace(result, proof=Proof(best, number, complete=True, assumes=assumes))
