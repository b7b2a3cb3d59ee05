"""The matrix of a linear model, dense or sparse, weighted and centred without being changed or copied.

With row shares w (they sum to one) and column means m = sum_i w_i x_i, a design stands for A = X - 1 m' when centred
(which is what profiling out an intercept comes to), else for A = X; centring a sparse matrix stays implicit.

>>> import numpy as np
>>> A = design(np.array([[1.0, 5.0], [3.0, 5.0]]), np.float64(1 / 2), centred=True)
>>> A.dot(np.array([1.0, 1.0])), A.variance
(array([-1.,  1.]), array([1., 0.]))

Small blocks (columns, means, Grams) are computed in float64 whatever the type of X; full products use the type of X.
"""

from __future__ import annotations

from typing import Any

from sparsopt.problems.any_design import Design
from sparsopt.problems.dense_design import Dense
from sparsopt.problems.sparse_design import Sparse
from sparsopt.state import Array
from sparsopt.support import is_tensor

__all__ = ["Dense", "Design", "Sparse", "design"]


def design(X: Any, weight: Array, centred: bool) -> Design:
    """The design of a checked matrix."""
    if is_tensor(X):
        from sparsopt.problems.torch_design import TorchDense

        return TorchDense(X, weight, centred)
    return (Sparse if hasattr(X, "tocsc") else Dense)(X, weight, centred)
