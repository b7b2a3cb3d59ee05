"""The portfolio for logistic regression: swaps on quadratic models of the loss, believed only where the loss agrees.

At a fitted support the loss is close to f(x) + g'u + u'Hu/2, H = A'DA + ridge I, so every add, drop and swap of
`tableau` has a predicted value. Only a refit (Newton) decides: a proposal is accepted if the true objective falls.

A. Screen columns by gain at 0; forward on the model, refitted a few times on the way; batches of model swaps, then
   single swaps; add the columns that the residual still asks for, and again.
B. If every member is clearly worth more than every outsider, that is the answer (large problems).
C. The same swaps in a pool of the 400 most promising columns, until pool and support stay.
D. Other starts. Where samples are few (n < 4 k log p): each of the columns that ask most at 0 is taken first, forward
   to k, swaps. Else ridge continuation: solve with larger ridges, go on from there with the true one. Where that finds
   something, there is more: forward, and backward from 3 k, among the columns that ask most at 0 (a member may hide
   what it replaces), then backward from all that these have found together. Where samples are plenty, exchanges of
   two (`twos`) on the model that find nothing end the search.
E. Exchanges of two: of the cheapest sets of one or two members each is taken out, the gap refilled by the best, the
   second or the third best entry, refitted after each, swaps; until none helps.
F. Iterated local search: the same with one to three random members and refills by gain times a random number, until
   30 attempts in a row fail; as often as `effort` says, each time from the best so far.

C to F count their work: where the data are large, they look at fewer columns and make fewer attempts. Where supports
are few (`few`) and samples not plenty, every support is fitted, and that is all.

>>> from sparsopt.problems import Logistic
>>> rng = np.random.default_rng(0)
>>> X = rng.standard_normal((200, 30))
>>> problem = Logistic(X, 3 * X[:, 7] - 2 * X[:, 11] + rng.logistic(size=200) > 0, ridge=0.01)
>>> Search(problem.open(), k=2, seed=0, effort=1).run()
array([ 7, 11])
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from sparsopt.portfolio import few, twos
from sparsopt.portfolio.pool import Indices, Place, Pool, sorted_pair
from sparsopt.portfolio.quadratic import SMALL
from sparsopt.portfolio.rows import largest
from sparsopt.portfolio.tableau import Vector

POOL = 400  # columns that a search looks at
WIDE = 2e9  # operations that the Hessian of a pool may take; fewer columns on larger data
RIDGES = (0.03, 0.1, 0.01, 0.003)
SETS = 36  # sets of one or two members whose exchange is tried (all of them for k = 8)
PATIENCE = 30  # failures in a row that end the iterated search
HOPE = 1.2  # an attempt that starts above this multiple of f is not followed
PLENTY = 24  # samples, times k log p: twice as many as of numbers, for a label says less
BACK = 3  # columns, times k, that backward elimination begins with
STARTS = 160  # other starts where samples are few, times k
WORK = 1e10  # operations that exchanges and iterated search may take together, each time


class Search:
    """The state of one search: the pool and the incumbent in it."""

    def __init__(self, problem: Any, k: int, seed: int, effort: int) -> None:
        self.problem, self.k, self.effort = problem.open(), k, effort
        self.minimise_on = self.problem.minimise_on
        self.p = problem.layout.n
        self.random = np.random.default_rng([seed, 2])
        self.spread: Vector = np.asarray(problem.design.variance, dtype=float)
        self.most = max(min(POOL, int(math.sqrt(WIDE / problem.design.n))), 2 * k)
        self.budget = self.attempts = int(WORK / (4 * problem.design.n * min(self.most, self.p) * (k + 2)))

    @property
    def plenty(self) -> bool:
        """Whether there are so many samples that exchanges of two see what there is."""
        return self.problem.samples >= PLENTY * self.k * math.log(max(self.p, 2))

    # ---- pools -----------------------------------------------------------------------------------------------------

    def asks(self, x: Vector, bend: float) -> Vector:
        """About how much each coordinate could still gain at x, `bend` the sum of the second derivatives. (p,)"""
        h = self.spread * bend + self.problem.ridge
        g = np.asarray(self.problem.gradient(x), dtype=float)
        return np.where(self.spread > 0, g**2 / np.where(h > 0, 2 * h, 1.0), 0.0)

    def point(self, pool: Pool, place: Place) -> Vector:
        x = self.problem.start(0).x
        x[pool.C[place.S]] = place.w
        return x

    def moved(self, pool: Pool, place: Place, C: Indices) -> tuple[Pool, Place]:
        """To a pool of other columns, which contain the support."""
        if np.array_equal(C, pool.C):
            return pool, place
        new = Pool(self.problem, C)
        S = np.searchsorted(C, pool.C[place.S])
        return new, Place(S, place.w, place.value, place.residual, place.bend)

    def widened(self, pool: Pool, place: Place) -> tuple[Pool, Place]:
        """To the pool of the columns that ask most at this place."""
        asks = self.asks(self.point(pool, place), float(place.bend.sum()))
        asks[pool.C[place.S]] = np.inf
        size = min(self.p, self.most)
        return self.moved(pool, place, np.sort(np.argpartition(asks, self.p - size)[self.p - size :]))

    # ---- A: on screened columns ------------------------------------------------------------------------------------

    def forward(self, pool: Pool) -> Place:
        """Greedily to k on the model, refitted at a third and two thirds of the way."""
        place = pool.fit(np.empty(0, dtype=np.intp), np.empty(0))
        for part in (3, 2, 1):
            t = pool.tableau(place)
            t.forward(math.ceil(self.k / part))
            place = pool.fit(*sorted_pair(t.S, t.weights))
        return place

    def screened(self) -> tuple[Pool, Place]:
        start = self.asks(self.problem.start(0).x, 0.25)
        size = min(self.p, self.most, math.ceil(1.5 * self.k) + 20)
        pool = Pool(self.problem, np.sort(np.argpartition(start, self.p - size)[self.p - size :]))
        place = pool.local(self.forward(pool))
        for _ in range(20):
            asks = self.asks(self.point(pool, place), float(place.bend.sum()))
            asks[pool.C] = 0.0
            worst = float(pool.view(place).exits().min(initial=np.inf))
            new = np.flatnonzero(asks > worst / 2)
            new = new[np.argsort(-asks[new], kind="stable")[: max(self.k, 20)]]
            if not new.size or pool.C.size + new.size > self.most:
                break
            pool, place = self.moved(pool, place, np.sort(np.concatenate([pool.C, new])))
            place = pool.local(place)
        return pool, place

    # ---- C, D, E: further from here --------------------------------------------------------------------------------

    def settled(self, pool: Pool, place: Place) -> tuple[Pool, Place]:
        """Local search, and the pool renewed around what it finds, until that is nothing."""
        for _ in range(10):
            before = place.value
            pool, place = self.widened(pool, place)
            place = pool.local(place)
            if place.value >= before - pool.tolerance or self.p <= self.most:
                break
        return pool, place

    def varied(self, pool: Pool, place: Place) -> tuple[Pool, Place]:
        """After ridge continuation; where that moves, the best of other starts and of all their members together."""
        found = [(pool, place), self.settled(pool, self.continued(pool, place))]
        if found[1][1].value >= place.value - pool.tolerance:
            return found[0]
        zero = self.asks(self.problem.start(0).x, 0.25)
        first = Pool(self.problem, largest(zero, self.most))
        some = np.searchsorted(first.C, largest(zero, min(BACK * self.k, first.C.size)))
        found += [self.settled(first, first.local(start)) for start in (self.forward(first), self.shrunk(first, some))]
        return self.joined(found)

    def joined(self, found: list[tuple[Pool, Place]]) -> tuple[Pool, Place]:
        """Backward from the members of all of them to k, and swaps; with that in place of the worst, until it fails."""
        while True:
            found.sort(key=lambda one: one[1].value)
            pool, best = found[0]
            union = np.unique(np.concatenate([pool.C[place.S] for pool, place in found]))
            joint = Pool(self.problem, union)
            new = self.settled(joint, joint.local(self.shrunk(joint, np.arange(union.size))))
            if new[1].value >= best.value - pool.tolerance:
                return pool, best
            found[-1] = new

    def shrunk(self, pool: Pool, S: Indices) -> Place:
        """Backward from S to k on the model, refitted after every k / 4."""
        place = pool.fit(S, np.zeros(S.size))
        while place.S.size > self.k:
            t = pool.tableau(place)
            t.backward(max(self.k, place.S.size - max(self.k // 4, 1)))
            place = pool.fit(*sorted_pair(t.S, t.weights))
        return place

    def continued(self, pool: Pool, place: Place) -> Place:
        """The best of `place` and what larger ridges lead to."""
        true, best, start = pool.ridge, place, None
        for ridge in RIDGES:
            if ridge <= 3 * true:
                continue
            pool.ridge = ridge
            start = pool.local(self.forward(pool) if start is None else pool.fit(start.S, start.w))
            pool.ridge = true
            new = pool.local(pool.fit(start.S, start.w))
            if new.value < best.value - pool.tolerance:
                best = new
        return best

    def others(self, pool: Pool, place: Place) -> tuple[Pool, Place]:
        """The best of `place` and where the coordinates that ask most at 0 lead to, each taken first."""
        asks = self.asks(self.problem.start(0).x, 0.25)
        for j in np.argsort(-asks, kind="stable")[: max(STARTS // self.k, 8)]:
            first = Pool(self.problem, np.array([j]))
            other, new = self.settled(*self.grown(*self.widened(first, first.fit(np.array([0]), np.zeros(1)))))
            if new.value < place.value - pool.tolerance:
                pool, place = other, new
        return pool, place

    def grown(self, pool: Pool, place: Place) -> tuple[Pool, Place]:
        """Forward to k, refitted after each, and swaps."""
        while place.S.size < self.k:
            gains = pool.view(place).entries()
            j = int(gains.argmax())
            if gains[j] <= 0:
                break
            place = pool.fit(*sorted_pair(np.append(place.S, j), np.append(place.w, 0.0)))
        return pool, pool.local(place)

    def modelled(self, pool: Pool, place: Place) -> Place:
        """Exchanges of two that the model recommends, each refitted and followed by swaps, until none lowers f."""
        for look in (twos.entering, twos.leaving):
            while (best := look(t := pool.square(place))).gain > pool.tolerance:
                for i in best.gone:
                    t.sweep(i)
                for j in best.come:
                    t.enter(j)
                new = pool.local(pool.fit(np.flatnonzero(t.inside), t.z[t.inside]))
                if new.value >= place.value - pool.tolerance:
                    break
                place = new
        return place

    def exchanged(self, pool: Pool, place: Place) -> Place:
        """Stage E: sets of one or two members, the cheapest first, until none improves."""
        for rank, gone in itertools.product(range(3), self.cheapest(pool, place)):
            new = self.attempt(pool, place, gone, lambda gains, step, r=rank: _best(gains, 0 if step else r))
            if new is not None:
                return self.exchanged(pool, new)
        return place

    def cheapest(self, pool: Pool, place: Place) -> list[Indices]:
        """Sets of one or two members of S, by the sum of what each costs to drop."""
        exits = pool.view(place).exits()
        sets = [(i,) for i in range(place.S.size)] + list(itertools.combinations(range(place.S.size), 2))
        return [place.S[list(some)] for some in sorted(sets, key=lambda some: float(exits[list(some)].sum()))[:SETS]]

    def perturbed(self, pool: Pool, place: Place) -> Place:
        """Stage F: iterated local search."""
        failures = 0
        while failures < PATIENCE and self.attempts > 0:
            gone = self.random.choice(place.S, min(int(self.random.integers(1, 4)), place.S.size), replace=False)
            new = self.attempt(
                pool, place, gone, lambda gains, step: _best(gains * self.random.exponential(size=gains.size), 0)
            )
            place, failures = (place, failures + 1) if new is None else (new, 0)
        return place

    def attempt(self, pool: Pool, place: Place, gone: Indices, pick: Callable[[Vector, int], int]) -> Place | None:
        """Without these members, refilled with what `pick` chooses by gain, and after swaps; None if not better."""
        if self.attempts <= 0:
            return None
        self.attempts -= 1
        staying = ~np.isin(place.S, gone)
        new = pool.fit(place.S[staying], place.w[staying])
        for step in range(gone.size):
            gains = pool.view(new).entries()
            gains[gone] = 0.0
            j = pick(gains, step)
            if gains[j] <= 0:
                return None
            new = pool.fit(*sorted_pair(np.append(new.S, j), np.append(new.w, 0.0)))
        if new.value > HOPE * place.value:
            return None
        new = pool.local(new, batches=0)
        return new if new.value < place.value - pool.tolerance else None

    # ---- the whole -------------------------------------------------------------------------------------------------

    def run(self) -> Indices:
        """Stages A to F, or a fit on each of few supports; the support, sorted."""
        if self.effort and few.fits(self.p, self.k) and not self.plenty:
            return self.of_all()
        pool, place = self.screened()
        pool, place = self.stages(pool, place)
        return pool.C[place.S]

    def of_all(self) -> Indices:
        """The best of all supports, where these are few."""
        pool = Pool(self.problem, np.arange(self.p))
        supports = map(np.array, itertools.combinations(range(self.p), self.k))
        return min((pool.fit(S, np.zeros(self.k)) for S in supports), key=lambda place: place.value).S

    def stages(self, pool: Pool, place: Place) -> tuple[Pool, Place]:
        ratio, need = pool.view(place).contrast()
        if place.S.size < self.k or self.perfect(pool, place) or (ratio >= need and self.p > SMALL):
            return pool, place
        pool, place = self.settled(pool, place)
        little = self.problem.samples < 4 * self.k * math.log(max(self.p, 2))
        ratio, need = pool.view(place).contrast()
        if self.effort == 0 or (not little and self.p > SMALL and ratio >= max(1.25, 0.4 * need)):
            return pool, place
        pool, place = self.others(pool, place) if little else self.varied(pool, place)
        if self.effort == 1 and self.plenty:
            before, place = place, self.modelled(pool, place)
            if place is before:
                return pool, place
        pool, place = self.settled(pool, self.exchanged(pool, place))
        for _ in range(self.effort):
            while not self.perfect(pool, place) and (new := self.perturbed(pool, place)) is not place:
                pool, place = self.settled(pool, self.exchanged(pool, new))
            self.attempts = self.budget
        return pool, place

    def perfect(self, pool: Pool, place: Place) -> bool:
        """Whether nothing is left to gain: f is down to 0."""
        return place.value <= pool.tolerance


def _best(gains: Vector, rank: int) -> int:
    """The position of the largest gain but `rank`."""
    few = min(rank + 1, gains.size)
    top = np.argpartition(gains, gains.size - few)[gains.size - few :]
    return int(top[gains[top].argmin()])
