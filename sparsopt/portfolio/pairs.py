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
    """The `PAIRS` unordered pairs (one of C, one of all) whose entry gains most, (number, 2)."""
    free = t.d > t.floor
    scale = np.where(free, 1 / np.sqrt(np.where(free, t.d, 1.0)), 0.0)
    u, R = t.z * scale, t.T[1 : t.size + 1, : t.m]
    squares = np.where(free, u * u, -np.inf)
    C = C[free[C]]
    found = [np.empty((0, 3))]
    for part, r in passing(rows, C, t.m):
        r = r - r[:, t.S] @ R
        r *= scale[part][:, None]
        r *= scale
        gain = r * (-2 * u[part])[:, None]
        gain *= u
        gain += squares
        gain += (u[part] ** 2)[:, None]
        r *= r
        np.subtract(1.0, r, out=r)
        np.copyto(r, np.inf, where=r <= 1e-9)
        gain /= r
        at = largest(gain.ravel(), 2 * PAIRS)
        i, j = np.divmod(at, t.m)
        i = part[i]
        found.append(np.stack([-gain.ravel()[at], np.minimum(i, j), np.maximum(i, j)], axis=1))
    table = np.unique(np.concatenate(found), axis=0)
    table = table[table[:, 0] < 0]
    _, first = np.unique(table[:, 1:], axis=0, return_index=True)
    return table[np.sort(first)[:PAIRS], 1:].astype(np.intp)
