"""One big network on several processes: each takes its share of every batch, and gradients are averaged.

    torchrun --standalone --nproc-per-node 2 -m nets prune --data cifar10 --model resnet-56 --method imp --out runs/imp

Every process holds the whole state and makes every choice itself, from the same numbers, so masks, schedules and clocks
agree without being sent. What is sent is one vector a step. Process 0 writes the run's folder; all resume from it.

Sums are taken in another order than in one process, so weights agree to rounding. Batch norm normalises each share by
itself, as plain data parallelism does; what it remembers is averaged. Dropout draws other numbers in each process.

Outside `joined()` there is one process, and nothing here does anything.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch import distributed as dist

from sparsopt.errors import InvalidInput

__all__ = ["average", "average_memories", "count", "joined", "position", "rank", "share", "together"]


@contextmanager
def joined(device: str = "cpu") -> Iterator[None]:
    """Joins the processes that torchrun has started, if it has. On CUDA each takes the GPU of its number."""
    if int(os.environ.get("WORLD_SIZE", "1")) < 2 or dist.is_initialized():
        yield
        return
    on_gpu = device.startswith("cuda")
    if on_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if on_gpu else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def count() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Which of them this is, from 0."""
    return dist.get_rank() if count() > 1 else 0


def position() -> tuple[int, ...]:
    """What a key of random numbers gets that shall differ between processes; nothing in process 0."""
    return (rank(),) if rank() else ()


def share(batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """This process's part of a batch. Raises InvalidInput for a batch that does not divide: means would be weighted."""
    n, (inputs, targets) = count(), batch
    if n == 1:
        return batch
    if len(targets) % n:
        raise InvalidInput(f"batches of {len(targets)} cannot be shared by {n} processes: give a multiple of {n}")
    size = len(targets) // n
    mine = slice(rank() * size, (rank() + 1) * size)
    return inputs[mine], targets[mine]


def average(*tensors: Tensor) -> None:
    """Each tensor becomes its mean over the processes, in place."""
    if count() > 1:
        for tensor in tensors:
            dist.all_reduce(tensor)
            tensor.div_(count())


def average_memories(constants: Iterable[Tensor]) -> None:
    """What modules remember of their batches (batch norm's statistics) becomes the mean; counts stay."""
    if count() > 1:
        with torch.no_grad():
            average(*(constant for constant in constants if constant.is_floating_point()))


def together() -> None:
    """Waits until every process is here."""
    if count() > 1:
        dist.barrier()
