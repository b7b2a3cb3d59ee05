"""Local models: pruning as a sparse convex problem, solved by `sparsopt`.

Near trained weights w0 the loss is about 1/2 (w - w0)' H (w - w0). With H from gradients of mini-batches (`Fisher`,
`GaussNewton`; a diagonal by `Hutchinson`) or from the inputs of layers (`Layerwise`) this is a `BlockQuadratic`, one of
sparsopt's problems, and classical second-order pruning is one of its methods:

| on the model | is |
|---|---|
| `Removal`, x^2 h / 2 | optimal brain damage; with `Layerwise` and `Rows`, Wanda |
| `Surgeon`, x^2 / (2 [H^-1]_jj), with `SurgeonUpdate` | optimal brain surgeon, WoodFisher |
| `Solve` with any convex method, then `Exact` | CHITA; with `Layerwise`, layerwise least squares |
| `Sweep`, `SweepUpdate` | SparseGPT |

>>> move = Keep(1000, by=LocalScore(Surgeon(), Fisher()))
>>> fit = LocalFit(Exact(), Fisher())                  # the survivors become the joint minimiser of the model
"""

from __future__ import annotations

from nets.local_models.curvature import Dense, Diagonal, LowRank
from nets.local_models.models import Fisher, GaussNewton, Hutchinson, Layerwise
from nets.local_models.parts import LocalFit, LocalScore, Solve, SolveEach
from nets.local_models.pursuit import Pursuit
from nets.local_models.quadratic import BlockQuadratic, Part
from nets.local_models.rows import Rows
from nets.local_models.surgeon import Surgeon, SurgeonUpdate
from nets.local_models.sweep import Sweep, SweepUpdate

__all__ = [
    "BlockQuadratic",
    "Dense",
    "Diagonal",
    "Fisher",
    "GaussNewton",
    "Hutchinson",
    "Layerwise",
    "LocalFit",
    "LocalScore",
    "LowRank",
    "Part",
    "Pursuit",
    "Rows",
    "Solve",
    "SolveEach",
    "Surgeon",
    "SurgeonUpdate",
    "Sweep",
    "SweepUpdate",
]
