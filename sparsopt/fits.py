"""Fits: which values? A fit is a frozen dataclass called with (oracle, state); it returns the next state.

The support has been chosen when a fit starts. Some fits minimise on it (`Exact`), some take steps (`GradientSteps`),
some only rearrange what is there (`Restrict`, `Remember`, `Rewind`).

>>> GradientSteps(step_size=0.1)
GradientSteps(steps=1, step_size=0.1)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sparsopt import support as sp
from sparsopt.errors import InvalidInput
from sparsopt.state import Array, State

Fit = Callable[[Any, State], State]
StepSize = Callable[[Any, State, Array], Any]  # (f, state, gradient on the support) -> length, or one a coordinate

__all__ = [
    "Average",
    "Clock",
    "CoordinateStep",
    "Exact",
    "Extrapolate",
    "Feedback",
    "Fit",
    "FrankWolfeStep",
    "FreshOptimiser",
    "GradientSteps",
    "InverseSmoothness",
    "LineSearch",
    "Normalised",
    "Remember",
    "Restrict",
    "Rewind",
    "StepSize",
    "step_length",
]

OPTIMISER = "momentum."  # slots whose names start so belong to the optimiser


# ---- step sizes ----------------------------------------------------------------------------------------------------


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


# ---- fits that use f -----------------------------------------------------------------------------------------------


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


# ---- fits that rearrange -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Average:
    """x_j <- sign(x_j) |x|_1 c_j / k, c_j the number of the k draws of `Sample(k)` that hit j: unbiased for x."""

    k: int

    def __call__(self, oracle: Any, state: State) -> State:
        x = state.x
        hits = sp.draw_counts(x, self.k, state.key)
        sign = x / abs(x + (x == 0))
        return state.but(x=sp.restrict(sign * hits * (float(abs(x).sum()) / self.k), hits > 0))


@dataclass(frozen=True)
class Restrict:
    """x and the optimiser's slots become zero off the support."""

    def __call__(self, oracle: Any, state: State) -> State:
        return restricted(state)


def restricted(state: State) -> State:
    """x *and* optimiser slots cleared off the support: either alone would let stale momentum revive a weight."""
    slots = {
        name: sp.restrict(array, state.support) if is_weightwise(name) else array for name, array in state.slots.items()
    }
    return state.but(x=sp.restrict(state.x, state.support), slots=slots if slots else state.slots)


def is_weightwise(name: str) -> bool:
    """Whether a slot holds one optimiser number for each coordinate of x."""
    return name.startswith(OPTIMISER) and name.endswith(".x")


@dataclass(frozen=True)
class Remember:
    """Keeps a snapshot of where the run stands now (x, slots and clock), under a name."""

    name: str

    def __call__(self, oracle: Any, state: State) -> State:
        return state.but(saved={**state.saved, self.name: state.but(saved={}, before=None)})


@dataclass(frozen=True)
class Rewind:
    """x, slots and clock as they were in the snapshot, on the present support. The cost goes on."""

    name: str

    def __call__(self, oracle: Any, state: State) -> State:
        if self.name not in state.saved:
            raise InvalidInput(f"{self}: no snapshot of that name among {sorted(state.saved)}; Remember comes first")
        then = state.saved[self.name]
        return restricted(state.but(x=then.x, slots=then.slots, clock=then.clock))


@dataclass(frozen=True)
class Clock:
    """Sets learning-rate time and leaves the weights: learning-rate rewinding (0) or fine-tuning (the end)."""

    step: int

    def __call__(self, oracle: Any, state: State) -> State:
        return state.but(clock=self.step)


@dataclass(frozen=True)
class FreshOptimiser:
    """Forgets momentum and all other optimiser slots."""

    def __call__(self, oracle: Any, state: State) -> State:
        return state.but(slots={name: a for name, a in state.slots.items() if not name.startswith(OPTIMISER)})
