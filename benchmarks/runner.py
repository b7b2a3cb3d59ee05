"""Runs cells on all cores, or on a cluster, with one live line, and stops cleanly.

Cells are independent, so the longest go first and the finished are skipped. A cell that fails is recorded and does not
stop the others; a disk that cannot be written stops everything.
"""

from __future__ import annotations

import shlex
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import cast

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from benchmarks.cells import Cell, Failure, Store
from sparsopt.errors import InvalidInput, MissingCapability, SparsoptError


class WorkerDied(SparsoptError):
    """A process that computed cells was killed."""


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
        for done, cell in enumerate(_computed(todo, store, jobs, scheduler), 1):
            progress.update(task, advance=cell.weight, what=f"{done}/{len(todo)}  {cell.label}")
    return [Failure(cell, store.failure(cell)) for cell in cells if store.find(cell) is None]


def _progress() -> Progress:
    console = Console(stderr=True)
    columns = ("{task.description}", BarColumn(30), TextColumn("{task.percentage:>3.0f} %"), TimeElapsedColumn())
    left = (TextColumn("left"), TimeRemainingColumn(), TextColumn("{task.fields[what]}", style="dim"))
    return Progress(*columns, *left, console=console, transient=True, disable=not console.is_terminal)


def _computed(cells: Sequence[Cell], store: Store, jobs: int, scheduler: str) -> Iterator[Cell]:
    """The cells, each as soon as it has been computed."""
    if not scheduler and (jobs == 1 or len(cells) < 2):
        for cell in cells:
            _one(store, cell, 0)
            yield cell
        return
    import joblib

    calls = (joblib.delayed(_in_worker)(store, cell, place) for place, cell in enumerate(cells))
    with _workers(store, jobs, scheduler):
        try:
            for cell in joblib.Parallel(return_as="generator_unordered")(calls):
                yield cast(Cell, cell)
        except BrokenProcessPool as error:
            raise WorkerDied(
                "a process was killed from outside, perhaps for lack of memory (--jobs 1 needs less); "
                "what was finished is kept, and the same command continues"
            ) from error


@contextmanager
def _workers(store: Store, jobs: int, scheduler: str) -> Iterator[None]:
    """Where joblib runs its calls: processes of this machine, or the workers of a Dask scheduler."""
    import joblib

    if not scheduler:
        with joblib.parallel_config("loky", n_jobs=jobs, inner_max_num_threads=store.threads):
            yield
        return
    try:
        from dask.distributed import Client
    except ImportError as error:
        raise MissingCapability("--scheduler needs Dask: pip install 'dask[distributed]'") from error
    try:
        client = Client(scheduler, timeout=20)
    except (OSError, ValueError) as error:
        raise InvalidInput(f"no Dask scheduler answers at {scheduler}: {str(error).splitlines()[0]}") from error
    with client, joblib.parallel_config("dask", client=client, wait_for_workers_timeout=60):
        yield


def commands(cells: Sequence[Cell], store: Store) -> Iterator[str]:
    """A shell command for each cell that is not finished; they may run anywhere that sees the store's folder."""
    for cell in sorted({cell for cell in cells if store.find(cell) is None}, key=lambda cell: -cell.weight):
        yield f"python -m benchmarks cell {_quoted(repr(cell))} --out {store.root} --threads {store.threads}"


def _quoted(text: str) -> str:
    """For a shell, readable where it may be."""
    return shlex.quote(text) if set(text) & set('"$`\\!') else f'"{text}"'


def _in_worker(store: Store, cell: Cell, place: int) -> Cell:
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group: the parent ends its workers
    return _one(store, cell, place)


def _one(store: Store, cell: Cell, place: int) -> Cell:
    if getattr(cell, "device", "cpu") == "cuda":  # which of several: they are given round-robin
        import torch

        torch.cuda.set_device(place % torch.cuda.device_count())
    store.compute(cell)
    return cell
