"""The convex methods, one short entry each, one file a family.

An entry returns a `Method`: pseudo-code, guarantee, citation, and the composition. Entries that take `fit` are shared
with networks: `Exact()` minimises on the support, `nets` passes a `Train(...)` in its place, and nothing else changes.

Notation: S the support, g the gradient of f at x, h_j >= the curvature along coordinate j, L and lambda the smoothness
and strong convexity of f restricted to sparse directions, kappa = L / lambda, s = |x*|_0 of whatever one competes with,
D = f(x) - f(x*), beta = max_j h_j, delta_s the restricted isometry constants of unit-norm columns.

What is said without a mark is proved in a few lines and checked in `tests/test_theorems.py` with exact constants, or
was read in the abstract of the work that is named. A constant or number with a star (*) is quoted from memory of its
source: check it there before you rely on it.

>>> omp(3)
Method(name='omp', ...)
"""

from __future__ import annotations

from sparsopt.catalogue import backward, exchanging, forward, regularised, sampling, thresholding
from sparsopt.catalogue.backward import backward_elimination
from sparsopt.catalogue.exchanging import best_swap, foba, local_search, oscillation, replacement, splicing
from sparsopt.catalogue.forward import forward_greedy, frank_wolfe, fully_corrective, gradient_pursuit, ols, omp
from sparsopt.catalogue.names import SSZ, Entry
from sparsopt.catalogue.regularised import arht, regularised_iht
from sparsopt.catalogue.sampling import randomised
from sparsopt.catalogue.thresholding import (
    aiht,
    cosamp,
    hard_thresholding,
    htp,
    iht,
    iht_with_feedback,
    momentum_iht,
    niht,
    partial_hard_thresholding,
    subspace_pursuit,
)
from sparsopt.fits import Exact
from sparsopt.judges import WhileDecreasing
from sparsopt.moves import Everything, Removal

__all__ = [
    "METHODS",
    "SSZ",
    "Entry",
    "Everything",
    "Exact",
    "Removal",
    "WhileDecreasing",
    "aiht",
    "arht",
    "backward_elimination",
    "best_swap",
    "cosamp",
    "foba",
    "forward_greedy",
    "frank_wolfe",
    "fully_corrective",
    "gradient_pursuit",
    "hard_thresholding",
    "htp",
    "iht",
    "iht_with_feedback",
    "local_search",
    "momentum_iht",
    "niht",
    "ols",
    "omp",
    "oscillation",
    "partial_hard_thresholding",
    "randomised",
    "regularised_iht",
    "replacement",
    "splicing",
    "subspace_pursuit",
]

FAMILIES = (forward, exchanging, backward, thresholding, regularised, sampling)

METHODS: dict[str, Entry] = {name: build for family in FAMILIES for name, build in family.METHODS.items()}
