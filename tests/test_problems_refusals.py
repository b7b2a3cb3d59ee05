"""Bad input is named: what is wrong, where, and what would do."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.sparse

from sparsopt.errors import InvalidInput
from sparsopt.problems import Huber, LeastSquares, Logistic, MultiOutput, Poisson, Quadratic, Softmax, SquaredHinge
from tests.problems import everything

X3 = np.arange(6.0).reshape(3, 2)
HOLED = X3.copy()
HOLED[1, 1], HOLED[2, 0] = np.nan, np.inf
BAD = [
    (lambda: LeastSquares(HOLED, [1, 2, 3]), "X has 2 entries NaN or infinite, the first at row 1, column 1; drop or"),
    (
        lambda: LeastSquares(scipy.sparse.csr_matrix(HOLED), [1, 2, 3]),
        "X has 2 entries NaN or infinite, the first at row 2",
    ),
    (lambda: LeastSquares(X3, [1, np.nan, 3]), "y has 1 entry NaN or infinite, the first at row 1; drop or impute"),
    (
        lambda: LeastSquares(np.ma.masked_greater(X3, 4), [1, 2, 3]),
        "X is a masked array with masked entries; fill them, or drop their rows",
    ),
    (lambda: LeastSquares(X3, [1, 2]), "y has 2 entries for 3 rows; one entry a row is needed"),
    (
        lambda: LeastSquares(X3, np.ones((3, 1))),
        r"y has shape \(3, 1\); a vector \(3,\) is needed; y.ravel\(\) would do",
    ),
    (lambda: LeastSquares(X3[:, 0], [1, 2, 3]), r"X has shape \(3,\); a matrix .* X.reshape\(-1, 1\) would do"),
    (lambda: LeastSquares(X3[:0], []), r"X has shape \(0, 2\): it has no rows"),
    (lambda: LeastSquares(X3[:, :0], [1, 2, 3]), r"X has shape \(3, 0\): it has no columns"),
    (lambda: LeastSquares([["a", "b"]], [1]), "X has entries of type <U1; real numbers are needed"),
    (lambda: LeastSquares(np.array([[1, "b"]], object), [1]), "X has an entry 'b' that is not a number"),
    (lambda: LeastSquares(X3 * 1j, [1, 2, 3]), "X has entries of type complex128; real numbers are needed"),
    (
        lambda: LeastSquares(X3 * 1e160, [1, 2, 3]),
        "X has entries up to 5e.160, whose squares overflow in float64; rescale",
    ),
    (lambda: LeastSquares(X3, [1, 2, 3], ridge=-1), "ridge = -1.0 is negative; give a number >= 0"),
    (lambda: LeastSquares(X3, [1, 2, 3], ridge=math.nan), "ridge = nan is not finite"),
    (lambda: LeastSquares(X3, [1, 2, 3], ridge="big"), "ridge = 'big' is not a number"),
    (
        lambda: LeastSquares(X3, [1, 2, 3], sample_weight=[1, -2, -1]),
        r"sample_weight has 2 negative entries, the first at row 1 \(-2\)",
    ),
    (lambda: LeastSquares(X3, [1, 2, 3], sample_weight=[0, 0, 0]), "sample_weight is zero everywhere"),
    (lambda: Logistic(X3, [0, 1, 2]), r"y has 3 distinct values \(0, 1, 2\); labels \{0, 1\} or \{-1, 1\}"),
    (lambda: Logistic(X3, [1, 1, 1]), r"y has 1 distinct value \(1\); .* both have to occur"),
    (lambda: Logistic(X3, [1, 2, 1]), r"y has 2 distinct values \(1, 2\)"),
    (lambda: Logistic(X3, [0, 1, 0], sample_weight=[1, 0, 1]), r"y has 1 distinct value \(-1\)"),
    (lambda: Quadratic(X3, [1, 2, 3]), r"H has shape \(3, 2\); a square matrix is needed"),
    (lambda: Quadratic([[1, 2], [3, 4]], [1, 2]), r"H is not symmetric: \|H - H'\| is up to 1; \(H \+ H.T\) / 2 gives"),
    (lambda: Quadratic([[1, np.nan], [np.nan, 4]], [1, 2]), "H has 2 entries NaN or infinite, the first at row 0"),
    (lambda: Quadratic([1, 2], [1, 2]), r"H has shape \(2,\); a matrix"),
    (lambda: Quadratic(np.eye(2), [1]), "c has 1 entries for 2 rows"),
    (lambda: Quadratic(np.eye(2), [1, 2], math.inf), "constant = inf is not finite"),
    (lambda: Quadratic(scipy.sparse.eye(2), [1, 2]), r"H is a sparse matrix; give a NumPy array \(H.toarray\(\)\)"),
    (
        lambda: LeastSquares(X3, [1, 2, 3]).minimise_on(np.array([0, 1])),
        r"support is int64 of shape \(2,\); a boolean mask",
    ),
    (
        lambda: Logistic(X3, [0, 1, 1]).minimise_on(everything(3)),
        r"support is bool of shape \(3,\); a boolean mask of shape",
    ),
]


MAKERS = [
    LeastSquares,
    Logistic,
    Huber,
    SquaredHinge,
    Poisson,
    Softmax,
    lambda X, y, **o: MultiOutput(X, y[:, None], **o),
]


@pytest.mark.parametrize("make", MAKERS)
def test_an_intercept_is_there_or_not(make):
    y = np.array([0.0, 1.0, 1.0])
    for word in ("no", "False", 0, None, np.ones(2)):
        for weight in (None, [1, 2, 1]):
            with pytest.raises(InvalidInput, match=r"intercept = .* is neither True nor False"):
                make(X3, y, intercept=word, sample_weight=weight)
    assert make(X3, y, intercept=np.False_).design.centred is False


@pytest.mark.parametrize(("act", "sentence"), BAD)
def test_bad_input_is_named(act, sentence):
    with pytest.raises(InvalidInput, match=sentence):
        act()
