"""Few supports: look at all of them.

Every support of size k of a small quadratic is k - 2 members and a pair. With the members eliminated, one after the
other and all sets of them at a time, H and c become their Schur complements T and z, and for every pair (i, j)

    f falls by  (z_i^2 / T_ii + (z_j - T_ij z_i / T_ii)^2 / (T_jj - T_ij^2 / T_ii)) / 2,

which is C(p, k - 2) tables of p^2 numbers in all. What depends on those before it adds nothing, so that smaller
supports are among these.

>>> H = np.array([[1.0, 0.0, 0.7], [0.0, 1.0, 0.7], [0.7, 0.7, 1.0]])  # the third column resembles the first two
>>> best(H, H @ [1.0, 1.0, 0.0], 2)
array([0, 1])
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sparsopt.portfolio.tableau import DEPENDENT, Matrix, Vector

Indices = NDArray[np.intp]

NUMBERS = 100_000  # in the tables: about a millisecond, a fraction of what the stages after swaps take
FITS = 100  # supports of another loss, which are minimised on one by one


def quadratic(p: int, k: int) -> bool:
    """Whether a quadratic has few supports."""
    return math.comb(p, max(k - 2, 0)) * p * p <= NUMBERS


def fits(p: int, k: int) -> bool:
    """Whether another loss has."""
    return math.comb(p, k) <= FITS


def best(H: Matrix, c: Vector, k: int) -> Indices:
    """The support of at most k coordinates on which x'Hx/2 - c'x is least, sorted; H (p, p) semidefinite, c (p,)."""
    h = H.diagonal()
    scale = np.divide(1.0, np.sqrt(np.maximum(h, 0.0)), out=np.zeros(c.size), where=h > 0)
    T, z, gain = (H * scale * scale[:, None])[None], (c * scale)[None], np.zeros(1)
    members = np.empty((1, 0), dtype=np.intp)
    for left in range(k, 2, -1):  # who still has to come
        T, z, gain, members = _joined(T, z, gain, members, left)
    rest, own = _falls(T, z)
    if k == 1:
        return np.array([own[0].argmax()])
    total = gain[:, None, None] + own[:, :, None] + rest
    a, i, j = np.unravel_index(total.argmax(), total.shape)
    return np.unique([*members[a], i, j])


def _joined(T: Matrix, z: Matrix, gain: Vector, members: Indices, left: int) -> tuple[Matrix, Matrix, Vector, Indices]:
    """Each set with each coordinate after its last, where `left` - 1 more have room."""
    p = z.shape[1]
    last = members[:, -1] if members.shape[1] else np.full(1, -1)
    a, j = np.nonzero(np.arange(p - left + 1) > last[:, None])
    row, pull = T[a, j], z[a, j]
    pivot = row[np.arange(a.size), j]
    share = np.divide(1.0, pivot, out=np.zeros(a.size), where=pivot > DEPENDENT)
    scaled = row * share[:, None]
    T = T[a] - scaled[:, :, None] * row[:, None, :]
    return T, z[a] - scaled * pull[:, None], gain[a] + pull * pull * share, np.column_stack([members[a], j])


def _falls(T: Matrix, z: Matrix) -> tuple[Matrix, Matrix]:
    """Twice what j adds after i (b, p, p), and twice what i alone does (b, p)."""
    d = np.diagonal(T, axis1=1, axis2=2)
    share = np.divide(1.0, d, out=np.zeros(d.shape), where=d > DEPENDENT)
    scaled = T * share[:, :, None]
    top = z[:, None, :] - scaled * z[:, :, None]
    scaled *= T
    left = np.subtract(d[:, None, :], scaled, out=scaled)
    top *= top
    top *= left > DEPENDENT
    top /= np.maximum(left, DEPENDENT, out=left)
    return top, z * z * share
