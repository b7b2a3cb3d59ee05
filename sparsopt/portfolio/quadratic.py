"""The portfolio for quadratics (least squares among them): combinatorics on a small Gram, few passes over the data.

A. Screen the coordinates of largest gain at 0, select forward on their small Gram, swap to a local optimum; add what
   the residual still asks for, and again, until nothing new qualifies.
B. If every member is worth clearly more than every outsider (correlation taken into account), that is the answer.
   Where p is so large that passes are what costs, A and B come first with more coordinates at a time, and with no
   member at first that is not worth clearly more than the others might be: if that is not clear, it was for nothing.
C. Swaps over all coordinates, to exact one-swap optimality. Where the members stand out and data are plenty, stop.
D. A second start by orthogonal matching pursuit over all coordinates; the better one stays. Where the data still ask
   for more than noise does and the unrestricted minimiser is unique, that, pruned, is a third.
E. Until nothing improves: oscillate (forward far past k, backward to k) and try pairs, on a screened Gram; swaps.
F. Tabu search, as often as `effort` says, each from the best so far; long where samples are few (n < 2 k log p), and
   from the second time on, else short.

No single start survives the hard instances; each stage is there for one that the others miss. Where p is so large that
k rows of its Hessian would be more than `WIDE` numbers, C to F see the `POOL` coordinates that ask most. Where it is at
most `FEW`, A is forward selection and swaps on one tableau of everything, and B is that no exchange of two (`twos`) has
found anything either; what they find is where C begins. Where supports are few (`few`), B looks at all of them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsopt.portfolio import few, tabu
from sparsopt.portfolio.known import FEW, Known
from sparsopt.portfolio.pairs import promising
from sparsopt.portfolio.rows import WIDE, largest
from sparsopt.portfolio.swept import Indices, Swept, inverse
from sparsopt.portfolio.tableau import Tableau, Vector
from sparsopt.portfolio.twos import exchanged

PLENTY = 12  # samples, times k log p, with which exchanges of two that find nothing end the search
ALL = 250  # problems up to this size are one tableau, of the rows of S
SMALL = 200  # up to this size no answer is taken for clear: decoys are clearly worth more than what fits exactly
SHORT = 30  # moves of tabu search where samples are many
POOL = 4096
ORDER = 2.0  # times what noise asks for is more than noise
MANY = 3000  # coordinates up to which the whole Hessian is inverted, where the minimiser is unique and much is left


class Search(Known):
    """Stages A to F on what is known."""

    explained = False  # whether what is left of the data asks for no more than noise does
    own: Any = None  # the tableau of everything, where coordinates are few

    # ---- A, B: on screened columns ---------------------------------------------------------------------------------

    def screened(self) -> tuple[Indices, bool]:
        """Stages A and B: quickly where p is large, with care where that has not been clear."""
        needed = math.ceil(1.5 * self.k) + 20
        even = math.isqrt(2 * self.p)  # a Gram of so many takes as many products as a pass over the data
        if self.p > ALL and even >= 2 * needed:
            S, clear = self.grown(largest(self.start, even), even // 2, 0.5)
            if clear:
                return S, True
        size = self.p if self.p <= ALL else min(self.p, max(needed, math.isqrt(self.p)))
        return self.grown(largest(self.start, size), max(self.k // 2, 40), 0.0)

    def grown(self, C: Indices, most: int, share: float) -> tuple[Indices, bool]:
        """Stage A from C, `most` more at a time; the support, and whether the answer is clear (stage B).

        First no member gains less than this share of what the coordinates beside C may gain.
        """
        t, highest, S, asks, size = self.tableau(C, C[:0]), None, C[:0], self.start, C.size
        t.forward(self.k, share * float(self.start[C].min()))
        for _ in range(20):
            t.polish(self.tolerance)
            S = C[t.S]
            self.reached(S)
            if size == self.p:
                break
            asks = self.asks(S, t.weights)
            asks[C] = 0.0
            new = np.flatnonzero(asks > t.exits().min(initial=np.inf) / 2)
            if new.size:
                new = new[np.argsort(-asks[new], kind="stable")[:most]]
                C = np.sort(np.concatenate([C, new]))
                t = self.tableau(C, np.searchsorted(C, S))
            if not t.forward(self.k) and not new.size:
                highest = max(float(t.entries().max()), float(asks.max()))
                break
        else:
            return S, False
        ratio, need = t.contrast(highest)
        self.explained = self.noise(float(t.entries().sum()) + (0.0 if size == self.p else float(asks.sum())), t.value)
        return S, ratio >= need and self.p > SMALL and self.explained

    def whole(self) -> tuple[Indices, bool]:
        """Stages A and B where p is small. What exchanges of two find is kept; C to F begin where they have begun."""
        self.own = t = Tableau(self.rows(...), self.c)
        t.forward(self.k)
        t.polish(self.tolerance)
        S = t.inside.nonzero()[0]
        self.reached(S)
        if self.effort and few.quadratic(self.p, self.k):
            return self.of_all(t), True
        if self.effort == 0 or exchanged(t, self.tolerance):
            return S, self.effort == 0
        self.explained = self.noise(float(t.entries().sum()), t.value)
        plenty = PLENTY * self.k * math.log(self.p) <= self.samples < math.inf
        return S, plenty and self.explained and self.effort == 1

    def of_all(self, t: Tableau) -> Indices:
        """The best of all supports, where these are few; the own one where none is better."""
        value, own, S = t.value, t.inside.copy(), few.best(t.H, t.c, self.k)
        if not own[S].all():
            t.to(np.zeros(self.p, dtype=bool))
            for j in S.tolist():
                t.enter(j)
            if t.value > value - self.tolerance:
                t.to(own)
            self.reached(t.inside.nonzero()[0])
        return t.inside.nonzero()[0]

    def best_of_both(self, t: Swept) -> Indices:
        """The better one of t and what exchanges of two have found; exchanges of two from there."""
        own = self.own
        if t.value < own.value - self.tolerance:
            own.to(np.isin(np.arange(self.p), t.S))
        exchanged(own, self.tolerance)
        self.reached(np.flatnonzero(own.inside))
        return np.flatnonzero(own.inside)

    def noise(self, gains: float, value: float) -> bool:
        """Whether what is left of the data asks for the coordinates no more than noise does.

        Noise of variance v leaves f = v / 2, and asks each coordinate for v / (2 n) on average. Decoys leave an orderly
        rest, although each of them is worth much more than any outsider.
        """
        left = self.beginning + value
        return not math.isfinite(self.samples) or self.samples * gains <= ORDER * self.p * left

    # ---- C, D: over all coordinates --------------------------------------------------------------------------------

    def stands_out(self, t: Swept) -> bool:
        """Whether the members stand out clearly enough, data being plenty, for no other stage to be worth its time."""
        if self.p <= SMALL or self.samples < 4 * self.k * math.log(self.p) or not self.explained:
            return False
        ratio, need = t.contrast()
        return ratio >= max(1.25, 0.4 * need)

    def pursued(self) -> Swept:
        """Stage D: orthogonal matching pursuit over all coordinates, and swaps."""
        t = self.everything(np.empty(0, dtype=np.intp))
        t.forward(self.k)
        t.polish(self.tolerance)
        self.reached(t.S)
        return t

    def pruned(self) -> Swept:
        """Stage D, too: the unrestricted minimiser, without what it needs least, and swaps."""
        whole = inverse(self.block(np.arange(self.p)))
        own = np.diagonal(whole)
        exits = np.divide((whole @ self.c) ** 2, own, out=np.zeros(self.p), where=own > 0)
        C = largest(exits, min(self.p, 4 * self.k + 50))
        t = self.tableau(C, np.arange(C.size))
        t.eliminated(self.k)
        return self.everywhere(C[t.S])

    # ---- E, F: further from here -----------------------------------------------------------------------------------

    def surroundings(self, t: Swept) -> tuple[Indices, Swept]:
        """The support and what is most promising beside it: coordinates, and a tableau of them."""
        width = min(self.p, max(150, 4 * self.k + 50))
        if width == self.p:
            return np.arange(self.p), t.copy()
        near = np.zeros(self.p, dtype=bool)
        near[t.S] = near[largest(t.entries(), width)] = near[largest(t.best_gains(), width // 3)] = True
        C = np.flatnonzero(near)
        return C, self.tableau(C, np.searchsorted(C, t.S))

    def further(self, t: Swept) -> Swept:
        """One round of stage E: oscillation, then pairs; the best support that was found."""
        C, near = self.surroundings(t)
        best = near.copy()
        rank = near.rank()
        most = min(near.m, 200, rank if near.m <= rank else int(0.6 * rank))
        for reach in (min(2 * self.k, most), most):
            if reach >= near.m:
                near.eliminated(self.k)
            else:
                near.to(best.S)
                near.forward(max(reach, self.k + 1))
                near.backward(self.k)
            near.polish(self.tolerance)
            if near.value < best.value - self.tolerance:
                best = near.copy()
        if best.value < t.value - self.tolerance:
            return self.everywhere(C[best.S])
        return self.paired(t, C) if self.k + 2 < rank else t  # else any pair fits everything: rounding would choose

    def paired(self, t: Swept, C: Indices) -> Swept:
        """The pairs (one of C, one of all) that gain most together: both come in, two go out, swaps."""
        pairs = promising(t, C, self.ranking(t))
        C = np.union1d(C, pairs.ravel())
        start = self.tableau(C, np.searchsorted(C, t.S))
        best = start
        for pair in np.searchsorted(C, pairs):
            near = start.copy()
            for j in pair:
                near.enter(int(j))
            near.backward(self.k)
            near.polish(self.tolerance)
            if near.value < best.value - self.tolerance:
                best = near
        return t if best is start else self.everywhere(C[best.S])

    def walked(self, t: Swept, moves: int) -> Swept:
        """Stage F: the best that a tabu search over all coordinates passes."""
        S = tabu.walked(t, self.ranking(t), moves, self.random, self.tolerance)
        return t if np.array_equal(S, np.sort(t.S)) else self.everywhere(S)

    def everywhere(self, S: Indices) -> Swept:
        """Stage C: swaps over all coordinates until none pays."""
        t = self.everything(S)
        t.polish(self.tolerance)
        self.reached(t.S)
        return t

    # ---- the whole -------------------------------------------------------------------------------------------------

    def minimise_on(self, support: NDArray[np.bool_], x: Vector) -> tuple[Vector, float]:
        """The minimiser of the problem there and its value; where a tableau stands there, from what that knows."""
        own, refined = self.own, getattr(self.problem, "refined", None)
        if own is not None and refined is not None and (own.inside == support).all():
            found = refined(*own.solution())
            if found is not None:
                return found
        return self.problem.minimise_on(support, x)

    def run(self) -> Indices:
        """Stages A to F; the support, sorted."""
        if self.tolerance <= 0:
            return np.empty(0, dtype=np.intp)  # c = 0: the zero vector is optimal
        S, clear = self.whole() if self.p <= FEW else self.screened()
        if clear or S.size < self.k:
            return np.sort(S)
        if self.p * (self.k + 1) > WIDE:
            return self.pooled(S)
        t = self.stages(self.everywhere(S))
        return self.best_of_both(t) if self.p <= FEW else np.sort(t.S)

    def stages(self, t: Swept) -> Swept:
        """From C to F."""
        if self.effort == 0 or self.stands_out(t):
            return t
        if self.p > ALL:  # else A has begun there
            other = self.pursued()
            t = other if other.value < t.value - self.tolerance else t
        if not self.explained and self.p <= min(self.samples, MANY):
            other = self.pruned()
            t = other if other.value < t.value - self.tolerance else t
        t = self.settled(t)
        for number in range(self.effort):  # each goes on from the last, so that more is never worse
            long = number > 0 or self.samples < 2 * self.k * math.log(self.p)  # few samples: other stages give out
            other = self.walked(t, tabu.affordable(self.samples, self.p, self.k) if long else SHORT)
            t = self.settled(other) if other.value < t.value - self.tolerance else t
        return t

    def settled(self, t: Swept) -> Swept:
        """Stage E until it finds nothing."""
        while (other := self.further(t)).value < t.value - self.tolerance:
            t = other
        return t

    def pooled(self, S: Indices) -> Indices:
        """The same for the coordinates that ask most at S."""
        x, _ = self.problem.minimise_on(np.isin(np.arange(self.p), S), None)
        asks = self.asks(S, x[S])
        asks[S] = np.inf
        pool = largest(asks, min(self.p, max(POOL, 4 * self.k)))
        part = Search(self.problem.restricted(pool).open(), self.k, 0, self.effort)
        part.random, part.explained = self.random, self.explained
        return np.sort(pool[part.stages(part.everywhere(np.searchsorted(pool, np.sort(S)))).S])
