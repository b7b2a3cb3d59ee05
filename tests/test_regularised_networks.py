"""Regularise, then remove: held against loops in plain PyTorch, and against training without a penalty."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import cross_entropy

from nets.adaptive import Release, Ridged
from nets.catalogue import METHODS, Plan
from nets.catalogue.regularised import arht, dlth, growing_regularisation, unidlth, unilth
from nets.data import Batches
from nets.gates import Extruded, Gate, Masked
from nets.recipe import SGD, Recipe
from nets.training import Network, Train
from sparsopt.method import Method, Phase, Stage, run
from sparsopt.moves import Keep
from sparsopt.state import State
from tests.equations import agree, clear, largest, training_copy
from tests.networks import HEAVY, MOMENTUM, network, plan_of, rebuilt, states

LOOSE = 3e-6  # two long trainings in a row


# ---- equations -----------------------------------------------------------------------------------------------------


class Loop:
    """Plain PyTorch on a copy of the module: one counter of batches, an optimiser that can be made anew."""

    def __init__(self, world: Network, recipe: Recipe) -> None:
        self.world, (self.model, self.weights) = world, training_copy(world)
        self.recipe, self.source = recipe, Batches(world.data, recipe.batch, 0)
        self.mask = {name: torch.ones_like(p) for name, p in self.weights.items()}
        self.batch = itertools.count()
        self.fresh()

    def fresh(self) -> None:
        o = self.recipe.optimiser
        assert isinstance(o, SGD)
        self.optimiser = torch.optim.SGD(self.model.parameters(), 0.0, o.momentum, weight_decay=o.weight_decay)

    def train(self, rates: list[float], penalty: Callable[[int], Tensor | float] = lambda t: 0.0) -> None:
        """Steps t = 1, 2, .. on loss + penalty(t), of what the mask leaves."""
        for t, rate in enumerate(rates, 1):
            images, labels = self.source.at(next(self.batch))
            self.optimiser.zero_grad()
            (cross_entropy(self.model(images), labels) + penalty(t)).backward()
            for name, p in self.weights.items():
                assert p.grad is not None
                p.grad *= self.mask[name]
            self.optimiser.param_groups[0]["lr"] = rate
            self.optimiser.step()

    def stop_early(self, rates: list[float], first: int, patience: int = 2) -> None:
        """Cycles of two steps on nine tenths of the data, until the loss on the last tenth is no longer the least."""
        whole, part = self.source, self.world.data.validation(0.1, 0)
        part = dataclasses.replace(part, mean=self.world.data.mean, std=self.world.data.std)
        self.source = Batches(part, self.recipe.batch, 0)
        self.train(rates[:first])
        least, best, ago = math.inf, copy.deepcopy((self.model.state_dict(), self.optimiser.state_dict())), 0
        for begin in range(first, len(rates), 2):
            self.train(rates[begin : begin + 2])
            (chunk,) = part.evaluation(part.test_images, part.test_labels)
            with torch.no_grad():
                loss = float(cross_entropy(self.model.eval()(chunk[0]), chunk[1]))
            self.model.train()
            ago = 0 if loss < least else ago + 1
            if loss < least:
                least, best = loss, copy.deepcopy((self.model.state_dict(), self.optimiser.state_dict()))
            if ago == patience:
                break
        self.model.load_state_dict(best[0])
        self.optimiser.load_state_dict(best[1])
        self.source, self.stopped = whole, ago == patience

    def leaving(self, kept: dict[str, Tensor], steps: int, limit: float = 1.0) -> Callable[[int], Tensor | float]:
        """Half the growing penalty on the squares of what is not kept."""
        return lambda t: (
            min(1.0, t / (5 / 9 * steps)) * limit / 2
            * sum((((1 - kept[name]) * p) ** 2).sum() for name, p in self.weights.items())
        )  # fmt: skip

    def remove(self, kept: dict[str, Tensor]) -> None:
        self.mask = kept
        clear(self.weights, kept, self.optimiser)


def by_name(world: Network, mask: Tensor) -> dict[str, Tensor]:
    return {name: block.float() for name, block in world.weights.blocks(mask)}


def globally(loop: Loop, k: int) -> dict[str, Tensor]:
    """The k largest of all weights that the mask leaves."""
    sizes = torch.cat([(p.detach().abs() * loop.mask[name]).reshape(-1) for name, p in loop.weights.items()])
    parts = largest(sizes, k).split([p.numel() for p in loop.weights.values()])
    return {name: part.view_as(p) for (name, p), part in zip(loop.weights.items(), parts, strict=True)}


def milestones(T: int, scale: float = 0.05) -> list[float]:
    return [scale * (1.0 if t < T / 2 else 0.1 if t < 3 * T / 4 else 0.01) for t in range(T)]


def test_unilth_is_its_pseudo_code() -> None:
    world, k, T = network("residual", HEAVY), 60, 20
    plan = Plan(world.layout, k, T, HEAVY)
    n, loop = plan.n, Loop(world, HEAVY)
    loop.stop_early(milestones(T)[:12], first=2)  # T / 2, and 12 mod 5 steps that the rounds leave; 5 cycles of two
    for r in range(1, 6):
        kept = globally(loop, k if r == 5 else int(n * (k / n) ** (r / 5) + 0.5))
        loop.train([0.05] * 2, loop.leaving(kept, 2))
        loop.remove(kept)
    loop.fresh()
    loop.train(milestones(T))
    agree(world, run(METHODS["unilth"](plan), world, world.start(0)).state, loop.model, LOOSE)


def test_dlth_is_its_pseudo_code() -> None:
    """Given its random mask, the same share of every layer."""
    world, k, T = network("perceptron", HEAVY), 90, 20
    plan = Plan(world.layout, k, T, HEAVY)
    state = run(METHODS["dlth"](plan), world, world.start(0)).state
    kept, loop = by_name(world, state.support), Loop(world, HEAVY)
    loop.train([0.05] * 12, loop.leaving(kept, 12))
    loop.remove(kept)
    loop.fresh()
    loop.train(milestones(T))
    agree(world, state, loop.model, LOOSE)
    shares = [float(mask.sum() / mask.numel()) for mask in kept.values()]
    assert max(shares) - min(shares) < 0.06


def test_growing_regularisation_is_its_pseudo_code() -> None:
    world, k, T = network("tied", HEAVY), 90, 15
    plan, loop = Plan(world.layout, k, T, HEAVY), Loop(world, HEAVY)
    loop.train(milestones(T))
    kept = globally(loop, k)
    loop.train([0.005] * 9, loop.leaving(kept, 9))
    loop.remove(kept)
    loop.fresh()
    loop.train(milestones(T, 0.005))
    agree(world, run(METHODS["growing-regularisation"](plan), world, world.start(0)).state, loop.model, LOOSE)


@given(st.integers(1, 500), st.floats(0.01, 10), st.floats(0.05, 1))
def test_the_penalty_grows_to_its_limit_and_stays(steps: int, limit: float, rise: float) -> None:
    gate = Extruded(steps, limit, rise)
    seen = [gate.penalty(t) for t in range(1, steps + 1)]
    assert seen == sorted(seen) and seen[0] > 0 and seen[-1] == limit
    assert all(p == limit for t, p in enumerate(seen, 1) if t >= max(rise * steps, 1))


def test_the_gate_presses_only_what_is_off_the_support_and_still_there() -> None:
    x, support = torch.tensor([1.0, -2.0, 3.0, 0.0, 0.0]), torch.tensor([True, False, False, False, True])
    start = State(x, support, slots={"momentum.momentum_buffer.x": torch.ones(5)}, inner=0)
    gate = Extruded(4, 1.0, 1.0)
    entered = gate.enter(start)
    assert entered.slots["momentum.momentum_buffer.x"].tolist() == [1, 1, 1, 0, 1]
    g, c = torch.ones(5), gate.context(entered.but(inner=1))  # one step is done: a quarter of the limit a step
    gate.gradient(g, x, c)
    assert g.tolist() == [1.0, 1 - 0.5 * 2, 1 + 0.5 * 3, 0.0, 1.0]
    assert eval(repr(gate)) == gate


# ---- identities ----------------------------------------------------------------------------------------------------


def without(method: Method, gate: Gate) -> Method:
    return rebuilt(method, lambda part: gate if isinstance(part, Extruded) else part)


@pytest.mark.parametrize("entry", [dlth, growing_regularisation])
def test_no_penalty_is_training_and_one_removal(entry: Any) -> None:
    """Bit for bit: dense training, then w_S, then training on S."""
    world = network("residual", MOMENTUM)
    method = entry(plan_of(world, 0.8), limit=0.0)
    one, two = (run(m, world, world.start(0)).state for m in (method, without(method, Gate())))
    assert torch.equal(one.x, two.x) and torch.equal(one.support, two.support)
    pressed = run(entry(plan_of(world, 0.8)), world, world.start(0)).state
    assert not torch.equal(pressed.x, one.x) and torch.equal(pressed.support, one.support)


@pytest.mark.parametrize("entry", [dlth, growing_regularisation, unilth, unidlth])
def test_where_all_stay_it_is_plain_training(entry: Any) -> None:
    world = network("residual", MOMENTUM)
    method = entry(plan_of(world, 0.0), limit=1e6)
    one, two = (run(m, world, world.start(0)).state for m in (method, without(method, Masked())))
    assert torch.equal(one.x, two.x) and one.support.all()


# ---- mistakes of public code ---------------------------------------------------------------------------------------


def test_what_was_removed_stays_away() -> None:
    """Mistakes 1 and 11: neither scores, nor the penalty, nor momentum bring it back while others are pressed."""
    for name in ("unilth", "unidlth"):
        world = network("residual", MOMENTUM, chunk=1)
        _, seen = states(METHODS[name](plan_of(world, 0.9, steps=40)), world)
        gone = torch.zeros(world.layout.n, dtype=torch.bool)
        rounds = [state for state in seen if state.stage >= 3]
        assert len(rounds) > 25
        for state in rounds:
            assert not state.x[gone].any() and not (state.support & gone).any(), name
            momentum = state.slots.get("momentum.momentum_buffer.x")
            assert momentum is None or not momentum[gone].any(), name
            if not state.x[~state.support].any():
                gone |= ~state.support
        assert int((~gone).sum()) == plan_of(world, 0.9).k


@pytest.mark.parametrize("name", ["dlth", "unidlth"])
def test_random_means_random(name: str) -> None:
    """Mistake 5: the support is a function of the seed and not of the weights."""
    world = network("residual", MOMENTUM)
    method, start = METHODS[name](plan_of(world, 0.5)), world.start(0)
    masks = [run(method, world, start.but(x=x)).support for x in (start.x, start.x.flip(0), start.x * 3)]
    assert torch.equal(masks[0], masks[1]) and torch.equal(masks[0], masks[2])
    other = run(method, world, world.start(1)).support
    assert 0.25 < (other & masks[0]).sum() / masks[0].sum() < 0.75


def test_extrusion_moves_what_is_removed_to_zero() -> None:
    """Nearly: noise of batches stays in them, the less the higher the limit."""
    world = network("perceptron", MOMENTUM)
    taken = []
    for limit in (0.0, 1.0, 10.0):
        _, seen = states(dlth(plan_of(world, 0.8, steps=300), limit=limit), world)
        pressed = seen[0]
        taken.append(float(pressed.x[~pressed.support].norm() / pressed.x.norm()))
    assert taken[0] > 0.5 > 0.2 > taken[1] > taken[2]


# ---- ARHT ----------------------------------------------------------------------------------------------------------


def test_without_a_penalty_arht_is_rigl_with_its_accept_test() -> None:
    world = network("residual", MOMENTUM)
    plan = plan_of(world, 0.8, steps=80)
    methods = (arht(plan, rho=0.0), METHODS["rigl-accept"](plan), arht(plan))
    one, two, three = (run(method, world, world.start(0)).state for method in methods)
    assert torch.equal(one.x, two.x) and torch.equal(one.support, two.support)
    assert not torch.equal(three.x, one.x)


def test_the_ridge_is_its_penalty() -> None:
    """Autograd of the penalty on half of the weights, of which some are off the support."""
    world = network("residual", HEAVY)
    n, rho, every = world.layout.n, 0.3, torch.arange(world.layout.n)
    R, mask = (every % 2 == 0).float(), every % 3 > 0
    start = world.start(0)
    start = start.but(slots={**start.slots, "regularised": R})
    k = int(mask.sum())
    method = Method("ridge", (Stage((Phase(Keep(k, Given(mask)), Train(15, HEAVY, Ridged(rho))),)),))
    loop = Loop(world, HEAVY)
    loop.remove(by_name(world, mask))
    paying = by_name(world, R * mask)
    loop.train(
        milestones(15),
        lambda t: rho / 2 * sum(((paying[name] * p) ** 2).sum() for name, p in loop.weights.items()),  # type: ignore[return-value]
    )
    state = run(method, world, start).state
    agree(world, state, loop.model)
    assert torch.equal(state.slots["regularised"], R) and n == len(R)


@dataclass(frozen=True)
class Given:
    """A mask as a score."""

    mask: Any

    def __call__(self, f: Any, state: State) -> Tensor:
        return self.mask.float()


class Oracle:
    """f(x) = the first number of x."""

    def at(self, state: State) -> Oracle:
        return self

    def value(self, x: Tensor) -> float:
        return float(x[0])


def pair(loss: float, seed: int = 0) -> tuple[State, State]:
    """Before: f = 4, and S = {0, 1, 2}; after: another f, 2 has gone and 3 has come; 4 is outside, 1 has left R."""
    x, S = torch.tensor([4.0, 2.0, 1.0, 0.0, 0.0]), torch.tensor([True, True, True, False, False])
    R = {"regularised": torch.tensor([1.0, 0.0, 1.0, 1.0, 1.0])}
    old = State(x, S, seed, slots=R)
    then = torch.tensor([True, True, False, True, False])
    return old, State(torch.tensor([loss, 2.0, 0.0, 1.0, 0.0]), then, seed, slots=R)


@given(st.floats(0.0, 8.0), st.floats(0.0, 1.0), st.floats(0.0, 0.9))
def test_a_round_is_judged_with_the_penalty(loss: float, rho: float, share: float) -> None:
    old, new = pair(loss)
    state, status = Release(rho, share)(Oracle(), old, new)
    x = float(new.x[0])
    before, after = 4 + rho / 2 * (16 + 1), x + rho / 2 * (x**2 + 1)
    if abs(before - after - share * before) < 1e-5:
        return
    good = before - after > share * before and after < before
    assert status is None and torch.equal(state.x, new.x if good else old.x)
    left = state.slots["regularised"]
    assert left.sum() == (4 if good else 3) and left[1] == 0 and left[3:].all()


def test_weights_leave_by_their_squares() -> None:
    """4 with probability 16 / 17, 1 with 1 / 17; where R and S are apart, nothing leaves."""
    first = [float(Release()(Oracle(), *pair(8.0, seed))[0].slots["regularised"][0]) for seed in range(2000)]
    assert abs(sum(first) / 2000 - 1 / 17) < 0.02
    old, new = pair(8.0)
    old = old.but(slots={"regularised": torch.tensor([0.0, 0.0, 0.0, 1.0, 1.0])})
    assert Release()(Oracle(), old, new)[0].slots["regularised"].tolist() == [0, 0, 0, 1, 1]
