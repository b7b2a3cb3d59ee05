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
    S = t.inside.nonzero()[0]
    if not 2 <= S.size <= t.m - 2:
        return NONE
    scale = 1 / np.sqrt(-t.d.take(S))[:, None]
    rows = t.T.take(S, axis=0)
    rows *= scale
    y, (a, b) = t.z.take(S)[:, None] * scale, pairs(S.size)
    share = (rows.take(S, axis=1) * -scale.T)[a, b][:, None]
    y1, y2 = _orthogonal(share, y, a, b)
    cost = y1 * y1
    cost += y2 * y2
    if cost.size > MOST:
        few = cost[:, 0].argpartition(MOST)[:MOST]
        a, b, share, y1, y2, cost = (each[few] for each in (a, b, share, y1, y2, cost))
    u1, u2 = rows.take(a, axis=0), rows.take(b, axis=0)
    u2 -= share * u1
    u2 /= _rest(share)
    z = u1 * y1
    z += u2 * y2
    z += t.last
    d = u1 * u1
    d += u2 * u2
    d += t.diagonal
    slots = np.arange(0, z.size, t.m + 1)
    at, first = _best(z, d, t.least, slots)
    j = at[:, 0] - slots
    row = t.T.take(j, axis=0)  # of j, once the two are out
    u1 *= u1.take(at)
    row += u1
    u2 *= u2.take(at)
    row += u2
    pivot = d.take(at)
    z -= row * (z.take(at) / pivot)
    row *= row
    row /= pivot
    d -= row
    last, second = _best(z, d, t.least, slots)
    gain = first
    gain += second
    gain -= cost
    e = int(gain.argmax())
    return Exchange(gain.item(e) / 2, (S.item(a[e]), S.item(b[e])), (j.item(e), last.item(e) - slots.item(e)))


def entering(t: Tableau) -> Exchange:
    """The best exchange in which two come that gain most together, and the two leave that are then cheapest."""
    S = t.inside.nonzero()[0]
    if not 1 <= S.size <= t.m - 2:
        return NONE
    come, gain = _best_pairs(t)
    if not gain.size:
        return NONE
    cross, own, x = _joined(t, S, come)
    root, (a, b) = np.sqrt(own, out=own), pairs(S.size + 2)
    x /= root
    cross /= root.take(a, axis=0)
    cross /= root.take(b, axis=0)
    y1, y2 = _orthogonal(cross, x, a, b)
    y1 *= y1
    y2 *= y2
    y1 += y2
    table = np.subtract(gain, y1, out=y1).T
    e, f = divmod(int(table.argmax()), a.size)
    C = (*S.tolist(), come.item(0, e), come.item(1, e))
    old, new = {C[a[f]], C[b[f]]}, set(C[-2:])
    return Exchange(table.item(e, f) / 2, tuple(old - new), tuple(new - old))


def _joined(t: Tableau, S: Indices, come: Indices) -> tuple[Matrix, Matrix, Matrix]:
    """Of S and each pair (columns): the inverse of H between two, for one by itself, and the minimiser.

    With r_i = (T_Si, -1, 0), r_j = (T_Sj, 0, -1) and what of r_j is orthogonal to r_i, each over the root of its Schur
    complement, G^-1 + w w' and x - w y are the inverse and the minimiser once it has come in.
    """
    k, rows = S.size, t.T.take(S, axis=0)
    P, W = np.zeros((k + 3, k + 3)), np.zeros((k + 3, *come.shape))  # the last one stands for the minimiser
    np.negative(rows.take(S, axis=1), out=P[:k, :k])
    P[:k, -1] = rows[:, -1]
    W[:k] = rows.take(come, axis=1)
    W[k, 0] = W[k + 1, 1] = -1.0
    np.negative(t.z.take(come), out=W[-1])
    d, (i, j) = t.d.take(come), come
    share = t.T[i, j] / d[0]
    W[:, 1] -= share * W[:, 0]
    share *= share
    share *= d[0]
    d[1] -= share
    W /= np.sqrt(d, out=d)
    a, b = joins(k + 2)
    products = W.take(a, axis=0)
    products *= W.take(b, axis=0)
    V = products[:, 0] + P[a, b][:, None]
    V += products[:, 1]
    return V[: -2 * k - 4], V[-2 * k - 4 : -k - 2], V[-k - 2 :]


def _best_pairs(t: Tableau) -> tuple[Indices, Vector]:
    """For each coordinate who gains most after it; the `TRIED` best pairs (2, number), each once, and twice their gain.

    With u = z / sqrt(d) and the correlation r given S that is u_i^2 + (u_j - r u_i)^2 / (1 - r^2).
    """
    free, (i, slots, dependent) = t.diagonal > t.least, square(t.m + 1)
    scale = free / np.sqrt(np.maximum(t.diagonal, t.least))  # nothing, of members and of what depends on them
    u = t.last * scale
    r = t.T * scale
    r *= scale[:, None]
    gain = r * u[:, None]
    np.subtract(u, gain, out=gain)
    gain *= gain
    r *= r
    np.subtract(1.0, r, out=r)
    gain /= np.maximum(r, dependent, out=r)  # where nothing is left of j, nothing is left of its gradient either
    j = gain.argmax(axis=1)
    at = slots + j
    more = gain.take(at)
    more *= free
    both = u * u
    both += more
    twice = j.take(j) == i
    twice &= j < i
    both[twice] = 0.0
    few = both.argpartition(-TRIED)[-TRIED:] if both.size > TRIED else i
    fine = r.take(at.take(few)) > DEPENDENT
    fine &= more.take(few) > 0
    few = few[fine]
    come = np.empty((2, few.size), np.intp)
    come[0], come[1] = few, j.take(few)
    return come, both.take(few)


def _orthogonal(share: Matrix, y: Matrix, a: Indices, b: Indices) -> tuple[Matrix, Matrix]:
    """(y_a, what of y_b is orthogonal to it, scaled), of pairs a, b with these correlations."""
    first, second = y.take(a, axis=0), y.take(b, axis=0)
    second -= share * first
    second /= _rest(share)
    return first, second


def _rest(share: Matrix) -> Matrix:
    """sqrt(1 - share^2)."""
    rest = share * share
    np.subtract(1.0, rest, out=rest)
    return np.sqrt(rest, out=rest)


def _best(z: Matrix, d: Matrix, least: Vector, slots: Indices) -> tuple[Indices, Vector]:
    """In each row who comes in, as a position in the table, and twice the gain, both (rows, 1).

    None for who depends on members, where z is nothing as well. slots: where the rows begin.
    """
    np.maximum(d, least, out=d)
    gain = z * z
    gain /= d
    at = (slots + gain.argmax(axis=1))[:, None]
    return at, gain.take(at)


@lru_cache(maxsize=64)
def pairs(size: int) -> tuple[Indices, Indices]:
    """The positions of all pairs."""
    a, b = np.triu_indices(size, 1)
    return a, b


@lru_cache(maxsize=64)
def joins(size: int) -> tuple[Indices, Indices]:
    """The positions of all pairs, of each with itself, and of each with the last one of size + 1."""
    (a, b), each = pairs(size), np.arange(size)
    return np.concatenate([a, each, each]), np.concatenate([b, each, np.full(size, size)])


@lru_cache(maxsize=8)
def square(size: int) -> tuple[Indices, Indices, Matrix]:
    """The rows of a square table, where they begin, and `DEPENDENT` everywhere: an array is faster than a number."""
    each = np.arange(size)
    return each, each * size, np.full((size, size), DEPENDENT)
