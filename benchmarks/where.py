"""Where a command computes, and where it keeps what it found: options that `compare` and `reproduce` share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from benchmarks import environment
from benchmarks.cells import Store
from sparsopt.errors import InvalidInput

__all__ = ["Here", "Where"]


@dataclass(frozen=True)
class Where:
    """Where to compute."""

    device: str = "cpu"
    """Where networks train: cpu, cuda, cuda:1, ..."""
    jobs: int = 0
    """Processes at a time. Default: one a core, or 1 on a GPU."""
    threads: int = 1
    """Threads a process. Part of the configuration: another number gives other last digits."""
    scheduler: str = ""
    """Address of a Dask scheduler (tcp://...), whose workers compute; they must see the folder of results."""
    print_commands: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Compute nothing: print a shell command for each unfinished cell, for any other runner."""
    out: Path = Path("results")
    """Folder for results."""

    def resolved_jobs(self) -> int:
        """Processes at a time. Raises InvalidInput for numbers that mean nothing."""
        if self.threads < 1 or self.jobs < 0:
            raise InvalidInput(f"threads = {self.threads} must be positive, jobs = {self.jobs} too, or 0: one a core")
        return self.jobs or (1 if self.device != "cpu" else max(1, environment.cores() // self.threads))

    @property
    def store(self) -> Store:
        """The finished cells there."""
        return Store(self.out, self.threads)


Here = Annotated[Where, tyro.conf.arg(name="")]  # a field of a command whose options bear no prefix
