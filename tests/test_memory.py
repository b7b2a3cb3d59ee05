"""What a run holds: numbers as long as the vector of prunable weights, counted; masks are bits on disk."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from nets import captured, checkpoint
from nets.catalogue import METHODS, Plan
from nets.data import Batches
from nets.gates import Masked, StraightThrough
from nets.recipe import Recipe
from nets.training import Network
from sparsopt.method import run
from sparsopt.result import Trace
from sparsopt.state import State
from tests.networks import ADAM, MOMENTUM, PLAIN, blobs, difference

HIDDEN = 499
N = 36 * HIDDEN + HIDDEN * 3
LONG = ("imp", "imp-rewind", "rigl", "acdc", "dpf", "gmp")


def world(recipe: Recipe, **options: Any) -> Network:
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 3, bias=False))
    return Network(model, blobs(), recipe=recipe, **options)


def plan_of(network: Network) -> Plan:
    return Plan(network.layout, N // 2, 8, network.recipe)


def storages(tensors: Iterator[torch.Tensor]) -> dict[int, int]:
    """Address -> bytes of what lies behind long floats; a mask's booleans are no floats."""
    long = (t for t in tensors if t.is_floating_point() and t.untyped_storage().nbytes() >= 4 * N)
    return {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in long}


def of(state: State) -> Iterator[torch.Tensor]:
    yield from (state.x, *(a for a in state.slots.values() if isinstance(a, torch.Tensor)))
    for other in (*state.saved.values(), *(() if state.before is None else (state.before,))):
        yield from of(other)


BARE = (1, 2, 3)  # x and what its optimiser remembers: nothing, momentum, two moments
START = (2, 3, 4)  # and the initial weights, which are rewound to, or a threshold or second vector of the method's own
TWICE = (2, 4, 6)  # and all of it at an earlier step: what is rewound to with its optimiser, what a judge compares with
VECTORS = {
    **dict.fromkeys(["one-shot", "one-shot-layerwise", "imp", "imp-layerwise", "imp-reinit", "lr-rewinding"], START),
    **dict.fromkeys(["fine-tuning", "snfs", "str", "arht", "untrained-mask"], START),
    **dict.fromkeys(["imp-rewind", "early-bird", "early-bird-channels", "unilth", "unidlth"], TWICE),
    **dict.fromkeys(["movement", "bip", "deconstructed"], (3, 4, 5)),  # scores with a momentum; two snapshots of x
    **dict.fromkeys(["l0", "variational-dropout"], (4, 5, 6)),  # scores that Adam trains
    "continuous-sparsification": (6, 8, 10),  # x and scores, each with its optimiser, now and at the start
    "edge-popup": (3, 3, 3), "supermask": (4, 4, 4), "gem-miner": (4, 4, 4),  # weights stay as drawn: scores alone
    "gsm": (2, 2, 3), "gsm-rewind": (3, 3, 4),  # the second training has a momentum of its own
}  # fmt: skip


def most(name: str, recipe: Recipe, steps: int = 20, **options: Any) -> int:
    """Vectors as long as x in the largest state in which the run could be saved."""
    network = world(recipe, chunk=7, **options)
    counts: list[int] = []
    method = METHODS[name](Plan(network.layout, N // 2, steps, network.recipe))
    run(method, network, network.start(0), save=lambda state, _: counts.append(len(storages(of(state)))))
    return max(counts)


@pytest.mark.parametrize("name", METHODS)
def test_what_a_state_holds(name: str) -> None:
    """Never more than the method's variables, at most twice: four vectors with momentum for all that train weights
    alone, and six with Adam for those that go back to an earlier step with its optimiser. These are independent
    numbers, all of which are read again: x and two moments now, x and two moments then."""
    assert tuple(most(name, recipe) for recipe in (PLAIN, MOMENTUM, ADAM)) == VECTORS.get(name, BARE)


@pytest.mark.parametrize("engine", ["dense", "explicit", "captured", "skipping", "sparse"])
def test_every_engine_leaves_the_same_state(engine: str) -> None:
    if engine in ("skipping", "sparse"):
        pytest.importorskip("numba")
    assert [most(name, MOMENTUM, engine=engine) for name in ("imp", "imp-rewind", "rigl")] == [3, 4, 2]


def tensors() -> list[torch.Tensor]:
    return [o for o in gc.get_objects() if type(o) in (torch.Tensor, nn.Parameter)]


def living() -> dict[int, int]:
    return storages(iter(tensors()))


@pytest.mark.parametrize(
    "name, engine", [*((name, "dense") for name in LONG), ("gmp", "captured"), ("dpf", "captured")]
)
def test_the_engine_holds_four_vectors(name: str, engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights, gradient, momentum, mask, beside the state that is trained; in DPF the module sees a fifth."""
    counts: list[int] = []
    states: set[int] = set()
    enter = Masked.enter if name != "dpf" else StraightThrough.enter

    class Counting(Batches):
        def rows(self, step: int) -> Any:
            if step % 8 == 5:
                counts.append(len(set(living()) - others - states))
            return super().rows(step)

    def entered(gate: Any, state: State) -> State:
        new = enter(gate, state)
        states.update(storages(of(state)), storages(of(new)))
        held.append((state, new))
        return new

    network = world(MOMENTUM, batches=Counting, engine=engine)
    start = network.start(0)
    gc.collect()
    held: list[Any] = [tensors()]  # what is held is not freed, so that no address comes back as something else
    others = set(living())  # those of other tests, the module that was given, the start
    monkeypatch.setattr(StraightThrough if name == "dpf" else Masked, "enter", entered)
    run(METHODS[name](plan_of(network)), network, start)
    assert 3 <= max(counts) <= (5 if name == "dpf" else 4)


def test_a_recording_adds_nothing_that_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """The copies with which it is tried out are gone when it is used."""
    seen: list[int] = []

    def record(body: Any, device: Any) -> Any:
        def replay() -> None:
            seen.append(len(set(living()) - others))
            body()

        return replay

    monkeypatch.setitem(captured.RECORDERS, "cpu", record)
    network = world(MOMENTUM, engine="captured")
    gc.collect()
    others, held = set(living()), tensors()
    run(METHODS["gmp"](plan_of(network)), network, network.start(0))
    assert max(seen[2:]) < max(seen[:2]) and held


def test_a_mask_is_bits_on_disk(tmp_path: Path) -> None:
    """A checkpoint is x and momentum as floats, the support as bits, some kilobytes of names; and it comes back."""
    network = world(MOMENTUM)
    state = run(METHODS["gmp"](plan_of(network)), network, network.start(0)).state
    path, rest = tmp_path / "checkpoint.pt", state.slots["rest"].nbytes
    checkpoint.save(path, checkpoint.Saved(state, Trace()))
    assert 2 * 4 * N + N // 8 < path.stat().st_size < 2 * (4 * N + rest) + N // 8 + 6_000 < (2 * 4 + 1) * N
    assert difference(checkpoint.load(path).state, state) == ""
