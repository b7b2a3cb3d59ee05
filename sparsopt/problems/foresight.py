"""Steps of a greedy run, computed together before they are asked for.

Orthogonal matching pursuit asks in turn for a gradient, one product with all of X, and for the minimiser with one more
coordinate. X times a block of residuals costs a fraction of as many products with one. So where a run is seen to let in
the coordinate of largest gain, one by one, its next steps are guessed:

    C = some coordinates of largest gain at the last gradient;  D, c = Gram and correlations of A_C without A_S
    J: T times  j = argmax_C c_j^2 / h_j;  c -= D_j c_j / d_jj;  D -= D_j D_j' / d_jj
    x_1 .. x_T on S + J_1, S + J_1 + J_2, ...: from one factor, refined;  their gradients: one pass over X

A guess is an answer kept ready and nothing else. It is given to who asks for exactly its support, so a wrong one costs
time and changes nothing. Where two coordinates gain the same up to rounding, the gradient is left to be computed by
itself, so that ties fall as they would have fallen.

>>> from sparsopt import solve
>>> from sparsopt.problems import LeastSquares
>>> solve(LeastSquares(np.eye(3), np.array([2.0, 3.0, 1.0])), 2, "omp").x
array([2., 3., 0.])
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsopt.state import Array, Mask

__all__ = ["Foresight"]

LEAST = 1 << 21  # numbers in X from which on a pass over it is worth saving
WIDEST = 16  # steps at a time
WORTH = 3  # steps that cost as much together as alone
ROOM = 1 << 20  # numbers that a block of residuals, gradients or columns may hold
SHARE = 8  # of the cost of the pass itself goes into guessing
TIE = 1e-9  # gains this close, relatively, count as equal
SMALL = 1e-9  # of the weights: a refinement that changes more says that the factor is not to be trusted


@dataclass(frozen=True, eq=False)
class Step:
    """Once `entering` is in: minimiser, f, residual, gradient (unless a tie left it open), and who gains most by it."""

    entering: int
    order: Array
    weights: Array
    value: float
    residual: Array
    gradient: Array | None
    favourite: int


class Foresight:
    """What one run on least squares has been seen to do, and what it is expected to ask for next."""

    def __init__(self, problem: Any, columns: Any, factor: Any) -> None:
        self.problem, self.columns, self.factor = problem, columns, factor
        self.widest = min(WIDEST, ROOM // max(problem.design.n, problem.p))
        self.watching = problem.design.entries >= LEAST and self.widest > 1
        self.ready: deque[Step] = deque()
        self.support: Mask = np.zeros(problem.p, dtype=bool)
        self.favourite = -1  # who gains most at the last minimiser
        self.gains: Array = np.empty(0)
        self.greedy, self.wary = 0, 1  # greedy steps in a row; how many have to be seen, more after a wrong guess

    # ---- what the run asks -----------------------------------------------------------------------------------------

    def next(self, support: Mask) -> Step | None:
        """The step to this support, if it is the one that was expected."""
        if not self.ready:
            return None
        if not np.array_equal(support, self._with(self.ready[0].entering)):
            self.ready.clear()
            self.wary *= 2
            return None
        step = self.ready.popleft()
        self.support[step.entering], self.favourite = True, step.favourite
        return step

    def solved(self, support: Mask) -> None:
        """Notes what the run has solved by itself."""
        if self.watching:
            greedy = self.favourite >= 0 and np.array_equal(support, self._with(self.favourite))
            self.greedy = self.greedy + 1 if greedy else 0
            self.support, self.favourite = support.copy(), -1

    def gradient(self, x: Array, residual: Array) -> Array:
        """The gradient at x. Where the run goes greedily from minimiser to minimiser, it takes the next steps along."""
        if not (self.watching and np.array_equal(x != 0, self.support)):
            return self.problem.gradient_from(x, residual)
        path = self._path(x, residual) if self.greedy >= self.wary else None
        if path is None:
            gradient = self.problem.gradient_from(x, residual)
            self.favourite, _ = self._favourite(gradient, self.support)
            return gradient
        gradient, clear = self._kept(*path)
        return gradient if clear else self.problem.gradient_from(x, residual)

    def _with(self, j: int) -> Mask:
        support = self.support.copy()
        support[j] = True
        return support

    # ---- what it is expected to ask --------------------------------------------------------------------------------

    def _favourite(self, gradient: Array, support: Mask) -> tuple[int, bool]:
        """Who gains most outside the support (-1: nobody gains), and whether nobody else gains as much."""
        h = self.problem.curvature()
        self.gains = np.divide(gradient * gradient, h, out=np.zeros(h.size), where=h > 0)
        self.gains[support] = 0.0
        best = int(self.gains.argmax())
        most, self.gains[best] = float(self.gains[best]), 0.0
        second, self.gains[best] = float(self.gains.max()), most
        return (best if most > 0 else -1), second < (1 - TIE) * most

    def _path(self, x: Array, residual: Array) -> tuple[Array, Array, Array] | None:
        """(S and who is guessed to come in; the weights at x and with one, two, ... of them, a row each; residuals)."""
        S = self.factor.order
        if S.size != np.count_nonzero(self.support) or not self.support[S].all():
            return None  # no factor here: a singular support, or one of more columns than rows
        J = self._guess(S, residual)
        order = np.concatenate([S, J])
        found = self._minimisers(order, J.size) if J.size else None
        return None if found is None else (order, np.vstack([x[order], found[0]]), np.vstack([residual, found[1]]))

    def _guess(self, S: Array, residual: Array) -> Array:
        """Who comes in next, in order, if it is one of those who gained most at the last gradient."""
        design, few = self.problem.design, max(2 * self.widest, math.isqrt(self.problem.p * self.widest // SHARE))
        few = min(few, ROOM // design.n, self.problem.p - S.size)
        gains = self.gains.copy()
        gains[self.support] = -1.0
        C = np.sort(np.argpartition(gains, gains.size - few)[gains.size - few :])
        A = design.take(C)
        WA = A * design.shares[:, None]
        B = self.factor.forward(self.columns.tdot(self.columns.slots(S), WA))
        D, c, h = A.T @ WA - B.T @ B, WA.T @ residual, self.problem.curvature()[C]
        D[np.diag_indices_from(D)] += self.problem.ridge
        J: list[int] = []
        update = np.empty_like(D)
        while len(J) < min(self.widest - 1, few):
            j = int(np.divide(c * c, h, out=np.zeros(few), where=h > 0).argmax())
            if c[j] == 0 or not D[j, j] > SMALL * h[j]:
                break
            column = D[:, j] / D[j, j]
            D -= np.outer(column, D[j], out=update)
            c -= column * c[j]
            c[j] = 0.0
            J.append(int(C[j]))
        return np.array(J, dtype=np.intp)

    def _minimisers(self, order: Array, more: int) -> tuple[Array, Array] | None:
        """Minimisers on all of these but the last `more` - 1, but one fewer, ..., on all: weights and residuals."""
        problem = self.problem
        slots, share, target = self.columns.slots(order), problem.design.shares[:, None], problem.target[:, None]
        G = self.columns.gram(slots)
        G[np.diag_indices_from(G)] += problem.ridge
        if not self.factor.update(order, G):
            return None
        sizes = np.arange(order.size - more, order.size) + 1
        W = self.factor.leading(np.repeat(self.columns.tdot(slots, share * target), more, axis=1), sizes)
        rest = share * (target - self.columns.dot(slots, W))
        correction = self.factor.leading(self.columns.tdot(slots, rest) - problem.ridge * W, sizes)
        if not np.all(np.abs(correction).max(axis=0) <= SMALL * np.abs(W).max(axis=0)):
            return None
        W = (W + correction).astype(problem.dtype)
        return W.T, (target - self.columns.dot(slots, W.astype(np.float64))).T

    def _kept(self, order: Array, W: Array, R: Array) -> tuple[Array, bool]:
        """Puts the steps in `ready`, as far as the guess holds at the gradients; the first of them, if no gains tie."""
        problem, support, here = self.problem, self.support.copy(), 0
        G = np.ascontiguousarray(problem.design.tdot((-problem.design.weight * R).T).T)
        G[:, order] += problem.ridge * W
        G = G.astype(problem.dtype, copy=False)
        G.flags.writeable = False
        size = order.size - len(W) + 1
        favourite, clear = self.favourite, alone = self._favourite(G[0], support)
        while clear and size < order.size and favourite == order[size]:
            support[favourite], entering, size, here = True, favourite, size + 1, here + 1
            favourite, clear = self._favourite(G[here], support)
            w, r, known = W[here, :size], R[here], G[here] if clear else None
            self.ready.append(Step(entering, order[:size], w, problem.value_from(w, r), r, known, favourite))
        if here < WORTH:
            self.wary *= 2
        return G[0], alone
