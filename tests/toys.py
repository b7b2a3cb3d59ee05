"""The smallest convex problem that methods run on: tests of the core do not depend on `sparsopt.problems`."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from sparsopt.state import Layout, State


class Quadratic:
    """f(x) = x'Hx/2 - c'x + |c|^2, H positive semi-definite: closed forms for everything a method asks for."""

    def __init__(self, H, c):
        self.H, self.c = np.asarray(H, dtype=float), np.asarray(c, dtype=float)
        self.layout = Layout.single(len(self.c))

    def start(self, seed=0):
        return State(np.zeros(self.layout.n), np.zeros(self.layout.n, dtype=bool), seed)

    def open(self):
        return self

    def at(self, state):
        return self

    def value(self, x):
        return float(x @ (self.H @ x) / 2 - self.c @ x + self.c @ self.c)

    def gradient(self, x):
        return self.H @ x - self.c

    def hessian_product(self, x, v):
        return self.H @ v

    def curvature(self):
        return np.diag(self.H).copy()

    def minimise_on(self, support, x=None):
        new = np.zeros(self.layout.n)
        S = np.flatnonzero(support)
        new[S] = np.linalg.lstsq(self.H[np.ix_(S, S)], self.c[S], rcond=None)[0] if len(S) else 0.0
        return new, self.value(new)

    def smoothness(self, s=None):
        return self.extreme_eigenvalues(s)[1]

    def strong_convexity(self, s=None):
        return self.extreme_eigenvalues(s)[0]

    def extreme_eigenvalues(self, s=None):
        """The least and largest eigenvalue over all principal minors of size s, by enumeration."""
        n = self.layout.n
        size = n if s is None else min(s, n)
        spectra = [np.linalg.eigvalsh(self.H[np.ix_(S, S)]) for S in combinations(range(n), size)]
        return min(e[0] for e in spectra), max(e[-1] for e in spectra)


def random_quadratic(seed, n=8, condition=10.0):
    """Random orthogonal eigenvectors, eigenvalues from 1/condition to 1, a random minimiser."""
    rng = np.random.default_rng([71, seed])
    Q = np.linalg.qr(rng.standard_normal((n, n)))[0]
    eigenvalues = np.geomspace(1 / condition, 1.0, n)
    H = (Q * eigenvalues) @ Q.T
    return Quadratic((H + H.T) / 2, H @ rng.standard_normal(n))
