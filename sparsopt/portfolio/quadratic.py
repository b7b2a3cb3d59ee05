"""The portfolio for quadratics (least squares among them): combinatorics on a small Gram, few passes over the data.

A. Screen the coordinates of largest gain at 0, select forward on their small Gram, swap to a local optimum; add what
   the residual still asks for, and again, until nothing new qualifies.
B. If every member is worth clearly more than every outsider (correlation taken into account), that is the answer.
C. Swaps over all coordinates, to exact one-swap optimality. Where the members stand out and data are plenty, stop.
D. A second start by orthogonal matching pursuit over all coordinates; the better one stays.
E. Until nothing improves: oscillate (forward far past k, backward to k) and try pairs, on a screened Gram; swaps.
F. `effort` times in a row without improvement (100 times that, and from effort 1 on, where n < 2 k log p): drop one to
   three members at random, refill at random by gain, swaps.

No single start survives the hard instances; each stage is there for one that the others miss.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsopt.portfolio.tableau import DEPENDENT, Matrix, Tableau, Vector, pair_gains, swap_gains

Indices = NDArray[np.intp]

ALL = 400  # problems up to this size are one tableau
SMALL = 200  # up to this size no answer is taken for clear: decoys are clearly worth more than what fits exactly
RESTARTS = 100  # failures that end the iterated search where samples are few, times effort
WIDE = 64  # entering candidates looked at before all of them are


class Search:
    """The state of one search: the incumbent support and what is known at it."""

    def __init__(self, problem: Any, k: int, seed: int, effort: int) -> None:
        self.problem, self.k, self.effort = problem, k, effort
        self.p = problem.layout.n
        self.h: Vector = np.asarray(problem.curvature(), dtype=float)
        self.c: Vector = -np.asarray(problem.gradient(problem.start(0).x), dtype=float)  # f = x'Hx/2 - c'x + constant
        self.scale = float(np.max(self.c**2 / np.where(self.h > 0, self.h, np.inf), initial=0.0))
        self.random = np.random.default_rng([seed, 1])
        self.columns: dict[int, Vector] = {}

    # ---- pieces ----------------------------------------------------------------------------------------------------

    @property
    def tolerance(self) -> float:
        """What counts as lower: relative to the largest single gain, so that it means something where f is near 0."""
        return 1e-10 * self.scale

    @property
    def patience(self) -> int:
        """Failures in a row that end the iterated search: many where samples are few and other stages give out."""
        few = getattr(self.problem, "samples", math.inf) < 2 * self.k * math.log(max(self.p, 2))
        return self.effort * (RESTARTS if few else self.effort > 1)

    def usable(self, score: Vector) -> Vector:
        return np.where(self.h > 0, score / np.where(self.h > 0, 2 * self.h, 1.0), 0.0)

    def residual(self, S: Indices, weights: Vector) -> Vector:
        """Minus the gradient at the weights on S, over all coordinates: one pass over the data."""
        x = self.problem.start(0).x
        x[S] = weights
        return -np.asarray(self.problem.gradient(x), dtype=float)

    def tableau(self, C: Indices, S: Indices) -> Tableau:
        block = np.asarray(self.problem.hessian_block(C), dtype=float)
        return Tableau(block, self.c[C], np.isin(C, S))

    def hessian(self, S: Indices) -> Matrix:
        """Columns of H for S, (p, |S|), computed once each."""
        new = np.array([j for j in S if int(j) not in self.columns], dtype=np.intp)
        if new.size:
            fresh = np.asarray(self.problem.hessian_columns(new), dtype=float)
            self.columns.update({int(j): fresh[:, i] for i, j in enumerate(new)})
        return np.stack([self.columns[int(j)] for j in S], axis=1)

    # ---- A, B: on screened columns ---------------------------------------------------------------------------------

    def screened(self) -> tuple[Tableau, Indices, bool]:
        """Stage A; the tableau, its coordinates, and whether the answer is clear (stage B)."""
        start = self.usable(self.c**2)
        size = self.p if self.p <= ALL else max(math.ceil(1.5 * self.k) + 20, math.isqrt(self.p))
        size = min(self.p, size)  # up to sqrt(p), a Gram costs no more than a pass over the data
        C = np.sort(np.argpartition(start, self.p - size)[self.p - size :]) if size < self.p else np.arange(self.p)
        t = self.tableau(C, C[:0])
        t.forward(self.k)
        for _ in range(20):
            t.polish(self.tolerance)
            if size == self.p:
                return t, C, self.clear(t, t.entries())
            S = C[t.inside]
            asks = self.usable(self.residual(S, t.weights[t.inside]) ** 2)
            asks[C] = 0.0
            worst = float(t.exits().min(initial=np.inf))
            new = np.flatnonzero(asks > worst / 2)
            if not new.size:
                return t, C, self.clear(t, np.append(t.entries(), asks.max(initial=0.0)))
            new = new[np.argsort(-asks[new], kind="stable")[: max(self.k, 20)]]
            C = np.sort(np.concatenate([C, new]))
            t = self.tableau(C, S)
        return t, C, False

    def clear(self, t: Tableau, entries: Vector) -> bool:
        ratio, need = self.contrast(t, entries)
        return ratio >= need and self.p > SMALL

    def contrast(self, t: Tableau, entries: Vector) -> tuple[float, float]:
        """(cheapest exit / best entry, what that ratio must be for no swap to pay, by the correlations that occur)."""
        if not t.inside.any() or t.inside.all():
            return math.inf, 2.0
        S, F = np.flatnonzero(t.inside), np.flatnonzero(~t.inside)
        share = t.T[np.ix_(F, S)] ** 2 / -t.T[S, S]
        left = np.maximum(t.T[F, F], 0.0)[:, None] + share
        rho = math.sqrt(float(np.max(share / np.where(left > 0, left, 1.0), initial=0.0)))
        best = float(entries.max(initial=0.0))
        ratio = float(t.exits().min()) / best if best > 0 else math.inf
        return ratio, max(2.0, (1 + rho) / max(1 - rho, 1e-12))

    # ---- C: over all coordinates -----------------------------------------------------------------------------------

    def everywhere(self, S: Indices) -> tuple[Indices, float, bool]:
        """Swaps over all p coordinates until none pays. (support, value, whether the members stand out clearly)."""
        while True:
            view = _View(self, S)
            gains = view.gains(np.argsort(-view.entries, kind="stable")[:WIDE])
            if gains is None or gains[0] <= self.tolerance:
                gains = view.gains(np.arange(self.p))
            if gains is None or gains[0] <= self.tolerance:
                break
            _, enters, leaves = gains
            new = np.sort(np.append(S[leaves != S], enters))
            if _View(self, new).value > view.value - self.tolerance / 2:
                break
            S = new
        ratio, need = view.contrast()
        plenty = getattr(self.problem, "samples", math.inf) >= 4 * self.k * math.log(max(self.p, 2))
        return S, view.value, ratio >= max(1.25, 0.4 * need) and plenty and self.p > SMALL

    def pursuit(self) -> Indices:
        """Stage D's start: orthogonal matching pursuit over all coordinates."""
        S = np.empty(0, dtype=np.intp)
        for _ in range(self.k):
            entries = _View(self, S).entries
            best = int(entries.argmax())
            if entries[best] <= 0:
                break
            S = np.append(S, best)
        return np.sort(S)

    # ---- E, F: further from here -----------------------------------------------------------------------------------

    def surroundings(self, S: Indices) -> Tableau:
        """A tableau of S and what is most promising beside it; its coordinates are left in `self.around`."""
        view = _View(self, S)
        width = min(self.p, max(150, 4 * self.k + 50))
        by_entry = np.argsort(-view.entries, kind="stable")[:width]
        by_swap = np.argsort(-view.best_swaps(), kind="stable")[: width // 3]
        self.around = np.unique(np.concatenate([S, by_entry, by_swap]))
        return self.tableau(self.around, S)

    def further(self, S: Indices, value: float) -> tuple[Indices, float]:
        """One round of stage E: oscillation, then pairs; the best support found and its value."""
        t = self.surroundings(S)
        best, lowest = t.inside.copy(), t.value
        samples = getattr(self.problem, "samples", math.inf)
        for reach in {2 * self.k, int(min(t.m, 200, samples if t.m <= samples else 0.6 * samples))}:
            t.to(best)
            t.forward(min(max(reach, self.k + 1), t.m))
            t.backward(self.k)
            t.polish(self.tolerance)
            if t.value < lowest - self.tolerance:
                best, lowest = t.inside.copy(), t.value
        if lowest < value - self.tolerance:
            return self.around[best], lowest
        return self.pairs(S, value)

    def pairs(self, S: Indices, value: float) -> tuple[Indices, float]:
        """The eight pairs (one of the surroundings, one of all) that gain most together: both come in, two go out."""
        view = _View(self, S)
        C = self.around[view.free[self.around]]
        if not C.size:
            return S, value
        cross = self.hessian(C) - view.B @ self.hessian(C)[S]
        gains = pair_gains(view.c, view.d, cross, C)
        gains[~view.free] = 0.0
        places = np.argpartition(gains, gains.size - min(8, gains.size), axis=None)[-8:]
        places = places[gains.ravel()[places] > 0]  # not members, nor what depends on them
        partners, firsts = np.unravel_index(places, gains.shape)
        t = self.tableau(np.unique(np.concatenate([self.around, partners])), S)
        best, lowest, coordinates = t.inside.copy(), t.value, np.unique(np.concatenate([self.around, partners]))
        start = best
        for j, i in zip(partners, C[firsts], strict=True):
            t.to(start)
            t.enter(int(np.searchsorted(coordinates, i)))
            t.enter(int(np.searchsorted(coordinates, j)))
            t.backward(self.k)
            t.polish(self.tolerance)
            if t.value < lowest - self.tolerance:
                best, lowest = t.inside.copy(), t.value
        return (coordinates[best], lowest) if lowest < value - self.tolerance else (S, value)

    def perturbed(self, S: Indices, value: float) -> tuple[Indices, float]:
        """Stage F: iterated local search from S on its surroundings."""
        t = self.surroundings(S)
        best, lowest, failures = t.inside.copy(), t.value, 0
        while failures < self.patience:
            t.to(best)
            members = np.flatnonzero(best)
            gone = self.random.choice(members, min(int(self.random.integers(1, 4)), len(members)), replace=False)
            for j in gone:
                t.sweep(int(j))
            for _ in gone:
                gains = t.entries()
                gains[gone] = 0.0
                t.enter(int((gains * self.random.exponential(size=t.m)).argmax()))
            t.polish(self.tolerance)
            better = t.value < lowest - self.tolerance
            failures = 0 if better else failures + 1
            if better:
                best, lowest = t.inside.copy(), t.value
        return (self.around[best], lowest) if lowest < value - self.tolerance else (S, value)

    # ---- the whole -------------------------------------------------------------------------------------------------

    def run(self) -> Indices:
        """Stages A to F; the support, sorted."""
        if self.scale <= 0:
            return np.empty(0, dtype=np.intp)  # c = 0: the zero vector is optimal
        t, C, clear = self.screened()
        S, value = C[t.inside], t.value
        if clear or S.size < self.k:
            return S
        S, value, clear = self.everywhere(S)
        if clear or self.effort == 0:
            return S
        other, its, _ = self.everywhere(self.pursuit())
        if its < value - self.tolerance:
            S, value = other, its
        while True:
            before = value
            S, value = self.further(S, value)
            S, value, _ = self.everywhere(S)
            if self.patience and value >= before - self.tolerance:
                S, value = self.perturbed(S, value)
            if value >= before - self.tolerance:
                return S


class _View:
    """What all p coordinates look like from a support: B = H_.S G^-1, minus the gradient, Schur complements."""

    def __init__(self, search: Search, S: Indices) -> None:
        self.search, self.S = search, S
        h, c = search.h, search.c
        if S.size:
            H = search.hessian(S)
            self.inverse = np.linalg.inv(H[S])
            self.B = H @ self.inverse
            self.b = self.inverse @ c[S]
            self.c = c - H @ self.b
            self.d = h - np.einsum("ij,ij->i", H, self.B)
        else:
            self.inverse, self.B, self.b = np.empty((0, 0)), np.empty((search.p, 0)), np.empty(0)
            self.c, self.d = c, h
        self.value = -float(c[S] @ self.b) / 2
        self.gamma: Vector = np.diagonal(self.inverse).astype(float)
        free = self.d > DEPENDENT * h
        free[S] = False
        self.free = free
        self.entries: Vector = np.where(free, self.c**2 / np.where(free, 2 * self.d, 1.0), 0.0)

    def table(self, F: Indices) -> Matrix:
        floor = DEPENDENT * self.search.h[F]
        return swap_gains(self.B[F], self.gamma, self.b, self.c[F], self.d[F], floor)

    def gains(self, F: Indices) -> tuple[float, int, int] | None:
        """The best swap that brings in one of F: (gain, who enters, who leaves)."""
        F = F[~np.isin(F, self.S)]
        if not F.size or not self.S.size:
            return None
        table = self.table(F)
        j, i = divmod(int(table.argmax()), len(self.S))
        return float(table[j, i]), int(F[j]), int(self.S[i])

    def best_swaps(self) -> Vector:
        """For each coordinate the gain of its best swap; -inf for members. (p,)"""
        F = np.flatnonzero(~np.isin(np.arange(self.search.p), self.S))
        out = np.full(self.search.p, -np.inf)
        out[F] = self.table(F).max(axis=1, initial=-np.inf)
        return out

    def contrast(self) -> tuple[float, float]:
        """As `Search.contrast`, over all coordinates."""
        F = np.flatnonzero(self.free)
        if not F.size or not self.S.size:
            return math.inf, 2.0
        share = self.B[F] ** 2 / self.gamma
        left = self.d[F][:, None] + share
        rho = math.sqrt(float(np.max(share / left)))
        exits, best = self.b**2 / (2 * self.gamma), float(self.entries.max())
        ratio = float(exits.min()) / best if best > 0 else math.inf
        return ratio, max(2.0, (1 + rho) / max(1 - rho, 1e-12))
