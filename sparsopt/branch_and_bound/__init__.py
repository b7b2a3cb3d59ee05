"""Proofs: lower bounds from a convex relaxation, and trees that raise them to the optimum.

relaxation   one lower bound for every convex f at every point, and the point where it is best; screening
sharpening   the diagonal splitting for which that bound is best
tree         best-first search with that bound: ridge, p > n, logistic regression
leaps        leaps and bounds on the inverse Hessian: quadratics of up to some hundred coordinates
compiled     the same nodes by a loop that Numba compiles (`kernels`)
solver       both as the method "branch-and-bound" of `sparsopt.solve`

>>> import numpy as np
>>> import sparsopt
>>> rng = np.random.default_rng(0)
>>> X = rng.standard_normal((60, 20))
>>> problem = sparsopt.LeastSquares(X, X[:, 3] - X[:, 5] + rng.standard_normal(60))
>>> BranchAndBound(seconds=5.0).solve(problem, 4, seed=0).status.name
'PROVED'
"""

from sparsopt.branch_and_bound.relaxation import Bound, Relaxation, root_bound
from sparsopt.branch_and_bound.sharpening import sharp_bound
from sparsopt.branch_and_bound.solver import BranchAndBound, Proof

__all__ = ["Bound", "BranchAndBound", "Proof", "Relaxation", "root_bound", "sharp_bound"]
