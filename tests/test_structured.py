"""Structures of filters by brute force, and structured methods in whole runs."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st

import nets
from nets.catalogue import METHODS, Plan
from nets.recipe import SGD
from nets.structured import ByLayer, Channels, FilterNorms, Filters, Slimming, shrink
from nets.training import Network, Train
from nets.weights import Weights
from sparsopt import support as sp
from sparsopt.errors import InvalidInput
from sparsopt.method import Method, Phase, Stage, run
from sparsopt.moves import Stay
from sparsopt.state import Layout, State
from tests.channels import IMAGES, lived_in
from tests.conftest import scaled
from tests.networks import MOMENTUM, blobs, difference, states

# ---- structures and scores -------------------------------------------------------------------------------------------


@given(st.integers(0, 2**31))
@profile(max_examples=scaled(50))
def test_filters_by_brute_force(seed: int) -> None:
    """Global: k largest norms. By layer: shares exact in all, none off by one or more, the best of each layer."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 6, 3)
    starts = np.cumsum([0, *sizes])
    rows = [tuple(range(a, b)) for a, b in itertools.pairwise(starts.tolist())]
    widths = rng.integers(1, 4, 3)
    layers = tuple(np.repeat(range(3), sizes).tolist())
    filters = Filters((*rows, rows[0]), (*widths.tolist(), 1), layers)
    n, groups = int(sizes @ widths + sizes[0]), int(sizes.sum())
    layout, score, k = Layout.single(n), rng.random(n), int(rng.integers(0, groups + 1))
    labels = filters.units(n)
    norms = [np.linalg.norm(score[labels == g]) for g in range(groups)]
    best = set(sorted(range(groups), key=lambda g: -norms[g])[:k])
    assert set(labels[filters(score, k, layout)]) == best and filters.size(filters(score, k, layout)) == k
    assert filters(score, k, layout).sum() <= filters.most(k)
    chosen = ByLayer(filters)(score, k, layout)
    kept = set(labels[chosen].tolist())
    assert len(kept) == k == filters.size(chosen) and (np.isin(labels, list(kept)) == chosen).all()
    for row in rows:
        mine = [g for g in row if g in kept]
        assert abs(len(mine) - k * len(row) / groups) < 1
        assert set(mine) == set(sorted(row, key=lambda g: -norms[g])[: len(mine)])
    torch_chosen = ByLayer(filters)(torch.from_numpy(score), k, layout)
    assert (torch_chosen.numpy() == chosen).all()
    within = np.isin(labels, list(kept))
    fewer = ByLayer(filters)(score, k // 2, layout, within)
    assert filters.size(fewer) == k // 2 and not (fewer & ~within).any()


def test_norms_of_filters() -> None:
    """|filter|_1 and |filter|_2 of Li et al. and He et al.; biases and norms have no say."""
    layout = Layout(("w", "b"), ((2, 3), (2,)))
    x = np.array([3.0, -4.0, 0.0, 2.0, 2.0, 2.5, 100.0, -100.0])
    filters = Filters(((0, 1), (0, 1)), (3, 1), (0, 0))
    for power, winner in ((1.0, 0), (2.0, 0)):
        f = type("F", (), {"layout": layout})
        score = FilterNorms(power)(f, State(x, x != 0))
        norms = sp.group_norms(score, filters.units(8))
        assert np.allclose(norms**2, [(abs(x[:3]) ** power).sum(), (abs(x[3:6]) ** power).sum()])
        assert filters(score, 1, layout)[winner * 3]


# ---- runs ------------------------------------------------------------------------------------------------------------


STRUCTURED = ("l1-filters", "network-slimming", "soft-filter-pruning", "thinet", "early-bird-channels")


@pytest.mark.parametrize("method", STRUCTURED)
@pytest.mark.parametrize("name", ["resnet", "dense", "depthwise"])
@pytest.mark.parametrize("sparsity", [0.25, 0.5])
def test_a_run_removes_channels_exactly_and_shrinks(method: str, name: str, sparsity: float) -> None:
    """Whole channels, as many as asked for, weights that stay zero under momentum, the same outputs when shrunk."""
    model = lived_in(name)
    outcome = nets.prune(model, blobs(), method, sparsity, MOMENTUM, epochs=2)
    rule = METHODS[method].prunable.found(model, IMAGES)  # type: ignore[attr-defined]
    channels = int(rule.structure(Weights(model, rule).layout).units(0).max()) + 1
    kept = round((1 - sparsity) * channels)
    assert outcome.prunable == channels and outcome.sparsity == pytest.approx(1 - kept / channels)
    assert f"({kept} of {channels} prunable channels kept)" in str(outcome)
    small = shrink(outcome.model, outcome.masks, IMAGES, repeats=0)
    assert small.channels[0] - small.channels[1] >= channels - kept - 2  # a layer keeps its last
    right = (small.model.eval()(IMAGES).argmax(1) == blobs().test_labels).double().mean().item()
    assert right == pytest.approx(outcome.accuracy)


@pytest.mark.parametrize("method", STRUCTURED)
def test_structured_runs_resume_from_every_state(method: str) -> None:
    model = lived_in("resnet")
    rule = METHODS[method].prunable.found(model, IMAGES)  # type: ignore[attr-defined]
    world = Network(model, blobs(), prunable=rule, recipe=MOMENTUM, chunk=3)
    structure = rule.structure(world.layout)
    plan = Plan(world.layout, 11, 10, MOMENTUM, structure)
    result, seen = states(METHODS[method](plan), world)
    assert structure.size(result.support) == 11 and not result.x[~result.support].any()
    for state in seen[::2]:
        again = run(METHODS[method](plan), Network(model, blobs(), prunable=rule, recipe=MOMENTUM), state)
        assert difference(again.state, result.state) == ""


def test_soft_pruning_lets_filters_come_back() -> None:
    """Every cut sets whole filters to zero, and some that were zero are in a later choice."""
    model = lived_in("resnet")
    rule = Channels().found(model, IMAGES)
    world = Network(model, blobs(), prunable=rule, recipe=MOMENTUM)
    plan = Plan(world.layout, 16, 200, MOMENTUM, rule.structure(world.layout))
    _, seen = states(METHODS["soft-filter-pruning"](plan), world)
    cuts = [state for state in seen if not state.support.all() and state.inner == 0]
    assert len(cuts) == 20 and all(plan.structure.size(s.support) == 16 for s in cuts)  # type: ignore[attr-defined]
    for state in cuts:
        off = dict(world.weights.blocks(~state.support))
        for name, w in world.weights.blocks(state.x):
            assert not w[off[name]].any() or (w.dim() == 1 and state is not cuts[-1])
    assert any((new.support & ~old.support).any() for old, new in itertools.pairwise(cuts))


def test_slimming_presses_scales_alone() -> None:
    layout = Layout(("conv.weight", "norm.weight", "norm.bias"), ((2, 2), (2,), (2,)))
    gate, v = Slimming(layout, 0.1), torch.tensor([1.0, -1, 1, 1, 2, -3, 1, 1])
    g = torch.zeros(8)
    gate.gradient(g, v, gate.context(State(v, v != 0)))
    assert torch.allclose(g, torch.tensor([0.0, 0, 0, 0, 0.1, -0.1, 0, 0]))


def test_controls_of_channels() -> None:
    for control in ("reinit", "inverted"):
        outcome = nets.prune(lived_in("resnet"), blobs(), f"l1-filters+{control}", 0.5, MOMENTUM, epochs=1)
        assert outcome.sparsity == 0.5 and outcome.unit == "channels"
    with pytest.raises(InvalidInput, match=r"\+shuffle.*single weights"):
        nets.prune(lived_in("resnet"), blobs(), "l1-filters+shuffle", 0.5, MOMENTUM, epochs=1)
    with pytest.raises(InvalidInput, match="would keep no channel of 20"):
        nets.prune(lived_in("resnet"), blobs(), "l1-filters", 0.99, MOMENTUM, epochs=1)


def test_other_methods_prune_the_weights_of_channels_one_by_one() -> None:
    outcome = nets.prune(lived_in("resnet"), blobs(), "magnitude-at-init", 0.5, MOMENTUM, epochs=1, prunable=Channels())
    assert outcome.unit == "weights" and "1.weight" in outcome.masks
    assert sum(int(m.sum()) for m in outcome.masks.values()) == round(0.5 * outcome.prunable)


def test_an_early_bird_s_ticket_is_a_smaller_network_and_trains_alike() -> None:
    """Drawn once the channels have settled, counted as channels; shrunk it has the same outputs, and after the same
    steps on the same batches still."""
    model, data = lived_in("resnet"), blobs()
    rule = Channels(scaled=True).found(model, IMAGES)
    world = Network(model, data, prunable=rule, recipe=MOMENTUM)
    structure = rule.structure(world.layout)
    method = METHODS["early-bird-channels"](Plan(world.layout, 10, 200, MOMENTUM, structure))
    result, seen = states(method, world)
    looks = [state for state in seen if state.stage == 0 and state.phase == 0 and not state.support.all()]
    drawn = next(state for state in seen if state.stage == 1)
    assert drawn.ended == "SUPPORT_STABLE" and len(looks) < 40 and "recent" not in drawn.slots
    last = [np.unique(structure.units(world.layout.n)[state.support.numpy()]) for state in (*looks, drawn)][-5:]
    assert all(len(set(one) ^ set(last[-1])) <= 0.1 * 20 and len(one) == 10 for one in last)

    masks = dict(world.weights.blocks(drawn.support))
    ticket = world.module(drawn)
    small = shrink(ticket, masks, IMAGES, repeats=0)
    still = dataclasses.replace(MOMENTUM, optimiser=SGD(0.9, weight_decay=0.0))
    on = Method("on", (Stage((Phase(Stay(), Train(12, still)),)),))
    masked = run(on, world, world.start(0).but(x=drawn.x * drawn.support, support=drawn.support, slots={
        name: array for name, array in drawn.slots.items() if not name.startswith("momentum")
    }))  # fmt: skip
    shrunken = Network(small.model, data, recipe=still)
    alone = run(on, shrunken, shrunken.start(0))
    with torch.no_grad():
        one, two = (net.module(found.state).eval()(IMAGES) for net, found in ((world, masked), (shrunken, alone)))
    torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-3)
    assert structure.size(result.support) == 10 and small.parameters[1] < 0.6 * small.parameters[0]
