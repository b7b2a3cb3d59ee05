"""Identities between methods, bit for bit: each says what a method is, and would see one step or slot too many."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from nets.catalogue import METHODS, Plan
from nets.engine import MOMENTUM as SLOT
from nets.gates import Masked, StraightThrough
from nets.recipe import Recipe
from nets.training import Network, Train
from sparsopt.fits import FreshOptimiser, Remember, Restrict, Rewind
from sparsopt.method import Method, Phase, Stage, run
from sparsopt.moves import Choose, Everything, Gradient, Keep, Magnitude, Random, Stay
from sparsopt.schedules import ERK, Cosine, Cubic
from sparsopt.state import State
from tests.networks import ADAM, MOMENTUM, NESTEROV, PLAIN, difference, network, plan_of, rebuilt

STEPS = 40
WORLDS = [
    ("perceptron", MOMENTUM),
    ("perceptron", ADAM),
    ("tied", NESTEROV),
    ("residual", MOMENTUM),
    ("dropout", PLAIN),
]
everywhere = pytest.mark.parametrize("name, recipe", WORLDS, ids=[f"{n}-{r.name}" for n, r in WORLDS])
POSITION = ("stage", "round", "phase", "inner", "ended")


def world_and_plan(name: str, recipe: Recipe, sparsity: float = 0.8) -> tuple[Network, Plan]:
    world = network(name, recipe)
    return world, plan_of(world, sparsity, STEPS)


def after(method: Method, world: Network) -> State:
    return run(method, world, world.start(0)).state


def trained(world: Network, first: Any, lengths: list[int], recipe: Recipe, between: Any = None) -> State:
    """One training of STEPS steps in pieces, on the support that `first` chooses."""
    stages = [Stage((Phase(first, Restrict()),))]
    for i, length in enumerate(lengths):
        middle = (Phase(Stay(), between),) if between is not None and i else ()
        stages.append(Stage((*middle, Phase(Stay(), Train(length, recipe, total=STEPS)))))
    return after(Method("by hand", tuple(stages)), world)


@everywhere
def test_rigl_with_no_swaps_is_training_on_a_fixed_mask(name: str, recipe: Recipe) -> None:
    world, plan = world_and_plan(name, recipe)
    still = rebuilt(
        METHODS["rigl"](plan), lambda p: dataclasses.replace(p, fraction=0.0) if isinstance(p, Cosine) else p
    )
    assert still != METHODS["rigl"](plan)
    assert difference(after(still, world), after(METHODS["random"](plan), world), POSITION) == ""
    assert difference(after(METHODS["rigl"](plan), world), after(still, world), POSITION) != ""


@everywhere
def test_acdc_that_keeps_all_is_dense_training_with_momentum_cleared(name: str, recipe: Recipe) -> None:
    """Cleared wherever AC/DC reopens: after the first compressed phase and each later one."""
    world, plan = world_and_plan(name, recipe, sparsity=0.0)
    warm, phase = STEPS // 20, STEPS // 10
    pieces = [warm + phase] + [2 * phase] * 3 + [2 * phase + STEPS - warm - 9 * phase]
    assert sum(pieces) == STEPS
    expected = trained(world, Everything(), pieces, recipe, FreshOptimiser())
    assert difference(after(METHODS["acdc"](plan), world), expected, POSITION) == ""
    if recipe is not PLAIN:
        without = trained(world, Everything(), [STEPS], recipe)
        assert difference(expected, without, POSITION) != "", "clearing momentum is part of the identity"


@everywhere
def test_dpf_that_keeps_all_is_sgd_without_a_mask(name: str, recipe: Recipe) -> None:
    world, plan = world_and_plan(name, recipe, sparsity=0.0)
    dpf = METHODS["dpf"](plan)
    assert any(isinstance(p.fit, Train) and p.fit.through == StraightThrough() for s in dpf.stages for p in s.phases)
    assert difference(after(dpf, world), after(METHODS["dense"](plan), world), POSITION) == ""


@everywhere
def test_imp_that_neither_rewinds_nor_restarts_the_rate_is_gmp(name: str, recipe: Recipe) -> None:
    """IMP's stages, its `Rewind` taken out, on GMP's schedule with GMP's few steps in place of each training."""
    world, plan = world_and_plan(name, recipe)
    gmp = METHODS["gmp"](plan)
    (schedule,) = {p.move.k for s in gmp.stages for p in s.phases if isinstance(p.move, Keep)}
    assert isinstance(schedule, Cubic)
    chunk = gmp.stages[0].phases[0].fit.steps  # type: ignore[union-attr]

    def gradually(part: Any) -> Any:
        if isinstance(part, Rewind):
            return Restrict()
        if isinstance(part, Train):
            return dataclasses.replace(part, steps=chunk)
        return Keep(schedule) if isinstance(part, Keep) else part

    imp = rebuilt(METHODS["imp"](plan), gradually)
    stages = (*imp.stages[:-1], dataclasses.replace(imp.stages[-1], rounds=schedule.rounds))
    finish = gmp.stages[2:]
    ours, theirs = after(Method("imp", stages + finish), world), after(gmp, world)
    assert difference(ours.but(saved={}), theirs, POSITION) == "" and ours.cost == STEPS
    rewound = rebuilt(Method("imp", stages + finish), lambda p: Rewind("early") if isinstance(p, Restrict) else p)
    assert difference(after(rewound, world).but(saved={}), theirs, POSITION) != ""


def test_imp_without_pruning_is_dense_training() -> None:
    """k = n: no round, one training."""
    world, plan = world_and_plan("perceptron", MOMENTUM, sparsity=0.0)
    for name in ("imp", "one-shot", "lr-rewinding", "fine-tuning", "gmp"):
        state = after(METHODS[name](plan), world).but(saved={})
        assert difference(state, after(METHODS["dense"](plan), world), POSITION) == "", name


def test_rewinding_to_step_0_or_later_is_one_method() -> None:
    """IMP rewound to step e is IMP, but the first e steps are taken once."""
    world, plan = world_and_plan("residual", MOMENTUM)
    early = STEPS // 20
    late = METHODS["imp-rewind"](plan)
    assert late.stages == METHODS["imp"](plan, early=early).stages
    state = after(late, world)
    assert state.cost == early + (STEPS - early) * (plan.rounds + 1) and state.clock == STEPS
    assert state.saved["early"].cost == state.saved["early"].clock == early


def test_growth_of_everything_at_once_is_random_then_dense() -> None:
    """One round of growth by all that is missing opens all weights, the new ones at zero."""
    world, plan = world_and_plan("perceptron", MOMENTUM, sparsity=0.0)
    method = METHODS["growth"](plan, rounds=1, until=0.5, seed_share=0.5)
    first = round(0.5 * plan.n)
    stages = (
        Stage((Phase(Choose(ERK(first), Random()), plan.train(10)),)),
        Stage((Phase(Everything(), plan.train(10)),)),
        Stage((Phase(Stay(), plan.train(20)),)),
    )
    assert difference(after(method, world), after(Method("by hand", stages), world), POSITION) == ""


def test_accepting_everything_is_rigl() -> None:
    """With an accept test that never refuses, rigl-accept is rigl; with its own it is not."""
    world, plan = world_and_plan("residual", dataclasses.replace(PLAIN, learning_rate=1.0))
    accept = METHODS["rigl-accept"](plan)
    never = rebuilt(accept, lambda p: dataclasses.replace(p, judge=None) if isinstance(p, Stage) else p)
    rigl = after(METHODS["rigl"](plan), world)
    assert difference(after(never, world), rigl, POSITION) == ""
    assert difference(after(accept, world), rigl, POSITION) != ""


def test_dpf_at_a_fixed_support_differs_from_masked_training_only_off_it() -> None:
    """One period: the weights on the support take the very same steps, the others take steps too."""
    world, plan = world_and_plan("tied", PLAIN)
    choose = Choose(plan.k, Magnitude())
    results = [
        after(Method("one", (Stage((Phase(choose, plan.train(10, through=gate)),)),)), world)
        for gate in (StraightThrough(), Masked())
    ]
    dense, masked = results
    on = masked.support
    assert torch.equal(dense.support, on) and torch.equal(dense.x[on], masked.x[on])
    assert not masked.x[~on].any() and not torch.equal(dense.x[~on], world.start(0).x[~on])


def test_remembering_changes_nothing() -> None:
    world, plan = world_and_plan("perceptron", ADAM)
    stage = Stage((Phase(Stay(), Remember("a")), Phase(Everything(), plan.train(STEPS))))
    state = after(Method("m", (stage,)), world)
    assert difference(state.but(saved={}), after(METHODS["dense"](plan), world), POSITION) == ""
    assert not any(name.startswith(SLOT) for name in state.saved["a"].slots)


def test_replacement_by_gradient_uses_the_gradient_of_the_next_batch() -> None:
    """What RigL grows on is what the next step would see: not a stale batch, not an accumulated one."""
    world, plan = world_and_plan("perceptron", PLAIN)
    state = after(METHODS["random"](plan), world)
    score = Gradient()(world.at(state), state)
    assert torch.equal(score, world.at(state).gradient(state.x).abs())
    assert not torch.equal(score, Gradient()(world.at(state.but(cost=state.cost + 1)), state))
