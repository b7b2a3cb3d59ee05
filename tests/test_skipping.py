"""The skipping engine is the dense one up to rounding, whatever inputs, zeros and masks; `auto` takes it if it pays."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import nets
import nets.sparse.choice as choice
from nets.catalogue import METHODS
from nets.data import Augmentation, DataSet, from_arrays
from nets.gates import Masked
from nets.recipe import SGD, Adam, Recipe
from nets.sparse.zeros import NonZeros, share_of_zeros
from nets.training import Network
from sparsopt import support as sp
from sparsopt.errors import MissingCapability
from sparsopt.method import run
from tests.conftest import scaled
from tests.networks import difference, states
from tests.test_sparse_engine import HEAVY, RECIPES, perceptron

pytest.importorskip("numba")


def pictures(shape: tuple[int, ...], zeros: float, seed: int, kind: str = "uint8") -> DataSet:
    """Images with a share of zeros, bytes or floats, and labels that have to do with them."""
    generator = np.random.default_rng(seed)
    X = generator.integers(1, 256, (70, *shape)) * (generator.random((70, *shape)) >= zeros)
    y = X.reshape(70, -1).sum(1).argsort().argsort() % 3
    X = X.astype(np.uint8) if kind == "uint8" else (X / 128).astype(np.float32)
    return from_arrays(X[:55], y[:55], (X[55:], y[55:]), classes=3)


def worlds(
    data: DataSet, recipe: Recipe, *hidden: int, bias: bool = True, seed: int = 0, engine: str = "skipping"
) -> tuple[Network, Network]:
    model = perceptron(data.images[0].numel(), *hidden, 3, bias=bias, seed=seed)
    return tuple(Network(model, data, recipe=recipe, engine=name) for name in ("dense", engine))  # type: ignore[return-value]


# ---- the same steps ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["skipping", "sparse"])
@pytest.mark.parametrize("recipe", RECIPES, ids=["momentum", "nesterov", "plain"])
@given(
    st.floats(0, 1), st.floats(0, 1), st.integers(0, 99), st.booleans(), st.lists(st.integers(1, 20), max_size=2),
    st.sampled_from([(1, 4, 5), (3, 2, 3), (2, 1, 1)]), st.sampled_from(["uint8", "float32"]),
)  # fmt: skip
@settings(max_examples=scaled(12))
def test_steps_are_those_of_the_dense_engine(
    engine: str,
    recipe: Recipe,
    density: float,
    zeros: float,
    seed: int,
    bias: bool,
    hidden: list[int],
    shape: Any,
    kind: str,
) -> None:
    """Weights, biases and momentum after a few steps, twice over, and what the test split says of them."""
    dense, skipping = worlds(pictures(shape, zeros, seed, kind), recipe, *hidden, bias=bias, seed=seed, engine=engine)
    state = dense.start(seed)
    one = two = Masked().enter(state.but(support=sp.uniform((seed, 1), state.x) < density))
    for steps in (4, 3):
        one, two = (world.train(s, recipe, Masked(), steps, 10) for world, s in ((dense, one), (skipping, two)))
    assert set(one.slots) == set(two.slots) and (one.clock, one.cost, one.inner) == (two.clock, two.cost, two.inner)
    for a, b in ((one.x, two.x), *((one.slots[name], two.slots[name]) for name in one.slots)):
        assert a.dtype == b.dtype and a.shape == b.shape
        assert torch.allclose(a, b, atol=5e-6, rtol=2e-5)
    assert not two.x[~two.support].any()
    assert dense.test(one)[0] == pytest.approx(skipping.test(two)[0], rel=1e-4)
    assert skipping.test(one) == pytest.approx(dense.test(one), rel=1e-5, abs=1e-6)


def test_wide_layers_and_empty_rows_and_columns() -> None:
    """Widths over several registers, batches that do not come in fours, inputs and units without any weight."""
    data = pictures((1, 6, 7), 0.8, 3)
    recipe = dataclasses.replace(HEAVY, batch=13, learning_rate=0.01)
    dense, skipping = worlds(data, recipe, 150, 33)
    state = dense.start(0)
    mask = torch.rand(state.x.shape, generator=torch.Generator().manual_seed(0)) < 0.5
    first = mask[: 150 * 42].view(150, 42)
    first[::3], first[:, ::4] = False, False
    state = Masked().enter(state.but(support=mask))
    one, two = (world.train(state, recipe, Masked(), 6, 6) for world in (dense, skipping))
    assert torch.allclose(one.x, two.x, atol=1e-6) and torch.allclose(one.slots["rest"], two.slots["rest"], atol=1e-6)
    assert not torch.equal(one.x, two.x) and not two.x[~mask].any()


@given(st.integers(0, 99), st.floats(0, 1), st.floats(0, 0.5))
def test_all_engines_judge_alike(seed: int, density: float, smoothing: float) -> None:
    """Loss and accuracy of a state, by the dense, the skipping and the sparse engine."""
    data, recipe = pictures((1, 4, 5), 0.7, seed), dataclasses.replace(HEAVY, label_smoothing=smoothing)
    names = ("dense", "auto:skipping:-1", "auto:skipping:1")
    worlds = [Network(perceptron(20, 9, 3, seed=seed), data, recipe=recipe, engine=name) for name in names]
    state = worlds[0].start(0)
    state = Masked().enter(state.but(support=sp.uniform((seed, 1), state.x) < density))
    expected = worlds[0].test(state)
    assert all(world.test(state) == pytest.approx(expected, rel=1e-5) for world in worlds[1:])
    x = worlds[0].start(0).x
    assert all(world.at(state).value(x) == pytest.approx(worlds[0].at(state).value(x), rel=1e-5) for world in worlds)


@given(st.integers(0, 99), st.floats(0, 1), st.sampled_from(["uint8", "float32"]))
def test_entries_are_the_images(seed: int, zeros: float, kind: str) -> None:
    data = pictures((2, 3, 3), zeros, seed, kind)
    found = NonZeros.of(data, data.images)
    sample = np.repeat(np.arange(55), np.diff(found.ptr))
    u = np.zeros((55, 18), np.float32)
    u[sample, found.places] = found.values
    assert ((u.reshape(55, 2, 3, 3) != 0) == (data.images.numpy() != 0)).all() and (found.values != 0).all()
    ((x, _),) = data.evaluation(data.images, data.labels)
    assert np.allclose(u + found.shift, x.reshape(55, -1), atol=1e-6)
    assert share_of_zeros(data) == pytest.approx(1 - len(found.values) / u.size)


def test_a_run_in_chunks_is_a_run() -> None:
    data = pictures((1, 4, 5), 0.7, 0)

    def world(chunk: int | None) -> Network:
        return Network(perceptron(20, 8, 3), data, recipe=HEAVY, engine="skipping", chunk=chunk)

    method = METHODS["rigl"](nets.Plan(world(None).layout, 60, 25, HEAVY))
    expected = run(method, world(None), world(None).start(0))
    result, seen = states(method, world(4))
    assert difference(result.state, expected.state) == ""
    for state in seen[:: max(1, len(seen) // 5)]:
        assert difference(run(method, world(3), state).state, expected.state) == ""


# ---- when it is taken ----------------------------------------------------------------------------------------------


def test_it_says_what_it_cannot_train() -> None:
    data = pictures((1, 8, 8), 0.8, 0)
    with pytest.raises(MissingCapability, match="linear layers with ReLU"):
        Network(nets.models.build("conv-2", (1, 8, 8), 3), data, engine="skipping")
    with pytest.raises(MissingCapability, match="without augmentation"):
        Network(perceptron(64, 3), dataclasses.replace(data, augmentation=Augmentation(flip=True)), engine="skipping")


def test_auto_with_adam_measures_nothing_and_trains_as_usual() -> None:
    """No compiled engine of perceptrons knows Adam."""
    adam = dataclasses.replace(HEAVY, optimiser=Adam())
    world = Network(perceptron(20, 8, 3), pictures((1, 4, 5), 0.8, 0), recipe=adam, engine="auto")
    assert world.engine_name == "auto:-1" and not world.choice.skipping


def test_auto_skips_where_zeros_are_many_and_it_is_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    times = {"SkippingEngine": 1.0, "ExplicitEngine": 2.0}
    monkeypatch.setattr(choice, "seconds", lambda one, *others: times[type(one).__name__])
    monkeypatch.setattr(choice, "threshold", lambda *others: 0.2 if others[-1] == 1.0 else 0.4)
    many, few = pictures((1, 4, 5), 0.8, 0), pictures((1, 4, 5), 0.1, 0)
    taken = Network(perceptron(20, 8, 3), many, engine="auto")
    assert taken.engine_name == "auto:skipping:0.2" and taken.choice.skipping
    assert Network(perceptron(20, 8, 3), few, engine="auto").engine_name == "auto:0.4"
    times["SkippingEngine"] = 3.0
    assert Network(perceptron(20, 8, 3), many, engine="auto").engine_name == "auto:0.4"


def test_a_choice_is_kept_with_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = pictures((1, 4, 5), 0.8, 0)
    monkeypatch.setattr(choice, "_measured", lambda *others: 1e-9)

    def prune() -> Any:
        return nets.prune(
            perceptron(20, 8, 3), data, "random", 0.5, HEAVY, out=tmp_path / "run", epochs=2, engine="auto"
        )

    one = prune()
    found = json.loads((tmp_path / "run" / "run.json").read_text())["engine"]
    assert found.startswith("auto:skipping:")
    again = Network(perceptron(20, 8, 3), data, engine=found)
    assert again.engine_name == found and again.choice.skipping
    monkeypatch.setattr(choice, "_measured", lambda *others: float("inf"))
    assert prune().accuracy == one.accuracy


# ---- fixed masks of the catalogue ----------------------------------------------------------------------------------


FIXED = ("imp", "one-shot", "snip", "random", "acdc", "rigl", "set", "gmp")  # plain masks in every phase


@pytest.mark.parametrize("name", FIXED)
def test_fixed_mask_phases_of_the_catalogue_run_there(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With auto, phases go where their density says, and the first steps are the dense engine's."""
    from nets.engine import Engine
    from nets.sparse import SparseEngine
    from nets.sparse.skipping import SkippingEngine

    steps: dict[str, int] = dict.fromkeys(("Engine", "SkippingEngine", "SparseEngine"), 0)
    data = pictures((1, 4, 5), 0.8, 1)

    def counting(kind: Any, label: str) -> None:
        train = kind.train

        def counted(self: Any, state: Any, recipe: Any, gate: Any, batches: Any, count: int, total: int) -> Any:
            steps[label] += count
            return train(self, state, recipe, gate, batches, count, total)

        monkeypatch.setattr(kind, "train", counted)

    for kind in (Engine, SkippingEngine, SparseEngine):
        counting(kind, kind.__name__)
    model = perceptron(20, 16, 3)
    worlds = [Network(model, data, recipe=HEAVY, engine=engine) for engine in ("dense", "auto:skipping:0.4")]
    plan = nets.Plan(worlds[0].layout, round(0.2 * worlds[0].layout.n), 16, HEAVY)
    method = METHODS[name](plan)
    one = run(method, worlds[0], worlds[0].start(0)).state
    dense = steps.pop("Engine")
    assert dense > 0 and not any(steps.values())
    two = run(method, worlds[1], worlds[1].start(0)).state
    assert steps["SparseEngine"] > 0 and "Engine" not in steps
    assert sum(steps.values()) == dense  # no step of these methods is left to the dense engine
    assert torch.equal(one.support, two.support) and torch.allclose(one.x, two.x, atol=1e-5, rtol=1e-4)


@pytest.mark.skipif("SPARSOPT_DATA" not in os.environ, reason="needs MNIST")
def test_the_curve_of_a_run_is_that_of_the_dense_engine() -> None:
    """IMP of LeNet-300-100 on real images: weights stay together for hundreds of steps, accuracies to a few samples."""
    data = nets.data.load("mnist").subset(4000, 2000)
    recipe, curves = Recipe(0.01, optimiser=SGD(0.9, weight_decay=1e-4)), []
    for engine in ("dense", "auto:skipping:0.3"):
        network = Network(nets.models.build("lenet-300-100"), data, recipe=recipe, engine=engine, chunk=62)
        plan = nets.Plan(network.layout, round(0.1 * network.layout.n), 62, recipe)
        curves.append(_curve(METHODS["imp"](plan, rounds=3), network))
    dense, auto = (np.array(curve) for curve in curves)
    assert len(dense) == len(auto) >= 4 and dense.max() > 0.5
    assert np.abs(dense - auto).max() < 0.01


def _curve(method: Any, network: Network) -> list[float]:
    found: dict[int, float] = {}
    run(method, network, network.start(0), save=lambda state, _: found.update({state.cost: network.test(state)[1]}))
    return [found[cost] for cost in sorted(found)]
