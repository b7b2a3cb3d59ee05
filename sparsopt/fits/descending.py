"""Fits that lower f: minimise it on the support, or take steps towards that.

>>> from sparsopt.problems import Quadratic
>>> problem = Quadratic(np.eye(2), np.array([1.0, 2.0]))
>>> Exact()(problem, problem.start(0).but(support=np.array([False, True]))).x
array([0., 2.])
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sparsopt import support as sp
from sparsopt.fits.step_sizes import InverseSmoothness, StepSize, step_length
from sparsopt.state import State

Fit = Callable[[Any, State], State]

__all__ = ["CoordinateStep", "Exact", "Extrapolate", "Feedback", "Fit", "FrankWolfeStep", "GradientSteps"]


@dataclass(frozen=True)
class Exact:
    """x = argmin of f over vectors supported on S. Fully corrective."""

    needs = ("minimise_on",)

    def __call__(self, oracle: Any, state: State) -> State:
        x, value = oracle.at(state).minimise_on(state.support, state.x)
        return state.but(x=x, value=value, clock=state.clock + 1, cost=state.cost + 1)


@dataclass(frozen=True)
class GradientSteps:
    """x <- x - step g_S, `steps` times."""

    steps: int = 1
    step_size: float | StepSize = InverseSmoothness()
    needs = ("gradient",)

    def __call__(self, oracle: Any, state: State) -> State:
        f = oracle.at(state)
        for _ in range(self.steps):
            g = sp.restrict(f.gradient(state.x), state.support)
            state = state.but(x=state.x - step_length(self.step_size, f, state, g) * g)
        return state.but(clock=state.clock + self.steps, cost=state.cost + self.steps)


@dataclass(frozen=True)
class CoordinateStep:
    """x_j <- x_j - g_j / h_j for the coordinate of S with the largest guaranteed decrease; the others stay frozen.

    Matching pursuit, and the greedy step of forward selection without correction. Needs an f whose curvature has
    bounds everywhere: that is what `smoothness` says.
    """

    needs = ("gradient", "curvature", "smoothness")

    def __call__(self, oracle: Any, state: State) -> State:
        f = oracle.at(state)
        g, h = f.gradient(state.x), f.curvature()
        curved = h > 0
        best = sp.top(sp.restrict(g * g / (h + ~curved), curved), 1, state.support)
        step = sp.restrict(g / (h + ~curved), best & curved)
        return state.but(x=state.x - step, clock=state.clock + 1, cost=state.cost + 1)


@dataclass(frozen=True)
class FrankWolfeStep:
    """x <- (1 - eta) x + eta v, v = -radius sign(g_j) e_j, j = argmax |g|: a step inside the l1 ball of that radius.

    eta = min(1, g'(x - v) / (4 beta radius^2)), beta = max_j curvature_j, as Shalev-Shwartz, Srebro and Zhang (2010),
    Algorithm 1; beta |u|_1^2 bounds u'H u because |H_ij| <= max h for a positive semi-definite H.
    """

    radius: float
    needs = ("gradient", "curvature", "smoothness")

    def __call__(self, oracle: Any, state: State) -> State:
        f = oracle.at(state)
        g = f.gradient(state.x)
        best = sp.top(abs(g), 1)
        vertex = sp.restrict(-self.radius * (g / abs(g + (g == 0))), best)
        slope, beta = float(g @ (state.x - vertex)), float(f.curvature().max())
        bend = 4 * beta * self.radius**2
        eta = min(1.0, slope / bend) if bend > 0 else 0.0
        x = state.x + max(eta, 0.0) * (vertex - state.x)
        return state.but(x=x, clock=state.clock + 1, cost=state.cost + 1)


@dataclass(frozen=True)
class Feedback:
    """z <- z - step grad f(z_S), `steps` times: gradients are taken at the restricted point, steps by the dense one.

    What a step off the support does is remembered in z and can change the next choice. IHT with feedback; with
    mini-batches DPF (Lin et al. 2020). x holds the dense z; close with `Choose(k)`, `Restrict`.
    """

    steps: int = 1
    step_size: float | StepSize = InverseSmoothness()
    needs = ("gradient",)

    def __call__(self, oracle: Any, state: State) -> State:
        f = oracle.at(state)
        for _ in range(self.steps):
            g = f.gradient(sp.restrict(state.x, state.support))
            state = state.but(x=state.x - step_length(self.step_size, f, state, g) * g)
        return state.but(clock=state.clock + self.steps, cost=state.cost + self.steps)


@dataclass(frozen=True)
class Extrapolate:
    """x <- x + momentum (x - what x was the last time), which travels in slot "previous". Nothing the first time."""

    momentum: float

    def __call__(self, oracle: Any, state: State) -> State:
        previous = state.slots.get("previous", state.x)
        slots = {**state.slots, "previous": state.x}
        return state.but(x=state.x + self.momentum * (state.x - previous), slots=slots)
