"""Every network method, on everything a user might bring: sizes, cost, resume, and the module stays as it was."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import math
import pickle
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nets.catalogue import METHODS, Plan, cost, second_order, within
from nets.gates import StraightThrough
from nets.local_models import Solve, Sweep
from nets.moves import Redistribute, SwapShare
from nets.recipe import Cosine
from nets.training import Network, Train
from sparsopt import support as sp
from sparsopt.errors import InvalidInput
from sparsopt.method import Method, Phase, run
from sparsopt.moves import Choose, Everything, Keep, Stay, Swap
from sparsopt.result import Status
from sparsopt.schedules import amount, times
from sparsopt.state import Layout
from tests.conftest import scaled
from tests.networks import ADAM, MODULES, MOMENTUM, blobs, difference, module, network, plan_of, rows, states

every_method = pytest.mark.parametrize("method", METHODS)
TRAININGS = {  # what the docstrings promise, in trainings of T steps; R rounds
    "dense": lambda R: 1, "random": lambda R: 1, "one-shot": lambda R: 2, "imp": lambda R: R + 1,
    "imp-rewind": lambda R: R + 1, "imp-reinit": lambda R: R + 2, "lr-rewinding": lambda R: R + 1,
    "fine-tuning": lambda R: R + 1, "gem-miner": lambda R: 2,
    "gsm": lambda R: 2, "gsm-rewind": lambda R: 3,
    "continuous-sparsification": lambda R: 4, "movement": lambda R: 2, "bip": lambda R: 2,
    **dict.fromkeys(second_order.METHODS, lambda R: 2),
}  # fmt: skip
EXTRUDED = {  # training steps beside those of extrusion
    "dlth": lambda T: T, "growing-regularisation": lambda T: 2 * T, "unilth": lambda T: T // 2 + T,
    "unidlth": lambda T: T // 2 + T,
}  # fmt: skip


def declared(phase: Phase, before: int, row: Any, layout: Layout) -> int:
    """|S| that a move announces: its count, or the size it found."""
    if isinstance(phase.move, Everything):
        return layout.n
    if isinstance(phase.move, (Keep, Choose, Solve, Sweep)):
        k = amount(phase.move.k, row.round, layout)
        return k if isinstance(k, int) else sum(k)
    if isinstance(phase.move, (Stay, Swap, SwapShare, Redistribute)):
        return before
    return before + amount(phase.move.m, row.round, layout)  # type: ignore[union-attr]


# ---- exact sizes ---------------------------------------------------------------------------------------------------


@every_method
@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.95, 1.0])
def test_sizes_are_exact_in_every_phase(method: str, sparsity: float) -> None:
    """Global counts and counts one a layer; sparsity 1 stands for k = 1."""
    world = network("perceptron")
    plan = plan_of(world, sparsity, steps=12)
    what = METHODS[method](plan)
    result = run(what, world, world.start(0))
    size = world.layout.n
    for row in result.trace:
        phase = what.stages[row.stage].phases[row.phase]
        assert row.size == declared(phase, size, row, world.layout), (row.stage, row.round, row.phase)
        size = row.size
    assert size == sp.count(result.support) == (world.layout.n if method == "dense" else plan.k)
    assert not result.x[~result.support].any() and result.status in (
        Status.FINISHED,
        Status.SUPPORT_STABLE,
        Status.PLATEAU,
    )


@every_method
def test_weights_that_tie_do_not_move_the_size(method: str) -> None:
    """Mistake 3 of public code: a threshold with `>` drops ties (and `<=` whole layers, mistake 13)."""
    model = module("tied")
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(p.sign() * 0.1)
    world = Network(model, blobs(), recipe=dataclasses.replace(MOMENTUM, learning_rate=0.0))
    plan = plan_of(world, 0.77, steps=12)
    result = run(METHODS[method](plan), world, world.start(0))
    assert sp.count(result.support) == (world.layout.n if method == "dense" else plan.k)


@pytest.mark.parametrize("method", ["random", "smart-ratio", "growth", "rigl", "rigl-accept", "set", "gmp-erk"])
def test_no_layer_dies_by_a_tie(method: str) -> None:
    """Equal weights everywhere: where counts are one a layer, every layer keeps its own."""
    model = module("residual")
    with torch.no_grad():
        for p in model.parameters():
            p.fill_(0.1)
    world = Network(model, blobs(), recipe=dataclasses.replace(MOMENTUM, learning_rate=0.0))
    plan = plan_of(world, 0.5, steps=12)
    result = run(METHODS[method](plan), world, world.start(0))
    assert min(world.weights.densities(result.support).values()) > 0


def test_masked_scores_do_not_come_back() -> None:
    """Mistake 1: iterative pruning that scores masked weights too can resurrect them. Supports are nested here."""
    for method in (
        "imp", "imp-rewind", "imp-layerwise", "lr-rewinding", "fine-tuning", "one-shot", "gmp", "gmp-uniform",
        "gmp-erk", "random-pruning", "snip-iterative", "synflow",
    ):  # fmt: skip
        world = network()
        _, seen = states(METHODS[method](plan_of(world, 0.9)), world)
        for old, new in itertools.pairwise(seen):
            assert not (new.support & ~old.support).any(), method


def test_imp_resets_its_weights() -> None:
    """Mistake 1 again: in every round the survivors start from the very weights (and buffers) they started from."""
    world = network("residual")
    start = world.start(0)
    result, seen = states(METHODS["imp"](plan_of(world)), world)
    rewound = [state for state in seen if state.stage == 2 and state.phase == 1 and state.inner == 0]
    assert len(rewound) == plan_of(world).rounds > 3
    for state in rewound:
        assert torch.equal(state.x, sp.restrict(start.x, state.support)) and state.clock == 0
        assert all(torch.equal(state.slots[name], start.slots[name]) for name in start.slots)
        assert not any(name.startswith("momentum.") for name in state.slots)
    assert not torch.equal(result.x[result.support], start.x[result.support])


@pytest.mark.parametrize("method", ["random", "smart-ratio", "growth", "rigl", "set"])
def test_random_masks_do_not_look_at_the_weights(method: str) -> None:
    """Mistake 5: a "random" selection that takes the smallest weights. The first mask is one of the seed alone."""
    world = network("residual")
    start = world.start(0)
    method_ = METHODS[method](plan_of(world, 0.5, steps=12))
    masks = [states(method_, world, start.but(x=x))[1][0].support for x in (start.x, -start.x * 7, start.x.flip(0))]
    assert torch.equal(masks[0], masks[1]) and torch.equal(masks[0], masks[2])
    kept = start.x.abs()[masks[0]].mean() / start.x.abs().mean()
    assert 0.8 < kept < 1.2 and not torch.equal(states(method_, world, world.start(1))[1][0].support, masks[0])


@pytest.mark.parametrize("method", ["rigl", "set", "growth"])
def test_grown_weights_start_at_zero_with_no_momentum(method: str) -> None:
    """Mistake 4: grown weights that keep stale values. Seen where a fit starts, before its first step."""
    grown = 0

    class Watching(Network):
        last: Any = None

        def train(self, state: Any, recipe: Any, gate: Any, steps: int, total: int) -> Any:
            nonlocal grown
            if self.last is not None:
                entered, new = gate.enter(state), state.support & ~self.last
                grown += int(new.sum())
                slots = [
                    array for name, array in entered.slots.items() if name.startswith("momentum.") and name[-2:] == ".x"
                ]
                assert slots and not any(array[new].any() for array in (entered.x, *slots))
            self.last = state.support
            return super().train(state, recipe, gate, steps, total)

        def open(self) -> Any:
            return self

    world = Watching(module(), blobs(), recipe=MOMENTUM)
    run(METHODS[method](plan_of(world, 0.8, steps=40)), world, world.start(0))
    assert grown > 20


def test_the_module_of_a_state_is_masked_even_where_the_state_is_dense() -> None:
    """In the middle of DPF x is the dense shadow."""
    world = network()
    _, seen = states(METHODS["dpf"](plan_of(world, 0.9, steps=30)), world)
    state = seen[len(seen) // 2]
    assert state.x[~state.support].any()
    for block, mask in world.weights.blocks(state.support):
        assert not world.module(state).get_parameter(block)[~mask].any()


def test_dpf_weights_come_back_with_their_values() -> None:
    """The opposite on purpose: what DPF cuts off goes on training, and may return."""
    world = network()
    _, seen = states(METHODS["dpf"](plan_of(world, 0.9, steps=60)), world)
    returned = [new.support & ~old.support for old, new in itertools.pairwise(seen)]
    assert any(mask.any() for mask in returned)


# ---- cost ----------------------------------------------------------------------------------------------------------


@every_method
@given(st.integers(1, 400), st.floats(0.0, 0.999))
@settings(max_examples=scaled(40))
def test_cost_is_what_the_docstring_says(method: str, T: int, sparsity: float) -> None:
    n = 1000
    plan = Plan(Layout(("a", "b", "c"), ((10, 50), (20, 20), (10, 10))), max(1, round((1 - sparsity) * n)), T)
    total = cost(METHODS[method](plan))
    if method == "imp-rewind":
        assert total == T // 20 + (T - T // 20) * (plan.rounds + 1)
    elif method in ("imp-layerwise", "deconstructed"):
        fewest = math.ceil(times(plan.k, (0.2, 0.2, 0.1), plan.layout) - 0.01)
        assert total == (max(fewest, int(plan.k < n)) + 1) * T
    elif method in EXTRUDED:
        assert total == EXTRUDED[method](T) + round(0.576 * T)
    elif method in ("l1-filters", "network-slimming", "thinet"):
        assert total == T + T // 4
    elif method in ("one-shot", "one-shot-layerwise"):
        assert total == (2 * T if plan.k < n else T)
    else:
        assert total == TRAININGS.get(method, lambda R: 1)(plan.rounds) * T


@pytest.mark.parametrize(
    "method, retrain",
    [
        ("imp", range(40)),
        ("imp-layerwise", range(40)),
        ("lr-rewinding", range(40)),
        ("fine-tuning", [39] * 40),
        ("one-shot", range(40)),
        ("one-shot-layerwise", range(40)),
    ],
)
def test_learning_rates_of_retraining(method: str, retrain: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rewinding starts the schedule over, fine-tuning stays at its last rate."""
    rates: list[float] = []
    world = network("tied", dataclasses.replace(MOMENTUM, schedule=Cosine()))
    rate = type(world.recipe).rate

    def recorded(recipe: Any, clock: int, total: int) -> float:
        rates.append(rate(recipe, clock, total))
        return rates[-1]

    monkeypatch.setattr(type(world.recipe), "rate", recorded)
    run(METHODS[method](plan_of(world, 0.5, steps=40)), world, world.start(0))
    once = [rate(world.recipe, t, 40) for t in range(40)]
    again = [rate(world.recipe, t, 40) for t in retrain]
    assert rates == once + again * (len(rates) // 40 - 1) and len(rates) > 40


@pytest.mark.parametrize("T", [4, 8, 23, 100])
def test_growth_trains_between_its_steps_where_there_is_time(T: int) -> None:
    plan = Plan(Layout.single(1000), 200, T)
    phases = [phase for stage in METHODS["growth"](plan).stages for phase in stage.phases]
    assert all(phase.fit.steps > 0 for phase in phases if isinstance(phase.fit, Train))


@every_method
def test_cost_is_what_is_trained(method: str) -> None:
    world = network("tied")
    what = METHODS[method](plan_of(world, 0.8, steps=23))
    assert run(what, world, world.start(0)).state.cost == cost(what)


@pytest.mark.parametrize(
    "sparsity, rounds", [(0.0, 0), (0.2, 1), (0.36, 2), (0.8, 8), (0.9, 11), (0.98, 18), (0.99, 21)]
)
def test_rounds_remove_at_most_a_fifth(sparsity: float, rounds: int) -> None:
    plan = Plan(Layout.single(100_000), round((1 - sparsity) * 100_000), 10)
    assert plan.rounds == rounds == math.ceil(math.log(1 - sparsity) / math.log(0.8) - 1e-9)


@every_method
@given(st.integers(60, 3000))
@settings(max_examples=scaled(20))
def test_a_budget_is_used_up_but_not_exceeded(method: str, budget: int) -> None:
    plan = Plan(Layout.single(1000), 100, 1)
    total = cost(within(METHODS[method], plan, budget))
    assert budget - max(13, cost(METHODS[method](plan))) < total <= budget


def test_a_budget_that_is_too_small() -> None:
    with pytest.raises(InvalidInput, match="budget of 11 steps is too small for imp, even with one step"):
        within(METHODS["imp"], Plan(Layout.single(1000), 100, 1), 11)


# ---- modules of one's own ------------------------------------------------------------------------------------------


@every_method
@pytest.mark.parametrize("name", MODULES)
def test_everything_that_a_user_brings(method: str, name: str) -> None:
    """Exact size; the module untouched; the result deepcopies, pickles, loads strictly and says the same."""
    model = module(name)
    original = copy.deepcopy(model.state_dict())
    world = Network(model, blobs(), prunable=MODULES[name][1], recipe=MOMENTUM)
    plan = plan_of(world, 0.5, steps=10)
    generator = torch.get_rng_state()
    result = run(METHODS[method](plan), world, world.start(0))
    pruned = world.module(result.state)
    assert torch.equal(generator, torch.get_rng_state())
    assert sp.count(result.support) == (world.layout.n if method == "dense" else plan.k)
    for block, mask in world.weights.blocks(result.support):
        assert not pruned.get_parameter(block)[~mask].any()
    assert all(torch.equal(model.state_dict()[key], value) for key, value in original.items())
    fresh = module(name, seed=5)
    fresh.load_state_dict(pruned.state_dict(), strict=True)
    inputs = world.data.test_images
    for same in (copy.deepcopy(pruned), pickle.loads(pickle.dumps(pruned)), fresh):
        assert torch.equal(same.eval()(inputs), pruned.eval()(inputs))
    right = (pruned(inputs).argmax(-1) == world.data.test_labels).double().mean().item()
    assert right == pytest.approx(world.test(result.state)[1], abs=1e-12)


# ---- resume --------------------------------------------------------------------------------------------------------


@every_method
@pytest.mark.parametrize("name, recipe", [("dropout", MOMENTUM), ("perceptron", ADAM)], ids=["momentum", "adam"])
def test_a_run_continues_from_every_state_it_passes(method: str, name: str, recipe: Any) -> None:
    """In chunks or in one, from wherever: the same weights, support, slots, clocks and the rest of the trace."""
    whole = network(name, recipe)
    plan = plan_of(whole, 0.5, steps=13)
    expected = run(METHODS[method](plan), whole, whole.start(0))
    world = network(name, recipe, chunk=5)
    result, seen = states(METHODS[method](plan), world)
    assert difference(result.state, expected.state) == "" and rows(result) == rows(expected)
    for state in seen[:: max(1, len(seen) // scaled(6))]:
        again = run(METHODS[method](plan), network(name, recipe, chunk=4), state)
        assert difference(again.state, expected.state) == "", (state.stage, state.round, state.phase, state.inner)
        assert (
            rows(again) == rows(expected)[len(expected.trace) - len(again.trace) :] and again.status is expected.status
        )


@every_method
def test_seeds_are_other_runs(method: str) -> None:
    world = network("dropout", data_seed=3)
    plan = plan_of(world, 0.7, steps=6)
    one, two = (run(METHODS[method](plan), world, world.start(seed)).state for seed in (0, 1))
    assert not torch.equal(one.x, two.x)


def test_every_entry_is_documented_and_readable() -> None:
    plan = Plan(Layout(("a", "b"), ((20, 30), (10, 20))), 80, 400)
    for name, entry in METHODS.items():
        method = entry(plan)
        assert isinstance(method, Method) and "Cost: " in (entry.__doc__ or "") + "Cost: " * (name == "rigl-accept")
        assert method == entry(plan) and hash(method) == hash(entry(plan)), "frozen, and a function of the plan"
        assert method.name in (name, "random", "dense")
        gates = {p.fit.through for s in method.stages for p in s.phases if isinstance(p.fit, Train)}
        assert (StraightThrough() in gates) == (name == "dpf")
