"""Sparse-constrained optimisation: minimise f(x) over vectors with at most k non-zeros.

>>> problem = sparsopt.LeastSquares(X, y)
>>> result = sparsopt.solve(problem, k=10)
>>> print(result)

A method is a tuple of stages made of moves (which coordinates?) and fits (which values?); `sparsopt.catalogue` holds
the published ones, `sparsopt.run` executes any of them, and `nets` runs the same objects on neural networks.
"""
