"""What the best exchange of one coordinate gains, everything refitted: nothing that rounding hides is passed over.

With u the minimiser on S, B = H_.S H_SS^-1, gamma_i = (H_SS^-1)_ii, c = -g(u) and d_j = h_jj - B_j H_Sj, taking i out
and j in lowers f by

    (c_j + B_ji u_i / gamma_i)^2 / (2 (d_j + B_ji^2 / gamma_i)) - u_i^2 / (2 gamma_i)

and moves x by some v. In coordinates of curvature 1, H off by at most E, g by at most e, and the Hessian of the new
support at least l, that is wrong by at most e |v| + E |v|^2 / 2 + (e + E |v|)^2 / (2 l), as the gradient that is left
there, e + E |v|, is worth no more than the last term. Where this says too little, in practice only beside nearly
dependent coordinates, the exchange is made in rational arithmetic.

>>> from sparsopt.problems import Quadratic
>>> problem = Quadratic(np.eye(2), np.array([3.0, 2.0]))
>>> round(swap_gain(problem, np.array([0.0, 2.0]), np.array([False, True])), 9)
2.5
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from sparsopt.certificates.quadratics import EPS, Part, View, view
from sparsopt.state import Array, Mask

__all__ = ["neighbour_gain", "swap_gain"]

CLEAR = 1e-8  # least eigenvalue of H_SS, diagonal 1, with which its inverse is trusted
FINE = 1e-10  # of the fall from f(0): exchanges are known so well
CAREFUL = 2.0  # times the error bounds
BLOCK = 1 << 21  # numbers a block of columns holds
MOST_EXACT = 1e7  # operations that rational arithmetic may take: about a second


def swap_gain(problem: Any, x: Array, support: Mask, additions: bool = False) -> float:
    """By how much f falls from f(x) in the best exchange of one coordinate of S for one outside, everything refitted.

    x: a point on S. `additions`: also consider j coming in alone. Never too low, and at most 2e-10 of the fall from
    f(0) too high. -inf where there is nothing to exchange; nan where rational arithmetic would take more than 1e7
    operations, and where f has no minimum after an exchange (as H is not quite positive semi-definite, say).
    """
    return _Exchanges(problem, x, support, additions).most()


def neighbour_gain(problem: Any, x: Array, support: Mask, additions: bool, enough: float) -> float:
    """The same, with refits on S itself, for those who only ask whether it is more than `enough`."""
    return _Exchanges(problem, x, support, additions, enough).most(stay=True)


@dataclass(frozen=True)
class Inside:
    """The minimiser on S in coordinates of curvature 1: x_S = w / scale, M = half'half = H_SS^-1.

    least: of the eigenvalues of H_SS; E, error: how far H_SS and the gradient on S are off; lost: f(x) - f(w), off by
    at most lost_error; fall: f(0) - f(w).
    """

    scale: Array
    w: Array
    half: Array
    least: float
    E: float
    error: float
    lost: float
    lost_error: float
    fall: float


class _Exchanges:
    """All exchanges around one point."""

    def __init__(self, problem: Any, x: Array, support: Mask, additions: bool, enough: float = -math.inf) -> None:
        self.S, self.F = np.flatnonzero(support), np.flatnonzero(~support)
        self.x = np.asarray(x, dtype=np.float64)[self.S]
        self.additions, self.enough = additions, enough
        self.view = view(problem, self.S, self.x)
        self.at = _inside(self.view, self.S)
        self.fine = enough / 10 if enough > 0 else FINE * (self.at.fall if self.at else 0.0)

    def most(self, stay: bool = False) -> float:
        """The largest gain; with `stay`, that of a refit on S counts."""
        best, doubtful = self._looked_at()
        if stay and self.at and (self.at.lost_error <= self.fine or self.at.lost + self.at.lost_error <= self.enough):
            best = max(best, self.at.lost + self.at.lost_error)
        elif stay:
            doubtful.append((self.S.size, self.F[:0]))
        if not doubtful or best > self.enough > -math.inf:
            return best
        exact = self._exactly(doubtful)
        return exact if math.isnan(exact) else max(best, exact)

    def _looked_at(self) -> tuple[float, list[tuple[int, Array]]]:
        """The largest gain among those known well; the others as (who goes out, |S| for nobody; who may come in)."""
        best = sure = -math.inf
        if not (self.S.size or self.additions):
            return best, []
        here = self.view.moved(self.at.w / self.at.scale) if self.at else self.view
        doubtful: list[Array] = [np.empty((3, 0))]
        step = max(1, BLOCK // max(here.rows, self.S.size + 1))
        for start in range(0, self.F.size, step):
            F = self.F[start : start + step]
            with np.errstate(all="ignore"):  # what is not finite is doubtful
                gain, doubt = self._table(here.part(F))
            known, sure = doubt <= self.fine, max(sure, float((gain - doubt).max()))
            best = max(best, float((gain + doubt)[known].max(initial=-math.inf)))
            i, j = np.nonzero(~known & ~(gain + doubt <= max(sure, self.enough)))
            doubtful.append(np.array([i, F[j], (gain + doubt)[i, j]]))
        i, j, most = np.concatenate(doubtful, axis=1)
        left = ~(most <= max(sure, self.enough))
        return best, [(int(row), j[left & (i == row)].astype(np.intp)) for row in np.unique(i[left])]

    def _table(self, part: Part) -> tuple[Array, Array]:
        """Gains, (|S|, b), and for additions a row more, and how far they may be off."""
        at, k = self.at, self.S.size
        if at is None:
            return (unknown := np.zeros((k + self.additions, part.h.size))), unknown + math.inf
        scale = np.sqrt(np.where(part.h > 0, part.h, 1.0))
        H, c = part.H / at.scale / scale[:, None], part.c / scale
        half = H @ at.half.T
        B, M, d = half @ at.half, at.half.T @ at.half, 1 - np.einsum("ij,ij->i", half, half)
        gamma, w = np.diagonal(M), at.w
        entering, left = (c[:, None] + B * (w / gamma)).T, (d[:, None] + B * B / gamma).T
        leaving, E = np.broadcast_to((w**2 / (2 * gamma))[:, None], left.shape), at.E + (part.e / scale) ** 2
        if self.additions:
            entering, left, leaving = np.vstack([entering, c]), np.vstack([left, d]), np.pad(leaving, ((0, 1), (0, 0)))
        clear = left > CAREFUL * E
        left = np.where(clear, left, 1.0)
        t = entering / left
        length = np.abs(t) * (1 + np.linalg.norm(B, axis=1))
        length[:k] += np.abs(B.T * t[:k] - w[:, None]) / gamma[:, None] * np.linalg.norm(M, axis=0)[:, None]
        error = np.hypot(at.error, part.c_error / scale)
        rest = (error + E * length) ** 2 * (1 / at.least + (1 + at.least**-0.5) ** 2 / left)
        doubt = CAREFUL * (error * length + E * length**2 / 2 + rest / 2) + at.lost_error
        clear &= np.isfinite(doubt)
        return np.where(clear, entering * t / 2 - leaving + at.lost, 0.0), np.where(clear, doubt, math.inf)

    def _exactly(self, doubtful: list[tuple[int, Array]]) -> float:
        """The largest of these gains in rational arithmetic."""
        more, k = np.unique(np.concatenate([j for _, j in doubtful])), self.S.size
        work = sum(k**3 / 3 + k * k * j.size for _, j in doubtful) + self.view.rows * (k + more.size) ** 2
        exact = self.view.rational(np.concatenate([self.S, more])) if work <= MOST_EXACT else None
        if exact is None:
            return math.nan
        now = exact.gained(np.concatenate([self.x, np.zeros(more.size)]))
        best: Fraction | float = -math.inf
        for i, j in doubtful:
            gains = exact.gains(np.delete(np.arange(k), np.arange(i, min(i + 1, k))), k + np.searchsorted(more, j))
            best = max(best, *(gain - now for gain in (gains[1:] or gains)))
        return math.nextafter(float(best), math.inf) if best < math.inf else math.nan


def _inside(here: View, S: Array) -> Inside | None:
    """The minimiser on S; None where S is too nearly dependent to tell."""
    part, k = here.part(S), S.size
    alive = part.h > 0
    scale = np.sqrt(np.where(alive, part.h, 1.0))
    H, E = part.H / scale / scale[:, None], float(((part.e / scale) ** 2).sum())
    H[np.diag_indices(k)] = 1.0
    if not (math.isfinite(E) and np.isfinite(H).all()):
        return None
    least = float(np.linalg.eigvalsh(H)[0]) - 4 * k * k * EPS - E if k else 1.0
    if least <= CLEAR:
        return None
    half = np.linalg.inv(np.linalg.cholesky(H))
    slope, w, root = part.c / scale, here.x * scale * alive, math.sqrt(least)
    length, error = float(np.linalg.norm(half @ slope)), float(np.linalg.norm(part.c_error / scale)) / root
    E += 4 * (k + 1) ** 2 * EPS / root
    error += length * E / least
    for _ in range(2):
        w = w + half.T @ (half @ slope)
        part = here.moved(w / scale).part(S)
        slope = part.c / scale
    left = float(np.linalg.norm((np.abs(part.c) + part.c_error) / scale))
    lost, fall = (length**2 / 2, (length + error / 2) * error), float(w @ H @ w) / 2
    return Inside(scale, w, half, least, E, left, *lost, fall)
