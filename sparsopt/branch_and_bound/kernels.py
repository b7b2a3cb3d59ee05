"""The loop behind `backend="compiled"`: leaps and bounds depth first, one node at a time, its children as they are due.

The nodes, what closes them and all error bounds are those of `leaps`, which has the mathematics; sums are taken in
another order, which those bounds allow. Coordinates are numbered within the root. A level of the stack is a node with
its M; `next` is the first child that was not looked at.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from sparsopt.machine.compiling import compiled

__all__ = ["Numbers", "Stack", "explore"]

EPS = float(np.finfo(float).eps)


class Numbers(NamedTuple):
    """A quadratic: `model.Quadratic` on the coordinates of the root, p of the whole. (m, m), (m,) and numbers."""

    H: Any
    c: Any
    h: Any
    root: Any
    e: Any
    c_error: Any
    constant: float
    constant_error: float
    convexity: float
    margin: float
    root_norm: float
    c_norm: float
    e_norm: float
    c_error_norm: float
    k: int
    p: int


class Stack(NamedTuple):
    """The nodes on the way down, by level, and room to work in."""

    A: Any  # (l, m), of which the first `size` are used, as of all others
    M: Any  # (l, m, m)
    w: Any
    t: Any
    inside: Any  # (l, m) by coordinate
    bound: Any  # (l,)
    size: Any
    places: Any  # how many coordinates may still come in
    order: Any  # (l, r) positions by falling t
    next: Any  # -1: the node was not looked at
    G: Any  # (m,)
    A_left: Any
    w_left: Any


@compiled
def certified(q: Any, A: Any, w: Any, G: Any) -> Any:
    """`model.Quadratic.certified` of the point w on the coordinates A. G (m,): room for its gradient."""
    G[:] = -q.c
    for i in range(len(A)):
        row, x = q.H[A[i]], w[i]
        for j in range(len(G)):
            G[j] += x * row[j]
    value = reach = data = along = error = steep = 0.0
    for i in range(len(A)):
        j, size = A[i], abs(w[i])
        value += w[i] * (G[j] - q.c[j]) / 2
        reach += size * q.root[j]
        data += size * q.e[j]
        along += size * abs(q.c[j])
        error += size * q.c_error[j]
        steep += G[j] * G[j]
    value += q.constant - EPS * (2 * q.p + 10) * (abs(q.constant) + along + reach * reach)
    value -= q.constant_error + error + data * data / 2
    slope = np.sqrt(steep) * (1 + EPS * q.p) + EPS * (q.p + 5) * (q.root_norm * reach + q.c_norm)
    slope += q.e_norm * data + q.c_error_norm
    return value - slope * slope / (2 * q.convexity) * (1 + 10 * EPS)


@compiled
def largest(t: Any, order: Any) -> None:
    """Positions of the len(order) largest t, ties in order of position."""
    filled = 0
    for i in range(len(t)):
        if filled == len(order) and not t[i] > t[order[filled - 1]]:
            continue
        at = min(filled, len(order) - 1)
        while at > 0 and t[order[at - 1]] < t[i]:
            order[at] = order[at - 1]
            at -= 1
        order[at] = i
        filled = min(filled + 1, len(order))


@compiled
def without(A: Any, M: Any, w: Any, j: Any, A_left: Any, w_left: Any) -> None:
    """The node's minimiser with the coordinate at position j left out: coordinates and weights, one fewer."""
    share, at = w[j] / M[j, j], 0
    for i in range(len(A)):
        if i != j:
            A_left[at], w_left[at] = A[i], w[i] - M[i, j] * share
            at += 1


@compiled
def droppable(q: Any, s: Any, level: Any, j: Any, target: Any) -> Any:
    """Whether it is proved that leaving out the coordinate at position j takes f to the target."""
    if not s.bound[level] + s.t[level, j] / 2 >= target:
        return False
    m = s.size[level]
    without(s.A[level, :m], s.M[level], s.w[level, :m], j, s.A_left, s.w_left)
    return certified(q, s.A_left[: m - 1], s.w_left[: m - 1], s.G) >= target


@compiled
def grow(s: Any, level: Any, step: Any) -> None:
    """The child of a node that leaves out its step-th coordinate by t and has those before it in, a level below."""
    m, j, child = s.size[level], s.order[level, step], level + 1
    M, N, w = s.M[level], s.M[child], s.w[level]
    share = w[j] / M[j, j]
    for i in range(m):  # the last coordinate takes the place of the one that goes
        if i == j:
            continue
        at, scale = (j if i == m - 1 else i), M[i, j] / M[j, j]
        for l in range(m - 1):
            N[at, l] = M[i, l] - scale * M[j, l]
        if j < m - 1:
            N[at, j] = M[i, m - 1] - scale * M[j, m - 1]
        s.w[child, at], s.A[child, at] = w[i] - M[i, j] * share, s.A[level, i]
    s.inside[child] = s.inside[level]
    for before in range(step):
        s.inside[child, s.A[level, s.order[level, before]]] = True
    s.size[child], s.places[child], s.next[child] = m - 1, s.places[level] - step, -1
    s.bound[child] = s.bound[level] + s.t[level, j] / 2


@compiled
def leave(s: Any, level: Any, gone: Any, y: Any) -> Any:
    """w - M[:, gone] y without the positions `gone`, into the room that is left; how many these are."""
    at = 0
    for i in range(s.size[level]):
        x, stays = s.w[level, i], True
        for l in range(len(gone)):
            x -= s.M[level, i, gone[l]] * y[l]
            stays = stays and i != gone[l]
        if stays:
            s.A_left[at], s.w_left[at] = s.A[level, i], x
            at += 1
    return at


@compiled
def needed(q: Any, s: Any, level: Any, firsts: Any, target: Any) -> Any:
    """How many of the positions `firsts` have to be left out together to take f to the target, proved; else all + 1."""
    r, bound = len(firsts), s.bound[level]
    M, w = s.M[level], s.w[level]
    L, y = np.zeros((r, r)), np.zeros(r)
    for count in range(r):  # a Cholesky factor of M on `firsts` that grows until the bound is there
        y[count] = w[firsts[count]]
        for i in range(count + 1):
            rest = M[firsts[count], firsts[i]]
            for l in range(i):
                rest -= L[count, l] * L[i, l]
            if i < count:
                L[count, i] = rest / L[i, i]
                y[count] -= L[count, i] * y[i]
            elif not rest > 0:
                return r + 1
            else:
                L[i, i] = np.sqrt(rest)
        y[count] /= L[count, count]
        bound += y[count] * y[count] / 2
        if not bound >= target:
            continue
        for i in range(count, -1, -1):
            for l in range(i + 1, count + 1):
                y[i] -= L[l, i] * y[l]
            y[i] /= L[i, i]
        at = leave(s, level, firsts[: count + 1], y)
        return count + 1 if certified(q, s.A_left[:at], s.w_left[:at], s.G) >= target else r + 1
    return r + 1


@compiled
def pairs(q: Any, I: Any, few: Any, others: Any, target: Any, leaves: Any, count: Any) -> Any:
    """Supports of I, one of `few` and one more of `few` or `others` that may be below the target, put into `leaves`.

    Returns how many there are now, and the least value seen.
    """
    size, m = len(I), len(q.c)
    Z, c, d, base = np.empty((size, m)), q.c.copy(), q.h.copy(), q.constant
    for a in range(size):  # eliminate I
        row, pivot = Z[a], np.sqrt(d[I[a]])
        row[:] = q.H[I[a]]
        for b in range(a):
            share = Z[b, I[a]]
            for j in range(m):
                row[j] -= share * Z[b, j]
        z = c[I[a]] / pivot
        base -= z * z / 2
        for j in range(m):
            row[j] /= pivot
            c[j] -= z * row[j]
            d[j] -= row[j] * row[j]
    T, least, blur = np.empty(m), np.inf, 1e4 * EPS * (size + 7)
    for a in range(len(few)):
        i = few[a]
        T[:] = q.H[i]
        for b in range(size):
            share = Z[b, i]
            for j in range(m):
                T[j] -= share * Z[b, j]
        clear = d[i] > blur * q.h[i]
        for b in range(a + 1, len(few) + len(others)):
            j = few[b] if b < len(few) else others[b - len(few)]
            left, fall = d[j] - T[j] * T[j] / d[i], c[j] - T[j] * c[i] / d[i]
            value = base - (c[i] * c[i] / d[i] + fall * fall / left) / 2
            sure = clear and left > blur * q.h[j]
            if sure:
                least = min(least, value)
            if not sure or not value >= target + q.margin:
                leaves[count, :size], leaves[count, size], leaves[count, size + 1] = I, i, j
                count += 1
    return count, least


@compiled
def rank(q: Any, s: Any, level: Any) -> None:
    """What leaving out each coordinate of a node costs, and their order by it."""
    m = s.size[level]
    for i in range(m):
        diagonal, w = s.M[level, i, i], s.w[level, i]
        t = w * w / diagonal if diagonal > 0 else 0.0
        s.t[level, i] = -1.0 if s.inside[level, s.A[level, i]] else (t if t >= 0 else 0.0)
    largest(s.t[level, :m], s.order[level, : min(m, s.order.shape[1])])


@compiled
def promising(q: Any, s: Any, level: Any, target: Any) -> Any:
    """Whether the pairs of a node have to be looked at: of three candidates for two places one is left out."""
    for back in range(3):  # noqa: SIM110 - Numba has no generators
        if not droppable(q, s, level, s.order[level, s.places[level] - back], target):
            return True
    return False


@compiled
def look_at_pairs(q: Any, s: Any, level: Any, target: Any, leaves: Any, count: Any) -> Any:
    """The pairs beside what a node leaves out one by one. Returns what `pairs` does."""
    m, places, inside = s.size[level], s.places[level], s.inside[level].copy()
    A, free = s.A[level, :m], m - (q.k - places)
    order = s.order[level]
    for step in range(places - 2):
        inside[A[order[step]]] = True
    I = np.flatnonzero(inside)
    firsts = order[places - 2 : min(free, len(order) - q.k + places - 2)]
    wanted = needed(q, s, level, firsts, target)
    few = A[firsts[:wanted]] if wanted <= len(firsts) else A[~inside[A]]
    inside[few] = True
    return pairs(q, I, few, A[~inside[A]], target, leaves, count)


@compiled
def explore(q: Any, s: Any, level: Any, most: Any, target: Any, leaves: Any) -> Any:
    """Goes on from `level` until `most` nodes were looked at, a pair is better for sure, or `leaves` (b, k) is full.

    leaves: supports that have to be solved with care. Returns the level (-1: nothing is open), and how many nodes were
    looked at and leaves were found.
    """
    nodes = count = 0
    room = len(leaves) - len(q.c) * len(q.c)
    while level >= 0 and count < room:
        step = s.next[level]
        if step < 0:
            if nodes == most:
                break
            nodes, s.next[level] = nodes + 1, 0
            rank(q, s, level)
            if promising(q, s, level, target):
                count, least = look_at_pairs(q, s, level, target, leaves, count)
                if least < target - q.margin:
                    break
        elif step >= s.places[level] - 2:
            level -= 1
        else:
            s.next[level] = step + 1
            if not droppable(q, s, level, s.order[level, step], target):
                grow(s, level, step)
                level += 1
                if s.size[level] == q.k:
                    leaves[count] = s.A[level, : q.k]
                    level, count = level - 1, count + 1
    return level, nodes, count
