"""What all theorems share: verdicts, the constants of a problem, variations of a method, observed runs.

>>> from sparsopt.problems import Quadratic
>>> problem = Quadratic(np.diag([1.0, 2.0, 4.0]), np.ones(3))
>>> constants = Constants(problem, Setting())
>>> constants.smoothness(1), round(constants.strong_convexity(np.array([False, True, True])), 9)
(4.0, 2.0)
"""

from __future__ import annotations

import enum
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from sparsopt import support as sp
from sparsopt.fits import Exact
from sparsopt.method import Method, Phase, Stage, run
from sparsopt.method.adaptation import Root
from sparsopt.moves import Gradient, Score
from sparsopt.result import Result
from sparsopt.state import Array, Mask, State
from sparsopt.support import Elements, Groups, Structure

__all__ = [
    "Constants",
    "Given",
    "Observed",
    "Proof",
    "Setting",
    "Theorem",
    "Verdict",
    "Weak",
    "observe",
    "roots",
    "rule",
]

ROUNDING = 1e-9  # of the numbers that a promise is made of
MOST_PAIRS = 100  # groups up to this number are looked at in pairs
MOST_BLOCK = 1000  # coordinates up to which the eigenvalues of a block are computed


class Proof(enum.Enum):
    """How a theorem is known."""

    DERIVED = "derived here, the proof is in the docstring"
    READ = "read in the source"
    RECALLED = "recalled, not checked against the source: reported, never a gate"


@dataclass(frozen=True)
class Verdict:
    """achieved <= promised, up to `rounding`; of many steps the one that comes closest.

    equality: achieved = promised, up to `rounding`. note: the constants it was made of, and whether it says anything.
    """

    theorem: str
    statement: str
    source: str
    proof: Proof
    promised: float
    achieved: float
    rounding: float = 0.0
    equality: bool = False
    note: str = ""

    @property
    def slack(self) -> float:
        """promised - achieved."""
        return self.promised - self.achieved

    @property
    def ratio(self) -> float:
        """achieved / promised: 1 where the bound is tight."""
        return self.achieved / self.promised if self.promised > 0 else 0.0

    @property
    def holds(self) -> bool:
        within = self.slack >= -self.rounding
        return within and (not self.equality or self.slack <= self.rounding)

    @property
    def violated(self) -> bool:
        """Whether this is a defect: a theorem that is only recalled cannot be violated."""
        return not self.holds and self.proof is not Proof.RECALLED


# ---- variations ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Weak:
    """A score known up to a factor: |g_j| u_j with u_j in [tau, 1], so the largest is at least tau max |g|."""

    tau: float
    seed: int = 0
    by: Score = Gradient()
    autonomous = False  # other factors in another round

    def __call__(self, f: Any, state: State) -> Array:
        u = np.random.default_rng([self.seed, *state.key]).uniform(self.tau, 1.0, f.layout.n)
        return self.by(f, state) * u


@dataclass(frozen=True)
class Protected:
    """A score that is infinite on some coordinates: they are never the worst."""

    members: tuple[int, ...]
    by: Score

    def __call__(self, f: Any, state: State) -> Array:
        score = np.array(self.by(f, state), dtype=float)
        score[list(self.members)] = np.inf
        return score


@dataclass(frozen=True)
class Given:
    """A move to one fixed support."""

    members: tuple[int, ...]

    def __call__(self, f: Any, state: State) -> Mask:
        return np.isin(np.arange(f.layout.n), self.members)


@dataclass(frozen=True)
class Setting:
    """What a theorem is stated for: coordinates or groups, a preselected set, an exact or a weak oracle.

    labels: a group number a coordinate (None: each is its own). preselected: coordinates that are in from the start
    and stay. tau: the chosen |g_j| is at least tau max |g|.
    """

    labels: tuple[int, ...] | None = None
    preselected: tuple[int, ...] = ()
    tau: float = 1.0
    seed: int = 0

    @property
    def structure(self) -> Structure:
        return Elements() if self.labels is None else Groups(self.labels)

    @property
    def into(self) -> Score:
        """|g_j|, exactly or nearly. A group's norm is then known up to the same factor."""
        return Gradient() if self.tau == 1.0 else Weak(self.tau, self.seed)

    def group_of(self, p: int) -> Array:
        return np.arange(p) if self.labels is None else np.asarray(self.labels)

    def units(self, support: Mask) -> int:
        """Coordinates, or groups, with a member in the support."""
        return len(np.unique(self.group_of(len(support))[support]))

    def norms(self, v: Array) -> Array:
        """|v_G| for each group."""
        return sp.group_norms(v, self.group_of(len(v)))

    def start(self) -> tuple[Stage, ...]:
        """The stage that puts the preselected coordinates in and fits them; none without any."""
        return () if not self.preselected else (Stage((Phase(Given(self.preselected), Exact()),)),)


class Constants:
    """Smoothness and strong convexity of f on the sets that a theorem talks about.

    For quadratics and least squares they are eigenvalues of blocks of the Hessian; otherwise what
    `problem.smoothness(r)` and `problem.strong_convexity(r)` promise for all supports of r coordinates: sound, and
    larger and smaller. root: (p,) f is looked at as a function of u_j = x_j root_j; with the roots of the curvatures
    (`unit_curvature`) that is where rules by gain and removal are rules by gradient and magnitude.
    """

    def __init__(self, problem: Any, setting: Setting, root: Array | None = None) -> None:
        self.problem, self.setting = problem, setting
        self.root = np.ones(problem.layout.n) if root is None else root
        labels = setting.group_of(problem.layout.n)
        self.groups = [np.flatnonzero(labels == label) for label in np.unique(labels)]
        self.quadratic = hasattr(problem, "hessian_block")

    @classmethod
    def unit_curvature(cls, problem: Any, setting: Setting) -> Constants:
        """Those of f in units in which every curvature is 1."""
        return cls(problem, setting, roots(problem))

    def smoothness(self, units: int) -> float:
        """beta: f is that smooth along every union of `units` (1 or 2) groups."""
        units = min(units, len(self.groups))
        size = sum(sorted((len(group) for group in self.groups), reverse=True)[:units])
        most = float(np.max(self.problem.curvature() / self.root**2))
        if size == 1:
            return most
        if self.quadratic and size == 2 == units and len(self.groups) <= 2 * MOST_BLOCK:
            return self._of_pairs()
        if not self.quadratic or math.comb(len(self.groups), units) > MOST_PAIRS * MOST_PAIRS / 2:
            return min(float(self.problem.smoothness(size)) / float(np.min(self.root)) ** 2, size * most)
        unions = itertools.combinations(self.groups, units)
        return max(self._of_block(np.concatenate(union))[1] for union in unions)

    def strong_convexity(self, support: Mask) -> float:
        """lambda of f restricted to this support, not below 0."""
        size = int(np.count_nonzero(support))
        if not size:
            return math.inf
        if not self.quadratic or size > MOST_BLOCK:
            return max(float(self.problem.strong_convexity(size)), 0.0) / float(np.max(self.root)) ** 2
        return max(self.spectrum(support)[0], 0.0)

    def isometry(self, support: Mask) -> tuple[float, float]:
        """(delta, c): all eigenvalues on this support are between (1 - delta) c and (1 + delta) c. Quadratics only."""
        low, high = self.spectrum(support)
        return (high - low) / (high + low), (high + low) / 2

    def spectrum(self, support: Mask) -> tuple[float, float]:
        """The smallest and the largest eigenvalue of the Hessian on this support. Quadratics only."""
        return self._of_block(np.flatnonzero(support))

    def _of_pairs(self) -> float:
        """The largest eigenvalue on any two coordinates, (a + b)/2 + sqrt((a - b)^2/4 + c^2)."""
        p = self.problem.layout.n
        H = self.problem.hessian_block(np.arange(p)) / np.outer(self.root, self.root)
        h = np.diagonal(H)
        largest = (h[:, None] + h) / 2 + np.hypot((h[:, None] - h) / 2, np.where(np.eye(p, dtype=bool), 0.0, H))
        return float(largest.max()) * (1 + 50 * float(np.finfo(self.problem.dtype).eps))

    def _of_block(self, indices: Array) -> tuple[float, float]:
        """Extreme eigenvalues of the block, moved outwards by their rounding."""
        block = self.problem.hessian_block(indices) / np.outer(self.root[indices], self.root[indices])
        values = np.linalg.eigvalsh((block + block.T) / 2)
        slack = 50 * float(np.finfo(self.problem.dtype).eps) * len(values) * abs(values[-1])
        return float(values[0] - slack), float(values[-1] + slack)


def rule(score: Any) -> Any:
    """What a move ranks by: groups by the root of a sum of gains, which is a norm in units of curvature 1."""
    return score.by if isinstance(score, Root) else score


def roots(problem: Any) -> Array:
    """sqrt(h_j), (p,); 1 where f does not depend on a coordinate."""
    h = np.asarray(problem.curvature(), dtype=float)
    return np.sqrt(np.where(h > 0, h, 1.0))


# ---- runs ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Observed:
    """A run with the state after every round, the start included."""

    problem: Any
    method: Method
    states: tuple[State, ...]
    result: Result
    setting: Setting = field(default_factory=Setting)

    @cached_property
    def values(self) -> tuple[float, ...]:
        """f at each of the states."""
        return tuple(float(self.problem.value(state.x)) for state in self.states)

    @cached_property
    def constants(self) -> Constants:
        return Constants(self.problem, self.setting)

    @cached_property
    def scale(self) -> float:
        """What rounding is relative to."""
        return max(abs(value) for value in self.values)

    @cached_property
    def rounding(self) -> float:
        """Of values of f."""
        return self.scale * max(ROUNDING, 100 * float(np.finfo(self.problem.dtype).eps))


def observe(problem: Any, method: Method, seed: int = 0, setting: Setting = Setting(), start: Any = None) -> Observed:
    """Run the method and keep the state after every round."""
    first = problem.start(seed) if start is None else start
    states = [first]

    def save(state: State, _: Any) -> None:
        if state.phase == 0 and not state.inner:
            states.append(state)

    result = run(method, problem, first, save=save)
    return Observed(problem, method, tuple(states), result, setting)


@dataclass(frozen=True)
class Theorem:
    """A statement with constants. claim: multiplies the promised progress; above 1 the statement is false, which is how
    the tests see that a check can fail."""

    claim: float = 1.0
    name: ClassVar[str] = ""
    statement: ClassVar[str] = ""
    source: ClassVar[str] = ""
    proof: ClassVar[Proof] = Proof.DERIVED

    def instance(self, seed: int, setting: Setting | None = None) -> Verdict | None:
        """A random small instance, run and checked; None where the assumptions are not met. setting: None, drawn."""
        raise NotImplementedError

    def tight(self) -> Verdict | None:
        """An instance on which the bound is met with equality, or nearly: a smaller constant fails there."""
        return None

    def about(self, method: Any) -> bool:
        """Whether a method is one that the theorem speaks of."""
        return False

    def about_point(self, certificates: Any) -> bool:
        """Whether it speaks of a point, whoever found it (`Certificates`)."""
        return False

    def promise(self, observed: Observed, targets: Sequence[Array]) -> Verdict | None:
        """The best that is promised for a run by comparison with any of the targets; None: nothing is."""
        return None

    def remark(self, observed: Observed) -> str:
        """What to say where nothing is promised."""
        return "its assumptions are not met here, so nothing is promised"

    def value_promise(self, observed: Observed, found: Sequence[tuple[float, str]]) -> Verdict | None:
        """The least of the promises (bound of f(x), constants it is made of): vacuous unless below the start's f."""
        if not found:
            return None
        promised, note = min(found)
        if promised >= observed.values[0] - observed.rounding:
            note += f"; vacuous here: f was {observed.values[0]:.6g} at the start"
        return self.verdict(promised, float(observed.problem.value(observed.result.x)), observed.rounding, note=note)

    def verdict(self, promised: float, achieved: float, rounding: float, **more: Any) -> Verdict:
        return Verdict(self.name, self.statement, self.source, self.proof, promised, achieved, rounding, **more)

    def closest(self, steps: Sequence[tuple[float, float, float]]) -> Verdict | None:
        """The verdict of the step (promised, achieved, rounding) that comes closest to breaking its promise."""
        if not steps:
            return None
        promised, achieved, rounding = min(
            steps, key=lambda step: (step[0] - step[1] + step[2]) / (abs(step[0]) + step[2] + 1e-300)
        )
        return self.verdict(promised, achieved, rounding)
