"""The gap of a spectrum: planted ones, NumPy's own SVD, interlacing, and the method that cuts there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nets
from nets.catalogue.inertial import inertial_manifold
from nets.inertial import Modes, Spectrum, gap
from nets.training import Network
from sparsopt import support as sp
from sparsopt.errors import InvalidInput
from sparsopt.method import run
from tests.networks import MOMENTUM, blobs, module, network, plan_of
from tests.worlds import torch_world


def planted(m: int, n: int, d: int, ratio: float, on: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(A, eigenvalues of A'A / m, first d eigenvectors): the first d live on `on` coordinates, the gap is after d."""
    rng = np.random.default_rng(seed)
    values = np.concatenate([2 - np.linspace(0, 0.2, d), (1.8 - np.linspace(0, 0.3, m - d)) / ratio])
    places = rng.permutation(n)[:on]
    V = np.zeros((n, m))
    V[places, :d] = np.linalg.qr(rng.standard_normal((on, d)))[0]
    others = rng.standard_normal((n, m - d))
    V[:, d:] = np.linalg.qr(others - V[:, :d] @ (V[:, :d].T @ others))[0]
    U = np.linalg.qr(rng.standard_normal((m, m)))[0]
    return U * np.sqrt(values * m) @ V.T, values, V[:, :d]


@given(st.integers(1, 6), st.integers(12, 20), st.floats(1.5, 50.0), st.integers(0, 10**6))
def test_a_planted_gap_is_found_with_its_modes(d: int, m: int, ratio: float, seed: int) -> None:
    A, values, V = planted(m, 40, d, ratio, 10, seed)
    modes = Modes.of(A)
    assert modes.dimension == d == gap(values)
    np.testing.assert_allclose(modes.values, values, rtol=1e-9)
    np.testing.assert_allclose(modes.ratio, values[d - 1] / values[d], rtol=1e-9)
    np.testing.assert_allclose(modes.leverage, (V**2).sum(1), atol=1e-9)


@given(st.integers(2, 12), st.integers(2, 30), st.integers(0, 10**6))
def test_leverages_are_those_of_numpys_svd(m: int, n: int, seed: int) -> None:
    A = np.random.default_rng(seed).standard_normal((m, n))
    singular, right = np.linalg.svd(A, full_matrices=False)[1:]
    modes = Modes.of(A)
    np.testing.assert_allclose(modes.values[: len(singular)], singular**2 / m, rtol=1e-8)
    ratios = singular[: len(singular) // 2] ** 2 / singular[1 : len(singular) // 2 + 1] ** 2
    assert modes.dimension == 1 + int(np.argmax(ratios))
    np.testing.assert_allclose(modes.leverage, (right[: modes.dimension] ** 2).sum(0), atol=1e-8)


@given(st.integers(1, 4), st.integers(8, 14), st.floats(2.0, 20.0), st.integers(0, 10**6))
def test_carriers_are_the_fewest_that_keep_the_gap(d: int, m: int, ratio: float, seed: int) -> None:
    """Every k tried, by the eigenvalues of H_SS themselves."""
    A, values, _ = planted(m, 30, d, ratio, 8, seed)
    modes, H = Modes.of(A), A.T @ A / m
    score = modes.leverage * np.random.default_rng(seed).random(30)
    order, least = np.argsort(-score), np.sqrt(values[d - 1] * values[d])
    spectra = [np.linalg.eigvalsh(H[np.ix_(order[:k], order[:k])])[::-1] for k in range(d, 31)]
    k = d + next(i for i, found in enumerate(spectra) if found[d - 1] >= least)
    assert modes.carriers(score) == k
    kept = spectra[k - d]
    if k > d:
        assert kept[d - 1] / kept[d] >= np.sqrt(values[d - 1] / values[d]) * (1 - 1e-9), "the subnetwork's own gap"


def test_modes_that_live_on_few_weights_are_carried_by_no_others() -> None:
    A, _, _ = planted(20, 200, 3, 25.0, 12, 0)
    modes = Modes.of(A)
    assert modes.carriers(modes.leverage) <= 12 < 200


@pytest.mark.parametrize("A, d, k", [(np.zeros((4, 7)), 0, 7), (np.eye(1, 7), 1, 1), (np.eye(7)[[2, 2, 2]], 1, 1)])
def test_spectra_without_a_gap(A: np.ndarray, d: int, k: int) -> None:
    modes = Modes.of(A)
    assert modes.dimension == d == round(modes.leverage.sum()) and modes.carriers(modes.leverage) == k


def test_the_spectrum_is_that_of_the_loss() -> None:
    """Least squares: H = X'X / n, whatever the weights."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40, 12)) * np.r_[np.full(3, 5.0), np.ones(9)]
    world = torch_world(X, rng.standard_normal(40), rng.standard_normal(12))
    state = world.start(0)
    modes = Spectrum(40)(world.at(state), state)
    np.testing.assert_allclose(modes.values[:12], np.linalg.eigvalsh(X.T @ X / 40)[::-1], rtol=1e-8)
    assert modes.dimension == 3 and set(np.argsort(-modes.leverage)[:3]) == {0, 1, 2}


def _planted_network(noise: float) -> tuple[Network, int]:
    """A perceptron that only 2 of the 36 pixels ever reach."""
    rng = np.random.default_rng(0)
    X = noise * rng.standard_normal((90, 1, 6, 6))
    X[:, 0, 2, 1:3] += 4 * rng.standard_normal((90, 2))
    data = nets.data.from_arrays(X, (X[:, 0, 2, 1] > X[:, 0, 2, 2]).astype(int), name="planted")
    return Network(module("dropout"), data, recipe=MOMENTUM), 2


def test_what_no_input_reaches_goes_first() -> None:
    world, pixels = _planted_network(0.0)
    plan = plan_of(world, 1 - 20 / world.layout.n, steps=40)
    state = run(inertial_manifold(plan, samples=40), world, world.start(0)).state
    (first, kept), _ = world.weights.blocks(state.support)
    assert sp.count(state.support) == 20 and set(kept.any(0).nonzero().flatten().tolist()) <= {13, 14}, first
    assert state.slots["report.gap_k"] <= pixels * 12 + 36


@pytest.mark.parametrize("name", ["dropout", "perceptron"])
def test_the_gap_may_choose_the_size(name: str) -> None:
    """What is reported when k is asked for is what is kept when it is not; and both are in the outcome."""
    asked = nets.prune(module(name), blobs(), "inertial-manifold", 0.5, MOMENTUM, epochs=3)
    chosen = nets.prune(
        module(name), blobs(), "inertial-manifold", 0.5, MOMENTUM, epochs=3, settings={"size": "gap", "samples": 300}
    )
    kept = sum(int(mask.sum()) for mask in chosen.masks.values())
    assert asked.sparsity == pytest.approx(0.5, abs=1 / asked.prunable) and kept == asked.reports["gap_k"]
    assert kept == chosen.reports["gap_k"] and 0 < kept < chosen.prunable
    assert asked.reports == chosen.reports and "gap_k" in str(asked) and asked.trace.column("gap_k")[-1] == kept
    assert asked.reports["gap_dimension"] >= 1 and asked.reports["gap_ratio"] >= 1


def test_reports_survive_a_resume(tmp_path: Path) -> None:
    how: dict[str, Any] = {"epochs": 2, "out": tmp_path / "run"}
    one = nets.prune(module(), blobs(), "inertial-manifold", 0.8, MOMENTUM, **how)
    two = nets.prune(module(), blobs(), "inertial-manifold", 0.8, MOMENTUM, **how)
    assert one.reports == two.reports and set(one.reports) == {"gap_dimension", "gap_ratio", "gap_k"}
    assert nets.prune(module(), blobs(), "gmp", 0.8, MOMENTUM, epochs=1).reports == {}


def test_scales_of_the_loss_do_not_move_the_gap() -> None:
    A = planted(16, 50, 4, 3.0, 20, 0)[0]
    one, two = Modes.of(A), Modes.of(1e-3 * A)
    assert one.dimension == two.dimension == 4 and one.carriers(one.leverage) == two.carriers(two.leverage)


def test_bad_settings() -> None:
    plan = plan_of(network())
    with pytest.raises(InvalidInput, match="samples = 1: a gap needs 2"):
        inertial_manifold(plan, samples=1)
    with pytest.raises(InvalidInput, match="unknown size 'all'"):
        inertial_manifold(plan, size="all")
