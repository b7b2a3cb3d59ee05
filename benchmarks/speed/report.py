"""The tables of `benchmarks speed`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.speed.imp import Timing

LOOP = "plain loop, "
DEEP = 0.1


def _print(title: str, caption: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=120, no_color=True)
    shape = box.SIMPLE_HEAD if console.is_terminal else box.ASCII2
    table = Table(title=title, caption=caption, box=shape, title_justify="left", caption_justify="left")
    for i, name in enumerate(columns):
        table.add_column(name, justify="right" if i else "left")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def steps(by_density: Sequence[tuple[float, dict[str, float]]]) -> None:
    """Milliseconds by density and engine."""
    names = list(by_density[0][1])
    rows = [
        [f"{density:g}", *(f"{row[name]:.3f}" for name in names), f"{row[names[0]] / min(row.values()):.1f}"]
        for density, row in by_density
    ]
    caption = "ms, batch 128; ratio: dense over the fastest"
    _print("A training step, LeNet-300-100", caption, ("density", *names, "ratio"), rows)


def runs(timings: Sequence[Timing], sample: float) -> None:
    """Whole runs, and how many times as long each plain loop takes; sample: microseconds of one where that counts."""
    loops = [t for t in timings if t.name.startswith(LOOP)]
    against = [t.name.removeprefix(LOOP) for t in loops]
    caption = (
        f"processor time; a ratio is a loop's time over that of the line, deep: of levels at {DEEP:.0%} density and "
        f"below; a sample of the loop by sample takes {sample:.0f} us before it is collated; levels not timed "
        "are taken to cost as much"
    )
    head = ("", "s a run", *(f"{name} /" for name in against), "deep s", *(f"{name} /" for name in against), "timed")
    _print("Iterative magnitude pruning, LeNet-300-100", caption, head, [_run(t, loops) for t in timings])


def _run(one: Timing, loops: Sequence[Timing]) -> tuple[str, ...]:
    whole = [f"{loop.seconds / one.seconds:.1f}" for loop in loops]
    deep = [f"{loop.sparse(DEEP) / one.sparse(DEEP):.1f}" if one.sparse(DEEP) else "" for loop in loops]
    timed = f"{one.timed} of {len(one.levels)}"
    return one.name, f"{one.seconds:.1f}", *whole, f"{one.sparse(DEEP):.2f}", *deep, timed


def replicas(rates: tuple[float, float], seeds: int, jobs: int) -> None:
    """Throughput of several processes."""
    alone, together = rates
    rows = [("1 process", f"{alone:.3g}", "1"), (f"{jobs} processes", f"{together:.3g}", f"{together / alone:.2f}")]
    _print(f"{seeds} seeds of the same run", "workers are warm", ("", "runs a second", "ratio"), rows)


@dataclass(frozen=True)
class Pair:
    """Milliseconds of the dense and the sparse engine for the same work."""

    what: str
    density: float
    dense: float
    sparse: float

    @property
    def ratio(self) -> float:
        return self.dense / self.sparse


def pairs(title: str, caption: str, found: Sequence[Pair]) -> None:
    """Dense and sparse times by what was timed and density."""
    rows = [
        (one.what, f"{one.density:g}", f"{one.dense:.2f}", f"{one.sparse:.2f}", f"{one.ratio:.1f}") for one in found
    ]
    _print(title, caption, ("", "density", "dense", "sparse", "ratio"), rows)
