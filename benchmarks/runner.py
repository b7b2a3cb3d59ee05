"""Runs cells on all cores, with one live line, and stops cleanly.

Cells are independent, so the longest go first and the finished are skipped. A cell that fails is recorded and does not
stop the others; a disk that cannot be written stops everything.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import cast

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from benchmarks.cells import Cell, Failure, Store
from sparsopt.errors import SparsoptError


class WorkerDied(SparsoptError):
    """A process that computed cells was killed."""


def execute(cells: Sequence[Cell], store: Store, jobs: int, title: str = "") -> list[Failure]:
    """Compute every cell that is not finished; returns those that failed. `jobs` processes, one at a time for 1.

    The live line goes to stderr, and only to a terminal. Raises OSError where results cannot be written, and
    KeyboardInterrupt; what was finished stays finished.
    """
    todo = sorted({cell for cell in cells if store.find(cell) is None}, key=lambda cell: (-cell.weight, cell.label))
    total = sum(cell.weight for cell in todo)
    with _progress() as progress:
        task = progress.add_task(title, total=total, what=f"{len(todo)} to compute, {len(cells) - len(todo)} found")
        for done, cell in enumerate(_computed(todo, store, jobs), 1):
            progress.update(task, advance=cell.weight, what=f"{done}/{len(todo)}  {cell.label}")
    return [Failure(cell, store.failure(cell)) for cell in cells if store.find(cell) is None]


def _progress() -> Progress:
    console = Console(stderr=True)
    columns = ("{task.description}", BarColumn(30), TextColumn("{task.percentage:>3.0f} %"), TimeElapsedColumn())
    left = (TextColumn("left"), TimeRemainingColumn(), TextColumn("{task.fields[what]}", style="dim"))
    return Progress(*columns, *left, console=console, transient=True, disable=not console.is_terminal)


def _computed(cells: Sequence[Cell], store: Store, jobs: int) -> Iterator[Cell]:
    """The cells, each as soon as it has been computed."""
    if jobs == 1 or len(cells) < 2:
        for cell in cells:
            _one(store, cell)
            yield cell
        return
    import joblib

    calls = (joblib.delayed(_in_worker)(store, cell) for cell in cells)
    with joblib.parallel_config("loky", n_jobs=jobs, inner_max_num_threads=store.threads):
        try:
            for cell in joblib.Parallel(return_as="generator_unordered")(calls):
                yield cast(Cell, cell)
        except BrokenProcessPool as error:
            raise WorkerDied(
                "a process was killed from outside, perhaps for lack of memory (--jobs 1 needs less); "
                "what was finished is kept, and the same command continues"
            ) from error


def _in_worker(store: Store, cell: Cell) -> Cell:
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group: the parent ends its workers
    return _one(store, cell)


def _one(store: Store, cell: Cell) -> Cell:
    store.compute(cell)
    return cell
