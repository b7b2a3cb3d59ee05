"""What every convex problem has in common, and the memory of one run.

A loss of your own derives from `Problem` and gives `value(x)` and `gradient(x)`; each further capability opens more
methods: `minimise_on` (fully corrective methods), `curvature` (gains), `smoothness` (gradient steps),
`hessian_product` (normalised steps), `strong_convexity` with `rounding` (lower bounds). Where no curvature holds
everywhere, `curvature_at(x)` still ranks coordinates. What is missing is reported by name.

>>> class Distance(Problem):
...     def __init__(self, target): super().__init__(len(target)); self.target = target
...     def value(self, x): return float((x - self.target) @ (x - self.target)) / 2
...     def gradient(self, x): return x - self.target
...     def smoothness(self, s=None): return 1.0
>>> Distance(np.array([3.0, 1.0])).value(np.array([1.0, 1.0]))
2.0
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Self

import numpy as np

from sparsopt.machine import heap
from sparsopt.state import Array, Layout, Mask, State
from sparsopt.support import Elements, Structure

__all__ = ["Last", "Problem"]

heap.keep()  # on import: who measures memory later does not meet that block


class Problem:
    """A convex f on R^p. An oracle of the run loop, and the function itself, as nothing but x can change it.

    p: the number of coordinates; dtype: of x; structure: which supports are allowed, and what k counts. A problem is
    stateless, so threads may share it; what `open` returns remembers what it computed, belongs to one run, and to one
    thread.
    """

    layout: Layout
    dtype: Any = np.float64
    structure: Structure = Elements()
    limited = False  # whether coefficients are confined to less than R^p
    _memo: Any = None

    def __init__(self, p: int, dtype: Any = np.float64) -> None:
        self.layout = Layout.single(p)
        try:
            self.dtype = np.dtype(dtype)
        except TypeError:
            self.dtype = np.dtype(str(dtype).removeprefix("torch."))

    @property
    def p(self) -> int:
        """The number of coordinates."""
        return self.layout.n

    def start(self, seed: int = 0) -> State:
        """x = 0 on the empty support."""
        return State(np.zeros(self.p, self.dtype), np.zeros(self.p, dtype=bool), seed)

    def open(self) -> Self:
        """The same problem with a private memory, for one run."""
        opened = copy.copy(self)
        opened._memo = self.memory()
        return opened

    def memory(self) -> Any:
        """An empty memory, where the problem uses one."""
        return None

    def at(self, state: State) -> Any:
        """f at a state: the problem itself, with the curvature at x where no bound holds everywhere."""
        return Local(self, state.x) if hasattr(self, "curvature_at") else self

    def restricted(self, indices: Array) -> Any:
        """f as a function of these coordinates only, the others zero."""
        return Restriction(self, indices)

    @property
    def plain(self) -> bool:
        """Whether nothing is asked of x but that it has at most k non-zeros: what swaps and fixed points assume."""
        return self.structure == Elements() and not self.limited

    def gradient_on(self, indices: Array, weights: Array) -> Array:
        """The gradient at the point that has these weights there and is 0 elsewhere, (p,)."""
        x = np.zeros(self.p, self.dtype)
        x[indices] = weights
        return self.gradient(x)  # type: ignore[attr-defined]

    def as_quadratic(self) -> tuple[Array, Array, float]:
        """(H, c, f(0)) with f(x) = x'Hx/2 - c'x + f(0), all (p, p) of H: of a quadratic with few coordinates."""
        f: Any = self
        zero = np.zeros(self.p, self.dtype)
        return f.hessian_columns(np.arange(self.p)), -f.gradient(zero), f.value(zero)

    def intercept(self, x: Array) -> float:
        """The unpenalised intercept that minimises f at x; 0 where the model has none."""
        return 0.0

    def floor(self) -> float:
        """A number that f never goes below; -inf where none is known."""
        return -np.inf

    def rounding(self, x: Array) -> tuple[float, Array]:
        """Bounds on the rounding errors of value(x) and of each entry of gradient(x).

        Lower bounds subtract them. A loss that does not know them says infinity, and then has no certificates.
        """
        return np.inf, np.full(self.p, np.inf)


class Local:
    """f as seen from x: with the curvature there, which ranks coordinates but bounds nothing."""

    def __init__(self, problem: Any, x: Array) -> None:
        self.problem, self.x = problem, x

    def __getattr__(self, name: str) -> Any:
        return getattr(self.problem, name)

    def curvature(self) -> Array:
        """About the second derivatives along the coordinates at x, (p,)."""
        return self.problem.curvature_at(self.x)


class Restriction(Problem):
    """f as a function of some coordinates, the others zero, by putting them in place."""

    def __init__(self, problem: Any, indices: Array) -> None:
        super().__init__(len(indices), problem.dtype)
        self.problem, self.indices = problem, indices

    def __repr__(self) -> str:
        return f"{self.problem!r} on {self.p} coordinates"

    def embedded(self, x: Array) -> Array:
        """The point of f that x stands for."""
        full = np.zeros(self.problem.p, x.dtype)
        full[self.indices] = x
        return full

    def value(self, x: Array) -> float:
        return self.problem.value(self.embedded(x))

    def gradient(self, x: Array) -> Array:
        return self.problem.gradient(self.embedded(x))[self.indices]

    def hessian_product(self, x: Array, v: Array) -> Array:
        return self.problem.hessian_product(self.embedded(x), self.embedded(v))[self.indices]

    def hessian(self, x: Array) -> Array:
        """From one product a coordinate, (p, p)."""
        H = np.stack([self.hessian_product(x, unit) for unit in np.eye(self.p, dtype=self.dtype)]).astype(np.float64)
        return (H + H.T) / 2

    def minimise_on(self, support: Mask, x: Array | None = None) -> tuple[Array, float]:
        start = None if x is None else self.embedded(x)
        found, value = self.problem.minimise_on(self.embedded(support), start)
        return found[self.indices], value


class Last:
    """What was last computed at a point. Points are compared by content, so changing x in place does no harm."""

    __slots__ = ("found", "x")

    def __init__(self) -> None:
        self.x: Array = np.empty(0)
        self.found: Any = None

    def get(self, x: Array) -> Any:
        """What is known at x, or None."""
        return self.found if x.shape == self.x.shape and np.array_equal(x, self.x) else None

    def put(self, x: Array, found: Any) -> Any:
        """Remembers `found` at x, and returns it."""
        self.x, self.found = x.copy(), found
        return found

    def once(self, x: Array, compute: Callable[[Array], Array]) -> Array:
        """compute(x), or what it gave when x was last asked for; read-only, because it is shared."""
        known = self.get(x)
        if known is None:
            known = self.put(x, compute(x))
            known.flags.writeable = False
        return known
