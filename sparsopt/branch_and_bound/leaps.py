"""Leaps and bounds for quadratics of up to some hundred coordinates: O(m^2) a node, many nodes at a time.

A node fixes coordinates I in and leaves m coordinates A, I among them, to choose from. With M = H_AA^-1 and w = M c_A
the minimiser on A, leaving out j costs t_j / 2, t_j = w_j^2 / M_jj, at least. With j1, j2, ... the free coordinates in
order of falling t, the supports of the node are those without j1, those with j1 without j2, those with j1, j2 without
j3, ... (Furnival and Wilson 1974): children whose bound is already known, and that differ from the node by a rank-one
downdate of M. Where two places are left, pairs are looked at in closed form.

M drifts, and nothing rests on it. A child is dropped only after its minimiser u, however it was found, has shown that
min_A f >= f(u) - |g_A(u)|^2 / (2 lambda), lambda <= the smallest eigenvalue of H, with all rounding errors subtracted;
where that does not reach the target, the child is kept. Pairs are dropped with a margin for the backward error of a
Cholesky factorisation (Higham 2002, theorem 10.3), and otherwise solved with care.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsopt.branch_and_bound.incumbent import Incumbent
from sparsopt.branch_and_bound.model import Quadratic
from sparsopt.branch_and_bound.splitting import Flags
from sparsopt.state import Array

__all__ = ["FEW", "Leaps", "Nodes"]

EPS = float(np.finfo(float).eps)
FEW = 12  # of the coordinates of largest t, among which one of a pair is looked for


@dataclass(frozen=True)
class Nodes:
    """Some nodes with equally many coordinates: A (b, m) indices, M (b, m, m), w (b, m), inside (b, p)."""

    A: Array
    M: Array
    w: Array
    inside: Array
    bound: Array

    def __len__(self) -> int:
        return len(self.A)

    def take(self, rows: Any) -> Nodes:
        """Some of the nodes."""
        return Nodes(self.A[rows], self.M[rows], self.w[rows], self.inside[rows], self.bound[rows])

    @staticmethod
    def joined(parts: list[Nodes]) -> Nodes:
        """The nodes of several collections."""
        if len(parts) == 1:
            return parts[0]
        names = ("A", "M", "w", "inside", "bound")
        return Nodes(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


class Leaps:
    """A search among the supports of size k of a quadratic, which improves and closes `found`."""

    def __init__(self, model: Quadratic, found: Incumbent) -> None:
        self.model, self.k, self.found = model, model.k, found
        self.batch = int(np.clip(4e6 / (model.k * model.p**2), 4, 64))
        self.waiting: dict[int, list[Nodes]] = {}

    def run(self, inside: Flags, outside: Flags) -> float:
        """Searches the supports that contain `inside` and avoid `outside`.

        Returns a lower bound on what was left open when time or nodes ran out (inf: nothing was).
        """
        root = self._root(inside, outside)
        if self.k - np.count_nonzero(inside) < 3 or root.A.shape[1] <= self.k:
            self._few(root)
            return np.inf
        self._push(root)
        return self._work()

    def _work(self, most: float = np.inf) -> float:
        """Looks at `most` more nodes; the bound of what is left."""
        most += self.found.nodes
        while self.waiting and not self.found.spent and self.found.nodes < most:
            nodes = self._pop()
            self.found.nodes += len(nodes)
            self._expand(nodes)
        left = [part for parts in self.waiting.values() for part in parts]
        return min((float(self._proved(part).min()) for part in left), default=np.inf)

    def _root(self, inside: Flags, outside: Flags) -> Nodes:
        A = np.flatnonzero(~outside)
        M = np.linalg.inv(self.model.H[np.ix_(A, A)])
        M = (M + M.T) / 2
        w = M @ self.model.c[A]
        bound = self.model.constant - 0.5 * float(self.model.c[A] @ w)
        return Nodes(A[None], M[None], w[None], inside[None], np.array([bound]))

    def _few(self, root: Nodes) -> None:
        """At most two places, or no choice at all."""
        if root.A.shape[1] <= self.k:
            self._leaf(root.A[0])
        elif self.k - root.inside.sum() == 2:
            self._pairs(root.inside, self._mask(root), np.arange(self.model.p)[None])
        else:
            self._singles(root.inside[0], self._mask(root)[0])

    # ---- the pool of nodes -----------------------------------------------------------------------------------------

    def _push(self, nodes: Nodes) -> None:
        self.waiting.setdefault(nodes.A.shape[1], []).append(nodes)

    def _pop(self) -> Nodes:
        """A full batch as deep as there is one, else the deepest nodes."""
        full = [m for m, parts in self.waiting.items() if sum(map(len, parts)) >= self.batch]
        m = min(full or self.waiting)
        parts, size = self.waiting[m], 0
        taken: list[Nodes] = []
        while parts and size < self.batch:
            taken.append(parts.pop())
            size += len(taken[-1])
        if not parts:
            del self.waiting[m]
        nodes = Nodes.joined(taken)
        if len(nodes) > self.batch:
            self._push(nodes.take(slice(self.batch, None)))
            nodes = nodes.take(slice(0, self.batch))
        return nodes

    def _mask(self, nodes: Nodes) -> Array:
        mask = np.zeros((len(nodes), self.model.p), dtype=bool)
        np.put_along_axis(mask, nodes.A, True, axis=1)
        return mask

    def _proved(self, nodes: Nodes) -> Array:
        """Certified bounds of the nodes."""
        U = np.zeros((len(nodes), self.model.p))
        np.put_along_axis(U, nodes.A, nodes.w, axis=1)
        return self.model.certified(U, self._mask(nodes))

    # ---- one batch -------------------------------------------------------------------------------------------------

    def _expand(self, nodes: Nodes) -> None:
        """Children that leave out one of the k - |I| - 2 coordinates of largest t, and the pairs beside those."""
        diagonal = np.einsum("bii->bi", nodes.M)
        t = np.where(diagonal > 0, nodes.w**2 / np.where(diagonal > 0, diagonal, 1.0), 0.0)
        t[np.take_along_axis(nodes.inside, nodes.A, axis=1)] = -1.0
        order = np.argsort(-t, axis=1, kind="stable")[:, : self.k + FEW]
        places = self.k - nodes.inside.sum(axis=1)
        everything, inside = self._mask(nodes), nodes.inside.copy()
        rows = np.arange(len(nodes))
        kept: list[tuple[Array, Array, Array]] = []
        for step in range(int(places.max()) - 2):
            rows = rows[places[rows] - 2 > step]
            positions = order[rows, step]
            keep = ~self._droppable(nodes, rows, positions, t, everything)
            kept.append((rows[keep], positions[keep], inside[rows[keep]]))
            inside[rows, nodes.A[rows, positions]] = True
        rows = self._promising(nodes, order, places, t, everything)
        if rows.size:
            self._look_at_pairs(nodes, rows, order, places, inside, everything)
        for rows, positions, within in kept:
            if rows.size:
                self._grow(nodes, rows, positions, within, t)

    def _droppable(self, nodes: Nodes, rows: Array, positions: Array, t: Array, everything: Array) -> Array:
        """Whether it is proved that leaving out a coordinate (by position) takes f to the target."""
        bound = nodes.bound[rows] + t[rows, positions] / 2
        sure = bound >= self.found.target
        if not sure.any():
            return sure
        sure[sure] = self._without(nodes, rows[sure], positions[sure], everything) >= self.found.target
        return sure

    def _without(self, nodes: Nodes, r: Array, j: Array, everything: Array) -> Array:
        """Certified bounds of what is left without a coordinate (by position)."""
        w = nodes.w[r] - nodes.M[r, :, j] * (nodes.w[r, j] / nodes.M[r, j, j])[:, None]
        w[np.arange(r.size), j] = 0.0
        U, A = np.zeros((r.size, self.model.p)), everything[r].copy()
        np.put_along_axis(U, nodes.A[r], w, axis=1)
        A[np.arange(r.size), nodes.A[r, j]] = False
        return self.model.certified(U, A)

    def _promising(self, nodes: Nodes, order: Array, places: Array, t: Array, everything: Array) -> Array:
        """The nodes whose pairs have to be looked at: of three candidates for two places one is left out."""
        rows = np.arange(len(nodes))
        has_three = order.shape[1] > places
        third = order[rows, np.minimum(places, order.shape[1] - 1)]
        low = np.where(has_three, nodes.bound + t[rows, third] / 2, -np.inf)
        dropped = low >= self.found.target
        for back in (2, 1, 0):
            some = rows[dropped]
            if some.size:
                dropped[some] = self._droppable(nodes, some, order[some, places[some] - back], t, everything)
        return rows[~dropped]

    def _grow(self, nodes: Nodes, rows: Array, positions: Array, inside: Array, t: Array) -> None:
        """The children without the coordinates at these positions."""
        bound = nodes.bound[rows] + t[rows, positions] / 2
        m, many = nodes.A.shape[1], np.arange(rows.size)
        column = nodes.M[rows, :, positions]
        scaled = column / column[many, positions][:, None]
        w = nodes.w[rows] - scaled * nodes.w[rows, positions][:, None]
        M = nodes.M[rows]
        M -= column[:, :, None] * scaled[:, None, :]
        A = nodes.A[rows]
        for array in (A, w, M):  # the last coordinate takes the place of the one that goes
            array[many, positions] = array[:, -1]
        M[many, :, positions] = M[:, :, -1]
        if m - 1 <= self.k:
            for row in A[:, :-1]:
                self._leaf(row)
            return
        self._push(Nodes(A[:, :-1], M[:, :-1, :-1], w[:, :-1], inside, bound))

    # ---- where two places are left ---------------------------------------------------------------------------------

    def _look_at_pairs(
        self, nodes: Nodes, rows: Array, order: Array, places: Array, inside: Array, everything: Array
    ) -> None:
        """The pairs of these nodes; where leaving out the first few by t is too dear, only those with one of them."""
        width = min(FEW, order.shape[1] - int(places[rows].max()) + 2)
        firsts = order[rows[:, None], places[rows][:, None] - 2 + np.arange(width)]
        count = self._needed(nodes, rows, firsts, everything)
        some = count <= width
        if some.any():
            few = np.take_along_axis(nodes.A[rows[some]], firsts[some, : count[some].max()], axis=1)
            self._pairs(inside[rows[some]], everything[rows[some]], few)
        if not some.all():
            rest = rows[~some]
            for part in np.array_split(rest, -(-rest.size // max(1, self.batch // 4))):
                few = np.broadcast_to(np.arange(self.model.p), (part.size, self.model.p))
                self._pairs(inside[part], everything[part], few)

    def _needed(self, nodes: Nodes, rows: Array, firsts: Array, everything: Array) -> Array:
        """How many of `firsts` (b, r) have to be left out together to take f to the target, proved; r + 1: more."""
        b, r = firsts.shape
        M = nodes.M[rows[:, None, None], firsts[:, :, None], firsts[:, None, :]]
        w = nodes.w[rows[:, None], firsts]
        try:
            half = np.linalg.inv(np.linalg.cholesky(M))
        except np.linalg.LinAlgError:
            return np.full(b, r + 1)
        y = np.einsum("bij,bj->bi", half, w)
        bound = nodes.bound[rows][:, None] + 0.5 * np.cumsum(y * y, axis=1)
        count = (bound < self.found.target).sum(axis=1) + 1
        within = np.flatnonzero(count <= r)
        y = np.where(np.arange(r) < count[:, None], y, 0.0)[within]
        weights = np.einsum("bij,bi->bj", half[within], y)
        at, gone = rows[within], firsts[within]
        u = nodes.w[at] - np.einsum("bmr,br->bm", nodes.M[at[:, None], :, gone].transpose(0, 2, 1), weights)
        U, A = np.zeros((at.size, self.model.p)), everything[at].copy()
        out = np.where(np.arange(r) < count[within][:, None], np.take_along_axis(nodes.A[at], gone, axis=1), -1)
        np.put_along_axis(U, nodes.A[at], u, axis=1)
        here, which = np.nonzero(out >= 0)
        A[here, out[here, which]] = U[here, out[here, which]] = False
        proved = self.model.certified(U, A) >= self.found.target
        count[within[~proved]] = r + 1
        return count

    # ---- where few places are left ---------------------------------------------------------------------------------

    def _pairs(self, inside: Array, among: Array, few: Array) -> None:
        """All supports of `inside` (b, p), k - 2 each, one of `few` (b, r) and one more of `among` (b, p).

        Eliminating I, then i of `few`, then j is a Cholesky factorisation of H on the support; what c loses on the way
        is by how much f falls.
        """
        model, b = self.model, len(inside)
        many = np.arange(b)[:, None]
        I = np.nonzero(inside)[1].reshape(b, self.k - 2)
        d, c = np.broadcast_to(model.h, (b, model.p)), np.broadcast_to(model.c, (b, model.p))
        T, base = model.H[few], np.full(b, model.constant)
        if self.k > 2:
            half = np.linalg.inv(np.linalg.cholesky(model.H[I[:, :, None], I[:, None, :]]))
            Z, z = half @ model.H[I], np.einsum("bij,bj->bi", half, model.c[I])
            base = base - 0.5 * (z * z).sum(axis=1)
            c, d = c - np.einsum("bip,bi->bp", Z, z), d - np.einsum("bip,bip->bp", Z, Z)
            T = T - Z[many, :, few] @ Z
        free, blurred = among & ~inside, 1e4 * EPS * (self.k + 5) * model.h
        pivot, first = d[many, few], c[many, few]
        clear = pivot > blurred[few]
        share = T / np.where(clear, pivot, 1.0)[:, :, None]
        left = d[:, None, :] - share * T
        fall = c[:, None, :] - share * first[:, :, None]
        fall *= fall
        doubtful = (left <= blurred) | ~clear[:, :, None]
        left[doubtful] = 1.0
        fall /= left
        fall += (first * first / np.where(clear, pivot, 1.0))[:, :, None]
        fall[doubtful] = np.inf
        fall[~(free[many, few][:, :, None] & free[:, None, :])] = -np.inf
        np.put_along_axis(fall, few[:, :, None], -np.inf, axis=2)
        for row in np.flatnonzero(base - 0.5 * fall.max(axis=(1, 2)) < self.found.target + model.margin):
            near = base[row] - 0.5 * fall[row] < self.found.target + model.margin
            first, second = few[row][near.nonzero()[0]], near.nonzero()[1]
            for pair in sorted({(min(pair), max(pair)) for pair in zip(first, second, strict=True)}):
                self._leaf(np.append(I[row], pair))

    def _singles(self, inside: Flags, among: Flags) -> None:
        """All supports of `inside` and what is left to fill of `among`, one coordinate or none, solved one by one."""
        if np.count_nonzero(inside) == self.k:
            self._leaf(np.flatnonzero(inside))
            return
        for j in np.flatnonzero(among & ~inside):
            self._leaf(np.append(np.flatnonzero(inside), j))

    def _leaf(self, support: Array) -> None:
        """One support, solved and closed."""
        mask = np.zeros(self.model.p, dtype=bool)
        mask[support] = True
        x, value = self.model.problem.minimise_on(mask, None)
        self.found.offer(x, value)
        self.found.close(float(self.model.certified(x[None].astype(np.float64), mask[None])[0]))
