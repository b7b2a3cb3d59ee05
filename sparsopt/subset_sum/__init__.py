"""Random subset sums: solvers for one instance or a million, and the theorems checked.

The strong lottery ticket theorems rest on one fact: n random numbers have 2^n subset sums, and those come close to
*every* target once n is a little over log2(1/error).

>>> import numpy as np
>>> rng = np.random.default_rng(0)
>>> answer = solve(rng.uniform(-1, 1, (1000, 15)), rng.uniform(-1, 1, 1000), mode="smallest", tolerance=0.01)
>>> int(answer.success.sum()), float(answer.sizes[answer.success].mean().round(2))
(994, 2.29)
"""

from .answer import Answer, Status
from .hard import solve_one
from .solve import solve

__all__ = ["Answer", "Status", "solve", "solve_one"]
