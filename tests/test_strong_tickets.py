"""nets.strong_tickets: sources, and constructions against plain NumPy and PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nets import strong_tickets as st
from nets.strong_tickets import steps as sp
from tests.tickets import ACTIVATIONS, RESIDUAL, SEQUENTIAL, by_hand, convolutional, dense

# ---- the source is first ---------------------------------------------------------------------------------------------


def test_source_is_a_function_of_seed_name_and_position():
    frozen = st.source.Frozen("w", (7, 11))
    source = st.Source(3, (frozen,))
    index = np.random.default_rng(0).permutation(77)
    np.testing.assert_array_equal(source.values("w", index), source.dense("w").ravel()[index])
    assert source.digest() != st.Source(4, (frozen,)).digest()
    other = st.Source(3, (st.source.Frozen("v", (7, 11)),))
    assert not np.isin(other.dense("v"), source.dense("w")).any()


@pytest.mark.parametrize(
    ("distribution", "mean", "second"),
    [
        (st.Uniform(2.0), 0.0, 4 / 3),
        (st.Normal(0.5), 0.0, 0.25),
        (st.Signs(), 0.0, 1.0),
        (st.Grid(3), 0.0, sum((k / 8) ** 2 for k in range(-8, 9)) / 17),
        (st.Hyperbolic(0.01), 0.0, (1 - 1e-4) / (2 * np.log(100))),
    ],
)
def test_distributions_have_their_moments(distribution, mean, second):
    x = st.Source(0, (st.source.Frozen("w", (200_000,), distribution),)).dense("w")
    deviation = np.sqrt(second / len(x))
    assert abs(x.mean() - mean) < 5 * deviation
    assert abs((x * x).mean() - second) < 5 * np.sqrt(((x * x).var()) / len(x)) + 1e-12


def test_density_and_locked_fractions():
    source = st.Source(0, (st.source.Frozen("w", (100_000,), density=0.3, locked=0.2),))
    every = np.arange(100_000)
    assert abs((source.dense("w") != 0).mean() - 0.3) < 0.01
    assert abs(source.locked("w", every).mean() - 0.06) < 0.005
    assert not (source.locked("w", every) & (source.dense("w") == 0)).any()


# ---- the collapsed network is the masked network ---------------------------------------------------------------------


@pytest.mark.parametrize("inner", ["relu", "leaky"])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_two_for_one_is_the_collapsed_network(inner, activation):
    target, domain = dense(1, activation=activation), st.Domain.box((4,))
    built = st.build(target, st.TwoForOne(60, inner=inner), 5, st.Subset("any", 1e-3), domain)
    x = domain.sample(200)
    hand = by_hand(built.ticket, x, ACTIVATIONS[activation], ACTIVATIONS[inner])
    assert np.abs(hand - built.ticket(x)).max() < 1e-12
    assert np.abs(hand - built.ticket.collapsed(x)).max() < 1e-10
    assert built.success and built.sampled < 0.01


@pytest.mark.parametrize("activation", ["relu", "leaky", "tanh", "sigmoid"])
def test_one_more_layer_is_the_collapsed_network(activation):
    curved = activation in ("tanh", "sigmoid")
    many = 200 if activation == "sigmoid" else None
    construction = st.OneMore(30, 40, constants=many, shrink=0.02 if curved else 1.0)
    target, domain = dense(2, (3, 4, 3, 2), activation), st.Domain.box((3,))
    ticket = st.build(target, construction, 1, st.Subset("any", 1e-3, 34), domain).ticket
    assert ticket.depth == len(target.weights) + 1
    source, phi, x = ticket.source, ACTIVATIONS[activation], domain.sample(100)
    h = phi(np.hstack([x, np.ones((len(x), 1))]) @ (source.dense("first") * ticket.masks["first"]).T)
    for l in (1, 2, 3):
        h = h @ (source.dense(f"layer{l}") * ticket.masks[f"layer{l}"]).T
        h = phi(h) if l < 3 else h
    assert np.abs(h - ticket(x)).max() < 1e-10
    assert np.abs(h - ticket.collapsed(x)).max() < (0.2 if curved else 1e-10)


@pytest.mark.parametrize(("steps", "construction"), [
    (RESIDUAL, st.TwoForOne(36)), (SEQUENTIAL, st.TwoForOne(36, inner="leaky")), (SEQUENTIAL, st.OneMore(30, 40)),
])  # fmt: skip
@pytest.mark.parametrize("low", [-1.0, 0.0])
def test_convolutions_and_residual_blocks(steps, construction, low):
    target, domain = convolutional(3, steps), st.Domain.box((2, 8, 8) if steps is SEQUENTIAL else (2, 4, 4), low)
    built = st.build(target, construction, 2, st.Subset("any", 1e-3), domain)
    x = domain.sample(40)
    assert np.abs(built.ticket(x) - built.ticket.collapsed(x)).max() < 1e-10
    assert built.sampled <= min(built.certificate.interval, built.certificate.spectral)
    assert built.sampled < 0.3 and all(check.passed for check in st.verify(built.ticket, target, domain))


def test_a_convolution_ticket_runs_in_pytorch():
    step = sp.Conv(2, 3, 3, 2, 1)
    target = convolutional(4, (step,))
    ticket = st.build(target, st.TwoForOne(30), 0, st.Subset("any", 1e-3), st.Domain.box((2, 5, 5))).ticket
    u, v = (torch.from_numpy(ticket.source.dense(n) * ticket.masks[n]) for n in ("first1", "second1"))
    x = torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, (10, 2, 5, 5)))
    hidden = torch.relu(torch.nn.functional.conv2d(torch.cat([x, torch.ones(10, 1, 5, 5)], 1), u[:, :, None, None]))
    expected = torch.nn.functional.conv2d(hidden, v, stride=2, padding=1)
    assert np.abs(expected.numpy() - ticket(x.numpy())).max() < 1e-12


def test_orseaus_digits_build_a_network():
    """Hyperbolic weights and greedy digits: every sum within the tolerance, with more items than subsets need."""
    target, domain = dense(9, (3, 4, 2)), st.Domain.box((3,))
    construction = st.TwoForOne(160, first=st.Signs(), second=st.Hyperbolic(1e-3))
    greedy = st.build(target, construction, 0, st.Digits(5e-3), domain)
    assert greedy.success and greedy.sampled <= greedy.certificate.bound
    one = st.build(target, construction, 0, st.Nearest(5e-3), domain)
    assert one.missed > 5 and one.used <= 1
