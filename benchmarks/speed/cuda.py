"""What pruning costs on one GPU: every figure in one sitting of less than eight minutes.

    python -m benchmarks speed --device cuda                   # all rows that fit into 450 s
    python -m benchmarks speed --device cuda --budget 120      # the first of them; the others are said to be missing
    python -m benchmarks speed --device cpu --quick            # the same rows, tiny, on any machine: does it run?

Rows, the most telling first: what the device can do (copies, matrix products); a training step of ResNet-20 and
ResNet-18 at batch 128, unrecorded and as one graph, in each precision; what augmentation and evaluation take of it; a
run of iterative magnitude pruning, projected to 11 trainings of 160 epochs and really done with fewer; several replicas
on streams; the recipe "airbench" to its end. A row that would not fit any more is skipped, one that fails says why, and
the numbers of the others stand. Without SPARSOPT_DATA the images are noise of CIFAR-10's size: times are the same,
accuracies mean nothing.

`EXPECTED` has what a roofline model says of bf16 on an H200 (`Expectation`): an estimate, printed beside what is
measured. No figure of a GPU has been measured by this project yet.
"""

from __future__ import annotations

import dataclasses
import os
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch

from nets import flops, replicas
from nets.catalogue import METHODS, Plan
from nets.data import Augmentation, DataSet, from_arrays, load
from nets.engine import own_generator
from nets.gates import Masked
from nets.models import Named
from nets.models.airbench import whitened
from nets.recipe import Recipe
from nets.recipes import RECIPES
from nets.training import Network, device_of
from sparsopt.method import run

LEVELS, EPOCHS = 11, 160  # of a faithful run: dense, then ten rounds
KEPT = 0.8
ALONE: tuple[tuple[str, str, str], ...] = (  # engine, precision, order of images in memory
    ("captured", "bfloat16", "channels_last"),
    ("dense", "float32", "contiguous"),
    ("captured", "float32", "contiguous"),
    ("captured", "tfloat32", "channels_last"),
    ("dense", "bfloat16", "channels_last"),
    ("dense", "tfloat32", "channels_last"),
)
BEST = ALONE[0]
EXPECTED = {"resnet-20": (0.53, 0.88), "resnet-18": (1.64, 2.72)}  # ms a step of BEST: a model, not a measurement


@dataclass(frozen=True)
class Sizes:
    """How much of everything. steps: of a timing; epochs: of a training of the actual pruning run."""

    models: tuple[str, ...] = ("resnet-20", "resnet-18")
    width: float = 1.0
    batch: int = 128
    steps: int = 100
    repeats: int = 3
    samples: int = 50_000
    products: int = 8192
    copied: int = 2**30
    epochs: int = 20
    levels: int = LEVELS
    together: tuple[int, ...] = (1, 2, 4, 8)
    fast_epochs: float = 9.9


TINY = Sizes(("resnet-20",), 0.25, 20, 2, 1, 100, 128, 2**16, 1, 3, (1, 2), 1.0)


@dataclass(frozen=True)
class Row:
    """A line of the table. seconds: what it is expected to take on a GPU."""

    name: str
    seconds: float
    measure: Callable[[], dict[str, Any]]


class Bench:
    """A device, a data set on it, and what has been measured so far."""

    def __init__(self, device: str, sizes: Sizes) -> None:
        self.device, self.sizes = device_of(device), sizes
        self.found: dict[str, dict[str, Any]] = {}

    @cached_property
    def data(self) -> DataSet:
        return images(self.sizes.samples).to(self.device)

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def seconds(self, work: Callable[[], Any]) -> float:
        """The fastest of a few calls, after one."""
        work()
        times = []
        for _ in range(self.sizes.repeats):
            self.wait()
            began = time.perf_counter()
            work()
            self.wait()
            times.append(time.perf_counter() - began)
        return min(times)

    # ---- what runs --------------------------------------------------------------------------------------------------

    def network(self, model: str, how: tuple[str, str, str], data: DataSet | None = None) -> Network:
        data = self.data if data is None else data
        return Network(
            Named(model, data.inputs, data.classes, self.sizes.width), data, recipe=self.recipe(how),
            device=self.device, engine=how[0],
        ).open()  # fmt: skip

    def recipe(self, how: tuple[str, str, str]) -> Recipe:
        paper = RECIPES["open-lth-resnet-20"].recipe
        return dataclasses.replace(paper, batch=self.sizes.batch, precision=how[1], memory=how[2])

    def step(self, world: Network) -> float:
        """Seconds of a training step, the start of a phase taken off."""
        state = Masked().enter(world.start(0))

        def train(steps: int) -> Any:
            return world.train(state, world.recipe, Masked(), steps, max(1, steps))

        train(3)  # records
        whole, start = self.seconds(partial(train, self.sizes.steps)), self.seconds(partial(train, 0))
        return max(whole - start, 1e-9) / self.sizes.steps

    # ---- rows -------------------------------------------------------------------------------------------------------

    def ceilings(self) -> dict[str, Any]:
        """Bytes a second of a copy (read and written), operations a second of a square matrix product."""
        source = torch.ones(self.sizes.copied // 4, device=self.device)
        target = torch.empty_like(source)
        found = {"copy GB/s": 2 * source.nbytes / self.seconds(lambda: target.copy_(source)) / 1e9}
        n = self.sizes.products
        for precision in ("float32", "tfloat32", "bfloat16"):
            kind = torch.bfloat16 if precision == "bfloat16" else torch.float32
            a, b = (torch.randn(n, n, device=self.device).to(kind) for _ in range(2))
            with own_generator(self.device, precision):
                found[f"{precision} TFLOP/s"] = 2e-12 * n**3 / self.seconds(partial(torch.matmul, a, b))
        return found

    def steps_of(self, model: str, how: tuple[str, str, str]) -> dict[str, Any]:
        """Milliseconds a step, seconds an epoch, and the share of this precision's peak."""
        world = self.network(model, how)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always", RuntimeWarning)
            seconds = self.step(world)
        one = flops.forward(world.template, world.samples(), world.layout.names).dense
        peak = self.found.get("device", {}).get(f"{how[1]} TFLOP/s")
        rate = 3e-12 * one * self.sizes.batch / seconds
        per_epoch = len(self.data.labels) // self.sizes.batch
        found: dict[str, Any] = {"ms": 1e3 * seconds, "epoch s": per_epoch * seconds, "TFLOP/s": rate}
        found |= {"of peak": rate / peak} if peak else {}
        return found | ({"but": str(said[0].message)[:160]} if said else {})  # such as: it is not recorded

    def shares(self, model: str) -> dict[str, Any]:
        """What augmentation and a test pass each epoch take of an epoch."""
        plain = dataclasses.replace(self.data, augmentation=Augmentation())
        whole, bare = (self.step(self.network(model, BEST, data)) for data in (self.data, plain))
        world = self.network(model, BEST)
        tested, per_epoch = self.seconds(partial(world.test, world.start(0))), len(self.data.labels) // self.sizes.batch
        epoch = per_epoch * whole + tested
        return {"augmentation": max(0.0, 1 - bare / whole), "evaluation": tested / epoch, "epoch with test s": epoch}

    def projected(self, model: str) -> dict[str, Any]:
        """Minutes of dense training and ten rounds of 160 epochs, with a test pass an epoch."""
        return {"minutes": LEVELS * EPOCHS * self.found[f"{model} shares"]["epoch with test s"] / 60}

    def pruned(self, model: str) -> dict[str, Any]:
        """Iterative magnitude pruning as it is, with fewer epochs: seconds of every level, test passes included."""
        world, sizes = self.network(model, BEST), self.sizes
        world.chunk = per_epoch = len(self.data.labels) // sizes.batch
        kept = round(world.layout.n * KEPT ** (sizes.levels - 1))
        plan = Plan(world.layout, kept, sizes.epochs * per_epoch, world.recipe)
        seconds, last, accuracy = [0.0] * sizes.levels, [0, time.perf_counter()], float("nan")

        def watch(state: Any, trace: Any) -> None:
            nonlocal accuracy
            if state.cost > last[0]:
                accuracy, last[0] = world.test(state)[1], state.cost
            level, now = max(0, state.cost - 1) // plan.steps, time.perf_counter()
            seconds[level] += now - last[1]
            last[1] = now

        run(METHODS["imp"](plan, rounds=sizes.levels - 1), world, world.start(0), save=watch)
        return {"seconds": sum(seconds), "epochs": sizes.epochs, "levels": seconds, "accuracy": accuracy}

    def together(self, model: str, count: int) -> dict[str, Any]:
        """Steps a second of all replicas, each on a stream."""
        worlds = [self.network(model, BEST) for _ in range(count)]
        states = [Masked().enter(world.start(seed)) for seed, world in enumerate(worlds)]

        def train(steps: int) -> None:
            calls = [
                partial(world.train, state, world.recipe, Masked(), steps, steps)
                for world, state in zip(worlds, states, strict=True)
            ]
            replicas.together(calls, self.device)

        train(3)  # records
        return {"steps/s": count * self.sizes.steps / self.seconds(partial(train, self.sizes.steps))}

    def fast(self) -> dict[str, Any]:
        """The recipe "airbench", first step to last, recording included."""
        paper, data, sizes = RECIPES["airbench"], self.data, self.sizes
        batch = min(paper.recipe.batch, len(data.labels))
        inputs = torch.cat([x for x, _ in data.evaluation(data.images[:5000], data.labels[:5000])]).cpu()

        def model(seed: int) -> Any:
            return whitened(Named(paper.model, data.inputs, data.classes, sizes.width)(seed), inputs)

        recipe = dataclasses.replace(paper.recipe, batch=batch)
        world = Network(model, data, recipe=recipe, device=self.device, engine="captured")
        plan = Plan(
            world.layout, world.layout.n, max(1, round(sizes.fast_epochs * (len(data.labels) // batch))), recipe
        )
        start = world.start(0)
        self.wait()
        began = time.perf_counter()
        result = run(METHODS["dense"](plan), world, start)
        self.wait()
        seconds = time.perf_counter() - began
        return {"seconds": seconds, "epochs": sizes.fast_epochs, "accuracy": world.test(result.state)[1]}


def rows(bench: Bench) -> Iterator[Row]:
    """The table, the most telling rows first."""
    yield Row("device", 5, bench.ceilings)
    for model in bench.sizes.models:
        large = model != "resnet-20"
        for how in ALONE:
            yield Row(f"{model} {' '.join(how[:2])}", 10 if large else 6, partial(bench.steps_of, model, how))
        yield Row(f"{model} shares", 12 if large else 8, partial(bench.shares, model))
        yield Row(f"{model} projected", 0, partial(bench.projected, model))
    first = bench.sizes.models[0]
    yield Row(f"{first} pruned", 0.4 * bench.sizes.levels * bench.sizes.epochs, partial(bench.pruned, first))
    for count in bench.sizes.together:
        yield Row(f"{first} x {count}", 4 + 3 * count, partial(bench.together, first, count))
    yield Row("airbench", 20, bench.fast)


def measured(bench: Bench, budget: float, said: Callable[[str], Any] = lambda line: None) -> dict[str, dict[str, Any]]:
    """name -> numbers of each row; {"skipped": why} of what no longer fits, {"failed": why} of what broke."""
    began = time.perf_counter()
    for row in rows(bench):
        now = time.perf_counter()
        left = budget - (now - began)
        if row.seconds > left:
            bench.found[row.name] = {"skipped": f"some {row.seconds:.0f} s, and {max(left, 0):.0f} s were left"}
        else:
            bench.found[row.name] = _tried(row) | {"took s": time.perf_counter() - now}
        said(f"{row.name}: {bench.found[row.name]}")
    return bench.found


def _tried(row: Row) -> dict[str, Any]:
    try:
        return row.measure()
    except Exception as error:  # out of memory, a kernel that is missing, a row this one rests on: the others stand
        return {"failed": f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:160]}"}


def images(samples: int) -> DataSet:
    """CIFAR-10 where SPARSOPT_DATA has it, else noise of its size, with its augmentation; the first `samples`."""
    tests = min(10_000, samples)
    if os.environ.get("SPARSOPT_DATA"):
        return load("cifar10").subset(samples, tests)
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (samples + tests, 3, 32, 32), generator=generator, dtype=torch.uint8)
    labels = torch.randint(0, 10, (samples + tests,), generator=generator)
    train, test = (pixels[:samples], labels[:samples]), (pixels[samples:], labels[samples:])
    return from_arrays(*train, test, name="noise", classes=10, augmentation=Augmentation(flip=True, crop_padding=4))
