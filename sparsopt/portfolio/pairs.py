"""Pairs that gain together what neither gains alone: which two to bring in, seen from a swept tableau.

Given S, with u = z / sqrt(d) and the correlation r of i and j, both together gain

    (u_i^2 + u_j^2 - 2 r u_i u_j) / (2 (1 - r^2))

and pairs that depend on each other nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsopt.portfolio.rows import largest, passing
from sparsopt.portfolio.swept import Indices, Swept

PAIRS = 8  # that are tried


def promising(t: Swept, C: Indices, rows: Any) -> Indices:
    """The `PAIRS` unordered pairs (one of C, one of all) whose entry gains most, (number, 2).

    rows: those of t, at least one member; their precision is that of the table, in which u_j - r u_i is what is left of
    j once i is in.
    """
    digits = np.finfo(rows(int(t.S[0])).dtype)
    free = t.d > np.maximum(t.floor, 1e4 * float(digits.eps) * t.h)
    scale = np.where(free, 1 / np.sqrt(np.where(free, t.d, 1.0)), 0.0).astype(digits.dtype)
    u, R = t.z.astype(digits.dtype) * scale, t.T[1 : t.size + 1, : t.m].astype(digits.dtype)
    C, barred, alike = C[free[C]], np.flatnonzero(~free), max(1e-9, 1e3 * float(digits.eps))
    found = [np.empty((0, 3))]
    for part, r in passing(rows, C, t.m):
        r = r - r[:, t.S] @ R
        r *= scale[part][:, None]
        r *= scale
        gain = r * u[part][:, None]
        np.subtract(u, gain, out=gain)
        gain *= gain
        r *= r
        np.subtract(1, r, out=r)
        np.copyto(r, np.inf, where=r <= alike)
        gain /= r
        gain += (u[part] ** 2)[:, None]
        gain[:, barred] = gain[np.arange(part.size), part] = -np.inf
        at = largest(gain.ravel(), 2 * PAIRS)
        i, j = np.divmod(at, t.m)
        i = part[i]
        found.append(np.stack([-gain.ravel()[at], np.minimum(i, j), np.maximum(i, j)], axis=1))
    table = np.unique(np.concatenate(found), axis=0)
    table = table[np.isfinite(table[:, 0])]
    _, first = np.unique(table[:, 1:], axis=0, return_index=True)
    return table[np.sort(first)[:PAIRS], 1:].astype(np.intp)
