"""The recorded step: bit for bit the engine's, by memory alone, through every change that a run makes."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import warnings
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from nets import captured
from nets.catalogue import METHODS
from nets.data import Augmentation
from nets.gates import Gate, Masked, StraightThrough
from nets.recipe import Recipe, Triangle
from nets.training import Network, Train
from sparsopt.method import Method, Phase, Stage, run
from sparsopt.moves import Choose, Everything
from tests.engines import Odd, static
from tests.networks import (
    ADAM,
    MODULES,
    MOMENTUM,
    RECIPES,
    blobs,
    difference,
    module,
    network,
    plan_of,
    states,
)
from tests.tape import Recorder

TRIANGLE = dataclasses.replace(MOMENTUM, schedule=Triangle())


@pytest.fixture
def tape(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """Steps are recorded on the CPU too."""
    recorder = Recorder()
    monkeypatch.setitem(captured.RECORDERS, "cpu", recorder)
    return recorder


@pytest.fixture(autouse=True)
def warnings_are_errors() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        yield


@pytest.fixture
def plain_kernels() -> Iterator[Callable[[bool], None]]:
    """oneDNN's LSTM keeps what it needs for the way back in a form of its own, which a tape cannot copy."""
    before: bool = torch._C._get_mkldnn_enabled()
    yield lambda wanted: torch._C._set_mkldnn_enabled(before and not wanted)
    torch._C._set_mkldnn_enabled(before)


def pair(name: str, recipe: Recipe, **options: Any) -> tuple[Network, Network]:
    return network(name, recipe, **options), network(name, recipe, engine="captured", **options)


def crops(**options: Any) -> Network:
    """Images that are flipped and cropped, and a schedule that changes the rate in every step."""
    data = dataclasses.replace(blobs(), augmentation=Augmentation(flip=True, crop_padding=1))
    return Network(module("residual"), data, recipe=TRIANGLE, **options)


# ---- the same numbers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
@pytest.mark.parametrize("name", MODULES)
def test_unrecorded_it_is_the_engine(name: str, recipe: Recipe) -> None:
    """Momentum, Nesterov, decay, label smoothing, Adam; batch norm, dropout, tied weights, attention, an LSTM."""
    one, two = pair(name, recipe)
    method = METHODS["gmp"](plan_of(one, steps=30))
    assert difference(run(method, one, one.start(0)).state, run(method, two, two.start(0)).state) == ""


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
@pytest.mark.parametrize("name", MODULES)
def test_recorded_once_it_is_the_engine(
    name: str, recipe: Recipe, tape: Recorder, plain_kernels: Callable[[bool], None]
) -> None:
    """Masks, rates and rewinds change; what was recorded in the first step does not."""
    plain_kernels(name == "recurrent")
    one, two = pair(name, recipe)
    for method in ("imp", "rigl"):
        tape.recordings = tape.replays = 0
        chosen = METHODS[method](plan_of(one, steps=12))
        expected = run(chosen, one, one.start(0)).state
        assert difference(run(chosen, two, two.start(0)).state, expected) == "", method
        assert tape.recordings == 1 and tape.replays == expected.cost + 2


def test_augmentation_is_in_the_recording(tape: Recorder) -> None:
    one, two = crops(), crops(engine="captured")
    method = METHODS["acdc"](plan_of(one, steps=40))
    assert difference(run(method, one, one.start(0)).state, run(method, two, two.start(0)).state) == ""
    assert tape.recordings == 1


def test_many_blocks_of_rows(tape: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captured, "BLOCK", 3)
    one, two = crops(), crops(engine="captured")
    assert difference(run(static(11), one, one.start(0)).state, run(static(11), two, two.start(0)).state) == ""


@pytest.mark.parametrize("recipe", [TRIANGLE, ADAM], ids=["momentum", "adam"])
@pytest.mark.parametrize("name", ["perceptron", "dropout"])
def test_a_run_resumes_from_every_state(name: str, recipe: Recipe, tape: Recorder) -> None:
    """Each resumed run records anew, from weights in mid-course; what it tries out leaves no trace."""
    _, world = pair(name, recipe, chunk=5)
    method = METHODS["imp"](plan_of(world, sparsity=0.5, steps=8))
    whole, seen = states(method, world)
    for state in seen[:-1]:
        fresh = network(name, recipe, engine="captured", chunk=5)
        assert difference(run(method, fresh, state).state, whole.state) == ""
    assert tape.recordings == len(seen)


def test_chunks_change_nothing(tape: Recorder) -> None:
    expected = run(static(17, k=30), network(), network().start(0)).state
    for chunk in (1, 5, 17):
        world = network(engine="captured", chunk=chunk)
        assert difference(run(static(17, k=30), world, world.start(0)).state, expected) == ""
    assert tape.recordings == 3


def test_the_samples_that_fill_no_batch_and_a_batch_of_all(tape: Recorder) -> None:
    """70 samples: in batches of 32 six are left over in each epoch; a batch of 1,000 is all of them."""
    for size in (32, 1000):
        recipe = dataclasses.replace(MOMENTUM, batch=size)
        one, two = pair("perceptron", recipe)
        states = [run(static(7, recipe), world, world.start(0)).state for world in (one, two)]
        assert difference(states[0], states[1]) == ""


# ---- what is recorded anew, and what is not recorded ---------------------------------------------------------------


def test_another_batch_loss_or_gate_is_another_recording_and_another_rate_is_none(tape: Recorder) -> None:
    recipes = [MOMENTUM, dataclasses.replace(MOMENTUM, batch=20), dataclasses.replace(MOMENTUM, label_smoothing=0.3)]
    rates = [dataclasses.replace(MOMENTUM, learning_rate=0.01, name="slow"), TRIANGLE]
    phases = [Phase(Everything(), Train(3, recipe)) for recipe in (*recipes, *rates, *recipes)]
    phases += [Phase(Choose(60), Train(3, MOMENTUM, through=gate)) for gate in (StraightThrough(), Masked(), Gate())]
    one, two = pair("perceptron", MOMENTUM)
    method = Method("many", tuple(Stage((phase,)) for phase in phases))
    assert difference(run(method, one, one.start(0)).state, run(method, two, two.start(0)).state) == ""
    assert tape.recordings == len(recipes) + 2


def test_gates_with_a_memory_of_their_own_are_left_to_the_engine(tape: Recorder) -> None:
    one, two = pair("perceptron", MOMENTUM)
    for name in ("str", "cram", "top-kast", "sparse-momentum"):
        if name in METHODS:
            method = METHODS[name](plan_of(one))
            ends = [run(method, world, world.start(0)).state for world in (one, two)]
            assert difference(ends[0], ends[1]) == "", name
    narrow = Network(module().to(torch.bfloat16), blobs(), recipe=MOMENTUM, engine="captured")
    before = tape.recordings
    run(static(2), narrow, narrow.start(0))
    assert tape.recordings == before


def test_a_module_that_replaces_its_buffers_is_found_out(tape: Recorder) -> None:
    """A recording would count every call as the first: two of them show it."""
    one, two = (Network(Odd(), blobs(), recipe=MOMENTUM, engine=engine) for engine in ("dense", "captured"))
    two.template.load_state_dict(one.template.state_dict())
    expected = run(static(10), one, one.start(0)).state
    with pytest.warns(RuntimeWarning, match="not recorded.*differ"):
        found = run(static(10), two, two.start(0)).state
    assert difference(found, expected) == ""


class Asks(nn.Module):
    """Its forward pass waits for a number, which a graph cannot."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = module("perceptron")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x if x.sum().item() < 1e9 else -x)


def test_what_cannot_be_recorded_runs_unrecorded_and_says_so_once(tape: Recorder) -> None:
    one, two = (Network(Asks(), blobs(), recipe=MOMENTUM, engine=engine, chunk=3) for engine in ("dense", "captured"))
    two.template.load_state_dict(one.template.state_dict())
    expected = run(static(10), one, one.start(0)).state
    with pytest.warns(RuntimeWarning, match="not recorded.*wait for a number") as said:
        found = run(static(10), two, two.start(0)).state
    assert difference(found, expected) == "" and len(said) == 1


def test_a_recording_that_is_wrong_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def half(body: Any, device: Any) -> Any:
        calls = iter(range(10**9))
        return lambda: body() if next(calls) % 2 else None

    monkeypatch.setitem(captured.RECORDERS, "cpu", half)
    one, two = pair("perceptron", MOMENTUM)
    with pytest.warns(RuntimeWarning, match="differ"):
        found = run(static(6), two, two.start(0)).state
    assert difference(found, run(static(6), one, one.start(0)).state) == ""


def void(_: Any) -> None:
    pass


def test_the_tape_freezes_what_python_worked_out() -> None:
    """The oracle of this file can fail: a rate kept in Python stays what it was while recording."""
    rate, x = [1.0], torch.zeros(2)
    place = torch.ones(())
    frozen, read = Recorder()(lambda: void(x.add_(rate[0]))), Recorder()(lambda: void(x.add_(place)))
    x.zero_()
    rate[0] = 5.0
    place.fill_(7.0)
    frozen()
    assert x.tolist() == [1.0, 1.0]
    read()
    assert x.tolist() == [8.0, 8.0]


# ---- as CUDA does it -----------------------------------------------------------------------------------------------


class Cuda:
    """What `cuda_graph` asks of torch.cuda: streams that log, a capture that freezes nothing and may fail."""

    def __init__(self, patch: pytest.MonkeyPatch, fails: bool = False) -> None:
        self.log: list[str] = []
        self.current, self.capturing, self.fails, self.replaced = "here", False, fails, 0
        names = {
            "Stream": lambda: self.stream("side"), "current_stream": lambda: self.stream(self.current),
            "stream": self.on, "CUDAGraph": lambda: self, "graph": self.capture, "current_device": lambda: 1,
            "device": lambda device: contextlib.nullcontext(), "default_generators": (None, self),
            "set_stream": lambda stream: setattr(self, "current", stream.name),
        }  # fmt: skip
        for name, value in names.items():
            patch.setattr(torch.cuda, name, value)

    def stream(self, name: str) -> Any:
        return SimpleNamespace(name=name, wait_stream=lambda other: self.log.append(f"{name} waits for {other.name}"))

    @contextlib.contextmanager
    def on(self, stream: Any) -> Iterator[None]:
        before, self.current = self.current, stream.name
        yield
        self.current = before

    @contextlib.contextmanager
    def capture(self, graph: Any, stream: Any) -> Iterator[None]:
        """As torch.cuda.graph: after a failure its stream stays the current one."""
        before, self.current, self.capturing = self.current, stream.name, True
        yield
        self.capturing = False
        if self.fails:
            raise RuntimeError("CUDA error: operation failed due to a previous error during capture")
        self.current = before

    def body(self) -> None:
        self.log.append(f"{'captured' if self.capturing else 'called'} on {self.current}")
        assert gc.isenabled() != self.capturing

    def replay(self) -> None:
        self.log.append("replayed")

    def clone_state(self) -> str:
        return "a clone"

    def graphsafe_set_state(self, state: str) -> None:
        self.replaced += state == "a clone"


def test_a_graph_is_captured_after_calls_on_the_same_side_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = Cuda(monkeypatch)
    replay = captured.cuda_graph(cuda.body, torch.device("cuda", 1))
    replay()
    calls = ["called on side"] * captured.WARM_UP
    assert cuda.log == ["side waits for here", *calls, "here waits for side", "captured on side", "replayed"]
    assert cuda.current == "here" and not cuda.replaced and gc.isenabled()


def test_after_a_capture_that_fails_streams_and_generators_are_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = Cuda(monkeypatch, fails=True)
    with pytest.raises(RuntimeError, match="during capture"):
        captured.cuda_graph(cuda.body, torch.device("cuda", 1))
    assert cuda.current == "here" and cuda.replaced == 1 and gc.isenabled()


@pytest.mark.parametrize("precision, used", [("bfloat16", True), ("float32", False)])
def test_other_kernels_may_round_otherwise_as_far_as_the_precision_goes(
    precision: Any, used: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replay whose gradients are 3 % longer: rounding in bfloat16, an error in float32."""
    recipe = dataclasses.replace(MOMENTUM, precision=precision)
    world, plain, steps = network("perceptron", recipe, engine="captured"), captured.Step.load, []

    def load(step: captured.Step, state: Any) -> None:
        steps.append(step)
        plain(step, state)

    def longer(body: Any, device: Any) -> Any:
        return lambda: void((body(), steps[0].memory["momentum_buffer"].mul_(1.03)))

    monkeypatch.setattr(captured.Step, "load", load)
    monkeypatch.setitem(captured.RECORDERS, "cpu", longer)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        run(static(1, recipe), world, world.start(0))
    assert bool(said) != used


@pytest.mark.parametrize("engine", ["dense", "captured"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_an_autocast_around_a_run_changes_nothing(engine: str, precision: Any) -> None:
    """It would keep casts of weights that have long changed."""
    recipe = dataclasses.replace(MOMENTUM, precision=precision)
    worlds = [network("residual", recipe, engine=engine) for _ in range(2)]
    alone = run(static(5, recipe), worlds[0], worlds[0].start(0)).state
    with torch.autocast("cpu", torch.bfloat16):
        inside = run(static(5, recipe), worlds[1], worlds[1].start(0)).state
        tested = worlds[1].test(inside)
    assert difference(alone, inside) == "" and tested == worlds[0].test(alone)


# ---- places --------------------------------------------------------------------------------------------------------


def test_nothing_moves(tape: Recorder) -> None:
    """Weights, gradient, momentum, mask: where they lay in the first phase they lie in the last."""
    world = network(engine="captured")
    places: list[tuple[int, ...]] = []

    def look(state: Any, trace: Any) -> None:
        opened = tracked[-1]
        for step in opened.steps.values():
            tensors = (*step.written(), step.mask, step.engine.slope, step.visible, step.rows, step.rate)
            places.append(tuple(tensor.data_ptr() for tensor in tensors))

    tracked: list[captured.CapturedEngine] = []
    plain = captured.CapturedEngine.__init__

    def remember(self: Any, engine: Any) -> None:
        plain(self, engine)
        tracked.append(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(captured.CapturedEngine, "__init__", remember)
        run(METHODS["gmp"](plan_of(world, steps=30)), world, world.start(0), save=look)
    assert len(tracked) == 1 and len(places) > 5 and len(set(places)) == 1


def test_the_names_of_engines() -> None:
    from nets.folder import configuration

    world = network(engine="captured")
    assert world.engine_name == "captured"
    assert configuration(world, static(3), 0, 1)["engine"] == "captured"
    assert captured.captures(MOMENTUM, Masked(), world.batches_of(world.start(0), MOMENTUM), torch.float32)


def test_short_numbers_are_a_named_change_of_products_on_cuda_alone() -> None:
    one, two = network(recipe=MOMENTUM), network(recipe=dataclasses.replace(MOMENTUM, precision="tfloat32"))
    before = torch.backends.cuda.matmul.allow_tf32
    ends = [run(static(4, world.recipe), world, world.start(0)).state for world in (one, two)]
    assert difference(ends[0], ends[1]) == "" and torch.backends.cuda.matmul.allow_tf32 == before


def test_bfloat16_by_autocast_is_recorded(tape: Recorder) -> None:
    recipe = dataclasses.replace(MOMENTUM, precision="bfloat16", memory="channels_last")
    one, two = pair("residual", recipe)
    ends = [run(static(6, recipe), world, world.start(0)).state for world in (one, two)]
    assert difference(ends[0], ends[1]) == "" and tape.recordings == 1
