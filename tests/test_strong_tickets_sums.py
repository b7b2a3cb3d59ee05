"""The sums of which strong tickets consist: what is met, what is missed, and that misses are counted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from nets import strong_tickets as st
from nets.strong_tickets.sums import Tally, settle
from sparsopt.subset_sum.statistics import clopper_pearson
from tests.conftest import scaled
from tests.tickets import dense


@given(
    seed=some.integers(0, 10**6), rule=some.sampled_from([st.Subset("any", 0.01), st.Nearest(0.01), st.Digits(0.01)])
)
@settings(max_examples=scaled(40))
def test_misses_are_counted_as_they_are(seed, rule):
    rng = np.random.default_rng(seed)
    items, targets = rng.uniform(-1, 1, (30, 8)), rng.uniform(-2, 2, 30)
    targets[:3], items[:, 0] = 0.0, 0.0
    locked = rng.random(items.shape) < 0.1
    tally = Tally()
    masks = settle(rule, items, targets, locked, tally)
    errors = np.abs((items * masks).sum(1) - targets)
    assert masks[locked].all() and not masks[:, 0][~locked[:, 0]].any()
    assert tally.missed == (errors > rule.tolerance).sum() or np.abs(errors - rule.tolerance).min() < 1e-12
    assert tally.worst == pytest.approx(errors.max()) and tally.sums == 30
    assert not settle(rule, items, np.zeros(30), None, Tally()).any()  # a zero weight keeps nothing


@given(seed=some.integers(0, 10**6))
def test_greedy_digits_meet_every_target_where_kakeya_holds(seed):
    rng = np.random.default_rng(seed)
    items = st.Hyperbolic(1e-3)(rng.random((4, 60)))
    rule = st.Digits(2e-3)
    positive = np.maximum(items, 0)
    targets = rng.uniform(0, 1, 4) * positive.sum(1)
    rest = targets - (items * rule(items, targets)).sum(1)
    assert (rest >= -1e-12).all()
    assert (rest[rule.complete(items)] <= rule.tolerance + 1e-12).all()
    if not rule.complete(items).all():  # the condition is needed: a target just below an item that is too large
        row = int(np.argmin(rule.complete(items)))
        size = -np.sort(-positive[row])
        k = int(np.flatnonzero(size > np.append(size[::-1].cumsum()[::-1][1:], 0) + rule.tolerance)[0])
        target = np.array([size[k] * (1 - 1e-9)])
        assert target[0] - (items[row] * rule(items[row : row + 1], target)[0]).sum() > rule.tolerance * 0.99


def test_nearest_is_the_nearest_single_item():
    rng = np.random.default_rng(0)
    items, targets = rng.uniform(-1, 1, (50, 9)), rng.uniform(-1, 1, 50)
    errors = np.abs((items * st.Nearest(0.1)(items, targets)).sum(1) - targets)
    np.testing.assert_allclose(errors, np.minimum(np.abs(items - targets[:, None]).min(1), np.abs(targets)))


def test_far_targets_come_within_reach():
    items = np.random.default_rng(0).uniform(-1, 1, (40, 200))
    masks = st.Subset("any", 1e-3, 20)(items, np.linspace(-35, 35, 40))
    assert np.abs((items * masks).sum(1) - np.linspace(-35, 35, 40)).max() <= 1e-3


def test_what_the_first_items_miss_the_others_may_meet():
    rng = np.random.default_rng(0)
    items, targets = rng.uniform(-1, 1, (400, 30)), rng.uniform(-0.5, 0.5, 400)
    missed = {
        width: int((np.abs((items[:, :width] * st.Subset("any", 0.01, 10)(items[:, :width], targets)).sum(1) - targets)
                    > 0.01).sum())
        for width in (10, 20, 30)
    }  # fmt: skip
    first = [
        np.abs(targets[i] - (np.arange(1024)[:, None] >> np.arange(10) & 1) @ items[i, :10]).min() for i in range(400)
    ]
    assert missed[10] == (np.array(first) > 0.01).sum() >= 20  # by enumeration
    assert missed[30] <= missed[20] <= missed[10] / 4  # a second look is a second chance


def test_a_weak_block_is_reported():
    """A weight beyond the reach of its items: the network fails, by one sum, and the certificate still holds."""
    target = dense(6, (3, 4, 2))
    target.weights[0][2, 1] = 40.0
    built = st.build(target, st.TwoForOne(40), 0, st.Subset("any", 1e-2), st.Domain.box((3,), 0.0))
    assert not built.success and built.missed == 1 and "FAILED" in str(built)
    assert 1.0 < built.sampled <= built.certificate.bound


def test_failures_follow_the_items_at_hand():
    """Whole networks that fail, over seeds: nearly all at 8 units an input, nearly none at 60."""
    target, domain = dense(7, (3, 4, 2)), st.Domain.box((3,))
    failed = {
        copies: sum(not st.build(target, st.TwoForOne(copies), s, st.Subset("any", 1e-2), domain).success
                    for s in range(25))
        for copies in (8, 60)
    }  # fmt: skip
    assert clopper_pearson(failed[8], 25, 0.99)[0] > 0.7
    assert clopper_pearson(failed[60], 25, 0.99)[1] < 0.3


@given(seed=some.integers(0, 10**6), bits=some.integers(2, 4))
@settings(max_examples=scaled(15))
def test_quantised_tickets_are_exactly_equal(seed, bits):
    """Kumar and Natale: weights on the grid step^2, source on the grid step, equality of integers."""
    target = st.quantise(dense(seed, (3, 4, 2)), 2 * bits)
    construction = st.TwoForOne(24 + 14 * bits, first=st.Grid(bits), second=st.Grid(bits))
    built = st.build(target, construction, seed, st.Subset("any", 0.0, 34), st.Domain.box((3,)))
    if built.success:
        for layer, weight, bias in zip(built.ticket.collapsed.layers, target.weights, target.biases, strict=True):
            np.testing.assert_array_equal(layer.positive, weight)
            np.testing.assert_array_equal(layer.bias, bias)
        np.testing.assert_array_equal(built.ticket.collapsed.layers[0].negative, target.weights[0])
    assert built.missed <= 3 and built.worst_sum * 4**bits == round(built.worst_sum * 4**bits)
