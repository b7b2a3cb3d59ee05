"""Judges look at whole rounds: (oracle, old, new) -> (state, status or None). A status ends the stage.

A judge that reverts puts x, support and slots back; clock and cost go on, so that the next proposal differs and the
work that was done stays counted.

>>> WhileDecreasing()
WhileDecreasing(tolerance=0.0)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsopt import support as sp
from sparsopt.fits import StepSize
from sparsopt.result import Status
from sparsopt.state import State

Judge = Callable[[Any, State, State], tuple[State, Status | None]]

__all__ = ["IfDecreasing", "Judge", "RecordGains", "ShrinkStep", "SupportStable", "WhileDecreasing", "value_of"]


def value_of(oracle: Any, state: State) -> float:
    """f at the state's x: what a fit left there, else evaluated."""
    return state.value if not math.isnan(state.value) else oracle.at(state).value(state.x)


def _revert(old: State, new: State) -> State:
    return new.but(x=old.x, support=old.support, slots=old.slots, value=old.value)


@dataclass(frozen=True)
class IfDecreasing:
    """A round that does not lower f by more than tolerance * |f| is undone; the next one tries again.

    The accept test of replacement, for proposals that differ from round to round (random ones, or by mini-batch).
    """

    tolerance: float = 0.0

    def __call__(self, oracle: Any, old: State, new: State) -> tuple[State, Status | None]:
        return _compare(oracle, old, new, self.tolerance)[0], None


@dataclass(frozen=True)
class WhileDecreasing:
    """The first round that does not lower f by more than tolerance * |f| is undone and ends the stage."""

    tolerance: float = 0.0

    def __call__(self, oracle: Any, old: State, new: State) -> tuple[State, Status | None]:
        state, fell = _compare(oracle, old, new, self.tolerance)
        return state, None if fell else Status.NO_DECREASE


def _compare(oracle: Any, old: State, new: State, tolerance: float) -> tuple[State, bool]:
    """The better of the two states, its value filled in, and whether that is the new one."""
    before, after = value_of(oracle, old), value_of(oracle, new)
    fell = after < before - tolerance * abs(before)
    return (new.but(value=after) if fell else _revert(old, new).but(value=before)), fell


@dataclass(frozen=True)
class SupportStable:
    """Ends the stage when the last `window` supports differ from the newest in at most a share `tolerance` of n.

    Support identification for convex f; the early-bird rule for networks (You et al. 2020: window 5, tolerance 0.1).
    """

    window: int = 1
    tolerance: float = 0.0

    def __call__(self, oracle: Any, old: State, new: State) -> tuple[State, Status | None]:
        newest = sp.to_numpy(new.support)
        recent = new.slots.get("recent")
        recent = sp.to_numpy(old.support)[None] if recent is None else sp.to_numpy(recent)
        close = np.mean(recent != newest, axis=1) <= self.tolerance
        if len(recent) >= self.window and close.all():
            slots = {name: array for name, array in new.slots.items() if name != "recent"}  # a later stage starts anew
            return new.but(slots=slots), Status.SUPPORT_STABLE
        history = np.concatenate([recent, newest[None]])[-self.window :]
        return new.but(slots={**new.slots, "recent": history}), None


@dataclass(frozen=True)
class RecordGains:
    """Keeps in slot "gains", at index |S|, by how much f fell when S last grew to that size. FoBa's memory."""

    k: int

    def __call__(self, oracle: Any, old: State, new: State) -> tuple[State, Status | None]:
        size = sp.count(new.support)
        if size <= sp.count(old.support):
            return new, None
        gains = np.zeros(max(self.k, size) + 1)
        known = new.slots.get("gains", gains)[: len(gains)]
        gains[: len(known)] = known
        gains[size] = value_of(oracle, old) - value_of(oracle, new)
        return new.but(slots={**new.slots, "gains": gains}), None


@dataclass(frozen=True)
class ShrinkStep:
    """Undoes a gradient step that changed the support and was too long for it, and shortens the next by `factor`.

    Too long: dx'H dx > (1 - margin) sum_j dx_j^2 / step_j, dx the change over the round. The test of normalised IHT
    (Blumensath and Davies 2010; margin is their c, factor their 1/(kappa (1 - c))): with it a quadratic f cannot
    increase (other f: to second order). A round that is undone counts as one. A round that is accepted restores the
    full step. The shortening travels in slot "shrink", which `Normalised` reads.
    """

    step_size: StepSize
    margin: float = 0.01
    factor: float = 0.5
    needs = ("hessian_product",)

    def __call__(self, oracle: Any, old: State, new: State) -> tuple[State, Status | None]:
        shrink = float(new.slots.get("shrink", (1.0,))[0])
        if self._too_long(oracle.at(old), old, new):
            slots = {**old.slots, "shrink": np.array([shrink * self.factor])}
            return _revert(old, new).but(slots=slots), None
        if shrink == 1.0:
            return new, None
        return new.but(slots={**new.slots, "shrink": np.ones(1)}), None

    def _too_long(self, f: Any, old: State, new: State) -> bool:
        if sp.count(old.support) == 0 or sp.digest(old.support) == sp.digest(new.support):
            return False
        d = new.x - old.x
        bend = float(d @ f.hessian_product(old.x, d))
        step = self.step_size(f, old, f.gradient(old.x))
        moved = d != 0
        return bend > (1 - self.margin) * float((d[moved] ** 2 / (step + 0 * d)[moved]).sum())
