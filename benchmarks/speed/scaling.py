"""What grows with what: weights, training steps, cells of a comparison. Each cost is fitted by seconds = a size^slope.

    python -m benchmarks speed --scaling           # a minute

A slope of 1 is linear; below it a fixed part still weighs. What is measured: four training steps of a perceptron with
two equal hidden layers (weights, batch 128); choosing the largest half of n scores; a training phase (steps); finding
the finished cells of a comparison again.
"""

from __future__ import annotations

import math
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from rich import box
from rich.console import Console
from rich.table import Table
from torch import nn

from benchmarks import cells, environment
from benchmarks.cells import Store
from nets.data import DataSet, from_arrays
from nets.gates import Masked
from nets.recipe import Recipe
from nets.training import Network
from sparsopt import support as sp

RECIPE = Recipe(0.1, batch=128, name="sgd")


@dataclass(frozen=True)
class Line:
    """A cost: sizes, seconds for each, and the slope through them on logarithmic axes."""

    name: str
    sizes: tuple[int, ...]
    seconds: tuple[float, ...]

    @property
    def slope(self) -> float:
        """Least squares of log(seconds) on log(size)."""
        x, y = ([math.log(value) for value in values] for values in (self.sizes, self.seconds))
        return statistics.linear_regression(x, y).slope


@dataclass(frozen=True)
class Finished:
    """A cell that takes no time and is there already."""

    number: int
    kind: ClassVar[str] = "finished"
    packages: ClassVar[tuple[str, ...]] = ("numpy",)
    sources: ClassVar[tuple[str, ...]] = ("benchmarks/cells.py",)

    @property
    def weight(self) -> float:
        return 1.0

    @property
    def label(self) -> str:
        return f"{self.number}"

    def compute(self, folder: Path, threads: int) -> dict[str, Any]:
        return {"numbers": list(range(100))}


def lines(quick: bool = False, repeats: int = 5) -> Iterator[Line]:
    """Every cost; quick: small sizes, to see that it runs."""
    small = 50 if quick else 1
    yield _line("four training steps, by weights", (100_000, 400_000, 1_600_000, 6_400_000), _step, small, repeats)
    yield _line("the largest half, by weights", (400_000, 1_600_000, 6_400_000), _top, small, repeats)
    yield _line("a training phase, by steps", (200, 400, 800, 1600), _phase, small, repeats)
    with tempfile.TemporaryDirectory() as folder:
        found = partial(_found, Path(folder))
        yield _line("finished cells found, by cells", (250, 500, 1000, 2000), found, small, repeats)


def _line(
    name: str, sizes: Sequence[int], make: Callable[[int], tuple[int, Callable[[], Any]]], small: int, repeats: int
) -> Line:
    """Each size made, and the fastest of a few calls. Sizes are taken in turns, so that a busy moment hits all."""
    made = [make(size // small) for size in sizes]
    seconds = [math.inf] * len(made)
    for _ in range(repeats):
        for i, (_, work) in enumerate(made):
            began = time.perf_counter()
            work()
            seconds[i] = min(seconds[i], time.perf_counter() - began)
    return Line(name, tuple(size for size, _ in made), tuple(seconds))


def _data() -> DataSet:
    generator = torch.Generator().manual_seed(0)
    return from_arrays(torch.randn(2048, 64, generator=generator), torch.arange(2048) % 10)


def _network(weights: int) -> Network:
    """64 inputs, two hidden layers of one width, 10 outputs: about so many weights."""
    width = round((math.sqrt(74**2 + 4 * weights) - 74) / 2)
    layers = (nn.Linear(64, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10))
    return Network(nn.Sequential(*layers), _data(), recipe=RECIPE)


def _step(weights: int) -> tuple[int, Callable[[], Any]]:
    return _trained(_network(weights), 4)


def _phase(steps: int) -> tuple[int, Callable[[], Any]]:
    return steps, _trained(_network(20_000), steps)[1]


def _trained(network: Network, steps: int) -> tuple[int, Callable[[], Any]]:
    state = Masked().enter(network.start(0))
    return network.layout.n, partial(network.train, state, RECIPE, Masked(), steps, steps)


def _top(weights: int) -> tuple[int, Callable[[], Any]]:
    scores = torch.rand(weights, generator=torch.Generator().manual_seed(0))
    return weights, partial(sp.top, scores, weights // 2)


def _found(folder: Path, count: int) -> tuple[int, Callable[[], Any]]:
    from benchmarks.runner import execute

    some, store = [Finished(i) for i in range(count)], Store(folder / str(count))
    for cell in some:
        store.compute(cell)

    def find() -> None:
        assert not execute(some, Store(store.root), 1)

    return count, find


def report(quick: bool, out: Path) -> list[Line]:
    """Measured, printed and written."""
    torch.set_num_threads(1)
    measured = list(lines(quick, 1 if quick else 5))
    console = Console()
    console = console if console.is_terminal else Console(width=120, no_color=True)
    shape = box.SIMPLE_HEAD if console.is_terminal else box.ASCII2
    table = Table(title="What grows with what", caption="a slope of 1 is linear", box=shape, title_justify="left")
    for name in ("", "sizes", "ms", "slope"):
        table.add_column(name, justify="right" if name == "slope" else "left")
    for line in measured:
        sizes, times = ", ".join(f"{n:,}" for n in line.sizes), ", ".join(f"{1e3 * s:.3g}" for s in line.seconds)
        table.add_row(line.name, sizes, times, f"{line.slope:.2f}")
    console.print(table)
    content = {line.name: {"sizes": line.sizes, "seconds": line.seconds, "slope": line.slope} for line in measured}
    versions = environment.versions(("numpy", "torch"))
    cells.write(out / "scaling.json", {"costs": content, "machine": environment.machine(), "versions": versions})
    return measured
