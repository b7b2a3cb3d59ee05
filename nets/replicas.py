"""Several runs at once on one GPU, each on a stream of its own: a small network leaves most of it idle.

    from functools import partial
    calls = [partial(nets.prune, "resnet-20", data, seed=seed, engine="captured", device="cuda") for seed in range(4)]
    outcomes = together(calls, device="cuda")

The host takes turns, a few steps each: one run at a time launches, all compute. So nothing is shared that is not
read-only, no two threads ever run at once, and each run gives bit for bit what it gives alone. On the CPU there are
turns and no gain. What waits for the GPU (choosing a mask, a test pass) holds the turn; steps of the engine "captured"
pass it on, other engines keep it until they are done. On CUDA leave out modules with dropout: in some versions of
PyTorch all recordings read the generator's state from one place, which another stream may just be writing. And give
all runs the same `precision`: "tfloat32" is a switch of the whole process.

Outside `together` nothing here does anything.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Sequence
from threading import Event
from typing import Any

import torch

__all__ = ["together", "turn"]

STEPS = 8  # of a turn: launched in less time than they take


class _Ring:
    """Threads of which one runs at a time."""

    def __init__(self) -> None:
        self.waiting: deque[threading.Semaphore] = deque()  # only the one that runs touches it: it needs no lock
        self.done = Event()
        self.stopped = False

    def pass_on(self) -> None:
        self.waiting.popleft().release()


_mine = threading.local()


def turn() -> None:
    """After a step: perhaps another run's turn. Raises KeyboardInterrupt once that has come to the one who waits."""
    ring: _Ring | None = getattr(_mine, "ring", None)
    if ring is None:
        return
    if ring.stopped:
        raise KeyboardInterrupt
    _mine.steps += 1
    if _mine.steps % STEPS == 0 and ring.waiting:
        ring.waiting.append(_mine.go)
        ring.pass_on()
        _mine.go.acquire()


def together(calls: Sequence[Callable[[], Any]], device: str | torch.device = "cpu") -> list[Any]:
    """What each call returns. The others finish when one raises; the first that did is then raised.

    Ctrl-C reaches all of them where they pass the turn on, so that each keeps what it has done.
    """
    from nets.engine import own_generator

    place = torch.device(device)
    if place.type == "cuda" and place.index is None:
        place = torch.device("cuda", torch.cuda.current_device())
    ring, found = _Ring(), [_Found() for _ in calls]
    here = torch.cuda.current_stream(place) if place.type == "cuda" else None  # a thread's own is the default one
    threads = [
        threading.Thread(target=_run, args=(call, one, ring, here), daemon=True)
        for call, one in zip(calls, found, strict=True)
    ]
    ring.waiting.extend(one.go for one in found)
    with own_generator(place):  # what runs set and put back in turns is then always the same
        for thread in threads:
            thread.start()
        if calls:
            ring.pass_on()
            _wait(ring)
    for one in found:
        if one.error is not None:
            raise one.error
    return [one.result for one in found]


class _Found:
    """What became of a call."""

    def __init__(self) -> None:
        self.go = threading.Semaphore(0)
        self.result: Any = None
        self.error: BaseException | None = None


def _wait(ring: _Ring) -> None:
    try:
        ring.done.wait()
    except KeyboardInterrupt:
        ring.stopped = True
        ring.done.wait()
        raise


def _run(call: Callable[[], Any], found: _Found, ring: _Ring, here: torch.cuda.Stream | None) -> None:
    _mine.ring, _mine.go, _mine.steps = ring, found.go, 0
    found.go.acquire()
    try:
        if ring.stopped:
            raise KeyboardInterrupt
        with _stream(here):
            found.result = call()
    except BaseException as error:  # raised again by `together`
        found.error = error
    if ring.waiting:
        ring.pass_on()
    else:
        ring.done.set()


@contextlib.contextmanager
def _stream(here: torch.cuda.Stream | None) -> Any:
    """On CUDA, a stream of the thread's own that begins after what the caller's has, and ends before the thread does.

    So memory may change hands: what the caller made is there, and what a thread frees or returns nobody uses any more.
    """
    if here is None:
        yield
        return
    with torch.cuda.device(here.device):
        own = torch.cuda.Stream()
        own.wait_stream(here)
        try:
            with torch.cuda.stream(own):
                yield
        finally:
            own.synchronize()
