"""The thesis of the project as a test: the same `Method` objects on a NumPy problem and on a Torch module.

Same supports in every phase, weights equal to 1e-12 (1 + |x|), on 200 generated problems.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from nets import catalogue as networks
from nets.catalogue import Plan, relaxed, searches
from sparsopt import catalogue as convex
from sparsopt.errors import MissingCapability
from sparsopt.fits import Average, Feedback, Fit, GradientSteps, Remember, Restrict, Rewind
from sparsopt.judges import IfDecreasing, SupportStable, WhileDecreasing
from sparsopt.method import Method, Phase, Stage, check, run
from sparsopt.moves import Add, Choose, Everything, Gradient, Keep, Magnitude, Random, Sample, Stay
from sparsopt.schedules import Cubic, Geometric
from sparsopt.support import NM, Groups
from tests.conftest import scaled
from tests.worlds import HalfSquares, NumpyWorld, draw, torch_world

PROBLEMS = scaled(200)


def _descent(step: float, steps: int = 3) -> GradientSteps:
    return GradientSteps(steps, step)


def _chosen(k: int, fit: Fit) -> Method:
    return Method("start", (Stage((Phase(Choose(k), fit),)),))


# One row a method that both worlds can run as it stands: (k, p, step) -> Method.
SHARED: dict[str, Callable[[int, int, float], Method]] = {
    "fully corrective": lambda k, p, s: convex.fully_corrective(k, 2, Gradient(), _descent(s)),
    "replacement": lambda k, p, s: convex.replacement(
        k, 1, 6, _chosen(k, _descent(s)), Magnitude(), Gradient(), _descent(s)
    ),
    "random replacement": lambda k, p, s: convex.replacement(
        k, 1, 6, _chosen(k, Restrict()), Magnitude(), Random(1), _descent(s), IfDecreasing()
    ),
    "backward elimination": lambda k, p, s: convex.backward_elimination(Geometric(p, k, 3), Magnitude(), _descent(s)),
    "rewinding": lambda k, p, s: Method(
        "imp",
        (
            Stage((Phase(Stay(), Remember("early")), Phase(Stay(), _descent(s)))),
            Stage((Phase(Keep(Geometric(p, k, 3)), Rewind("early")), Phase(Stay(), _descent(s))), rounds=3),
        ),
    ),
    "iht": lambda k, p, s: convex.iht(k, s, rounds=12),
    "iht, k decreasing": lambda k, p, s: convex.iht(Cubic(p, k, 6), s, rounds=8),
    "iht, until stable": lambda k, p, s: convex.iht(k, s, rounds=20, judge=SupportStable(2)),
    "iht, N:M": lambda k, p, s: convex.iht(k, s, rounds=8, structure=NM(1, 2)),
    "iht, groups": lambda k, p, s: convex.iht(max(1, k // 2), s, rounds=8, structure=Groups(tuple(np.arange(p) // 2))),
    "hard thresholding, corrected": lambda k, p, s: Method(
        "graded", (convex.hard_thresholding(k, _descent(s, 1), _descent(s), rounds=6),)
    ),
    "iht with feedback": lambda k, p, s: convex.iht_with_feedback(k, s, rounds=10, steps=2),
    "gradient support pursuit": lambda k, p, s: Method(
        "grasp", (Stage((Phase(Add(k, Gradient()), _descent(s)), Phase(Keep(k), _descent(s))), 5, WhileDecreasing()),)
    ),
    "randomised": lambda k, p, s: Method(
        "randomised", (Stage((Phase(Everything(), _descent(s)),)), Stage((Phase(Sample(k), Average(k)),)))
    ),
}


def _agree(method: Method, seed: int, chunk: int | None = None) -> float:
    """Run in both worlds; assert the same phases, return the relative difference of x."""
    X, y, w, _, _ = draw(seed)
    convex_world, network = NumpyWorld(X, y, w), torch_world(X, y, w, chunk)
    a = run(method, convex_world, convex_world.start(seed))
    b = run(method, network, network.start(seed))
    assert [row.support for row in a.trace] == [row.support for row in b.trace]
    assert [(r.stage, r.round, r.phase) for r in a.trace] == [(r.stage, r.round, r.phase) for r in b.trace]
    assert a.status is b.status
    return float(np.max(np.abs(a.x - b.x.numpy()) / (1 + np.abs(a.x))))


@pytest.mark.parametrize("name", SHARED)
def test_same_object_same_supports(name: str) -> None:
    for seed in range(PROBLEMS):
        X, _, _, k, step = draw(seed)
        assert _agree(SHARED[name](k, X.shape[1], step), seed) <= 1e-12, seed


def _plan(seed: int) -> Plan:
    X, y, w, k, step = draw(seed)
    return Plan(NumpyWorld(X, y, w).layout, k, 40, HalfSquares(learning_rate=step))


def _lacking(method: Method) -> bool:
    world = NumpyWorld(*draw(0)[:3])
    try:
        check(method, world, world.start())
    except MissingCapability:
        return True
    return False


# Training in the place of the steps: the whole network catalogue on NumPy, with Train as gradient descent.
# Not those that need what X and y do not have: fresh weights, samples of classes, layers to flow through; and not the
# searches and relaxations, whose gates draw and train scores in Torch alone.
SCORED = {*searches.METHODS, *relaxed.METHODS}
TRAINED = [name for name, entry in networks.METHODS.items() if name not in SCORED and not _lacking(entry(_plan(0)))]


@pytest.mark.parametrize("name", TRAINED)
def test_network_catalogue_on_least_squares(name: str) -> None:
    for seed in range(scaled(15)):
        X, y, w, k, step = draw(seed)
        plan = Plan(NumpyWorld(X, y, w).layout, k, 40, HalfSquares(learning_rate=step))
        assert _agree(networks.METHODS[name](plan), seed, chunk=7) <= 1e-12, seed


def test_the_comparison_can_fail() -> None:
    """One step more in one world is seen."""
    X, y, w, k, step = draw(0)
    a = run(convex.iht(k, step, rounds=5), NumpyWorld(X, y, w), NumpyWorld(X, y, w).start())
    network = torch_world(X, y, w)
    b = run(convex.iht(k, step, rounds=6), network, network.start())
    assert np.max(np.abs(a.x - b.x.numpy())) > 1e-6


def test_feedback_is_training_through_a_straight_gate() -> None:
    """DPF's training of the dense weights and the convex fit `Feedback` are one update."""
    X, y, w, k, step = draw(3)
    plan = Plan(NumpyWorld(X, y, w).layout, k, 32, HalfSquares(learning_rate=step))
    world = NumpyWorld(X, y, w)
    dpf = networks.METHODS["dpf"](plan, period=4)
    twin = Method("twin", tuple(_with_feedback(stage, step) for stage in dpf.stages))
    a, b = run(dpf, world, world.start()), run(twin, world, world.start())
    assert [row.support for row in a.trace] == [row.support for row in b.trace]
    np.testing.assert_allclose(a.x, b.x, rtol=1e-13, atol=1e-14)


def _with_feedback(stage: Stage, step: float) -> Stage:
    phases = tuple(
        Phase(p.move, Feedback(getattr(p.fit, "steps", 0), step) if hasattr(p.fit, "recipe") else p.fit)
        for p in stage.phases
    )
    return Stage(phases, stage.rounds, stage.judge)
