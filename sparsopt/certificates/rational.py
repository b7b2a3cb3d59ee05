"""A quadratic in rational arithmetic: what a support gains, exactly, whatever its columns look like.

Floating-point numbers are integers times powers of two. Scaled to integers, columns have integer inner products, and
elimination without fractions (Bareiss 1968) keeps integers: no rounding, no rank to guess. Slow, for a few supports.

>>> H = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 3.0]])  # the first two are copies
>>> gains = Rational.quadratic(H, np.array([2.0, 2.0, 1.0])).gains(np.array([0]), np.array([1, 2]))
>>> [str(gain) for gain in gains]
['2', '2', '13/6']
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from sparsopt.state import Array

__all__ = ["Rational"]


@dataclass(frozen=True)
class Rational:
    """f(0) - f(x) = c'x - x'Hx/2 with x_j in units of 2^e_j: H (m, m), c (m,) integers in units of their own."""

    H: Array
    c: Array
    H_unit: Fraction
    c_unit: Fraction
    e: Array

    @staticmethod
    def quadratic(H: Array, c: Array) -> Rational:
        """x'Hx/2 - c'x."""
        H, e_H = _integers(H)
        c, e_c = _integers(c)
        return Rational(H, c, _power(-e_H), _power(-e_c), np.zeros(len(c), dtype=int))

    @staticmethod
    def squares(X: Array, y: Array, share: Array, ridge: float, centred: bool) -> Rational:
        """min_b sum_i w_i (y_i - x_i'x - b)^2 / 2 + ridge/2 |x|^2, b = 0 unless centred."""
        columns = [_integers(column) for column in X.T]
        Z, e = np.array([column for column, _ in columns], dtype=object), np.array([e for _, e in columns], dtype=int)
        y, e_y = _integers(y)
        w, e_w = _integers(share)
        W = int(w.sum())
        H, c = W * (Z * w) @ Z.T, W * (Z * w) @ y
        if centred:
            sums = Z @ w
            H, c = H - np.multiply.outer(sums, sums), c - sums * int(w @ y)
        up, down = Fraction(ridge).as_integer_ratio()
        e_r = down.bit_length() - 1  # a power of two
        more = max(int(e_r - e_w - 2 * e.min(initial=0)), 0) if up else 0
        H = H << more
        if up:
            H[np.diag_indices(len(e))] += (W * up) << (2 * e + (e_w + more - e_r)).astype(object)
        return Rational(H, c, _power(-e_w - more) / W, _power(-e_w - e_y) / W, e)

    def gained(self, x: Array) -> Fraction:
        """f(0) - f(x)."""
        exact = [Fraction(float(value)) * _power(-int(e)) for value, e in zip(x, self.e, strict=True)]
        w, zero = np.array(exact, dtype=object), Fraction(0)
        return sum(self.c * w, zero) * self.c_unit - sum(w * (self.H @ w), zero) * self.H_unit / 2

    def gains(self, S: Array, more: Array) -> list[Fraction | float]:
        """f(0) less the minimum on S, and on S with one j of `more`, for each of them; inf where there is none."""
        D, D_c, H, c, value, last = self._eliminated(S, more)
        if c.any() or H.any():
            return [math.inf] * (len(more) + 1)
        unit = self.c_unit**2 / self.H_unit / 2
        found: list[Fraction | float] = [alone := Fraction(-value, last) * unit]
        for a, b in zip(D, D_c, strict=True):
            found.append(alone + Fraction(b * b, a * last) * unit if a > 0 else math.inf if a or b else alone)
        return found

    def _eliminated(self, S: Array, more: Array) -> tuple[Array, Array, Array, Array, int, int]:
        """After S: the curvature and slope that is left of each of `more`, of what is dependent in S, and the value."""
        H, side, c = self.H[np.ix_(S, S)], self.H[np.ix_(S, more)], self.c[S]
        D, D_c, value, last = self.H[more, more], self.c[more], 0, 1
        while True:
            pivots = np.flatnonzero(np.diagonal(H) > 0)
            if not pivots.size:
                return D, D_c, H, c, value, last
            i = int(pivots[0])
            a, row, beside, b = H[i, i], H[i], side[i], c[i]
            H, side = (a * H - np.multiply.outer(row, row)) // last, (a * side - np.multiply.outer(row, beside)) // last
            D, D_c, value = (a * D - beside**2) // last, (a * D_c - beside * b) // last, (a * value - b * b) // last
            c, rest = (a * c - row * b) // last, np.arange(len(c)) != i
            H, side, c, last = H[np.ix_(rest, rest)], side[rest], c[rest], a


def _integers(values: Array) -> tuple[Array, int]:
    """Integers (objects) and e with values = integers / 2^e."""
    fraction, exponent = np.frexp(np.asarray(values, dtype=np.float64))
    used = exponent[fraction != 0]
    low = int(used.min()) - 53 if used.size else 0
    shift = np.where(fraction != 0, exponent - 53 - low, 0).astype(object)
    return (fraction * 2.0**53).astype(np.int64).astype(object) << shift, -low


def _power(e: int) -> Fraction:
    return Fraction(2) ** e
