"""Mask criteria against the authors' rules by hand, actions against what they promise, and both in a run."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import nets
from nets.catalogue import METHODS, Plan, cost
from nets.deconstruction import CRITERIA, MASK_0, MASK_1, Criterion, Frozen, NonZero, TreatAs
from sparsopt import support as sp
from sparsopt.errors import InvalidInput
from sparsopt.method import run
from sparsopt.state import Layout, State
from sparsopt.support import Elements
from tests.networks import MOMENTUM, blobs, difference, module, network, plan_of, states

LAYOUT = Layout(("a", "b"), ((4, 5), (3, 4)))
OTHERS = st.integers(0, 2**31)


def trained(seed: int, ties: bool = False) -> State:
    """A state whose x is w_f, with snapshots of w_0 and w_i, and a support."""
    rng = np.random.default_rng(seed)
    draw = lambda: torch.from_numpy(rng.integers(-3, 4, 32) / 2 if ties else rng.normal(size=32))  # noqa: E731
    support = torch.from_numpy(rng.random(32) < 0.7)
    first = State(draw(), sp.everything(support), slots={"rest": torch.ones(2)}, clock=0)
    start = first.but(x=draw())
    slots = {"rest": torch.zeros(2), "momentum.momentum_buffer.x": draw(), "momentum.step": torch.ones(())}
    return State(draw(), support, seed % 7, 2, 3, slots=slots, saved={"early": first, "start": start}, clock=9)


def blocks(state: State) -> list[tuple[np.ndarray, np.ndarray, np.ndarray, slice]]:
    """(w_i, w_f, candidates, block)."""
    arrays = state.saved["start"].x, state.x, state.support
    return [(*(a[b].numpy() for a in arrays), b) for b in LAYOUT.slices]


def chosen_by(name: str, k: tuple[int, ...], state: State) -> torch.Tensor:
    return Elements()(Criterion(name)(SimpleNamespace(layout=LAYOUT), state), k, LAYOUT, state.support)


BY_HAND: dict[str, Any] = {
    "large_final": lambda i, f: abs(f),
    "small_final": lambda i, f: 1 / abs(f),
    "large_init": lambda i, f: abs(i),
    "small_init": lambda i, f: 1 / abs(i),
    "magnitude_increase": lambda i, f: abs(f) - abs(i),
    "movement": lambda i, f: (i - f) ** 2,
    "large_final_same_sign": lambda i, f: np.where(i * f > 0, abs(f), 0),
    "large_final_diff_sign": lambda i, f: np.where(i * f > 0, 0, abs(f)),
}


@pytest.mark.parametrize("name", BY_HAND)
@given(OTHERS)
def test_criteria_choose_what_the_paper_says(name: str, seed: int) -> None:
    state = trained(seed)
    k = tuple(int(c.sum()) // 2 for _, _, c, _ in blocks(state))
    chosen = chosen_by(name, k, state)
    for (i, f, candidates, b), count in zip(blocks(state), k, strict=True):
        inside = np.flatnonzero(candidates)
        best = sorted(inside, key=lambda j: (-BY_HAND[name](i, f)[j], j))[:count]
        assert set(np.flatnonzero(chosen[b].numpy())) == set(best)


@pytest.mark.parametrize("name, sign", [("large_init_large_final", 1), ("small_init_small_final", -1)])
@given(OTHERS)
def test_joint_criteria_are_a_common_quantile(name: str, sign: int, seed: int) -> None:
    """The authors' rule: what is above the q-quantile of both. Any q gives as many weights as it gives."""
    state = trained(seed)
    for i, f, candidates, b in blocks(state):
        one, two = sign * abs(i[candidates]), sign * abs(f[candidates])
        m = len(one)
        for q in range(m):
            both = (one >= np.sort(one)[q]) & (two >= np.sort(two)[q])
            k = tuple(int(both.sum()) if block == b else 0 for block in LAYOUT.slices)
            chosen = chosen_by(name, k, state)[b].numpy()
            assert (chosen[candidates] == both).all() and not chosen[~candidates].any()


@pytest.mark.parametrize("name", [*CRITERIA, "random"])
@given(OTHERS)
def test_sizes_are_exact_with_ties(name: str, seed: int) -> None:
    state = trained(seed, ties=True)
    k = tuple(int(c.sum()) // 2 for _, _, c, _ in blocks(state))
    chosen = chosen_by(name, k, state)
    assert sp.block_counts(chosen, LAYOUT) == k and not (chosen & ~state.support).any()


@pytest.mark.parametrize("name", MASK_1)
@given(OTHERS)
def test_kept_weights(name: str, seed: int) -> None:
    state = trained(seed)
    new = TreatAs(LAYOUT, name)(None, state)
    assert new.clock == 0 and new.slots.keys() == {"rest"} and bool(new.slots["rest"].all())
    assert not new.x[~state.support].any() and torch.equal(new.x, TreatAs(LAYOUT, name)(None, state).x)
    for b in LAYOUT.slices:
        kept, w0, w = (t[b].numpy() for t in (state.support, state.saved["early"].x, state.saved["start"].x))
        x = new.x[b].numpy()[kept]
        if name.startswith("signed") or name == "rewind":
            assert (np.sign(x) == np.sign(w[kept])).all()
        if name == "rewind":
            assert (x == w[kept]).all()
        elif name.endswith("reinit"):
            assert set(abs(x)) <= set(abs(w0))
        elif name.endswith("reshuffle"):
            assert sorted(abs(x)) == sorted(abs(w[kept]))
        else:
            assert np.allclose(abs(x), np.sqrt(((w0 - w0.mean()) ** 2).mean()))


def test_shuffles_differ_by_layer_round_and_seed() -> None:
    state = trained(3)
    reference = TreatAs(LAYOUT, "random_reinit")(None, state).x
    for change in ({"round": 4}, {"seed": 5}):
        assert not torch.equal(TreatAs(LAYOUT, "random_reinit")(None, state.but(**change)).x, reference)
    twins = Layout(("a", "b"), ((16,), (16,)))
    w = torch.arange(16.0).repeat(2)
    same = state.but(support=sp.everything(w), x=w, saved={"early": state.but(x=w), "start": state.but(x=w)})
    x = TreatAs(twins, "random_reinit")(None, same).x
    assert not torch.equal(x[:16], x[16:]) and sorted(x[:16].tolist()) == list(range(16))


@pytest.mark.parametrize("name", MASK_0)
@given(OTHERS)
def test_pruned_weights(name: str, seed: int) -> None:
    state = trained(seed)
    i, f, kept = state.saved["start"].x, state.x, state.support
    x = TreatAs(LAYOUT, mask0=name)(None, state).x
    grew = f.abs() > i.abs()
    frozen = {"zero": grew & ~grew, "freeze_init": grew | ~grew, "freeze_init_zero_rev": ~grew}.get(name, grew)
    assert torch.equal(x[~kept], torch.where(frozen, i, 0.0)[~kept])
    alive = frozen if name == "freeze_init_zero_all" else kept | True
    assert torch.equal(x[kept], torch.where(alive, i, 0.0)[kept])


# ---- in a run ------------------------------------------------------------------------------------------------------


def test_the_defaults_are_imp() -> None:
    world = network("dropout")
    plan = plan_of(world)
    one, two = (run(METHODS[name](plan), world, world.start(0)).state for name in ("deconstructed", "imp-layerwise"))
    assert torch.equal(one.x, two.x) and torch.equal(one.support, two.support)
    assert torch.equal(one.slots["rest"], two.slots["rest"]) and one.cost == two.cost


@pytest.mark.parametrize("mask0", [name for name in MASK_0 if name != "zero"])
def test_frozen_weights_take_part_and_stay_to_the_bit(mask0: str) -> None:
    """Also under momentum and weight decay, in chunks, and in the module that comes out."""
    world = network("residual", chunk=3)
    start = world.start(0)
    method = METHODS["deconstructed"](plan_of(world, 0.7), mask0=mask0)  # type: ignore[call-arg]
    assert isinstance(method.stages[-2].phases[-1].fit.through, Frozen)  # type: ignore[union-attr]
    result, seen = states(method, world)
    last = [state for state in seen if state.stage == 2][-1]
    kept, off = last.support, ~last.support
    assert sp.count(kept) == plan_of(world, 0.7).k
    assert bool(((result.x == start.x) | (result.x == 0))[off].all()) and bool((result.x != 0)[off].any())
    assert mask0 != "freeze_init" or torch.equal(result.x[off], start.x[off])
    assert torch.equal(result.support, kept | (result.x != 0)) and not torch.equal(result.x[kept], start.x[kept])
    for name, block in world.weights.blocks(result.x):
        assert torch.equal(world.module(result.state).get_parameter(name), block)


@pytest.mark.parametrize("mask1, mask0", list(itertools.product(["random_reinit", "rand_signed_constant"], MASK_0)))
def test_every_combination_resumes(mask1: str, mask0: str) -> None:
    world = network("dropout", chunk=4)
    method = METHODS["deconstructed"](plan_of(world, 0.6, 6), "movement", mask1, mask0, rounds=2)  # type: ignore[call-arg]
    result, seen = states(method, world)
    for state in seen[::3]:
        assert difference(run(method, network("dropout"), state).state, result.state) == ""


def test_an_untrained_mask_has_untrained_weights() -> None:
    world = network("residual")
    plan, start = plan_of(world), world.start(0)
    state = run(METHODS["untrained-mask"](plan, mask1="rewind"), world, start).state  # type: ignore[call-arg]
    assert torch.equal(state.x, sp.restrict(start.x, state.support)) and state.cost == plan.steps
    assert torch.equal(state.slots["rest"], start.slots["rest"])
    best = run(METHODS["untrained-mask"](plan), world, start).state
    for x, first in zip(
        (x for _, x in world.weights.blocks(best.x)), (x for _, x in world.weights.blocks(start.x)), strict=True
    ):
        assert torch.allclose(x[x != 0].abs(), first.std(correction=0)) and bool(
            (x.sign() == first.sign())[x != 0].all()
        )


def test_settings_and_mistakes() -> None:
    outcome = nets.prune(
        module("tied"), blobs(), "deconstructed", 0.8, MOMENTUM, epochs=1,
        settings={"criterion": "magnitude_increase", "mask1": "signed_constant", "mask0": "zero", "rounds": 1},
    )  # fmt: skip
    assert outcome.cost["steps"] == 8 and outcome.sparsity == pytest.approx(0.8, abs=0.002)
    plan = Plan(LAYOUT, 10, 5)
    assert cost(METHODS["deconstructed"](plan, rounds=2)) == 15  # type: ignore[call-arg]
    for wrong in ({"criterion": "large_finale"}, {"mask1": "rewound"}, {"mask0": "freeze"}):
        with pytest.raises(InvalidInput, match="unknown mask"):
            METHODS["deconstructed"](plan, **wrong)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="Remember"):
        Criterion("movement")(SimpleNamespace(layout=LAYOUT), trained(0).but(saved={}))
    assert NonZero()(None, trained(0)).all()
