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

# ruff: noqa: F403, F405 - a family says itself what it offers: a new method is written in one file and no other
from __future__ import annotations

from sparsopt.catalogue import backward, exchanging, forward, pursuits, regularised, sampling, thresholding
from sparsopt.catalogue.backward import *
from sparsopt.catalogue.exchanging import *
from sparsopt.catalogue.forward import *
from sparsopt.catalogue.names import *
from sparsopt.catalogue.pursuits import *
from sparsopt.catalogue.regularised import *
from sparsopt.catalogue.sampling import *
from sparsopt.catalogue.thresholding import *

FAMILIES = (forward, exchanging, backward, thresholding, pursuits, regularised, sampling)

METHODS: dict[str, Entry] = {name: build for family in FAMILIES for name, build in family.METHODS.items()}
