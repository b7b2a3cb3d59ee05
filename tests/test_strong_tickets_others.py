"""Structured removal and perturbed candidates: against enumeration and plain NumPy."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from nets import strong_tickets as st
from nets.strong_tickets import perturbed, removal, steps, structured
from sparsopt.errors import InvalidInput, MissingCapability
from tests.conftest import scaled

# ---- structured ----------------------------------------------------------------------------------------------------


@given(seed=some.integers(0, 10**6), low=some.sampled_from([-1.0, 0.0]))
@settings(max_examples=scaled(12))
def test_structured_masks_remove_whole_filters(seed, low):
    rng = np.random.default_rng(seed)
    target = st.dense_network((3, 3, 2), "relu", [rng.uniform(-0.5, 0.5, (3, 3)), rng.uniform(-0.5, 0.5, (2, 3))],
                              [rng.uniform(-0.2, 0.2, 3), rng.uniform(-0.2, 0.2, 2)])  # fmt: skip
    domain = st.Domain.box((3,), low, 1.0)
    built = st.build(target, structured.Structured(30), seed, structured.Vectors(0.1, 16), domain)
    for name, mask in built.ticket.masks.items():
        if name.startswith("second"):
            assert (mask == mask[:1]).all()  # a unit stays for all outputs, or for none
            assert (mask[0] == built.ticket.masks[name.replace("second", "first")].any(axis=1)).all()
    x = domain.sample(60)
    assert np.abs(built.ticket(x) - built.ticket.collapsed(x)).max() < 1e-10
    assert built.sampled <= min(built.certificate.interval, built.certificate.spectral)
    assert built.sums == (8 if low == 0 else 11) and built.worst_sum < 1


def test_a_structured_convolution():
    """3 x 3 kernels with one output channel: nine dimensions, joined lists."""
    rng = np.random.default_rng(0)
    target = st.Network((steps.Conv(2, 1, 3, 1, 1),), (rng.uniform(-0.3, 0.3, (1, 2, 3, 3)),), (np.zeros(1),))
    domain = st.Domain.box((2, 6, 6), 0.0, 1.0)
    built = st.build(target, structured.Structured(160), 1, structured.Vectors(0.5, 12, 1 << 10), domain)
    assert built.success and built.weight_error <= 0.5
    layer = built.ticket.collapsed.layers[0]
    kept = built.ticket.masks["second1"][0, :, 0, 0]
    u, v = built.ticket.source.dense("first1"), built.ticket.source.dense("second1")
    for i in range(2):
        units = np.flatnonzero(kept[i * 160 : (i + 1) * 160]) + i * 160
        np.testing.assert_allclose(layer.positive[0, i], np.einsum("k,kab->ab", u[units, i], v[0, units]), atol=1e-12)
    assert built.sampled <= built.certificate.bound


def test_structured_refuses():
    conv = st.Network((steps.Conv(1, 1, 3, 1, 1),), (np.ones((1, 1, 3, 3)),), (np.ones(1),))
    with pytest.raises(MissingCapability, match="without biases"):
        st.build(conv, structured.Structured(4), 0, structured.Vectors(), st.Domain.box((1, 3, 3)))
    dense = st.dense_network((1, 1), "relu", [[[0.5]]])
    with pytest.raises(MissingCapability, match="Vectors"):
        st.build(dense, structured.Structured(4), 0, st.Subset(), st.Domain.box((1,)))
    with pytest.raises(InvalidInput, match="tolerance"):
        structured.Vectors(float("nan"))


def test_filters_that_a_kernel_needs():
    """Prediction against search where both can be done; about linear growth in d^2 c_out beyond, by prediction."""
    rows = list(removal.study((1, 2, 3, 9, 18), 0.1, 60, seed=2))
    for row in rows[:3]:
        assert row.low <= row.predicted <= min(row.high, 0.5 + 1e-9)
        assert row.missed_low - 0.15 <= row.predicted <= row.missed_high
    exponent = np.log(rows[4].filters / rows[3].filters) / np.log(2)
    assert 0.8 < exponent < 1.5 and [row.missed for row in rows[3:]] == [-1, -1]
    assert {len(row) for row in removal.table(rows)} == {6}
    with pytest.raises(InvalidInput, match="tolerance"):
        list(removal.study((1,), 0.0))


def test_filters_are_enumerated_for_one_number():
    """D = 1: every subset of the first draws, by brute force."""
    items, kernels = removal.source(1, 8, 20)
    subsets = (np.arange(256)[:, None] >> np.arange(8) & 1) @ items[:, :, 0].T
    missed = int((np.abs(subsets - kernels[:, 0]).min(axis=0) > 0.1).sum())
    row = removal._searched(removal.Row(1, 8, 0.5, 0.4, 0.6, 20), items, kernels, 0.1)
    assert row.missed == missed and np.abs(kernels).sum(axis=1).max() <= 1


# ---- perturbed -----------------------------------------------------------------------------------------------------


@given(seed=some.integers(0, 10**6), n=some.integers(1, 7), limit=some.sampled_from([0.0, 0.01, 0.1]))
@settings(max_examples=scaled(40))
def test_perturbed_sums_move_items_least(seed, n, limit):
    rng = np.random.default_rng(seed)
    items, targets = rng.uniform(-1, 1, (5, n)), rng.uniform(-1, 1, 5)
    found = perturbed.solve_perturbed(items, targets, limit)
    moved = (items + found.shifts[:, None]) * found.masks
    np.testing.assert_allclose(moved.sum(axis=1), targets, atol=1e-12)
    for row in range(5):
        subsets = [list(S) for size in range(1, n + 1) for S in combinations(range(n), size)]
        least = min(abs(targets[row] - items[row, S].sum()) / len(S) for S in subsets)
        assert abs(found.shifts[row]) == pytest.approx(least, abs=1e-12)
        assert found.success[row] == (least <= limit)


def test_perturbation_saves_items():
    needs = [perturbed.items_needed(limit, draws=100, sizes=tuple(range(2, 12))) for limit in (0.003, 0.03, 0.3)]
    assert needs[0] > needs[1] + 1 > needs[2] + 2
    assert perturbed.solve_perturbed(np.ones((1, 2)), np.zeros(1), 0.0).masks.sum() == 0
    with pytest.raises(InvalidInput, match="limit"):
        perturbed.solve_perturbed(np.ones((1, 2)), np.zeros(1), -1.0)
