"""Relaxations with trained weights: open gates are plain training, the laws of their noise, what is kept at the end."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from nets.catalogue import METHODS
from nets.catalogue.relaxed import bip, movement
from nets.data import Batches
from nets.gates import Gate
from nets.joint import (
    BiLevel,
    Continuous,
    Deterministic,
    HardConcrete,
    Joint,
    Movement,
    Scored,
    SignalToNoise,
    Variational,
)  # fmt: skip
from nets.recipe import SGD, Milestones, Recipe
from nets.relaxations import Scores
from nets.training import Train
from sparsopt.method import Method, Phase, Stage, run
from sparsopt.moves import Everything
from sparsopt.state import State
from tests.networks import HEAVY, MOMENTUM, network, plan_of, states

# ---- identities: open gates are plain training -----------------------------------------------------------------------


def through(gate: Gate) -> Method:
    return Method("dense", (Stage((Phase(Everything(), Train(15, HEAVY, gate)),)),))


@pytest.mark.parametrize(
    "gate",
    [
        Continuous(1.0, 15, start=50.0, final=1.0, strength=0.0),
        Movement(),
        Variational(1.0, 15, strength=0.0, start=-100.0),
    ],
    ids=lambda gate: type(gate).__name__,
)
def test_open_gates_are_plain_training(gate: Scored) -> None:
    world = network("residual", HEAVY)
    one, two = (run(through(g), world, world.start(0)).state for g in (gate, Gate()))
    assert torch.equal(one.x, two.x) and torch.equal(one.slots["rest"], two.slots["rest"])
    assert eval(repr(gate)) == gate


def test_an_open_bilevel_gate_is_plain_training_on_every_second_batch() -> None:
    class Second(Batches):
        def at(self, step: int) -> tuple[Tensor, Tensor]:
            return super().at(2 * step + 1)

    world, other = network("residual", HEAVY), network("residual", HEAVY, batches=Second)
    one, two = run(through(BiLevel(1.0, k=10_000)), world, world.start(0)), run(through(Gate()), other, other.start(0))
    assert torch.equal(one.state.x, two.state.x) and torch.equal(one.state.slots["rest"], two.state.slots["rest"])
    assert eval(repr(BiLevel(1.0, k=10_000))) == BiLevel(1.0, k=10_000)


def test_movement_counts_what_steps_of_plain_descent_do() -> None:
    """Without momentum and decay: s_j sums w_j times its changes, half the growth of w_j^2 if rates are small."""
    world = network("perceptron", HEAVY)
    slow = Recipe(1e-4, Milestones(()), SGD(0.0, weight_decay=0.0), batch=16)
    method = Method("move", (Stage((Phase(Everything(), Train(20, slow, Movement())),)),))
    start = world.start(0)
    end = run(method, world, start).state
    growth = (end.x.double() ** 2 - start.x.double() ** 2) / 2
    torch.testing.assert_close(end.slots["scores"].double(), growth, rtol=2e-2, atol=2e-8)


def test_scores_of_removed_weights_go_on() -> None:
    """Movement is straight through: what is off may come back, and does."""
    world = network("perceptron", MOMENTUM)
    _, seen = states(movement(plan_of(world, 0.8, steps=200), period=4), world)
    masks = [state.support for state in seen if state.stage == 1]
    assert any((new & ~old).any() for old, new in itertools.pairwise(masks))


# ---- laws of the gates -----------------------------------------------------------------------------------------------


def hard(s: float, n: int = 200_000) -> tuple[HardConcrete, Joint]:
    gate = HardConcrete(strength=1.0)
    x = torch.ones(n)
    state = State(x, torch.ones(n, dtype=torch.bool), slots={"scores": torch.full((n,), s)})
    return gate, gate.context(state)


@pytest.mark.parametrize("s", [-3.0, -0.5, 0.0, 2.0])
def test_as_many_gates_are_open_as_the_penalty_counts(s: float) -> None:
    """P(z > 0), also by its derivative; and z = 0 and z = 1 exactly have a share each."""
    gate, c = hard(s)
    with torch.random.fork_rng():
        torch.manual_seed(7)
        gate.open(c)
    expected = torch.tensor(s - 2 / 3 * math.log(0.1 / 1.1), dtype=torch.float64).requires_grad_()
    p = expected.sigmoid()
    assert float((c.bits > 0).double().mean()) == pytest.approx(p.item(), abs=5e-3)
    (slope,) = torch.autograd.grad(p, expected)
    torch.testing.assert_close(gate.penalty(c)[:1].double(), slope[None], rtol=1e-5, atol=1e-6)
    assert (c.bits == 1).sum() > 0 and (c.bits == 0).sum() > 0
    assert not c.steepness[(c.bits == 0) | (c.bits == 1)].any()


def test_the_caller_s_generator_stays() -> None:
    gate, c = hard(0.0, 10)
    before = torch.get_rng_state()
    gate.open(c)
    assert torch.equal(before, torch.get_rng_state())


def test_a_stronger_penalty_closes_more_gates() -> None:
    world = network("perceptron", MOMENTUM)
    shares = []
    for strength in (0.0, 1e-4, 1e-2):
        gate = HardConcrete(0.4, strength)
        end = run(Method("l0", (Stage((Phase(Everything(), Train(300, MOMENTUM, gate)),)),)), world, world.start(0))
        shares.append(float((HardConcrete.expected(end.state.slots["scores"]) > 0.5).double().mean()))
    assert shares[0] > shares[1] > shares[2] and shares[2] < 0.2


def test_a_kept_weight_is_the_weight_times_its_gate() -> None:
    x, s = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0.0, -5.0, 5.0])
    state = State(x, torch.tensor([True, True, False]), slots={"scores": s})
    assert Deterministic()(None, state).x.tolist() == pytest.approx([0.5, 0.0, 0.0])


def test_signal_to_noise_orders_by_variance_over_square() -> None:
    state = State(
        torch.tensor([1.0, -2.0, 0.0, 1.0]), torch.ones(4, dtype=torch.bool), slots={"scores": torch.zeros(4)}
    )
    score = SignalToNoise()(None, state)
    assert score.argsort(descending=True, stable=True).tolist() == [1, 0, 3, 2] and score.isfinite().all()


def test_beta_rises_to_its_end_and_a_round_starts_where_the_last_one_closed() -> None:
    gate = Continuous(1.0, 11, start=0.1, final=200.0)
    x, support = torch.ones(3), torch.ones(3, dtype=torch.bool)
    slots = {"scores": torch.tensor([-0.01, 0.0002, 3.0])}
    again = gate.enter(State(x, support, slots=slots))
    assert again.slots["scores"].tolist() == pytest.approx([-2.0, 0.04, 0.1])
    assert gate.enter(State(x, support, slots=slots, clock=1)).slots["scores"] is slots["scores"]
    for clock, beta in ((0, 1.0), (5, 200**0.5), (10, 200.0)):
        c = gate.context(State(x, support, slots=slots, clock=clock))
        gate.open(c)
        expected = (beta * slots["scores"]).sigmoid() / torch.tensor(0.1).sigmoid()
        torch.testing.assert_close(c.bits, expected)


# ---- what is kept ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["continuous-sparsification", "movement", "bip", "l0", "variational-dropout"])
def test_the_support_is_the_best_scores(name: str) -> None:
    """Not the largest weights, and not by a threshold."""
    world = network("perceptron", MOMENTUM)
    plan = plan_of(world, 0.9, steps=60)
    _, seen = states(METHODS[name](plan), world)
    chosen = next(i for i, state in enumerate(seen) if int(state.support.sum()) == plan.k)
    score = (SignalToNoise() if name == "variational-dropout" else Scores())(None, seen[chosen - 1])
    score = score.abs() if name == "bip" else score
    support = seen[chosen].support
    assert score[support].min() >= score[~support].max()


def test_bip_chooses_among_all_layers() -> None:
    """Mistake 6: a code that divides k evenly over layers, and says that weights compete globally."""
    world = network("residual", MOMENTUM)
    plan = plan_of(world, 0.7, steps=30)
    densities = world.weights.densities(run(bip(plan), world, world.start(0)).support).values()
    assert max(densities) - min(densities) > 0.2
