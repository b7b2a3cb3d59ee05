"""Gates: what each hook does, on numbers that fit on a line."""

from __future__ import annotations

import torch

from nets.gates import Gate, Masked, StraightThrough
from sparsopt.state import State

X = torch.tensor([1.0, -2.0, 3.0, -4.0])
SUPPORT = torch.tensor([True, False, True, False])


def state() -> State:
    slots = {
        "momentum.momentum_buffer.x": X.clone(),
        "momentum.momentum_buffer.rest": torch.ones(2),
        "rest": torch.ones(2),
    }
    return State(X.clone(), SUPPORT, slots={**slots, "scores": X.clone()})


def test_masked_clears_weights_and_optimiser_together_and_nothing_else():
    entered = Masked().enter(state())
    expected = torch.tensor([1.0, 0.0, 3.0, 0.0])
    assert torch.equal(entered.x, expected) and torch.equal(entered.slots["momentum.momentum_buffer.x"], expected)
    assert torch.equal(entered.slots["scores"], X)
    assert all(torch.equal(entered.slots[name], torch.ones(2)) for name in ("rest", "momentum.momentum_buffer.rest"))


def test_masked_takes_the_gradient_on_the_support():
    g, gate = torch.ones(4), Masked()
    c = gate.context(state())
    assert gate.weights(X, c, torch.empty(4)) is X
    gate.gradient(g, X, c)
    assert torch.equal(g, torch.tensor([1.0, 0.0, 1.0, 0.0]))


def test_straight_through_shows_the_masked_weights_and_trains_the_dense_ones():
    gate, g, out = StraightThrough(), torch.ones(4), torch.empty(4)
    c = gate.context(state())
    assert gate.weights(X, c, out) is out and torch.equal(out, torch.tensor([1.0, 0.0, 3.0, 0.0]))
    gate.gradient(g, X, c)
    assert torch.equal(g, torch.ones(4)) and torch.equal(gate.enter(state()).x, X)


def test_the_base_is_the_identity():
    gate, s = Gate(), state()
    assert gate.enter(s) is s and gate.variables(s) is s.x and gate.weights(X, None, torch.empty(4)) is X
    assert torch.equal(gate.store(s, X + 1).x, X + 1) and gate.trains_rest


def test_a_repr_is_python():
    assert eval(repr(Masked())) == Masked() and eval(repr(StraightThrough())) == StraightThrough()
