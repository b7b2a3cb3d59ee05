"""nets.prune: what is asked is met or refused in a sentence, and a folder is found again or refused."""

from __future__ import annotations

import dataclasses
import errno
import itertools
import json
import math
import os
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import nets
from nets import checkpoint
from nets.catalogue import METHODS, Plan
from nets.data import DataSet, from_arrays
from nets.data.dataset import Augmentation
from nets.outcome import Outcome
from nets.recipe import SGD, Adam, Constant, Cosine, Milestones, Recipe, Triangle, WarmUp
from nets.training import Network
from nets.weights import ConvolutionsAndLinear, Matrices
from sparsopt.errors import CheckpointError, InvalidInput, NotFinite
from sparsopt.judges import IfDecreasing
from sparsopt.result import Status, Trace
from sparsopt.state import State
from tests.conftest import scaled
from tests.networks import MOMENTUM, PLAIN, blobs, module, perceptron

DATA = blobs()


def prune(method: Any = "gmp", sparsity: Any = 0.8, recipe: Recipe = MOMENTUM, **options: Any) -> Outcome:
    model = options.pop("model", None) or module()
    return nets.prune(model, options.pop("data", DATA), method, sparsity, recipe, **{"epochs": 3, **options})


# ---- what comes back -----------------------------------------------------------------------------------------------


@given(st.floats(0, 1, exclude_max=True), st.sampled_from(sorted(METHODS)))
@settings(max_examples=scaled(25))
def test_sparsity_is_met_exactly(sparsity: float, method: str) -> None:
    """In weights; methods of whole channels count channels unless they are told what is prunable."""
    n, weights = 376, ConvolutionsAndLinear()
    k = round((1 - sparsity) * n)
    if k == 0:
        with pytest.raises(InvalidInput, match="would keep no weight of 376"):
            prune(method, sparsity, epochs=1, prunable=weights)
        return
    outcome = prune(method, sparsity, epochs=1, prunable=weights)
    kept = n if method == "dense" else k
    assert (outcome.prunable, sum(int(mask.sum()) for mask in outcome.masks.values())) == (n, kept)
    assert outcome.sparsity == 1 - kept / n
    for name, mask in outcome.masks.items():
        assert not outcome.model.get_parameter(name)[~mask].any()
        assert outcome.densities[name] == pytest.approx(mask.double().mean().item(), abs=1e-7)


def test_outcome() -> None:
    outcome = prune()
    model = outcome.model.eval()
    right = (model(DATA.test_images).argmax(-1) == DATA.test_labels).double().mean().item()
    assert outcome.accuracy == pytest.approx(right, abs=1e-12) and outcome.status is Status.FINISHED
    loss = MOMENTUM.loss(model(DATA.test_images), DATA.test_labels).item()
    assert outcome.loss == pytest.approx(loss, rel=1e-5)
    assert outcome.cost["steps"] == 3 * (70 // 16) and outcome.cost["seconds"] > 0
    assert [line.split()[0] for line in str(outcome).splitlines()] == ["status", "sparsity", "accuracy", "cost"]
    assert "75 of 376 prunable weights kept" in str(outcome)


def test_pruning_learns() -> None:
    """The easy problem is solved at 80 %: better than chance by far, and than an untrained network."""
    accuracy = prune("imp", 0.8, Recipe(0.01, Cosine(), Adam(), batch=16), epochs=15).accuracy
    assert accuracy > 0.8


def test_accuracy_is_the_last_steps_not_the_best_before_the_target_was_reached() -> None:
    """Mistake 12 of public code. Here the rate is so high that the best epoch is not the last."""
    outcome = prune("gmp", 0.97, dataclasses.replace(PLAIN, learning_rate=2.0), epochs=30, evaluate_every=1)
    measured = outcome.trace.column("accuracy")
    assert len(measured) > 10 and measured[-1] == outcome.accuracy < max(measured)


def test_layers_without_a_weight_are_named() -> None:
    """Mistake 13: layer collapse goes unnoticed."""
    model = module()
    with torch.no_grad():
        model.get_parameter("4.weight").mul_(1e-6)
    outcome = prune("one-shot", 0.9, Recipe(0.0), model=model)
    assert outcome.collapsed == ("4.weight",) and "no weight left in 4.weight" in str(outcome)
    assert prune().collapsed == ()


def test_the_module_is_never_changed_and_a_builder_is_a_function_of_the_seed() -> None:
    model = module()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    prune(model=model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    outcomes = [prune("random", model=lambda seed: module(seed=seed % 97), seed=seed) for seed in (1, 1, 2)]
    weights = [outcome.model.get_parameter("1.weight") for outcome in outcomes]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def test_arrays_rules_entries_and_methods() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 5)).astype("float32"), rng.integers(0, 3, 40)
    outcome = prune(model=nn.Linear(5, 3), data=(X, y), sparsity=0.4)
    assert outcome.sparsity == 1 - 9 / 15 and math.isnan(outcome.accuracy)
    entry = prune(lambda plan: METHODS["random"](dataclasses.replace(plan, k=7)))
    assert sum(int(mask.sum()) for mask in entry.masks.values()) == 7
    plan = Plan(Network(module(), DATA).layout, 11, 5, MOMENTUM)
    whole = prune(METHODS["rigl"](plan), sparsity=0.0)
    assert sum(int(mask.sum()) for mask in whole.masks.values()) == 11 and whole.cost["steps"] == 5
    assert prune(prunable=Matrices(exclude=("1.weight",))).prunable == 88


def test_budget_is_steps_in_all() -> None:
    assert prune("imp", budget=100, epochs=99).cost["steps"] == 99  # 9 trainings of 11
    with pytest.raises(InvalidInput, match="budget of 5 steps is too small for imp"):
        prune("imp", budget=5)
    with pytest.raises(InvalidInput, match="brings its own lengths"):
        prune(METHODS["random"](Plan(Network(module(), DATA).layout, 11, 5)), budget=100)


def test_progress_and_accuracies_along_the_way() -> None:
    seen: list[tuple[int, int]] = []
    outcome = prune("dense", epochs=5, chunk=3, progress=lambda s, t: seen.append((s.cost, len(t))), evaluate_every=4)
    assert seen == [(3, 0), (6, 0), (9, 0), (12, 0), (15, 0), (18, 0), (20, 1)]
    assert len(outcome.trace.column("accuracy")) == 1
    gmp = prune("gmp", epochs=10, evaluate_every=6)
    costs = [row.cost for row in gmp.trace if "accuracy" in row.measured]
    assert len(costs) > 3 and min(np.diff(costs)) >= 6


# ---- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sparsity", [1.0, -0.1, math.nan, math.inf, 2, "0.9", None, 0.9999])
def test_impossible_sparsities(sparsity: Any) -> None:
    wrong = r"(is no fraction|would keep no weight of 376); give 0 <= sparsity <= 0\.9973"
    with pytest.raises(InvalidInput, match=rf"sparsity = {re.escape(repr(sparsity))} {wrong}"):
        prune(sparsity=sparsity)


def test_a_model_and_data_that_are_none() -> None:
    with pytest.raises(InvalidInput, match=r"model = 3: give an nn.Module, .* a name of nets.models.names\(\)"):
        prune(model=3)
    with pytest.raises(InvalidInput, match=r"data = 'mnist' is a name; give nets.data.load\('mnist'\)"):
        prune(data="mnist")


@pytest.mark.parametrize("epochs", [0, -1, math.nan, math.inf])
def test_impossible_lengths(epochs: float) -> None:
    with pytest.raises(InvalidInput, match="must have a positive length"):
        prune(epochs=epochs)


@pytest.mark.parametrize("wrong, near", [("impp", "imp"), ("IMP-rewind", "imp-rewind"), ("rigl_accept", "rigl-accept")])
def test_unknown_methods_get_the_near_ones(wrong: str, near: str) -> None:
    with pytest.raises(InvalidInput, match=f"unknown network method '{wrong}'; did you mean .*{near}"):
        prune(wrong)
    with pytest.raises(InvalidInput, match="known are dense, random"):
        prune("qqqqq")


def test_data_and_weights_that_are_not_finite() -> None:
    bad = dataclasses.replace(DATA, images=DATA.images.clone().index_fill(0, torch.tensor([3]), math.nan))
    with pytest.raises(InvalidInput, match=r"DataSet\('blobs'.* contains NaN"):
        prune(data=bad)
    with pytest.raises(InvalidInput, match="X contains NaN"):
        prune(data=(bad.images.numpy(), bad.labels.numpy()))
    for name in ("4.weight", "4.bias"):
        model = module()
        model.get_parameter(name).data.flatten()[0] = math.inf
        with pytest.raises(InvalidInput, match="weights of Sequential contain NaN or infinite"):
            prune(model=model)


class Pair(nn.Module):
    """Gives something else than one row of numbers an input."""

    def __init__(self, how: Any) -> None:
        super().__init__()
        self.layer, self.how = nn.Linear(36, 3), how

    def forward(self, x: torch.Tensor) -> Any:
        return self.how(self.layer(x.flatten(1)))


def test_a_module_that_does_not_take_the_data() -> None:
    with pytest.raises(InvalidInput, match=r"Sequential does not take inputs \(1, 6, 6\) of .*cannot be multiplied"):
        prune(model=nn.Sequential(nn.Flatten(), nn.Linear(7, 3)))
    with pytest.raises(InvalidInput, match=r"Linear gives outputs of shape \(2, 1, 6, 3\) .* at least 3 columns"):
        prune(model=nn.Linear(6, 3))
    with pytest.raises(InvalidInput, match=r"Sequential gives outputs of shape \(2, 2\) .* at least 3 columns"):
        prune(model=nn.Sequential(nn.Flatten(), nn.Linear(36, 2)))
    with pytest.raises(InvalidInput, match="Pair gives outputs of type tuple"):
        prune(model=Pair(lambda out: (out, out)))
    with pytest.raises(InvalidInput, match="no parameter of ReLU is prunable"):
        prune(model=nn.ReLU())


def test_divergence_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(NotFinite, match=r"training diverged after step \d+: .* Give a learning rate below 1e\+20"):
            prune(recipe=dataclasses.replace(PLAIN, learning_rate=1e20), out=tmp_path)
    assert not (tmp_path / "result.json").exists()


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: Recipe(learning_rate=-1), "learning_rate = -1"),
        (lambda: Recipe(learning_rate=math.nan), "learning_rate = nan"),
        (lambda: Recipe(batch=0), "batch = 0"),
        (lambda: Recipe(label_smoothing=2), "label_smoothing = 2"),
        (lambda: Recipe(precision="float16"), "known are float32, tfloat32, bfloat16"),
        (lambda: SGD(momentum=1.0), "momentum"),
        (lambda: SGD(momentum=0.0, nesterov=True), "above 0 with nesterov"),
        (lambda: Adam(beta1=1.0), "beta"),
    ],
)
def test_recipes_refuse_what_they_cannot_mean(make: Any, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        make()


def test_a_device_that_is_not_there() -> None:
    with pytest.raises(InvalidInput, match="device 'nonsense' cannot be used here"):
        prune(device="nonsense")


def test_learning_rates() -> None:
    assert [Recipe(1.0, Milestones((0.5, 0.75)), batch=1).rate(t, 8) for t in (0, 3, 4, 6, 7, 8, 99)] == pytest.approx(
        [1, 1, 0.1, 0.01, 0.01, 0.01, 0.01]
    )
    assert Recipe(2.0, Constant()).rate(5, 9) == 2.0
    assert Recipe(1.0, Cosine(0.1)).rate(0, 10) == 1.0 and Recipe(1.0, Cosine(0.1)).rate(5, 10) == pytest.approx(0.55)
    assert [Triangle(0.2)(t) for t in (0, 0.1, 0.2, 0.6)] == pytest.approx([0, 0.5, 1, 0.5])
    assert [WarmUp(0.5, Constant())(t) for t in (0, 0.25, 0.5, 0.9)] == [0, 0.5, 1, 1]
    assert WarmUp(0.0, Constant())(0.0) == 1.0
    for recipe in (Recipe(), MOMENTUM, Recipe(0.5, WarmUp(0.1, Triangle()), Adam())):
        assert eval(repr(recipe), vars(nets.recipe)) == recipe


# ---- the folder ------------------------------------------------------------------------------------------------------


def untrained(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on, training is an error."""

    def fails(*_: Any) -> None:
        raise AssertionError("trained")

    monkeypatch.setattr("nets.engine.Engine.train", fails)


def test_a_finished_folder_returns_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = prune(out=tmp_path, evaluate_every=5)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert sorted(before) == ["checkpoint.pt", "model.pt", "result.json", "run.json"]
    untrained(monkeypatch)
    again = prune(out=str(tmp_path), evaluate_every=5)
    assert str(again) == str(first) and repr(again.trace) == repr(first.trace) and again.cost == first.cost
    assert all(torch.equal(again.masks[name], mask) for name, mask in first.masks.items())
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_what_a_folder_holds(tmp_path: Path) -> None:
    outcome = prune(out=tmp_path / "deep" / "er")
    result = json.loads((tmp_path / "deep/er/result.json").read_text(), parse_constant=lambda name: pytest.fail(name))
    assert (result["accuracy"], result["sparsity"], result["status"]) == (
        outcome.accuracy,
        outcome.sparsity,
        "FINISHED",
    )
    assert len(result["trace"]) == len(outcome.trace) and result["densities"] == dict(outcome.densities)
    saved = torch.load(tmp_path / "deep/er/model.pt", weights_only=True)
    fresh = perceptron()
    fresh.load_state_dict(saved["model"], strict=True)
    assert torch.equal(fresh.eval()(DATA.test_images), outcome.model.eval()(DATA.test_images))
    assert all(torch.equal(saved["masks"][name], mask) for name, mask in outcome.masks.items())


def flipped(data: DataSet, name: str) -> DataSet:
    values = getattr(data, name).clone()
    values[0] = 1 - values[0] if values.dtype == torch.int64 else values[0] + 1e-3
    return dataclasses.replace(data, **{name: values})


OTHERS: dict[str, dict[str, Any]] = {
    "method": {"method": "imp"},
    "sparsity": {"sparsity": 0.81},
    "seed": {"seed": 1},
    "epochs": {"epochs": 4},
    "recipe": {"recipe": dataclasses.replace(MOMENTUM, learning_rate=0.051)},
    "first weights": {"model": module(seed=1)},
    "activation": {"model": nn.Sequential(*(nn.Tanh() if isinstance(m, nn.ReLU) else m for m in module()))},
    "prunable": {"prunable": Matrices(exclude=("6.weight",))},
    "evaluate_every": {"evaluate_every": 7},
    **{name: {"data": flipped(DATA, name)} for name in ("images", "labels", "test_images", "test_labels")},
    "augmentation": {"data": dataclasses.replace(DATA, augmentation=Augmentation(flip=True))},
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    prune(out=folder)
    return folder


@pytest.mark.parametrize("name", OTHERS)
def test_whatever_decides_the_numbers_is_another_run(finished: Path, name: str) -> None:
    before = {path.name: path.read_bytes() for path in finished.iterdir()}
    with pytest.raises(CheckpointError, match=r"another configuration \(.* there, .* here.*give another folder"):
        prune(out=finished, **OTHERS[name])
    assert {path.name: path.read_bytes() for path in finished.iterdir()} == before


def test_what_does_not_is_the_same_run(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    untrained(monkeypatch)
    prune(out=finished, chunk=3, save_every=0, progress=lambda s, t: None)


def test_functions_as_parts_do_not_make_a_folder_foreign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their repr holds an address, which is another one in the next process."""
    alive: list[Any] = []  # so that no address is used again

    def once() -> Outcome:
        def by_hand(f: Any, state: State) -> torch.Tensor:
            return state.x.abs()

        alive.append(by_hand)

        def entry(plan: Plan) -> Any:
            from sparsopt.method import Method, Phase, Stage
            from sparsopt.moves import Keep

            return Method("own", (Stage((Phase(Keep(plan.k, by=by_hand), plan.train(5)),)),))

        return prune(entry, out=tmp_path)

    first = once()
    untrained(monkeypatch)
    assert str(once()) == str(first)


def test_a_damaged_folder_is_refused(tmp_path: Path) -> None:
    prune(out=tmp_path)
    whole = (tmp_path / "checkpoint.pt").read_bytes()
    (tmp_path / "checkpoint.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match=r"checkpoint.pt: not a readable checkpoint .*damaged or cut short"):
        prune(out=tmp_path)
    (tmp_path / "checkpoint.pt").unlink()
    for rubbish in (b"", b"\xff\xfe", b"[1, 2]", b'{"a": 1}'):
        (tmp_path / "run.json").write_bytes(rubbish)
        with pytest.raises(CheckpointError, match=r"run\.json is not readable|another configuration"):
            prune(out=tmp_path)


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    prune(out=tmp_path / "a")
    prune(out=tmp_path / "b", seed=1)
    os.replace(tmp_path / "a/checkpoint.pt", tmp_path / "b/checkpoint.pt")
    with pytest.raises(CheckpointError, match="belongs to run"):
        prune(out=tmp_path / "b", seed=1)


def test_a_disk_that_fills_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The typed error, the last checkpoint whole, and once there is room the same call finishes the same run."""
    expected, room = prune("imp", chunk=3), 4
    real = checkpoint._write

    def until_full(file: Any, content: Any) -> None:
        nonlocal room
        room -= 1
        if room < 0:
            file.write(bytes(content[:100]))
            raise OSError(errno.ENOSPC, "No space left on device")
        real(file, content)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "_write", until_full)
        with pytest.raises(CheckpointError, match="No space left on device"):
            prune("imp", out=tmp_path, chunk=3, save_every=0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint.pt", "run.json"]
    again = prune("imp", out=tmp_path, chunk=3, save_every=0)
    assert repr(again.trace) == repr(expected.trace)
    assert all(torch.equal(a, b) for a, b in zip(again.model.parameters(), expected.model.parameters(), strict=True))


def test_ctrl_c_keeps_every_step_up_to_the_last_chunk(tmp_path: Path) -> None:
    expected = prune("rigl", epochs=10)
    seen: list[int] = []

    def interrupt(state: State, trace: Trace) -> None:
        seen.append(state.cost)
        if len(seen) % 7 == 0:
            raise KeyboardInterrupt

    for _ in range(20):
        try:
            outcome = prune("rigl", epochs=10, out=tmp_path, chunk=1, progress=interrupt)
            break
        except KeyboardInterrupt:
            assert checkpoint._read(tmp_path / "checkpoint.pt")
    assert len(seen) > 20 and all(a < b for a, b in itertools.pairwise(seen)), "no step is taken twice"
    assert repr(outcome.trace) == repr(expected.trace)
    assert all(torch.equal(a, b) for a, b in zip(outcome.model.parameters(), expected.model.parameters(), strict=True))


def test_checkpoints_are_as_far_apart_as_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock of which every look takes a second."""
    kept: list[float] = []
    now = itertools.count()
    monkeypatch.setattr(time, "monotonic", lambda: float(next(now)))
    monkeypatch.setattr("nets.folder.Folder.keep", lambda folder, saved: kept.append(saved.seconds))
    prune("dense", epochs=20, out=tmp_path, chunk=1, save_every=30)
    assert len(kept) > 5 and min(np.diff(kept[:-1])) >= 30, "the last is the end"


def test_ctrl_c_between_a_phase_and_its_state_leaves_no_row_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a judge thinks, the phase is in the trace and its state is not yet complete."""
    expected, judged, judge = prune("rigl-accept", epochs=10), 0, IfDecreasing.__call__

    def interrupted(*arguments: Any) -> Any:
        nonlocal judged
        judged += 1
        if judged in (3, 9):
            raise KeyboardInterrupt
        return judge(*arguments)

    monkeypatch.setattr(IfDecreasing, "__call__", interrupted)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            prune("rigl-accept", epochs=10, out=tmp_path)
    assert repr(prune("rigl-accept", epochs=10, out=tmp_path).trace) == repr(expected.trace)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="could not be written"):
        prune(out=tmp_path / "file")


def test_what_a_killed_process_left_is_swept(tmp_path: Path) -> None:
    (tmp_path / ".checkpoint.pt.123.partial").write_bytes(b"half")
    prune(out=tmp_path)
    assert not list(tmp_path.glob(".*"))


def test_from_arrays_without_a_test_split_has_no_accuracy() -> None:
    data = from_arrays(DATA.images, DATA.labels)
    outcome = prune(data=data)
    assert math.isnan(outcome.accuracy) and math.isnan(outcome.loss)
