"""Several runs in turns give bit for bit what each gives alone, and one that fails or is stopped harms no other."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

import nets
from nets import captured, replicas
from nets.catalogue import METHODS
from sparsopt.method import run
from tests.networks import MOMENTUM, blobs, difference, module, network, plan_of
from tests.tape import Recorder


def one(name: str, method: str, seed: int, engine: str = "captured") -> Any:
    world = network(name, MOMENTUM, engine=engine)
    return run(METHODS[method](plan_of(world, steps=11)), world, world.start(seed)).state


@pytest.mark.parametrize("recorded", [False, True])
@pytest.mark.parametrize("name", ["perceptron", "dropout"])
def test_runs_in_turns_are_single_runs(name: str, recorded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other seeds and other methods, a step each at a time; dropout draws from one generator that all of them seed."""
    monkeypatch.setattr(replicas, "STEPS", 1)
    if recorded:
        monkeypatch.setitem(captured.RECORDERS, "cpu", Recorder())
    order: list[int] = []
    plain = captured.Step.set

    def watched(self: Any, *arguments: Any) -> None:
        order.append(threading.get_ident())
        plain(self, *arguments)

    monkeypatch.setattr(captured.Step, "set", watched)
    runs = [("imp", 0), ("imp", 1), ("rigl", 2), ("gmp", 0)]
    before = torch.get_rng_state()
    together = replicas.together([partial(one, name, method, seed) for method, seed in runs])
    assert torch.equal(torch.get_rng_state(), before)
    changes = sum(a != b for a, b in itertools.pairwise(order))
    assert len(set(order)) == 4 and changes > len(order) / 4
    for state, (method, seed) in zip(together, runs, strict=True):
        assert difference(state, one(name, method, seed, "dense")) == ""


def test_one_that_fails_is_raised_when_the_others_are_done() -> None:
    done: list[int] = []

    def works(i: int) -> None:
        one("perceptron", "gmp", i)
        done.append(i)

    def fails() -> None:
        replicas.turn()
        raise ValueError("this one")

    with pytest.raises(ValueError, match="this one"):
        replicas.together([partial(works, 0), fails, partial(works, 1)])
    assert sorted(done) == [0, 1]
    assert replicas.together([]) == []


def test_ctrl_c_stops_all_and_folders_continue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replicas, "STEPS", 1)

    def prune(seed: int, folder: Path | None) -> Any:
        return nets.prune(module(), blobs(), "imp", 0.5, MOMENTUM, seed, folder, epochs=3, engine="captured", chunk=4)

    class Stops(threading.Event):
        """Ctrl-C comes to whoever waits first."""

        def wait(self, timeout: float | None = None) -> bool:
            if not self.__dict__.get("stopped"):
                self.stopped = True
                time.sleep(0.05)
                raise KeyboardInterrupt
            return super().wait(timeout)

    with monkeypatch.context() as patch:
        patch.setattr(replicas, "Event", Stops)
        with pytest.raises(KeyboardInterrupt):
            replicas.together([partial(prune, seed, tmp_path / str(seed)) for seed in range(2)])
    assert not list(tmp_path.glob("*/result.json")) and list(tmp_path.glob("*/checkpoint.pt"))
    resumed = replicas.together([partial(prune, seed, tmp_path / str(seed)) for seed in range(2)])
    for seed, outcome in enumerate(resumed):
        alone = prune(seed, None)
        for name, tensor in alone.model.state_dict().items():
            assert torch.equal(tensor, outcome.model.state_dict()[name])


def test_outside_nothing_happens() -> None:
    replicas.turn()
    assert difference(one("perceptron", "gmp", 0), one("perceptron", "gmp", 0, "dense")) == ""


@pytest.mark.parametrize("fails", [False, True])
def test_a_stream_begins_after_the_callers_and_is_over_when_the_thread_is(
    fails: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller's, not the default one: what it has just made must be there."""
    log: list[str] = []

    class Stream:
        device = torch.device("cuda", 0)

        def __init__(self, name: str = "own") -> None:
            self.name = name

        def wait_stream(self, other: Any) -> None:
            log.append(f"{self.name} waits for {other.name}")

        def synchronize(self) -> None:
            log.append(f"{self.name} is over")

    entered = lambda _: contextlib.nullcontext()  # noqa: E731
    fakes = {"Stream": Stream, "stream": entered, "device": entered}
    for name, fake in fakes.items():
        monkeypatch.setattr(torch.cuda, name, fake)
    with contextlib.suppress(ValueError), replicas._stream(Stream("the caller's")):  # type: ignore[arg-type]
        log.append("work")
        if fails:
            raise ValueError
    assert log == ["own waits for the caller's", "work", "own is over"]
