"""Independent calls on all cores, or on a cluster: joblib's processes, or the workers of a Dask scheduler.

    for result in computed(function, items, jobs=2):
        ...

What a call leaves behind is files, written whole or not at all, so that whatever dies, finished work stays finished.
"""

from __future__ import annotations

import shlex
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

from sparsopt.errors import InvalidInput, MissingCapability, SparsoptError

__all__ = ["WorkerDied", "computed", "quoted", "use_gpu"]


class WorkerDied(SparsoptError):
    """A process that computed was killed."""


def computed(
    function: Callable[[Any, int], Any], items: Sequence[Any], jobs: int, threads: int = 1, scheduler: str = ""
) -> Iterator[Any]:
    """function(item, place) for every item, each as soon as it is there; in this process for one job or item.

    scheduler: address of a Dask scheduler, whose workers compute instead; they must see the same files. A call that
    was on a worker that died begins again on another.
    """
    if not scheduler and (jobs == 1 or len(items) < 2):
        yield from (function(item, place) for place, item in enumerate(items))
        return
    import joblib

    calls = (joblib.delayed(_called)(function, item, place) for place, item in enumerate(items))
    with _backend(jobs, threads, scheduler):
        try:
            yield from joblib.Parallel(return_as="generator_unordered")(calls)
        except BrokenProcessPool as error:
            raise WorkerDied(
                "a process was killed from outside, perhaps for lack of memory (--jobs 1 needs less); "
                "what was finished is kept, and the same command continues"
            ) from error


@contextmanager
def _backend(jobs: int, threads: int, scheduler: str) -> Iterator[None]:
    import joblib

    if not scheduler:
        with joblib.parallel_config("loky", n_jobs=jobs, inner_max_num_threads=threads):
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


def _called(function: Callable[[Any, int], Any], item: Any, place: int) -> Any:
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group: the parent ends its workers
    return function(item, place)


def use_gpu(place: int) -> None:
    """Of several GPUs, "cuda" means the one whose turn it is."""
    import torch

    torch.cuda.set_device(place % torch.cuda.device_count())


def quoted(text: str) -> str:
    """A word for a shell, readable where it may be."""
    return shlex.quote(text) if set(text) & set('"$`\\!') else f'"{text}"'
