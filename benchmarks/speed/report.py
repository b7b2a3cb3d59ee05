"""The tables of `benchmarks speed`."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.speed.convolutions import Pair
from benchmarks.speed.imp import Timing


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
        [f"{density:g}", *(f"{row[name]:.3f}" for name in names), f"{row[names[0]] / row[names[-1]]:.1f}"]
        for density, row in by_density
    ]
    _print("A training step, LeNet-300-100", "ms, batch 128", ("density", *names, "ratio"), rows)


def runs(timings: Sequence[Timing]) -> None:
    """Whole runs, and how many times the fastest of ours is ahead of each."""
    best = min((t for t in timings if t.name.startswith("sparsopt")), key=lambda t: t.seconds)
    rows = [_run(t, best) for t in timings]
    caption = (
        f"a ratio is a run's time over that of '{best.name}'; levels that were not timed are taken to cost as much"
    )
    head = ("", "s a run", "ratio", "at 10 % density and below", "levels timed")
    _print("Iterative magnitude pruning, LeNet-300-100", caption, head, rows)


def _run(one: Timing, best: Timing) -> tuple[str, ...]:
    deep = f"{one.sparse() / best.sparse():.1f}" if best.sparse() > 0 else ""
    ratio, timed = one.seconds / best.seconds, f"{one.timed} of {len(one.levels)}"
    return one.name, f"{one.seconds:.1f}", f"{ratio:.1f}", deep, timed


def replicas(rates: tuple[float, float], seeds: int, jobs: int) -> None:
    """Throughput of several processes."""
    alone, together = rates
    rows = [("1 process", f"{alone:.3g}", "1"), (f"{jobs} processes", f"{together:.3g}", f"{together / alone:.2f}")]
    _print(f"{seeds} seeds of the same run", "workers are warm", ("", "runs a second", "ratio"), rows)


def pairs(title: str, caption: str, found: Sequence[Pair]) -> None:
    """Dense and sparse times by what was timed and density."""
    rows = [
        (one.what, f"{one.density:g}", f"{one.dense:.2f}", f"{one.sparse:.2f}", f"{one.ratio:.1f}") for one in found
    ]
    _print(title, caption, ("", "density", "dense", "sparse", "ratio"), rows)
