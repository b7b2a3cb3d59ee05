"""Worst cases from proofs, as constructors: problems on which some methods provably fail although the answer is easy.

An instance carries the problem, k, the support of the answer, the catalogue methods that provably fail and those that
provably do not, and the reason. Columns come in a random order with random signs (`seed`), which changes no proof.

>>> hard = decoys(s=4)
>>> hard.solved(hard.run(hard.fails[0]).x), hard.solved(hard.run(hard.succeeds[0]).x)
(False, True)
>>> sorted(INSTANCES)
['coherent-triples', 'decoys', 'diagonal', 'diagonal-start', 'flat', 'sharp', 'sharp-below']

f(w) = |A w - b|^2 / 2 in all of them: least squares on X = sqrt(n) A, y = sqrt(n) b.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsopt import catalogue
from sparsopt.catalogue import backward_elimination, cosamp, foba, forward_greedy, frank_wolfe, htp, iht, niht, omp
from sparsopt.errors import InvalidInput
from sparsopt.method import Method, run
from sparsopt.moves import Gradient, Magnitude
from sparsopt.problems import LeastSquares
from sparsopt.result import Result
from sparsopt.schedules import Linear
from sparsopt.state import State

__all__ = [
    "INSTANCES",
    "HardInstance",
    "coherent_triples",
    "decoy_value",
    "decoys",
    "diagonal",
    "diagonal_start",
    "flat",
    "sharp",
    "sharp_below",
]

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class HardInstance:
    """A problem with a known good support and what is proved about methods on it.

    truth: (p,) boolean, the support to compete with, |truth| <= k. fails, succeeds: methods built for this k.
    start: the state from which they run (None: x = 0).
    """

    name: str
    problem: Any
    k: int
    truth: NDArray[np.bool_]
    fails: tuple[Method, ...]
    succeeds: tuple[Method, ...]
    why: str
    start: State | None = None

    @property
    def target(self) -> float:
        """min f on the truth."""
        return float(self.problem.minimise_on(self.truth, None)[1])

    def solved(self, x: Vector) -> bool:
        """Whether f(x) is down to the target, up to 1e-9 of f(0)."""
        return self.problem.value(x) <= self.target + 1e-9 * self.problem.value(np.zeros_like(x))

    def run(self, method: Method, seed: int = 0) -> Result:
        """The method from this instance's start."""
        return run(method, self.problem, self.problem.start(seed) if self.start is None else self.start)


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
    problem, truth = _problem(A, b, s, seed)
    blind = omp(s, by=Gradient())
    fails = (
        blind,
        catalogue.replacement(s, start=blind, out=Magnitude(), into=Gradient()),
        frank_wolfe(s, float(np.abs(b / np.diagonal(A)).sum())),
        iht(s),
        htp(s),
        niht(s),
    )
    succeeds = (omp(s), forward_greedy(s), foba(s), catalogue.replacement(s), cosamp(s), _backward(problem, s))
    return HardInstance("diagonal", problem, s, truth, fails, succeeds, "|g_j| alone says nothing about gains")


def decoys(s: int = 6, decoys: int | None = None, excess: float = 0.1, seed: int = 0) -> HardInstance:
    """The target is a sum of s atoms; each of many decoys looks better than any of them, to every greedy rule, always.

    Atoms e_1..e_s, b = their sum, decoys a 1/sqrt(s) + sqrt(1 - a^2) e_{s+j}, a^2 = (1 + excess)/s: unit columns.
    While only decoys are selected the residual has <atom, r> = alpha/sqrt(s) < a alpha = <unused decoy, r>, so the
    next one is a decoy: after t of them f = `decoy_value`, while f = 0 on the atoms. Decoys in use keep more weight
    than a gradient step of length <= 1 gives an unused one, so thresholding stays, and all exchanges of a decoy for
    a decoy are equal.
    """
    number = 4 * s if decoys is None else decoys
    if not (s >= 2 and 0 < excess < s - 1 and excess < 1 and number >= 3 * s):
        raise InvalidInput(
            f"decoys: s = {s}, decoys = {number}, excess = {excess}; choose s >= 2, 0 < excess < 1, decoys >= 3 s"
        )
    a = math.sqrt((1 + excess) / s)
    A = np.zeros((s + number, s + number))
    A[:s, :s] = np.eye(s)
    A[:s, s:] = a / math.sqrt(s)
    A[s:, s:] = math.sqrt(1 - a * a) * np.eye(number)
    problem, truth = _problem(A, np.repeat([1.0, 0.0], [s, number]), s, seed)
    fails = (
        omp(s),
        omp(s, by=Gradient()),
        forward_greedy(s),
        frank_wolfe(s, float(s)),
        foba(s),
        catalogue.replacement(s),
        cosamp(s),
        iht(s),
        htp(s),
        niht(s),
    )
    why = "every unused decoy correlates more with the residual than every atom"
    return HardInstance("decoys", problem, s, truth, fails, (_backward(problem, s),), why)


def decoy_value(s: int, excess: float, t: int) -> float:
    """f after t decoys, refitted: (s/2)(1 - a^2)/(1 + a^2 (t - 1)), a^2 = (1 + excess)/s."""
    share = (1 + excess) / s
    return s / 2 * (1 - share) / (1 + share * (t - 1))


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
    problem, truth = _problem(A, b, s, seed)
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
    problem, truth = _problem(np.eye(d), np.full(d, radius / d), k, seed)
    succeeds = (omp(k), forward_greedy(k), foba(k), catalogue.replacement(k), iht(k), htp(k), _backward(problem, k))
    return HardInstance("flat", problem, k, truth, (), succeeds, "the l1 norm is spread over 2k equal weights")


def coherent_triples(triples: int = 3, coherence: float = 0.95, drop: float = 0.1, seed: int = 0) -> HardInstance:
    """Two atoms and their blend: the blend is selected first and never replaced, though the two atoms fit exactly.

    Per triple (orthogonal to the others) e_1, e_2, z = a (e_1 + e_2)/sqrt(2) + sqrt(1 - a^2) e_3, b = e_1 + (1 -
    drop) e_2, k = 2 a triple. <z, b> = a (2 - drop)/sqrt(2) > 1 is the largest correlation, so greedy rules take
    every z, then some e_1, which no longer suffices; thresholding keeps (z, e_1), whose weights exceed what a step
    gives e_2. The exchange of z for e_2 is exact.
    """
    if not (triples >= 1 and 0.9 <= coherence < 1 and 0 <= drop <= 0.2):
        raise InvalidInput(
            f"coherent_triples{triples, coherence, drop}: choose triples >= 1, 0.9 <= coherence < 1, 0 <= drop <= 0.2"
        )
    t, k, beside = triples, 2 * triples, math.sqrt(1 - coherence**2)
    A, eye = np.zeros((3 * t, 3 * t)), np.eye(t)
    A[: 2 * t, : 2 * t] = np.eye(2 * t)
    A[:t, 2 * t :] = A[t : 2 * t, 2 * t :] = coherence / math.sqrt(2) * eye
    A[2 * t :, 2 * t :] = beside * eye
    problem, truth = _problem(A, np.repeat([1.0, 1 - drop, 0.0], t), k, seed)
    fails = (omp(k), omp(k, by=Gradient()), forward_greedy(k), iht(k), htp(k))
    why = "a blend of two atoms correlates more with their sum than either"
    return HardInstance("coherent-triples", problem, k, truth, fails, (_backward(problem, k),), why)


def sharp(size: int = 4, epsilon: float = 0.01, seed: int = 0) -> HardInstance:
    """OMP's restricted isometry condition is sharp: unit columns, delta_{K+1} = (1 + epsilon)/sqrt(K), and it fails.

    Gram [[I_K, c 1], [c 1', 1]], c = (1 + epsilon)/K, b = the sum of the first K: the last column correlates K c >
    1 with b, the others 1. With delta_{K+1} < 1/sqrt(K), K >= 4, OMP cannot fail (Kim, Wang, Shim 2019; Wen et al.
    2017).
    """
    if not (size >= 2 and 0 < epsilon < math.sqrt(size) - 1):
        raise InvalidInput(f"sharp: K = {size}, epsilon = {epsilon}; choose K >= 2 and 0 < epsilon < sqrt(K) - 1")
    problem, truth = _sharp(size, 1 + epsilon, seed)
    fails = (omp(size), omp(size, by=Gradient()), forward_greedy(size))
    return HardInstance(
        "sharp", problem, size, truth, fails, (_backward(problem, size),), "K c > 1: the wrong column first"
    )


def sharp_below(size: int = 4, epsilon: float = 0.01, seed: int = 0) -> HardInstance:
    """The same just below the threshold, c = (1 - epsilon)/K: OMP takes the first K columns, and is done."""
    if not (size >= 2 and 0 < epsilon < 1):
        raise InvalidInput(f"sharp_below: K = {size}, epsilon = {epsilon}; choose K >= 2 and 0 < epsilon < 1")
    problem, truth = _sharp(size, 1 - epsilon, seed)
    succeeds = (omp(size), omp(size, by=Gradient()), _backward(problem, size))
    return HardInstance("sharp-below", problem, size, truth, (), succeeds, "K c < 1: the right columns first")


INSTANCES: dict[str, Callable[..., HardInstance]] = {
    "diagonal": diagonal,
    "decoys": decoys,
    "diagonal-start": diagonal_start,
    "flat": flat,
    "coherent-triples": coherent_triples,
    "sharp": sharp,
    "sharp-below": sharp_below,
}


def _sharp(size: int, correlation: float, seed: int) -> tuple[LeastSquares, NDArray[np.bool_]]:
    c = correlation / size
    A = np.eye(size + 1)
    A[:size, size], A[size, size] = c, math.sqrt(1 - size * c * c)
    return _problem(A, np.repeat([1.0, 0.0], [size, 1]), size, seed)


def _problem(A: Matrix, b: Vector, s: int, seed: int) -> tuple[LeastSquares, NDArray[np.bool_]]:
    """Least squares with value |A w - b|^2 / 2, columns reordered and signed; the support of the first s columns."""
    order, signs = _order(A.shape[1], seed)
    root = math.sqrt(len(b))
    return LeastSquares(root * A[:, order] * signs, root * b), order < s


def _order(p: int, seed: int) -> tuple[NDArray[np.intp], Vector]:
    random = np.random.default_rng([seed, p])
    return random.permutation(p), random.choice([-1.0, 1.0], p)


def _backward(problem: LeastSquares, k: int) -> Method:
    """One coordinate at a time. Square invertible A: the unrestricted minimiser is zero off the truth, or diagonal."""
    p = problem.layout.n
    return backward_elimination(Linear(p, k, p - k))
