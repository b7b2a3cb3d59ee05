"""Convex problems: a loss, the data it is about, and what the methods may ask of it.

Losses of a matrix X (NumPy, scipy.sparse or Torch): LeastSquares, MultiOutput, Logistic, Softmax, SquaredHinge, Huber,
Poisson, Gamma, Cox. Functions: Quadratic, Smooth, TorchFunction. Around any of them: constrained (bounds), standardised
(columns), grouped, per_group, preselected (supports).

>>> from sparsopt.problems import LeastSquares, check_problem
>>> X = np.random.default_rng(0).standard_normal((30, 5))
>>> problem = LeastSquares(X, X[:, 0], ridge=0.1)
>>> check_problem(problem).ok
True
"""

from sparsopt.problems.base import Problem
from sparsopt.problems.check import Report, check_problem
from sparsopt.problems.constrained import Constrained, constrained
from sparsopt.problems.counts import Gamma, Poisson
from sparsopt.problems.cox import Cox
from sparsopt.problems.least_squares import LeastSquares
from sparsopt.problems.logistic import Logistic
from sparsopt.problems.multinomial import MultiOutput, Softmax
from sparsopt.problems.quadratic import Quadratic
from sparsopt.problems.robust import Huber, SquaredHinge
from sparsopt.problems.smooth import Smooth, TorchFunction
from sparsopt.problems.standardised import Standardised, standardised
from sparsopt.problems.structured import grouped, per_group, preselected

__all__ = [
    "Constrained",
    "Cox",
    "Gamma",
    "Huber",
    "LeastSquares",
    "Logistic",
    "MultiOutput",
    "Poisson",
    "Problem",
    "Quadratic",
    "Report",
    "Smooth",
    "Softmax",
    "SquaredHinge",
    "Standardised",
    "TorchFunction",
    "check_problem",
    "constrained",
    "grouped",
    "per_group",
    "preselected",
    "standardised",
]
