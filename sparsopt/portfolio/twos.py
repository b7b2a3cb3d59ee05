"""Exchanges of two: what no single swap finds, in two tables over a whole tableau.

`leaving` looks at all pairs of members (the cheapest `MOST`) and lets the two coordinates come in that then gain most,
one after the other. `entering` looks at all pairs of others and lets, for the `TRIED` that gain most together, the two
leave whose exit costs least. Either alone misses what the other sees; where neither finds anything, larger moves
seldom do.

With two members a, b out of a tableau T, and u_1, u_2 their rows made orthonormal in the inverse G^-1 (u_1 = T_a /
sqrt(gamma_a); u_2 = T_b - (G^-1)_ab / gamma_a T_a, scaled alike), minus the gradient and the Schur complements are

    z + u_1 y_1 + u_2 y_2      d + u_1^2 + u_2^2      and the exit costs (y_1^2 + y_2^2) / 2.

>>> H = np.array([[1.0, 0.0, 0.7, 0.7], [0.0, 1.0, 0.7, 0.7], [0.7, 0.7, 1.1, 1.0], [0.7, 0.7, 1.0, 1.1]])
>>> t = Tableau(H, H @ np.array([1.0, 1.0, 0.0, 0.0]), np.array([False, False, True, True]))
>>> t.best_swap()[0] > 0, leaving(t).gain > 0, entering(t).gain > 0
(False, True, True)
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sparsopt.portfolio.tableau import DEPENDENT, Matrix, Tableau, Vector

Indices = NDArray[np.intp]

MOST = 100  # pairs of members that are looked at
TRIED = 8  # pairs that come


class Exchange(NamedTuple):
    """By how much f falls when two come and two go."""

    gain: float
    gone: tuple[int, ...]
    come: tuple[int, ...]


NONE = Exchange(0.0, (), ())


def exchanged(t: Tableau, tolerance: float) -> bool:
    """Exchanges of two, each followed by swaps, until none lowers f by more than `tolerance`; whether there was one."""
    changed = False
    for look in (entering, leaving):
        while (best := look(t)).gain > tolerance:
            before, S = t.value, t.inside.copy()
            for i in best.gone:
                t.sweep(i)
            for j in best.come:
                t.enter(j)
            t.polish(tolerance)
            if t.value > before - tolerance / 2:  # rounding promised more than there was
                t.to(S)
                break
            changed = True
    return changed


def leaving(t: Tableau) -> Exchange:
    """The best exchange in which two members leave and the others come in greedily."""
    S, F = np.flatnonzero(t.inside), np.flatnonzero(~t.inside)
    if min(S.size, F.size) < 2:
        return NONE
    root = np.sqrt(-t.d[S])
    rows = t.T.take(S, axis=0)
    y, (a, b) = t.z[S] / root, pairs(S.size)
    rows /= root[:, None]
    share, y1, y2 = _orthogonal(rows.take(S, axis=1) / -root, y, a, b)
    cost = y1 * y1 + y2 * y2
    if cost.size > MOST:
        few = cost.argpartition(MOST)[:MOST]
        a, b, share, y1, y2, cost = a[few], b[few], share[few], y1[few], y2[few], cost[few]
    rows, floor, each = rows.take(F, axis=1), t.floor[F], np.arange(a.size)
    u1, u2 = rows.take(a, axis=0), rows.take(b, axis=0)
    u2 -= share[:, None] * u1
    u2 /= np.sqrt(1 - share * share)[:, None]
    z = u1 * y1[:, None]
    z += u2 * y2[:, None]
    z += t.z[F]
    d = u1 * u1
    d += u2 * u2
    d += t.d[F]
    j, first = _best(z, d, floor, each)
    row = t.T.take(F[j], axis=0).take(F, axis=1)  # of j, once the two are out
    u1 *= u1[each, j][:, None]
    row += u1
    u2 *= u2[each, j][:, None]
    row += u2
    pivot = d[each, j]
    z -= row * (z[each, j] / pivot)[:, None]
    row *= row
    row /= pivot[:, None]
    d -= row
    l, second = _best(z, d, floor, each)
    gain = first + second - cost
    e = int(gain.argmax())
    return Exchange(gain.item(e) / 2, (int(S[a[e]]), int(S[b[e]])), (int(F[j[e]]), int(F[l[e]])))


def entering(t: Tableau) -> Exchange:
    """The best exchange in which two come that gain most together, and the two leave that are then cheapest."""
    S = np.flatnonzero(t.inside)
    if not 1 <= S.size <= t.m - 2 or not np.any(t.d > t.floor):
        return NONE
    pair, gain = _best_pairs(t)
    if not gain.size:
        return NONE
    C = np.concatenate([np.broadcast_to(S, (gain.size, S.size)), pair], axis=1)
    try:
        P: Matrix = np.asarray(np.linalg.inv(t.H[C[:, :, None], C[:, None, :]]), dtype=np.float64)
    except np.linalg.LinAlgError:  # columns that agree but for rounding
        return NONE
    root = np.sqrt(P.diagonal(axis1=1, axis2=2))
    y = (P @ t.c[C][:, :, None])[:, :, 0] / root
    P /= root[:, :, None]
    P /= root[:, None, :]
    a, b = pairs(S.size + 2)
    _, y1, y2 = _orthogonal(P, y, a, b)
    table = gain[:, None] - (y1 * y1 + y2 * y2)
    e, f = divmod(int(table.argmax()), a.size)
    gone, come = {int(C[e, a[f]]), int(C[e, b[f]])}, {int(i) for i in pair[e]}
    return Exchange(table.item(e, f) / 2, tuple(gone - come), tuple(come - gone))


def _best_pairs(t: Tableau) -> tuple[Indices, Vector]:
    """For each coordinate who gains most after it; the `TRIED` best pairs, each once, and twice what they gain.

    With u = z / sqrt(d) and the correlation r given S that is u_i^2 + (u_j - r u_i)^2 / (1 - r^2).
    """
    F = np.flatnonzero(t.d > t.floor)
    scale = 1 / np.sqrt(t.d[F])
    u = t.z[F] * scale
    r = t.T.take(F, axis=0).take(F, axis=1)
    r *= scale
    r *= scale[:, None]
    gain = r * u[:, None]
    np.subtract(u, gain, out=gain)
    gain *= gain
    r *= r
    np.subtract(1.0, r, out=r)
    gain /= np.maximum(r, DEPENDENT, out=r)  # where nothing is left of j, nothing is left of its gradient either
    j, i = gain.argmax(axis=1), np.arange(F.size)
    both = u * u + gain[i, j]
    both[(gain[i, j] <= 0) | (r[i, j] <= DEPENDENT) | ((j[j] == i) & (j < i))] = 0.0
    few = both.argpartition(-TRIED)[-TRIED:] if F.size > TRIED else i
    few = few[both[few] > 0]
    return np.stack([F[few], F[j[few]]], axis=1), both[few]


def _orthogonal(correlation: Matrix, y: Matrix, a: Indices, b: Indices) -> tuple[Matrix, Matrix, Matrix]:
    """(correlation of a and b, y_a, what of y_b is orthogonal to it, scaled), along the last axis."""
    share, first = correlation[..., a, b], y[..., a]
    return share, first, (y[..., b] - share * first) / np.sqrt(1 - share * share)


def _best(z: Matrix, d: Matrix, floor: Vector, each: Indices) -> tuple[Indices, Vector]:
    """In each row who comes in, and twice the gain: none for who depends on members, where z is nothing as well."""
    np.maximum(d, floor, out=d)
    gain = z * z
    gain /= d
    j = gain.argmax(axis=1)
    return j, gain[each, j]


@lru_cache(maxsize=64)
def pairs(size: int) -> tuple[Indices, Indices]:
    """The positions of all pairs."""
    a, b = np.triu_indices(size, 1)
    return a, b
