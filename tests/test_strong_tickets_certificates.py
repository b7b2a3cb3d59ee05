"""Certificates of strong tickets: never below a sampled or an attacked error, exact where that is known."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some

from nets import strong_tickets as st
from nets.strong_tickets import forms
from nets.strong_tickets import steps as sp
from nets.strong_tickets.steps import linear
from tests.conftest import scaled
from tests.tickets import RESIDUAL, SEQUENTIAL, convolutional, dense

TORCH = {
    "relu": torch.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid,
    "leaky": lambda x: torch.nn.functional.leaky_relu(x, 0.01),
}  # fmt: skip


def attacked(target, ticket, domain, steps=12):
    """The largest error that signed gradient ascent finds, started from samples: sampling alone misses the worst."""
    if any(step.linear_steps() and step.taps for step in target.steps) or isinstance(ticket.construction, st.OneMore):
        return 0.0
    phi = [TORCH[step.name] for step in target.steps if isinstance(step, sp.Activation)] + [lambda x: x]
    low, high = (torch.from_numpy(end) for end in (domain.low, domain.high))

    def difference(x):
        f = g = x
        for w, b, layer, act in zip(target.weights, target.biases, ticket.collapsed.layers, phi, strict=True):
            up, down, c, w, b = map(torch.from_numpy, (layer.positive, layer.negative, layer.bias, w, b))
            f = act(f @ w.T + b)
            g = act(g.clamp(min=0) @ up.T - (-g).clamp(min=0) @ down.T + c)
        return g - f

    worst = 0.0
    x = torch.from_numpy(domain.sample(16))
    for k, sign in itertools.product(range(len(target.weights[-1])), (1, -1)):
        y = x.clone()
        for t in range(steps):
            y.requires_grad_(True)
            error = sign * difference(y)[:, k]
            (slope,) = torch.autograd.grad(error.sum(), y)
            with torch.no_grad():
                y = torch.clamp(y + 0.3 * (1 - t / steps) * (high - low) * slope.sign(), low, high)
        worst = max(worst, float(np.abs(ticket.collapsed(y.numpy()) - target(y.numpy())).max()))
    return worst


@given(
    seed=some.integers(0, 10**6),
    activation=some.sampled_from(["relu", "leaky", "tanh", "sigmoid"]),
    low=some.sampled_from([-1.0, 0.0, 0.25]),
    copies=some.integers(1, 30),
    tolerance=some.sampled_from([1e-1, 1e-3]),
    construction=some.sampled_from(["two", "one"]),
)
@settings(max_examples=scaled(60))
def test_no_sampled_error_exceeds_a_certificate(seed, activation, low, copies, tolerance, construction):
    """Also where sums miss (few copies), for all activations of the class and domains with and without signs."""
    target, domain = dense(seed, (3, 4, 4, 2), activation), st.Domain.box((3,), low, 1.0)
    kind = st.TwoForOne(copies) if construction == "two" else st.OneMore(min(copies, 12), copies, shrink=0.1)
    built = st.build(target, kind, seed, st.Subset("any", tolerance, 16), domain)
    least = min(vars(built.certificate).values())
    assert built.sampled <= least and attacked(target, built.ticket, domain) <= least


def test_one_linear_layer_has_an_exact_interval_certificate():
    target = dense(5, (6, 3))
    built = st.build(target, st.TwoForOne(20), 0, st.Subset("any", 0.05), st.Domain.box((6,)))
    corners = np.array(np.meshgrid(*[[-1.0, 0.0, 1.0]] * 6)).reshape(6, -1).T  # kinks are at 0
    worst = np.abs(built.ticket(corners) - target(corners)).max()
    assert worst == pytest.approx(built.certificate.interval, rel=1e-9)


@given(seed=some.integers(0, 10**6))
@settings(max_examples=scaled(8))
def test_certificates_shrink_with_the_tolerance(seed):
    target, domain = dense(seed, (3, 4, 2)), st.Domain.box((3,))
    rules = (st.Subset("smallest", 0.1), st.Subset("any", 1e-3, 20), st.Subset("any", 1e-5, 20))
    bounds = [st.build(target, st.TwoForOne(60), seed, rule, domain).certificate.bound for rule in rules]
    assert bounds[0] > bounds[1] > bounds[2]


@given(
    seed=some.integers(0, 10**6), kernel=some.integers(1, 4), stride=some.integers(1, 2), padding=some.integers(0, 2)
)
@settings(max_examples=scaled(30))
def test_norms_bound_the_operator(seed, kernel, stride, padding):
    rng = np.random.default_rng(seed)
    step, shape = sp.Conv(2, 3, kernel, stride, min(padding, kernel - 1)), (2, 5, 4)
    weight = rng.normal(size=(3, 2, kernel, kernel))
    columns = step.linear(weight, np.eye(40).reshape(40, *shape)).reshape(40, -1)
    assert np.linalg.norm(columns, 2) <= step.norm(weight, shape) <= np.abs(weight).sum()
    matrix = rng.normal(size=(kernel * 3, 5))
    assert np.linalg.norm(matrix, 2) <= sp.matrix_norm(matrix) <= np.linalg.norm(matrix, 2) * (1 + 1e-6)


def test_large_matrices_are_bounded_cheaply(monkeypatch):
    monkeypatch.setattr(linear, "LARGE", 3)
    matrix = np.random.default_rng(0).normal(size=(6, 5))
    assert np.linalg.norm(matrix, 2) <= sp.matrix_norm(matrix) <= np.linalg.norm(matrix) * (1 + 1e-6)


# ---- affine forms --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", sp.KINDS.values(), ids=sp.KINDS)
@given(a=some.floats(-3, 3), width=some.floats(0.01, 4), place=some.floats(0, 1))
def test_slopes_and_chords_hold_everywhere(kind, a, width, place):
    low, high = np.array([a]), np.array([a + width])
    centre, x = low + place * width, np.linspace(a, a + width, 41)
    quotient = np.diff(kind.function(x)) / np.diff(x)
    least, most = kind.slopes(low, high)
    assert (least - 1e-9 <= quotient).all() and (quotient <= most + 1e-9).all()
    away = np.abs(x - centre) > 1e-6 * width
    chords = (kind.function(x) - kind.function(centre))[away] / (x - centre)[away]
    least, most = kind.chords(centre, low, high)
    assert (least - 1e-6 <= chords).all() and (chords <= most + 1e-6).all()


@pytest.mark.parametrize("largest", [forms.LARGEST, 300, 0])
@pytest.mark.parametrize("steps", [SEQUENTIAL, RESIDUAL], ids=["chain", "residual"])
@pytest.mark.parametrize("low", [-1.0, 0.0])
def test_forms_hold_what_they_say(steps, low, largest, monkeypatch):
    """f and f + d of sampled inputs lie in their forms: the rest in its box and in its ball, behind every step."""
    monkeypatch.setattr(forms, "LARGEST", largest)
    target, shape = convolutional(5, steps), (2, 4, 4)
    domain = st.Domain.box(shape, low)
    collapsed = st.build(target, st.TwoForOne(30), 3, st.Subset("any", 1e-2), domain).ticket.collapsed
    x = domain.sample(50)
    for end in range(1, len(steps) + 1):
        part = steps[:end]
        count = len(sp.linear_steps(part))
        cut = st.Network(part, target.weights[:count], target.biases[:count])
        ours = cut(x)
        theirs = type(collapsed)(part, collapsed.layers[:count], (1,) * count)(x)
        layers = iter(zip(cut.weights, cut.biases, collapsed.layers, (1,) * count, (1,) * count, strict=False))
        start = forms.Forms.at(domain.low[None], domain.high[None], domain.radius, domain.nonnegative)
        found = sp.bound(part, start, lambda step, b, layers=layers: b.linear(step, *next(layers)))
        for form, values in ((found.target, ours), (found.difference, theirs - ours)):
            moved = (x - (domain.low + domain.high) / 2).reshape(len(x), -1)[:, : len(form.half)]
            rest = values - form.centre - np.tensordot(moved, form.matrix, axes=1)
            assert (np.abs(rest) <= form.box + 1e-12).all()
            assert np.linalg.norm(rest.reshape(len(x), -1), axis=1).max() <= form.ball + 1e-12
            assert (np.abs(values - form.centre) <= form.reach() + 1e-12).all()


@given(seed=some.integers(0, 10**6), low=some.sampled_from([-1.0, 0.2]))
@settings(max_examples=scaled(20))
def test_the_affine_certificate_of_a_linear_network_is_exact(seed, low):
    """Without kinks nothing is left to a rest: the largest |error| at the corners."""
    target, domain = dense(seed, (4, 5, 3, 2), "none"), st.Domain.box((4,), low)
    rng = np.random.default_rng(seed)
    moved = [w + 1e-3 * rng.normal(size=w.shape) for w in target.weights]
    layers = tuple(st.gadget.Signed(w, w, b) for w, b in zip(moved, target.biases, strict=True))
    ticket = st.collapsed.Collapsed(target.steps, layers, (1, 1, 1))
    found = st.certify(target, ticket, domain)
    corners = np.array(list(itertools.product([low, 1.0], repeat=4)))
    assert found.affine == pytest.approx(np.abs(ticket(corners) - target(corners)).max(), rel=1e-6)
    assert found.affine < min(found.interval, found.spectral)


def test_the_affine_certificate_is_mostly_the_tightest():
    """Wide layers, small errors of random sign: three times below the others and more."""
    target, domain = dense(3, (40, 60, 40, 5)), st.Domain.box((40,), 0.0)
    built = st.build(target, st.TwoForOne(60), 0, st.Subset("any", 1e-3), domain)
    assert built.success and 3 * built.certificate.affine < min(built.certificate.interval, built.certificate.spectral)
    assert attacked(target, built.ticket, domain) <= built.certificate.affine
