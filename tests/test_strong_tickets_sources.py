"""Sources that are not dense or not quite frozen, one more layer through blocks, and errors shared among layers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some

from nets import strong_tickets as st
from nets.strong_tickets import augmented, collapsed, steps
from tests.conftest import scaled
from tests.tickets import ACTIVATIONS, RELU, RESIDUAL, SEQUENTIAL, by_hand, convolutional, dense

FLATTENED = (steps.Conv(2, 3, 3, 1, 1), RELU, steps.MaxPool(2), steps.Flatten(), steps.Dense(12, 4), RELU,
             steps.Dense(4, 2))  # fmt: skip
SHAPES = {"sequential": (SEQUENTIAL, (2, 4, 4)), "flattened": (FLATTENED, (2, 4, 4)), "residual": (RESIDUAL, (2, 4, 4))}


# ---- Erdos-Renyi and partially frozen ------------------------------------------------------------------------------


@given(seed=some.integers(0, 10**6), density=some.sampled_from([1.0, 0.7]), locked=some.sampled_from([0.0, 0.1]))
@settings(max_examples=scaled(15))
def test_erdos_renyi_and_partially_frozen_sources(seed, density, locked):
    target, domain = dense(seed, (3, 4, 2)), st.Domain.box((3,))
    construction = st.TwoForOne(60, density=density, locked=locked)
    ticket = st.build(target, construction, seed, st.Subset("any", 1e-2), domain).ticket
    for name, mask in ticket.masks.items():
        every = np.arange(mask.size)
        assert not (mask.ravel() & ~ticket.source.present(name, every)).any()
        assert mask.ravel()[ticket.source.locked(name, every)].all()
    x = domain.sample(50)
    hand = by_hand(ticket, x, ACTIVATIONS["relu"], ACTIVATIONS["relu"])
    assert np.abs(hand - ticket.collapsed(x)).max() < 1e-10
    assert st.verify(ticket, target, domain)[0].passed


def test_one_more_layer_from_an_erdos_renyi_source():
    target, domain = dense(2, (3, 4, 2)), st.Domain.box((3,), 0.0)
    built = st.build(target, st.OneMore(60, 120, density=0.7), 0, st.Subset("smallest", 1e-2, 40), domain)
    assert built.success and all(check.passed for check in st.verify(built.ticket, target, domain))
    plain = st.build(target, st.OneMore(60, 120, density=0.7), 0, st.Subset("any", 1e-2, 40), domain)
    assert built.used < plain.used and built.certificate.bound < plain.certificate.bound  # smaller rows amplify less


@pytest.mark.parametrize("which", SHAPES)
@pytest.mark.parametrize("construction", [st.TwoForOne(50, density=0.8, locked=0.02), st.OneMore(24, 48, locked=0.1)],
                         ids=["two", "one"])  # fmt: skip
def test_partially_frozen_sources_of_convolutions_and_of_one_more_layer(which, construction):
    """Locked weights stay, absent ones are not there, and what comes out is still the collapsed network."""
    path, shape = SHAPES[which]
    target, domain = convolutional(6, path), st.Domain.box(shape, 0.0)
    built = st.build(target, construction, 3, st.Subset("any", 1e-2), domain)
    ticket = built.ticket
    locked = 0
    for name, mask in ticket.masks.items():
        held = ticket.source.locked(name, np.arange(mask.size))
        assert mask.ravel()[held].all()
        locked += held.sum()
    assert locked > 100 and built.missed < 0.1 * built.sums
    checks = st.verify(ticket, target, domain)
    assert all(check.passed for check in checks), checks
    name = next(name for name in ticket.masks if ticket.source[name].locked)
    ticket.masks[name].reshape(-1)[ticket.source.locked(name, np.arange(ticket.masks[name].size))] = False
    assert not st.verify(ticket)[0].passed and "locked ones pruned" in st.verify(ticket)[0].found


def test_a_structured_ticket_from_an_erdos_renyi_source():
    target, domain = dense(4, (2, 2)), st.Domain.box((2,), 0.0)
    built = st.build(target, st.Structured(60, density=0.7), 1, st.Vectors(0.1), domain)
    assert built.success and all(check.passed for check in st.verify(built.ticket, target, domain))
    second = built.ticket.masks["second1"]
    present = built.ticket.source.present("second1", np.arange(second.size)).reshape(second.shape)
    assert (second == (second.any(axis=0) & present)).all() and (~present).any()


# ---- one more layer ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", SHAPES)
@pytest.mark.parametrize("activation", ["relu", "sigmoid"])
def test_constants_carry_biases_everywhere(which, activation):
    path, shape = SHAPES[which]
    path = tuple(steps.Activation(activation) if step == RELU else step for step in path)
    target, x = convolutional(7, path), st.Domain.box(shape).sample(20)
    wide = augmented.augment(target)
    assert not any(bias.any() for bias in wide.biases) and augmented.augmented(path) == wide.steps
    np.testing.assert_allclose(wide(collapsed.with_one(path, x)), target(x), atol=1e-12)


@pytest.mark.parametrize("which", ["flattened", "residual"])
@pytest.mark.parametrize("low", [-1.0, 0.0])
def test_one_more_layer_through_flattening_and_blocks(which, low):
    path, shape = SHAPES[which]
    target, domain = convolutional(8, path), st.Domain.box(shape, low)
    built = st.build(target, st.OneMore(34, 90), 2, st.Subset("smallest", 1e-3, 34), domain)
    x = domain.sample(30)
    assert np.abs(built.ticket(x) - built.ticket.collapsed(x)).max() < 1e-9
    assert built.ticket.depth == len(target.weights) + 1
    assert built.sampled <= built.certificate.bound
    assert built.success and built.weight_error <= 1e-3 * 1.0001 * 34
    assert all(check.passed for check in st.verify(built.ticket, target, domain))


def test_one_more_layer_through_a_block_in_pytorch():
    """The masked source as plain convolutions, with copies on the channel axis."""
    path = (steps.Conv(2, 2, 3, 1, 1), RELU, steps.Residual((steps.Conv(2, 2, 3, 1, 1), RELU,
            steps.Conv(2, 2, 3, 1, 1))), RELU, steps.Flatten(), steps.Dense(18, 2))  # fmt: skip
    target, domain, c = convolutional(9, path), st.Domain.box((2, 3, 3)), 16
    ticket = st.build(target, st.OneMore(c, 40), 0, st.Subset("any", 1e-2, 40), domain).ticket
    w = {t.name: torch.from_numpy(ticket.source.dense(t.name) * ticket.masks[t.name]) for t in ticket.source.tensors}
    x = torch.from_numpy(domain.sample(10))
    conv = lambda x, w: torch.nn.functional.conv2d(x, w, padding=w.shape[2] // 2)  # noqa: E731
    one = torch.cat([x, torch.ones(len(x), 1, 3, 3)], dim=1)
    h = torch.relu(conv(torch.relu(conv(one, w["first"][:, :, None, None])), w["layer1"]))
    h = torch.relu(conv(torch.relu(conv(h, w["layer2"])), w["layer3"]) + h)
    flat = h.reshape(len(x), 3, c, 9).transpose(2, 3).reshape(len(x), -1)  # copies of a unit together
    np.testing.assert_allclose((flat @ w["layer4"].T).numpy(), ticket(x.numpy()), atol=1e-10)


# ---- errors shared among layers ------------------------------------------------------------------------------------


@given(
    seed=some.integers(0, 10**6),
    error=some.sampled_from([0.3, 0.02]),
    low=some.sampled_from([-1.0, 0.0]),
    construction=some.sampled_from([st.TwoForOne(80), st.TwoForOne(80, inner="leaky"), st.OneMore(34, 70)]),
)
@settings(max_examples=scaled(12))
def test_shared_errors_keep_their_promise(seed, error, low, construction):
    """Where no sum misses, the interval certificate is at most the error that was asked for."""
    target, domain = dense(seed, (3, 4, 4, 2)), st.Domain.box((3,), low)
    built = st.build(target, construction, seed, st.Shared(error, st.Subset("smallest", most=34)), domain)
    assert built.tolerance < error / 3
    if built.success:
        assert built.sampled <= built.certificate.interval <= error * (1 + 1e-9) + 1e-11
    else:
        assert built.missed < 0.2 * built.sums


def test_shared_errors_of_a_convolution():
    target, domain = convolutional(3, FLATTENED), st.Domain.box((2, 4, 4), 0.0)
    built = st.build(target, st.TwoForOne(90), 0, st.Shared(0.1, st.Subset("any", most=40)), domain)
    assert built.success and built.sampled <= built.certificate.interval <= 0.1


def test_tolerances_follow_what_later_layers_amplify():
    """By hand: eps_1 = e / (2 S_1), eps_0 = e / (2 S_0 (|W_1| + its own tolerance))."""
    target = st.dense_network((2, 1, 1), "relu", [[[1.0, 0.5]], [[2.0]]], [[0.25], [0.0]])
    rule = st.Shared(0.1).over(target, st.Domain.box((2,), 0.0))
    assert rule.sizes == (3.0, 2.75)  # 1 + 1 + 1; 1 + sup of the unit, 1.75
    seen = []
    asked = st.Shared.layer
    st.Shared.layer = lambda self, l, gain: seen.append((l, gain)) or asked(self, l, gain)
    try:
        built = st.build(target, st.TwoForOne(60), 0, st.Shared(0.1), st.Domain.box((2,), 0.0))
    finally:
        st.Shared.layer = asked
    assert seen == [(1, 1.0), (0, pytest.approx(2 + 0.1 / (2 * 2.75)))]
    assert built.tolerance == pytest.approx(0.1 / (2 * 3 * seen[1][1]))


# ---- perturbed networks --------------------------------------------------------------------------------------------


def test_rulers_spell_numbers():
    ruler = st.source.Ruler("r", (2, 4), limit=0.5)
    np.testing.assert_array_equal(st.Source(9, (ruler,)).dense("r"), [[-0.5, 0.25, 0.125, 0.0625]] * 2)


@given(
    seed=some.integers(0, 10**6), low=some.sampled_from([-1.0, 0.0]), inner=some.sampled_from(["relu", "leaky", "none"])
)
@settings(max_examples=scaled(8))
def test_perturbed_tickets_are_what_they_say(seed, low, inner):
    """By hand: no weight has moved by more than the limit, those that were pruned have not, and outputs agree."""
    target, domain = dense(seed, (3, 4, 2)), st.Domain.box((3,), low)
    built = st.build(target, st.Perturbed(18, inner=inner, limit=0.05), seed, st.Spread(1e-3, 9), domain)
    ticket, x = built.ticket, domain.sample(40)
    moved = ticket.construction.moved(ticket.source, ticket.steps, ticket.masks)
    hidden = x
    for l, phi in ((1, ACTIVATIONS["relu"]), (2, lambda x: x)):
        drawn, mask = ticket.source.dense(f"second{l}"), ticket.masks[f"second{l}"]
        by = moved.dense(f"second{l}") - drawn
        assert np.abs(by).max() <= 0.05 + 1e-12 and not by[~mask].any()
        u = ticket.source.dense(f"first{l}") * ticket.masks[f"first{l}"]
        act = ACTIVATIONS.get(inner, lambda x: x)
        hidden = phi(act(np.hstack([hidden, np.ones((len(x), 1))]) @ u.T) @ (moved.dense(f"second{l}") * mask).T)
    np.testing.assert_allclose(hidden, ticket(x), atol=1e-12)
    assert all(check.passed for check in st.verify(ticket, target, domain))
    assert built.worst_sum >= built.weight_error - 1e-9 or inner == "leaky"


def test_perturbed_networks_need_fewer_items(tmp_path):
    """At 20 units an input frozen weights miss what weights that may move by 0.05 do not; the file holds it all."""
    target, domain = dense(5, (3, 4, 2), scale=0.7), st.Domain.box((3,), 0.0)
    frozen, moving = (
        [st.build(target, construction, seed, rule, domain) for seed in range(5)]
        for construction, rule in (
            (st.TwoForOne(20), st.Subset("best", 1e-3, 20)),
            (st.Perturbed(20, limit=0.05, bits=10), st.Spread(1e-3, 12)),
        )
    )
    assert sum(b.missed for b in frozen) >= 4 * max(1, sum(b.missed for b in moving))
    ticket, x = moving[0].ticket, domain.sample(20)
    ticket.save(tmp_path / "moved")
    again = st.load(tmp_path / "moved")
    np.testing.assert_array_equal(again(x), ticket(x))
    assert again.construction == ticket.construction
