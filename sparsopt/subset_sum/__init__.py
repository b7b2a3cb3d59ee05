"""Random subset sums: solvers for one instance or a million, and the theorems checked.

The strong lottery ticket theorems rest on one fact: n random numbers have 2^n subset sums, and those come close to
*every* target once n is a little over log2(1/error). One question a function:

- `solve`: a batch of instances - least error, any within a tolerance, fewest items, exactly s items, many targets
- `solve_one`: one hard instance of up to 64 items in bounded memory
- `solve_vectors`, `join_lists`: items in R^d, exactly, and heuristically where no exact search reaches
- `solve_integers`, `on_grid`: exact equality
- `covering_radius`, `covering_radius_bound`: all targets of an interval at once
- `predict`, `statistics`, `theorems`: success without solving, honest counts, and the published claims as experiments

>>> import numpy as np
>>> rng = np.random.default_rng(0)
>>> answer = solve(rng.uniform(-1, 1, (1000, 15)), rng.uniform(-1, 1, 1000), mode="smallest", tolerance=0.01)
>>> int(answer.success.sum()), float(answer.sizes[answer.success].mean().round(2))
(994, 2.29)
"""

from sparsopt.subset_sum.answer import Answer, Status
from sparsopt.subset_sum.hard import solve_one
from sparsopt.subset_sum.integers import on_grid, solve_integers
from sparsopt.subset_sum.predict import covering_probability, failure_probability
from sparsopt.subset_sum.radius import covering_radius, covering_radius_bound
from sparsopt.subset_sum.solve import solve
from sparsopt.subset_sum.vectors import join_lists, solve_vectors

__all__ = [
    "Answer",
    "Status",
    "covering_probability",
    "covering_radius",
    "covering_radius_bound",
    "failure_probability",
    "join_lists",
    "on_grid",
    "solve",
    "solve_integers",
    "solve_one",
    "solve_vectors",
]
