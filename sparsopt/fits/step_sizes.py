"""How long a step is: a number, or a rule called with (f, state, gradient on the support).

>>> from sparsopt.problems import Quadratic
>>> problem = Quadratic(np.diag([1.0, 4.0]), np.array([1.0, 1.0]))
>>> round(InverseSmoothness()(problem, problem.start(0), problem.gradient(np.zeros(2))), 9)
0.25
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sparsopt import support as sp
from sparsopt.state import Array, State

StepSize = Callable[[Any, State, Array], Any]  # (f, state, gradient on the support) -> length, or one a coordinate

__all__ = ["InverseSmoothness", "LineSearch", "Normalised", "StepSize", "step_length"]


@dataclass(frozen=True)
class InverseSmoothness:
    """factor / L, L = smoothness() of the whole f: no such gradient step increases f for factor < 2. 0 if f is flat."""

    factor: float = 1.0
    needs = ("smoothness",)

    def __call__(self, f: Any, state: State, g: Array) -> float:
        L = f.smoothness()
        return self.factor / L if L > 0 else 0.0


@dataclass(frozen=True)
class Normalised:
    """|g_S|^2 / g_S'H g_S with S the support of x: the exact line search of a quadratic along its restricted gradient.

    The adaptive step of normalised IHT (Blumensath and Davies 2010), times what the judge `ShrinkStep` left in the
    slot "shrink". At x = 0, or where g_S = 0, S is the `k` coordinates with the largest gradient instead. A direction
    without curvature gets no step (where f is bounded below its slope is zero).
    """

    k: int
    needs = ("hessian_product",)

    def __call__(self, f: Any, state: State, g: Array) -> float:
        d = sp.restrict(g, state.x != 0)
        if not sp.square_norm(d) > 0:
            d = sp.restrict(g, sp.top(abs(g), self.k))
        bend = float(d @ f.hessian_product(state.x, d))
        step = sp.square_norm(d) / bend if bend > 0 else 0.0
        return step * float(state.slots.get("shrink", (1.0,))[0])


@dataclass(frozen=True)
class LineSearch:
    """|g_S|^2 / g_S'H g_S: the exact line search of a quadratic along its gradient on the state's support S."""

    needs = ("hessian_product",)

    def __call__(self, f: Any, state: State, g: Array) -> float:
        bend = float(g @ f.hessian_product(state.x, g))
        return sp.square_norm(g) / bend if bend > 0 else 0.0


def step_length(step_size: float | StepSize, f: Any, state: State, g: Array) -> Any:
    """The length of a step along -g, (n,), for a number or a rule: a number, or (n,)."""
    return step_size(f, state, g) if callable(step_size) else step_size
