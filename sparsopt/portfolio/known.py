"""A quadratic as a search knows it: whole where coordinates are few, else in parts that are looked at when asked for.

The whole costs one pass of products; a part is a Gram of some columns, rows of the Hessian (kept), or what every
coordinate asks for at a point: one pass over the data.

>>> from sparsopt.problems import Quadratic
>>> known = Known(Quadratic(np.diag([1.0, 2.0, 1.0]), np.array([1.0, 2.0, 0.0])), k=1, seed=0, effort=1)
>>> known.start  # what each coordinate gains at 0
array([0.5, 1. , 0. ])
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from sparsopt.portfolio.rows import Rows
from sparsopt.portfolio.single import Single, copied, plain
from sparsopt.portfolio.swept import Indices, Swept
from sparsopt.portfolio.tableau import Matrix, Vector

FEW = 100  # problems up to this size are one tableau, all of it

Watch = Callable[[Indices], None]


class Known:
    """The problem, how large the search may be, and what has been computed: f = x'Hx/2 - c'x + f(0)."""

    def __init__(self, problem: Any, k: int, seed: int, effort: int, watch: Watch | None = None) -> None:
        self.problem, self.k, self.seed, self.effort, self.watch = problem, k, seed, effort, watch
        self.p: int = problem.layout.n
        self.samples = float(getattr(problem, "samples", math.inf))
        self.h: Vector
        self.c: Vector
        self.rows: Any  # of H
        self.formed() if self.p <= FEW else self.opened()
        self.double = self.h + self.h
        self.double[self.h <= 0] = np.inf
        self.start: Vector = self.c * self.c / self.double  # what each coordinate gains at 0
        self.tolerance = 2e-10 * float(self.start.max())  # of that, so that it has a meaning where f is 0

    def formed(self) -> None:
        """The quadratic as a whole, where coordinates are few."""
        H, c, self.beginning = self.problem.as_quadratic()
        flat = H.diagonal() <= 0  # constant columns, say: what is left of them is rounding
        if flat.any():
            H, c = np.where(flat | flat[:, None], 0.0, H), np.where(flat, 0.0, c)
        self.h, self.c, self.rows = H.diagonal(), c, H.__getitem__

    def opened(self) -> None:
        """The quadratic in parts, which are computed when they are asked for."""
        self.problem = self.problem.open()
        self.h = np.asarray(self.problem.curvature(), dtype=float)
        g = np.asarray(self.problem.gradient_on(np.empty(0, dtype=np.intp), np.empty(0)), dtype=float)
        self.c = np.where(self.h > 0, -g, 0.0)
        self.beginning, self.rows = float(self.problem.value(self.problem.start(0).x)), Rows(self.problem, self.k)

    @cached_property
    def random(self) -> np.random.Generator:
        return np.random.default_rng([self.seed, 1])

    @cached_property
    def single(self) -> Single | None:
        return copied(self.problem)

    def reached(self, S: Indices) -> None:
        """Tells who watches."""
        if self.watch is not None:
            self.watch(S)

    def asks(self, S: Indices, weights: Vector) -> Vector:
        """What each coordinate gains at least at these weights on S: one pass over the data. (p,)"""
        return np.asarray(self.problem.gradient_on(S, weights), dtype=float) ** 2 / self.double

    def tableau(self, C: Indices, S: Indices) -> Swept:
        """On the coordinates C (sorted), swept on S: positions in C."""
        block = self.block(C)
        if C.size == self.p:
            self.rows = block.__getitem__
        return Swept(block.__getitem__, self.c[C], np.diagonal(block), S)

    def block(self, C: Indices) -> Matrix:
        """The Hessian on these coordinates."""
        if isinstance(self.rows, Rows):
            return np.asarray(self.problem.hessian_block(C), dtype=float)
        return self.rows(C)[:, C]

    def everything(self, S: Indices) -> Swept:
        """On all coordinates."""
        return Swept(self.rows, self.c, self.h, S)

    def ranking(self, t: Swept) -> Any:
        """Rows to rank by: in single precision where that shows enough."""
        return self.single if self.single is not None and plain(self.problem, t) else self.rows
