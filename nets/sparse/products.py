"""Products of dense matrices, compiled by Numba."""

from __future__ import annotations

import numba
import numpy as np

from nets.sparse.entries import FLAGS
from nets.sparse.lanes import fill, load, multiply_add, store


@numba.njit(**FLAGS)
def product(A, row, column, V, start, out, samples, n, m):  # type: ignore[no-untyped-def]
    """out[b, :] = start + sum over j < n of A[b * row + j * column] V[j, :], for b < samples, which come in fours.

    All are flat; rows of V and out have m numbers, whole vectors of 16. Four rows of out, 64 wide, stay in registers.
    """
    c = 0
    while c < m:
        wide = m - c >= 64
        for b in range(0, samples, 4):
            a = b * row
            if wide:
                block(A, a, row, column, V, c, start, out, b * m + c, n, m, fill(64, np.float32(0.0)))
            else:
                block(A, a, row, column, V, c, start, out, b * m + c, n, m, fill(16, np.float32(0.0)))
        c += 64 if wide else 16


@numba.njit(**FLAGS)
def block(A, a, row, column, V, c, start, out, o, n, m, like):  # type: ignore[no-untyped-def]
    """Four rows of a product, as many columns as `like` has lanes."""
    s0 = load(like, start, c)
    s1, s2, s3 = s0, s0, s0
    for j in range(n):
        v, at = load(like, V, j * m + c), a + j * column
        s0 = multiply_add(A[at], v, s0)
        s1 = multiply_add(A[at + row], v, s1)
        s2 = multiply_add(A[at + 2 * row], v, s2)
        s3 = multiply_add(A[at + 3 * row], v, s3)
    store(s0, out, o)
    store(s1, out, o + m)
    store(s2, out, o + 2 * m)
    store(s3, out, o + 3 * m)


@numba.njit(**FLAGS)
def turn(A, out):  # type: ignore[no-untyped-def]
    """out = A^T, by blocks that stay in the cache."""
    n, m = A.shape
    for i0 in range(0, n, 16):
        for j0 in range(0, m, 16):
            for j in range(j0, min(j0 + 16, m)):
                for i in range(i0, min(i0 + 16, n)):
                    out[j, i] = A[i, j]
