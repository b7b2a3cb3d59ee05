"""Hessians of local models: positive definite matrices of order d in three forms, none larger than it has to be.

>>> H = LowRank(np.array([[3.0, 4.0]]), damping=1.0)               # A'A / m + damping I, A (m, d)
>>> H.matrix()
array([[10., 12.],
       [12., 17.]])
>>> H.solve(np.array([[22.0, 29.0]]))
array([[1., 1.]])

All act on rows: V (b, d) -> V H. What is needed of the inverse is its diagonal and products with it.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sparsopt.errors import NotFinite

__all__ = ["Curvature", "Dense", "Diagonal", "LowRank"]

Matrix = NDArray[Any]


class Curvature(Protocol):
    """A positive definite H of order d."""

    d: int

    def product(self, V: Matrix) -> Matrix: ...
    def solve(self, V: Matrix) -> Matrix: ...
    def diagonal(self) -> Matrix: ...
    def inverse_diagonal(self) -> Matrix: ...
    def matrix(self) -> Matrix: ...
    def restricted(self, kept: Matrix) -> Curvature: ...


class Diagonal:
    """diag(h), h (d,) positive."""

    def __init__(self, h: Matrix) -> None:
        self.h, self.d = h, len(h)

    def product(self, V: Matrix) -> Matrix:
        return V * self.h

    def solve(self, V: Matrix) -> Matrix:
        return V / self.h

    def diagonal(self) -> Matrix:
        return self.h

    def inverse_diagonal(self) -> Matrix:
        return 1 / self.h

    def matrix(self) -> Matrix:
        return np.diag(self.h)

    def restricted(self, kept: Matrix) -> Diagonal:
        """H on these coordinates."""
        return Diagonal(self.h[kept])


class Dense:
    """H itself, (d, d), factored once."""

    def __init__(self, H: Matrix) -> None:
        self.H, self.d = H, len(H)
        self._factor: Any = None

    def product(self, V: Matrix) -> Matrix:
        return V @ self.H

    def solve(self, V: Matrix) -> Matrix:
        from scipy.linalg import cho_solve

        if self._factor is None:
            self._factor = _cholesky(self.H)
        return cho_solve(self._factor, V.T, check_finite=False).T

    def diagonal(self) -> Matrix:
        return np.diagonal(self.H)

    def inverse_diagonal(self) -> Matrix:
        L = np.tril(_cholesky(self.H)[0])
        inverse, _ = _lapack().dtrtri(L, lower=1)  # [H^-1]_jj = |L^-1 e_j|^2
        return np.einsum("ij,ij->j", inverse, inverse)

    def matrix(self) -> Matrix:
        return self.H

    def restricted(self, kept: Matrix) -> Dense:
        """H on these coordinates."""
        return self if len(kept) == self.d else Dense(self.H[np.ix_(kept, kept)])


class LowRank:
    """A'A / m + damping I for A (m, d), which is not copied and may be float32. Never (d, d) where d > m.

    With d > m by the Woodbury identity: H^-1 = (I - A'(m damping I + A A')^-1 A) / damping.
    """

    def __init__(self, A: Matrix, damping: float) -> None:
        self.A, self.damping = A, damping
        self.m, self.d = A.shape

    def product(self, V: Matrix) -> Matrix:
        V = V.astype(self.A.dtype, copy=False)
        return ((V @ self.A.T) @ self.A).astype(np.float64) / self.m + self.damping * V

    def solve(self, V: Matrix) -> Matrix:
        if self.d <= self.m:
            return Dense(self.matrix()).solve(V)
        A, factor = self._outer()
        return (V - _solved(factor, A @ V.T).T @ A) / self.damping

    def diagonal(self) -> Matrix:
        return np.einsum("ij,ij->j", self.A, self.A, dtype=np.float64) / self.m + self.damping

    def inverse_diagonal(self) -> Matrix:
        if self.d <= self.m:
            return Dense(self.matrix()).inverse_diagonal()
        A, factor = self._outer()
        return (1 - np.einsum("ij,ij->j", A, _solved(factor, A))) / self.damping

    def matrix(self) -> Matrix:
        H = _gram(self.A) / self.m
        H[np.diag_indices_from(H)] += self.damping
        return H

    def restricted(self, kept: Matrix) -> LowRank:
        """H on these coordinates."""
        return self if len(kept) == self.d else LowRank(self.A[:, kept], self.damping)

    def _outer(self) -> tuple[Matrix, Any]:
        """A in double precision, and the factor of m damping I + A A'."""
        A = self.A.astype(np.float64, copy=False)
        K = _gram(A.T)
        K[np.diag_indices_from(K)] += self.m * self.damping
        return A, _cholesky(K)


def _gram(A: Matrix) -> Matrix:
    """A'A in double precision: half the work of a product, in the precision of A."""
    from scipy.linalg import blas as plain

    blas: Any = plain
    syrk = blas.ssyrk if A.dtype == np.float32 else blas.dsyrk
    upper = syrk(1.0, A.T if A.flags.c_contiguous else A, trans=0 if A.flags.c_contiguous else 1).astype(np.float64)
    return np.triu(upper) + np.triu(upper, 1).T


def _lapack() -> Any:
    from scipy.linalg import lapack

    return lapack


def _cholesky(H: Matrix) -> Any:
    from scipy.linalg import LinAlgError, cho_factor

    try:
        return cho_factor(H, lower=True, check_finite=False)
    except LinAlgError as error:
        raise NotFinite(f"a local Hessian is numerically singular ({error}): give it more damping") from error


def _solved(factor: Any, B: Matrix) -> Matrix:
    from scipy.linalg import cho_solve

    return cho_solve(factor, B, check_finite=False)
