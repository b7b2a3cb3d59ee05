"""One small regression: three of ten columns matter."""

from __future__ import annotations

import numpy as np

from sparsopt.problems import LeastSquares

RNG = np.random.default_rng(0)
X = RNG.standard_normal((80, 10))
Y = X @ np.array([2.0, 0, 0, -1.0, 0, 0, 0.5, 0, 0, 0]) + 0.1 * RNG.standard_normal(80)
PROBLEM = LeastSquares(X, Y)
