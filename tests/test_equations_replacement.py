"""SNFS, GraNet and RigL against plain loops written from their papers' equations alone."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from nets.catalogue import METHODS, Plan
from nets.catalogue.replacement import granet as granet_of
from nets.gates import (
    Averaging,
    Masked,
)
from nets.moves import CosineShare, Redistribute, SwapShare, shared_out
from nets.recipe import Recipe
from nets.training import Network, Train
from sparsopt import catalogue as convex
from sparsopt import support as sp
from sparsopt.method import Method, Phase, Stage, parts
from sparsopt.moves import Keep, Magnitude, Stay
from sparsopt.state import Layout, State
from tests.equations import (
    HEAVY,
    STEPS,
    after,
    agree,
    batches,
    clear,
    flat,
    gradients,
    largest,
    masked_step,
    training_copy,
)
from tests.networks import ADAM, MOMENTUM, blobs, network, plan_of, rebuilt, states


def test_snfs_is_its_equation() -> None:
    """M <- beta M + (1 - beta) g everywhere; drop a share of each layer, regrow by mean |M| between, by |M| within."""
    world, steps = network("residual", HEAVY), 20
    plan = Plan(world.layout, world.layout.n // 4, steps, HEAVY)
    method = METHODS["snfs"](plan)
    _, seen = states(method, world)
    model, inside = training_copy(world)
    mask = {n: m.float() for n, m in world.weights.blocks(seen[0].support)}
    optimiser = torch.optim.SGD(model.parameters(), 0.05, 0.9, weight_decay=1e-2)
    M = {n: torch.zeros_like(p) for n, p in inside.items()}
    moved = 0
    for step, batch in enumerate(batches(world, HEAVY, steps)):
        if step:
            share = 0.005 + 0.495 * (1 + math.cos(math.pi * (step - 1) / (steps - 1))) / 2
            means = [float((M[n].abs() * mask[n]).sum() / mask[n].sum().clamp(min=1)) for n in inside]
            gone = {n: math.ceil(share * int(mask[n].sum())) for n in inside}
            kept = {n: largest(p.abs(), int(mask[n].sum()) - gone[n], mask[n]) for n, p in inside.items()}
            grown = shared_out(sum(gone.values()), means, [int((1 - kept[n]).sum()) for n in inside])
            moved += sum(grown[i] != gone[n] for i, n in enumerate(inside))
            for m, n in zip(grown, inside, strict=True):
                mask[n] = kept[n] + largest(M[n].abs(), m, 1 - kept[n])
        clear(inside, mask, optimiser)
        slope = masked_step(model, inside, mask, optimiser, batch)
        M = {n: 0.9 * M[n] + 0.1 * slope[n] for n in inside}
    assert moved > 10
    state = seen[-1]
    assert torch.equal(flat(mask.values()).bool(), state.support)
    agree(world, state, model)
    torch.testing.assert_close(state.slots["average"], flat(M.values()), rtol=1e-5, atol=1e-7)


def test_an_average_without_memory_is_the_last_gradient_and_training_is_masked() -> None:
    """beta = 0; and the weights take the very steps of `Masked`, whatever is averaged."""
    world = network("residual", HEAVY)
    keep = Keep(60)
    results = [
        after(Method("m", (Stage((Phase(keep, Train(STEPS, HEAVY, gate)),)),)), world)
        for gate in (Averaging(beta=0.0), Averaging(), Masked())
    ]
    memoryless, averaged, masked = results
    assert torch.equal(memoryless.x, masked.x) and torch.equal(averaged.x, masked.x)
    before = after(Method("m", (Stage((Phase(keep, Train(STEPS - 1, HEAVY)),)),)), world)
    assert torch.equal(memoryless.slots["average"], world.at(before).gradient(before.x))


@pytest.mark.parametrize("recipe", [MOMENTUM, ADAM], ids=["momentum", "adam"])
def test_averages_outside_the_support_move_nothing(recipe: Recipe) -> None:
    """Mistake 11: the average knows weights that are masked; x and the optimiser's own slots stay zero there."""
    world = network("residual", recipe)
    _, seen = states(METHODS["snfs"](plan_of(world, 0.8, steps=30)), world)
    for state in seen:
        off = ~state.support
        slots = [a for name, a in state.slots.items() if name.startswith("momentum.") and name.endswith(".x")]
        assert slots and not any(a[off].any() for a in (state.x, *slots)) and state.slots["average"][off].any()


def test_without_redistribution_snfs_is_replacement_by_the_average() -> None:
    """One layer: there is nowhere else to go, and the move is GraNet's with another score."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 3))
    world = Network(model, blobs(), recipe=HEAVY)
    method = METHODS["snfs"](Plan(world.layout, 30, 40, HEAVY))
    swap = rebuilt(method, lambda p: SwapShare(p.share, into=p.by) if isinstance(p, Redistribute) else p)
    assert swap != method and torch.equal(after(swap, world).x, after(method, world).x)


@given(
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 30)), min_size=1, max_size=6),
    st.integers(0, 100),
)
def test_shared_out(parts: list[tuple[float, int]], total: int) -> None:
    """Exact, within the room, and where nothing is full each share rounded up or down."""
    weights, room = [w for w, _ in parts], [r for _, r in parts]
    counts = shared_out(total, weights, room)
    assert sum(counts) == min(total, sum(room)) and all(0 <= c <= r for c, r in zip(counts, room, strict=True))
    if sum(weights) > 0 and all(total * w / sum(weights) <= r for w, r in zip(weights, room, strict=True)):
        assert all(abs(c - total * w / sum(weights)) < 1 + 1e-9 for c, w in zip(counts, weights, strict=True))


def test_granet_is_its_equation() -> None:
    """Prune globally to k_r, drop a share of each layer, grow as many by |gradient| at the pruned weights, at zero."""
    world, steps, rounds = network("residual", HEAVY), 60, 59
    n = world.layout.n
    plan = Plan(world.layout, n // 8, steps, HEAVY)
    _, seen = states(METHODS["granet"](plan), world)
    model, inside = training_copy(world)
    mask = {name: m.float() for name, m in world.weights.blocks(seen[0].support)}
    optimiser = torch.optim.SGD(model.parameters(), 0.05, 0.9, weight_decay=1e-2)
    for step, batch in enumerate(batches(world, HEAVY, steps)):
        if step:
            t = min(step / int(0.6875 * steps), 1.0)
            k = math.floor(plan.k + (n // 2 - plan.k) * (1 - t) ** 3 + 0.5)
            left = largest(flat(inside.values()).abs(), k, flat(mask.values()))
            mask = {name: m.float() for name, m in world.weights.blocks(left)}
            clear(inside, mask, optimiser)
            slope = gradients(copy.deepcopy(model), batch)
            share = 0.005 + 0.495 * (1 + math.cos(math.pi * (step - 1) / rounds)) / 2
            for name, p in inside.items():
                size = int(mask[name].sum())
                gone = math.ceil(share * size)
                kept = largest(p.abs(), size - gone, mask[name])
                mask[name] = kept + largest(slope[name].abs(), gone, 1 - kept)
        clear(inside, mask, optimiser)
        masked_step(model, inside, mask, optimiser, batch)
    assert torch.equal(flat(mask.values()).bool(), seen[-1].support) and int(seen[-1].support.sum()) == plan.k
    agree(world, seen[-1], model, 1e-5)


@pytest.mark.parametrize("recipe", [HEAVY, ADAM], ids=["momentum", "adam"])
def test_granet_that_regrows_nothing_from_a_dense_start_is_gmp(recipe: Recipe) -> None:
    """Backward elimination on the same cubic, bit for bit."""
    world = network("residual", recipe)
    plan = Plan(world.layout, world.layout.n // 8, 120, recipe)
    granet = granet_of(plan, initial=1.0, share=0.0)
    still = rebuilt(granet, lambda p: CosineShare(0.0, p.rounds, 0.0) if isinstance(p, CosineShare) else p)
    rounds = granet.stages[1].rounds
    (cubic,) = {p.k for p in parts(granet) if isinstance(p, Keep)}
    chunk = 120 // (rounds + 1)
    gmp = convex.backward_elimination(cubic, Magnitude(), plan.train(chunk))
    rest = Stage((Phase(Stay(), plan.train(chunk)),), rounds - cubic.rounds)
    state, expected = after(still, world), after(Method("gmp", (*gmp.stages, rest)), world)
    assert torch.equal(state.x, expected.x) and torch.equal(state.support, expected.support)
    assert not torch.equal(after(granet_of(plan, initial=1.0), world).x, state.x)


def test_rigl_is_its_equation() -> None:
    """Every chunk drop 0.3/2 (1 + cos(pi t)) of each layer's count, grow as many by |gradient|, at zero."""
    world, T = network("residual", HEAVY), 80
    plan = Plan(world.layout, world.layout.n // 5, T, HEAVY)
    _, seen = states(METHODS["rigl"](plan), world)
    model, inside = training_copy(world)
    mask = {name: m.float() for name, m in world.weights.blocks(seen[0].support)}
    sizes = {name: int(m.sum()) for name, m in mask.items()}
    optimiser = torch.optim.SGD(model.parameters(), 0.05, 0.9, weight_decay=1e-2)
    moved = 0
    for step, batch in enumerate(batches(world, HEAVY, T)):
        if step and step % 2 == 0 and step <= 60:
            slope = gradients(copy.deepcopy(model), batch)
            share = 0.3 / 2 * (1 + math.cos(math.pi * (step // 2 - 1) / 30))
            for name, p in inside.items():
                gone = int(share * sizes[name])
                kept = largest(p.abs(), sizes[name] - gone, mask[name])
                moved += gone
                mask[name] = kept + largest(slope[name].abs(), gone, 1 - kept)
        clear(inside, mask, optimiser)
        masked_step(model, inside, mask, optimiser, batch)
    assert moved > 100 and torch.equal(flat(mask.values()).bool(), seen[-1].support)
    agree(world, seen[-1], model, 1e-5)


def test_what_does_not_fit_into_a_full_layer_goes_to_the_others() -> None:
    """Two of three and two of four leave; the small layer matters most, but has room for two only."""
    layout = Layout(("small", "wide"), ((3,), (20,)))
    x = torch.cat([torch.tensor([100.0, 90.0, 80.0]), torch.linspace(1.0, 0.05, 20)])
    state = State(x, torch.arange(23) < 7)
    support = Redistribute(CosineShare(0.5, 9), by=Magnitude())(type("F", (), {"layout": layout}), state)
    assert sp.block_counts(support, layout) == (3, 4)
