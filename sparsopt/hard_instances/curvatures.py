"""Columns of very different curvature: the gradient alone says nothing about gains.

>>> hard = diagonal(s=2)
>>> [hard.solved(hard.run(method).x) for method in (hard.fails[0], hard.succeeds[0])]
[False, True]
"""

from __future__ import annotations

import math

import numpy as np

from sparsopt import catalogue
from sparsopt.catalogue import cosamp, foba, forward_greedy, frank_wolfe, htp, iht, niht, omp
from sparsopt.errors import InvalidInput
from sparsopt.hard_instances.instance import HardInstance, _order, backward, planted
from sparsopt.method import Method
from sparsopt.moves import Gradient, Magnitude

__all__ = ["diagonal", "diagonal_start", "flat"]


def diagonal(s: int = 3, kappa: float = 16.0, margin: float = 0.03, seed: int = 0) -> HardInstance:
    """Rules that look at |g_j| need s kappa (1 - 4d)/(1 - 2d) atoms where s suffice, d = margin.

    A = diag(1 [s times], sqrt(kappa) [s kappa times]), b = (kappa sqrt(1 - 4d), sqrt(kappa (1 - 2d))). Everywhere
    off S |g_j| is kappa sqrt(1 - 4d) on the truth and kappa sqrt(1 - 2d), more, on the rest, although a rest atom
    gains only kappa (1 - 2d)/2 against kappa^2 (1 - 4d)/2. Thresholding x - g/L, L = kappa, prefers the rest as
    well. Rules that know the curvature (`Gain`) take the truth. Family: Axiotis, Sviridenko (2021); numbers
    re-derived.
    """
    if not (s >= 1 and 0 < margin < 1 / 4 and kappa * (1 - 4 * margin) > 1 - 2 * margin and int(kappa) >= 3):
        raise InvalidInput(
            f"diagonal: s = {s}, kappa = {kappa}, margin = {margin}; choose s >= 1, kappa >= 3, 0 < margin < 1/6"
        )
    rest = s * int(kappa)
    A = np.diag(np.repeat([1.0, math.sqrt(kappa)], [s, rest]))
    b = np.repeat([kappa * math.sqrt(1 - 4 * margin), math.sqrt(kappa * (1 - 2 * margin))], [s, rest])
    problem, truth = planted(A, b, s, seed)
    blind = omp(s, by=Gradient())
    fails = (
        blind,
        catalogue.replacement(s, start=blind, out=Magnitude(), into=Gradient()),
        frank_wolfe(s, float(np.abs(b / np.diagonal(A)).sum())),
        iht(s),
        htp(s),
        niht(s),
    )
    succeeds = (omp(s), forward_greedy(s), foba(s), catalogue.replacement(s), cosamp(s), backward(problem, s))
    return HardInstance("diagonal", problem, s, truth, fails, succeeds, "|g_j| alone says nothing about gains")


def diagonal_start(s: int = 2, kappa: float = 6.0, k: int | None = None, seed: int = 0) -> HardInstance:
    """A start from which thresholding with step 1/L never moves, for k up to about s kappa^2.

    Diagonal: s atoms with A = b = 1, one with A = sqrt(kappa), b = 0 (it makes L = kappa), k with A = 1, b =
    1.01/kappa. On the last k, refitted, x_i = 1.01/kappa exceeds what a step gives the atoms, 1/kappa: a fixed
    point with f = s/2, against k (1.01/kappa)^2 / 2 on the atoms. Swaps that compare x_i^2 h_i with g_j^2 / h_j
    leave it.
    """
    largest = math.ceil(s * (kappa / 1.01) ** 2) - 1
    k = max(largest - 3, s) if k is None else k
    if not (s >= 1 and kappa > 1.01 and s <= k <= largest):
        raise InvalidInput(f"diagonal_start: k = {k}; choose {s} <= k <= s (kappa / 1.01)^2 < {largest + 1}")
    A = np.diag(np.repeat([1.0, math.sqrt(kappa), 1.0], [s, 1, k]))
    b = np.repeat([1.0, 0.0, 1.01 / kappa], [s, 1, k])
    problem, truth = planted(A, b, s, seed)
    last = np.zeros(s + 1 + k, dtype=bool)
    last[s + 1 :] = True
    last = last[_order(last.size, seed)[0]]
    start = problem.start(seed).but(support=last, x=problem.minimise_on(last, None)[0])
    swaps = Method("replacement", catalogue.replacement(k).stages[-1:])
    why = "the weights in use are larger than a gradient step of length 1/L"
    return HardInstance("diagonal-start", problem, k, truth, (iht(k), htp(k)), (swaps,), why, start)


def flat(k: int = 5, radius: float = 1.0, seed: int = 0) -> HardInstance:
    """Nothing sparse is good: f = |w - (B/d) 1|^2 / 2 with d = 2k, and every best k-sparse point has f = B^2/(8k).

    So k of order beta |w*|_1^2 / eps is needed, and the bound 2 beta |w*|_1^2 / k of fully corrective selection is
    within a factor of 16.
    """
    if k < 1 or not radius > 0:
        raise InvalidInput(f"flat: k = {k}, radius = {radius}; choose k >= 1 and radius > 0")
    d = 2 * k
    problem, truth = planted(np.eye(d), np.full(d, radius / d), k, seed)
    succeeds = (omp(k), forward_greedy(k), foba(k), catalogue.replacement(k), iht(k), htp(k), backward(problem, k))
    return HardInstance("flat", problem, k, truth, (), succeeds, "the l1 norm is spread over 2k equal weights")
