"""What a theorem is stated for: coordinates or groups, a preselected set, an exact or a weak oracle.

>>> Setting(labels=(0, 0, 1), preselected=(2,), tau=0.5).units(np.array([True, False, True]))
2
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsopt import support as sp
from sparsopt.fits import Exact
from sparsopt.method import Phase, Stage
from sparsopt.method.adaptation import Root
from sparsopt.moves import Gradient, Score
from sparsopt.state import Array, Mask, State
from sparsopt.support import Elements, Groups, Structure

__all__ = ["Given", "Protected", "Setting", "Weak", "rule"]


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


def rule(score: Any) -> Any:
    """What a move ranks by: groups by the root of a sum of gains, which is a norm in units of curvature 1."""
    return score.by if isinstance(score, Root) else score
