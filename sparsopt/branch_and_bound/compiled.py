"""Leaps and bounds with its loop compiled by Numba (`kernels`): the same nodes and the same answer, ten times as fast.

The kernel goes depth first and leaves three things to Python: solving the supports it finds, with care; the clock; and
bounds on what is still open when time is up.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from sparsopt.branch_and_bound.incumbent import Incumbent
from sparsopt.branch_and_bound.leaps import FEW, Leaps, Nodes
from sparsopt.branch_and_bound.model import Quadratic
from sparsopt.errors import MissingCapability
from sparsopt.machine import compiling
from sparsopt.problems.quadratic import Quadratic as Problem
from sparsopt.state import Array

__all__ = ["CompiledLeaps", "compiled_leaps"]

AT_ONCE = 1000  # nodes between two looks at the clock
LEAVES = 1000  # supports between two visits of Python


class CompiledLeaps(Leaps):
    """`Leaps`, compiled."""

    def _work(self, most: float = np.inf) -> float:
        self.batch, bound = 1, np.inf
        while self.waiting and not self.found.spent:
            bound = min(bound, self._explore(self._pop()))
        return min(bound, super()._work(most=0))

    def _explore(self, root: Nodes) -> float:
        """All below a node; the bound of what is left of it."""
        from sparsopt.branch_and_bound import kernels

        A = root.A[0]
        numbers, stack = self._numbers(A), self._stack(root)
        leaves = np.empty((A.size**2 + LEAVES, self.k), dtype=np.int64)
        level = 0
        while level >= 0 and not self.found.spent:
            most = int(min(AT_ONCE, self.found.nodes_left - self.found.nodes))
            level, nodes, count = kernels.explore(numbers, stack, level, most, self.found.target, leaves)
            self.found.nodes += nodes
            for support in leaves[:count]:
                self._leaf(A[support])
        return min((self._open(A, stack, at) for at in range(level + 1)), default=np.inf)

    def _numbers(self, A: Array) -> Any:
        from sparsopt.branch_and_bound import kernels

        model, norm = self.model, np.linalg.norm
        return kernels.Numbers(
            H=np.ascontiguousarray(model.H[np.ix_(A, A)]),
            c=model.c[A],
            h=model.h[A],
            root=model.root[A],
            e=model.e[A],
            c_error=model.c_error[A],
            constant=model.constant,
            constant_error=float(model.constant_error),
            convexity=model.convexity,
            margin=model.margin,
            root_norm=float(norm(model.root)),
            c_norm=float(norm(model.c)),
            e_norm=float(norm(model.e)),
            c_error_norm=float(norm(model.c_error)),
            k=model.k,
            p=model.p,
        )

    def _stack(self, root: Nodes) -> Any:
        from sparsopt.branch_and_bound import kernels

        m, inside = root.A.shape[1], root.inside[0][root.A[0]]
        levels = m - self.k + 1

        def ints(*shape: int) -> Array:
            return np.empty(shape, dtype=np.int64)

        stack = kernels.Stack(
            A=ints(levels, m),
            M=np.empty((levels, m, m)),
            w=np.empty((levels, m)),
            t=np.empty((levels, m)),
            inside=np.empty((levels, m), dtype=bool),
            bound=np.empty(levels),
            size=ints(levels),
            places=ints(levels),
            order=ints(levels, self.k + FEW),
            next=ints(levels),
            G=np.empty(m),
            A_left=ints(m),
            w_left=np.empty(m),
        )
        stack.A[0], stack.M[0], stack.w[0], stack.inside[0] = np.arange(m), root.M[0], root.w[0], inside
        stack.bound[0], stack.size[0], stack.next[0] = root.bound[0], m, -1
        stack.places[0] = self.k - np.count_nonzero(inside)
        return stack

    def _open(self, A: Array, stack: Any, level: int) -> float:
        """The bound of a node of the stack, or of its children that were not looked at."""
        m, inside = int(stack.size[level]), np.zeros((1, self.model.p), dtype=bool)
        at, w = A[stack.A[level, :m]], stack.w[level, :m]
        node = Nodes(at[None], stack.M[level, :m, :m][None], w[None], inside, stack.bound[level : level + 1])
        if stack.next[level] < 0:
            return float(self._proved(node)[0])
        positions = stack.order[level, stack.next[level] : max(stack.places[level] - 2, 0)]
        rows = np.zeros(positions.size, dtype=np.intp)
        return float(self._without(node, rows, positions, self._mask(node)).min(initial=np.inf))


@cache
def compiled_leaps() -> type[Leaps]:
    """`CompiledLeaps`, ready to run: the loop is compiled, some seconds once a machine, or read from its cache.

    Raises `MissingCapability` without Numba.
    """
    if not compiling.available():
        raise MissingCapability("the compiled backend of branch and bound needs numba (pip install sparsopt[fast]): "
                                "backend='arrays' answers the same without it")  # fmt: skip
    problem, none = Problem(np.eye(5), np.ones(5)), np.zeros(5, dtype=bool)
    CompiledLeaps(Quadratic(problem, problem.H, 3), Incumbent(problem, np.zeros(5), 0.0, 1e9, None)).run(none, none)
    return CompiledLeaps
