"""Controls: what they keep, what they draw anew, and that they draw at all."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import nets
from nets.catalogue import METHODS, cost, find, within
from nets.controls import (
    CONTROLS,
    Controlled,
    Inverted,
    Reinitialise,
    Restart,
    Shuffle,
    inverted,
    reinitialised,
    until_mask,
)
from nets.training import Network, Train
from nets.weights import Matrices
from sparsopt import support as sp
from sparsopt.errors import InvalidInput, MissingCapability
from sparsopt.method import Method, Phase, Stage, run
from sparsopt.moves import AddOrDrop, Choose, Everything, Keep, Magnitude, Random, Stay, Swap
from sparsopt.state import Layout, State
from sparsopt.support import NM, Groups
from tests.networks import ADAM, MODULES, MOMENTUM, blobs, difference, module, network, plan_of, rows, states
from tests.toys import random_quadratic


def trained(name: str = "residual") -> tuple[Network, State]:
    world = network(name, ADAM)
    return world, run(METHODS["one-shot"](plan_of(world)), world, world.start(0)).state


def test_reinitialise_keeps_the_support_and_draws_everything_else_anew() -> None:
    world, state = trained()
    new = Reinitialise()(world, state)
    assert torch.equal(new.support, state.support) and (new.clock, new.cost) == (0, state.cost)
    on = state.support
    assert not new.x[~on].any() and not (new.x[on] == world.start(0).x[on]).any()
    assert not any(name.startswith("momentum.") for name in new.slots)
    assert torch.equal(new.slots["buffer.norm.running_mean"], torch.zeros(8)), "statistics of batch norm start anew"
    assert state.slots["buffer.norm.running_mean"].any()


@pytest.mark.parametrize("name", MODULES)
def test_fresh_weights_are_a_function_of_the_seed_for_every_module(name: str) -> None:
    world = network(name)
    before = torch.get_rng_state()
    one, same, other = world.fresh(1), world.fresh(1), world.fresh(2)
    assert torch.equal(before, torch.get_rng_state())
    assert difference(one, same) == "" and not torch.equal(one.x, other.x)
    for (block, a), (_, b) in zip(world.weights.blocks(one.x), world.weights.blocks(world.start(0).x), strict=True):
        assert not torch.equal(a, b), block
        assert 0.5 < a.std() / b.std() < 2, f"{block}: drawn at another scale"


def test_wholes_are_reset_after_their_parts() -> None:
    """As when they were built: attention sets the bias of its output layer, a linear layer, to zero."""
    world = network("attention")
    fresh = dict(world.weights.blocks_of_rest(world.fresh(1).slots["rest"]))
    assert not fresh["attention.out_proj.bias"].any() and fresh["head.bias"].any()


def test_a_builder_is_asked_for_its_own_first_weights() -> None:
    world = Network(lambda seed: module("residual", seed % 1000), blobs(), recipe=MOMENTUM)
    assert torch.equal(world.fresh(7).x, world.start(7).x)


def test_weights_that_cannot_be_drawn_anew_are_refused() -> None:
    """A control that silently kept some weights would be none."""

    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale, self.layer = nn.Parameter(torch.ones(1)), nn.Linear(36, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(x.flatten(1)) * self.scale

    with pytest.raises(InvalidInput, match=r"Own '' has parameters and no reset_parameters.*seed -> module"):
        Network(Own(), blobs()).fresh(1)


def test_imp_reinit_is_imp_and_its_control() -> None:
    world = network()
    plan = plan_of(world)
    imp = run(METHODS["imp"](plan), world, world.start(0))
    control = run(METHODS["imp-reinit"](plan), world, world.start(0))
    assert torch.equal(control.support, imp.support) and not torch.equal(control.x, imp.x)
    alone = run(reinitialised(plan.steps, plan.recipe), world, imp.state.but(stage=0))
    assert torch.equal(alone.x, control.x)
    assert sp.count(control.support) == plan.k


def test_a_convex_problem_has_no_fresh_weights() -> None:
    problem = random_quadratic(0)
    with pytest.raises(MissingCapability, match=r"Reinitialise .* needs fresh"):
        run(reinitialised(3, MOMENTUM), problem, problem.start(0))


# ---- shuffles that shuffle (mistake 1: public code's did nothing) ----------------------------------------------------


class Blocks:
    """All that `Shuffle` may look at."""

    layout = Layout(("a", "b", "c", "d"), ((40,), (6, 5), (7,), (3,)))


@given(st.integers(0, 2**31), st.integers(0, 40), st.integers(0, 30), st.integers(0, 50))
def test_shuffle_keeps_every_count_and_moves_the_places(seed: int, a: int, b: int, round_: int) -> None:
    n = Blocks.layout.n
    support = sp.top(torch.rand(n, generator=torch.Generator().manual_seed(seed)), n)
    for block, k in zip(Blocks.layout.slices, (a, b, 0, 3), strict=True):
        support[block] = torch.arange(block.stop - block.start) < k
    state = State(torch.randn(n), support, seed, round=round_)
    new = Shuffle()(Blocks, state)
    assert sp.block_counts(new, Blocks.layout) == (a, b, 0, 3)
    assert torch.equal(new, Shuffle()(Blocks, state.but(x=-state.x * 3))), "weights do not matter"
    if 5 < a < 35:  # 40 choose 6 is 3.8 million
        assert not torch.equal(new[:40], support[:40])
        others = [Shuffle(1)(Blocks, state), Shuffle()(Blocks, state.but(seed=seed + 1))]
        assert not any(torch.equal(new[:40], other[:40]) for other in others)


def test_shuffled_places_are_uniform() -> None:
    """2,000 seeds: each of 10 places is taken 3 times in 10, wherever the mask was."""
    support = np.arange(10) < 3

    class Ten:
        layout = Layout.single(10)

    hits = sum(Shuffle()(Ten, State(np.ones(10), support, seed)).astype(int) for seed in range(2000))
    assert abs(hits - 600).max() < 5 * np.sqrt(2000 * 0.3 * 0.7)


def test_restart_is_where_the_run_began() -> None:
    """Weights, rest and buffers of the start to the bit; no momentum, the clock at 0, the cost as it was."""
    world, state = trained()
    new, start = Restart()(world, state), world.start(0)
    assert torch.equal(new.x, sp.restrict(start.x, state.support)) and (new.clock, new.cost) == (0, state.cost)
    assert all(torch.equal(new.slots[name], start.slots[name]) for name in start.slots)
    assert not any(name.startswith("momentum.") for name in new.slots)
    assert any(name.startswith("momentum.") for name in state.slots)


# ---- what the controls of a method keep ------------------------------------------------------------------------------

MASKED = ("reinit", "shuffle", "random-mask")
SOME = ("random", "snip", "imp", "one-shot", "gmp", "rigl", "dpf", "lr-rewinding")


def ended(name: str, world: Network, steps: int = 20, sparsity: float = 0.8) -> tuple[Method, Any, list[State]]:
    method = find(name)(plan_of(world, sparsity, steps))
    return method, *states(method, world)


@pytest.mark.parametrize("method", SOME)
@pytest.mark.parametrize("control", MASKED)
def test_masks_and_first_weights_of_controls(method: str, control: str) -> None:
    world = network("residual", ADAM)
    _, plain, _ = ended(method, world)
    _, result, seen = ended(f"{method}+{control}", world)
    fixed = [state for state in seen if state.stage == seen[-1].stage - 1]  # of the closing stage: ends one further
    first = next(s for s in seen if (s.stage, s.phase, s.inner) == (fixed[0].stage, 1, 0))
    last_mask, counts = plain.support, sp.block_counts(plain.support, world.layout)
    assert sp.block_counts(result.support, world.layout) == counts, "layer counts are exact"
    assert torch.equal(result.support, last_mask) == (control == "reinit")
    start = sp.restrict(world.start(0).x, first.support)
    same = (first.x == start)[first.support].double().mean()
    assert same == 1.0 if control == "shuffle" else same < 0.01, "fresh weights are other weights"
    assert first.clock == 0 and not any(name.startswith("momentum.") for name in first.slots)
    assert not torch.equal(result.x, sp.restrict(first.x, result.support)), "and then it trains"
    assert result.state.clock == 20


@pytest.mark.parametrize("control", MASKED)
def test_controls_of_one_method_are_other_runs(control: str) -> None:
    world = network()
    _, one, _ = ended(f"imp+{control}", world)
    for other in (*MASKED, "inverted"):
        if other != control:
            assert not torch.equal(ended(f"imp+{other}", world)[1].x, one.x)


def test_imp_reinit_is_imp_plus_reinit() -> None:
    """The entry of that name and the control; with one round the control leaves a training out that nobody looks at."""
    world = network()
    one, two = (ended(name, world)[1].state for name in ("imp-reinit", "imp+reinit"))
    assert difference(one, two, ignore=("stage",)) == ""
    once = plan_of(world, 0.5, 20)
    assert cost(find("one-shot+reinit")(once)) == 2 * 20 == cost(METHODS["one-shot"](once))


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("control", CONTROLS)
def test_every_control_of_every_method(name: str, control: str) -> None:
    """Exact sizes, a finite price, and a name; inverted twice as it was."""
    world = network("perceptron")
    plan = plan_of(world, 0.8, steps=12)
    plain = METHODS[name](plan)
    if control == "inverted" and inverted(plain) == plain:
        with pytest.raises(InvalidInput, match=r"ranks weights by no score.*reinit, shuffle, random-mask"):
            find(f"{name}+inverted")(plan)
        return
    method = find(f"{name}+{control}")(plan)
    assert method.name == f"{plain.name}+{control}"
    assert control != "inverted" or find(f"{name}+inverted+inverted")(plan).stages == plain.stages
    result = run(method, world, world.start(0))
    kept = {"dense": world.layout.n}.get(name, plan.k) if control != "small-dense" else world.layout.n
    assert sp.count(result.support) == kept and not result.x[~result.support].any()
    extra = {"reinit": 12, "shuffle": 12, "random-mask": 12}.get(control, 0)
    assert cost(method) <= cost(plain) + extra and cost(method) >= min(cost(plain), 12)
    if control == "small-dense":
        assert cost(method) == cost(plain)


@pytest.mark.parametrize("name", ["imp+shuffle", "snip+random-mask", "rigl+reinit", "gmp+inverted", "dpf+shuffle"])
def test_controls_continue_from_every_state_they_pass(name: str) -> None:
    whole = network("dropout", MOMENTUM)
    method = find(name)(plan_of(whole, 0.5, 13))
    expected = run(method, whole, whole.start(0))
    result, seen = states(method, network("dropout", MOMENTUM, chunk=5))
    assert difference(result.state, expected.state) == "" and rows(result) == rows(expected)
    for state in seen[:: max(1, len(seen) // 12)]:
        again = run(method, network("dropout", MOMENTUM, chunk=4), state)
        assert difference(again.state, expected.state) == ""
    other = run(method, whole, whole.start(1))
    assert not torch.equal(other.state.x, expected.state.x), "another seed, another run"


@pytest.mark.parametrize("name", MODULES)
def test_controls_of_modules_of_ones_own(name: str) -> None:
    for method in ("one-shot+shuffle", "one-shot+random-mask", "snip+inverted"):
        outcome = nets.prune(module(name), blobs(), method, 0.5, ADAM, epochs=2, prunable=MODULES[name][1])
        assert sum(int(mask.sum()) for mask in outcome.masks.values()) == round(0.5 * outcome.prunable)


# ---- until the mask --------------------------------------------------------------------------------------------------


def test_pruning_at_initialisation_needs_no_training_for_its_mask() -> None:
    plan = plan_of(network(), 0.8, 40)
    assert cost(until_mask(METHODS["snip"](plan))) == 0 and cost(find("snip+shuffle")(plan)) == 40
    assert cost(until_mask(METHODS["imp"](plan))) == cost(METHODS["imp"](plan)), "rounds repeat their fits"
    assert cost(until_mask(METHODS["one-shot"](plan))) == 40


@pytest.mark.parametrize("name", METHODS)
def test_the_mask_is_found_without_what_follows(name: str) -> None:
    world = network()
    method = METHODS[name](plan_of(world, 0.8, 20))
    whole, cut = (run(m, world, world.start(0)) for m in (method, until_mask(method)))
    assert torch.equal(whole.support, cut.support)


# ---- inverted scores -------------------------------------------------------------------------------------------------


def test_inverted_moves_take_what_came_last() -> None:
    x = torch.tensor([3.0, -1.0, 2.0, 0.5, -4.0, 0.0])
    state = State(x, torch.ones(6).bool())
    f = random_quadratic(0)
    assert inverted(Keep(2))(f, state).tolist() == [False, False, False, True, False, True]
    assert torch.equal(inverted(Choose(4))(f, state), ~Keep(2)(f, state))
    assert inverted(Swap(1)) == Swap(1, Inverted(Magnitude()), Inverted(Swap(1).into))
    assert inverted(AddOrDrop(3)).forward == Inverted(AddOrDrop(3).forward)


def test_groups_and_patterns_are_inverted_too() -> None:
    """The norm of a group does not see the sign of its scores; a control that kept the same groups would be none."""
    x = torch.tensor([3.0, 0.1, 2.0, 2.0, 1.0, 1.0, 0.2, 9.0])

    class Eight:
        layout = Layout.single(8)

    state = State(x, torch.ones(8).bool())
    groups, pattern = Keep(2, structure=Groups((0, 0, 1, 1, 2, 2, 3, 3))), Keep(4, structure=NM(1, 2))
    assert not (groups(Eight, state) & inverted(groups)(Eight, state)).any()
    assert inverted(inverted(groups)) == groups
    assert inverted(Keep(3, structure=groups.structure))(Eight, state).tolist() == [True] * 6 + [False] * 2
    swap = inverted(Swap(1, Magnitude(), Magnitude(), groups.structure))
    moved = swap(Eight, state.but(support=torch.arange(8) < 4))
    assert moved.tolist() == [False, False, True, True, True, True, False, False], "best out, worst in"
    without_ties = state.but(x=x + 0.01 * torch.arange(8))
    assert torch.equal(pattern(Eight, without_ties), ~inverted(pattern)(Eight, without_ties))


@given(st.integers(0, 2**31), st.integers(1, 29))
def test_inverted_choices_are_complements(seed: int, k: int) -> None:
    x = torch.randn(30, generator=torch.Generator().manual_seed(seed))
    state = State(x, torch.ones(30).bool(), seed)
    best, worst = Choose(k)(Blocks, state), inverted(Choose(30 - k))(Blocks, state)
    assert torch.equal(best, ~worst)


def test_inverted_imp_keeps_the_smallest() -> None:
    world = network()
    plan = plan_of(world, 0.8, 20)
    _, seen = states(find("imp+inverted")(plan), world)
    keeps = [(a, b) for a, b in itertools.pairwise(seen) if sp.count(b.support) < sp.count(a.support)]
    assert len(keeps) == plan.rounds
    for before, after in keeps:
        gone = before.support & ~after.support
        assert before.x.abs()[after.support].max() <= before.x.abs()[gone].min()


def test_random_scores_stay_and_methods_without_others_are_refused() -> None:
    plan = plan_of(network())
    method = METHODS["rigl"](plan)
    assert inverted(method).stages[0] == method.stages[0], "the first mask is random"
    assert inverted(Random(3)) == Random(3) and inverted(Keep(3, Random(1))) == Keep(3, Random(1))
    for name in ("dense", "random"):
        with pytest.raises(InvalidInput, match=f"'{name}' ranks weights by no score"):
            nets.prune(module(), blobs(), f"{name}+inverted", 0.5, ADAM, epochs=1)


# ---- the narrower network --------------------------------------------------------------------------------------------


def test_small_dense_has_as_many_weights_and_steps() -> None:
    data = nets.data.load("digits").subset(200, 100)
    how: dict[str, Any] = {"sparsity": 0.9, "recipe": ADAM, "epochs": 1}
    imp, small = (nets.prune("lenet-300-100", data, name, **how) for name in ("imp", "imp+small-dense"))
    kept = sum(int(mask.sum()) for mask in imp.masks.values())
    family = nets.models.Named("lenet-300-100", data.inputs, data.classes)
    assert abs(small.prunable - kept) <= min(
        abs(dataclasses.replace(family, width=i / 300).weights() - kept) for i in range(1, 300)
    )
    assert small.sparsity == 0 and small.cost["steps"] == imp.cost["steps"]
    assert small.model.get_submodule("linear1").weight.shape[1] == 64, "narrower, not smaller images"
    assert small.cost["flops"] == small.cost["dense_flops"] < imp.cost["dense_flops"]
    equal = nets.prune("lenet-300-100", data, "imp+small-dense", budget=100, **how)
    assert 88 < equal.cost["steps"] <= 100


def test_small_dense_counts_what_is_prunable_and_refuses_single_models() -> None:
    data = nets.data.load("digits").subset(200, 100)
    outcome = nets.prune("lenet-300-100", data, "dense+small-dense", 0.9, ADAM, epochs=1, prunable=Matrices())
    assert abs(outcome.prunable - 5020) < 100
    with pytest.raises(InvalidInput, match=r"family of models of several widths, and Sequential is one model.*by name"):
        nets.prune(module(), blobs(), "imp+small-dense", 0.5, ADAM, epochs=1)


# ---- names -----------------------------------------------------------------------------------------------------------


def test_names() -> None:
    assert find("imp") is METHODS["imp"] and find("imp+reinit") == Controlled(METHODS["imp"], "reinit")
    with pytest.raises(InvalidInput, match="unknown control 'reinitt'; did you mean reinit"):
        find("imp+reinitt")
    with pytest.raises(InvalidInput, match="unknown network method 'impp'; did you mean imp"):
        find("impp+reinit")
    for name in (*METHODS, *CONTROLS):
        assert "+" not in name
    plan = plan_of(network(), 0.8, 20)
    assert cost(within(find("imp+shuffle"), plan, 500)) <= 500


def test_a_method_of_ones_own_and_settings(tmp_path: Path) -> None:
    """An object under a control, and settings of the method behind its control; a run folder knows both."""
    plan = plan_of(network())
    own = Method("own", (Stage((Phase(Keep(plan.k), Train(5, MOMENTUM)), Phase(Stay(), Train(3, MOMENTUM)))),))
    method = CONTROLS["shuffle"](own, plan)
    assert cost(method) == plan.steps and method.stages[0].phases[0].move == Keep(plan.k)
    outcome = nets.prune(module(), blobs(), method, recipe=MOMENTUM, epochs=1, out=tmp_path)
    assert sum(int(mask.sum()) for mask in outcome.masks.values()) == plan.k
    one, two = (
        nets.prune(module(), blobs(), "gmp+reinit", 0.5, MOMENTUM, epochs=4, settings={"rounds": r}) for r in (2, 5)
    )
    assert len(two.trace) == len(one.trace) + 3
    with pytest.raises(InvalidInput, match=r"gmp\+reinit has no setting 'wrong'"):
        nets.prune(module(), blobs(), "gmp+reinit", 0.5, settings={"wrong": 1})
    assert Everything() in [phase.move for stage in find("dense+reinit")(plan).stages for phase in stage.phases]
