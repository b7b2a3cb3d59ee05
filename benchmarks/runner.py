"""Runs cells on all cores, or on a cluster, with one live line, and stops cleanly.

Cells are independent, so the longest go first and the finished are skipped. A cell that fails is recorded and does not
stop the others; a disk that cannot be written stops everything.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from benchmarks.cells import Cell, Failure, Store
from nets import workers


def execute(cells: Sequence[Cell], store: Store, jobs: int, title: str = "", scheduler: str = "") -> list[Failure]:
    """Compute every cell that is not finished; returns those that failed. `jobs` processes, one at a time for 1.

    scheduler: address of a Dask scheduler, whose workers compute instead; they must see the store's folder.

    The live line goes to stderr, and only to a terminal. Raises OSError where results cannot be written, and
    KeyboardInterrupt; what was finished stays finished.
    """
    todo = sorted({cell for cell in cells if store.find(cell) is None}, key=lambda cell: (-cell.weight, cell.label))
    total = sum(cell.weight for cell in todo)
    with _progress() as progress:
        task = progress.add_task(title, total=total, what=f"{len(todo)} to compute, {len(cells) - len(todo)} found")
        for done, cell in enumerate(workers.computed(partial(_one, store), todo, jobs, store.threads, scheduler), 1):
            progress.update(task, advance=cell.weight, what=f"{done}/{len(todo)}  {cell.label}")
    return [Failure(cell, store.failure(cell)) for cell in cells if store.find(cell) is None]


def _progress() -> Progress:
    console = Console(stderr=True)
    columns = ("{task.description}", BarColumn(30), TextColumn("{task.percentage:>3.0f} %"), TimeElapsedColumn())
    left = (TextColumn("left"), TimeRemainingColumn(), TextColumn("{task.fields[what]}", style="dim"))
    return Progress(*columns, *left, console=console, transient=True, disable=not console.is_terminal)


def commands(cells: Sequence[Cell], store: Store) -> Iterator[str]:
    """A shell command for each cell that is not finished; they may run anywhere that sees the store's folder."""
    for cell in sorted({cell for cell in cells if store.find(cell) is None}, key=lambda cell: -cell.weight):
        yield f"python -m benchmarks cell {workers.quoted(repr(cell))} --out {store.root} --threads {store.threads}"


def _one(store: Store, cell: Cell, place: int) -> Cell:
    if getattr(cell, "device", "cpu") == "cuda":
        workers.use_gpu(place)
    store.compute(cell)
    return cell
