"""`python -m nets sweep`: many runs of `prune`, on all cores or a cluster, each in a folder of its own.

    python -m nets sweep --data mnist --methods imp rigl snip+shuffle --sparsity 0.9 0.98 --seeds 5 --out runs/mnist
    python -m nets sweep ... --print-commands           # one `python -m nets prune` a line, for any other runner
    python -m nets sweep ... --scheduler tcp://node:8786

A run is a `prune` command and its folder, so a sweep that was stopped continues, and a finished run is only read. Runs
that fail are said, do not stop the others, and are tried again next time.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from nets import workers
from nets.command import Prune, Train
from sparsopt.errors import InvalidInput, SparsoptError

__all__ = ["Sweep"]


@dataclass(frozen=True)
class Sweep(Train):
    """Prune with several methods, sparsities and seeds."""

    methods: tuple[str, ...] = ("dense", "random", "imp", "rigl")
    """names of `python -m nets methods`, also with controls: imp+reinit"""
    sparsity: tuple[float, ...] = (0.9,)
    """fractions of the prunable weights to remove"""
    seeds: int = 5
    """runs of each, with seeds `seed`, `seed` + 1, ..."""
    budget: int | None = None
    """training steps in all, instead of epochs: each method shares them out"""
    out: Path | None = Path("runs")
    """folder of the folders"""
    jobs: int = 0
    """processes at a time; default one a core, or one on a GPU"""
    scheduler: str = ""
    """address of a Dask scheduler (tcp://...), whose workers compute; they must see the folder"""
    print_commands: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """run nothing: print the command of each unfinished run"""

    def __call__(self) -> None:
        from nets.catalogue import find

        for method in self.methods:
            find(method)
        if self.seeds < 1 or self.jobs < 0 or self.out is None:
            raise InvalidInput("a sweep needs a folder, at least one seed, and jobs of 1 or more (0: one a core)")
        runs = list(self._runs())
        todo = [run for run in runs if not (_folder(run) / "result.json").exists()]
        if self.print_commands:
            print("\n".join(command(run) for run in todo))
            return
        failed = dict(self._computed(todo))
        for line in table(runs):
            print(line)
        for run, reason in failed.items():
            print(f"no result: {run}: {reason}")
        if failed:
            raise SparsoptError(f"{len(failed)} of {len(runs)} runs gave no result; the same command tries them again")

    def _runs(self) -> Iterator[Prune]:
        shared = {field.name: getattr(self, field.name) for field in dataclasses.fields(Train)}
        for method in self.methods:
            for sparsity in (0.0,) if method == "dense" else self.sparsity:
                for seed in range(self.seed, self.seed + self.seeds):
                    out = Path(self.out or "runs") / f"{method}-{sparsity:g}-seed-{seed}"
                    own: dict[str, Any] = {"seed": seed, "out": out, "budget": self.budget}
                    yield Prune(**(shared | own), method=method, sparsity=sparsity)

    def _computed(self, todo: Sequence[Prune]) -> Iterator[tuple[str, str]]:
        """(run, reason) of those that fail; a line on the error stream as runs end, if it is a terminal."""
        jobs = self.jobs or (1 if self.device != "cpu" else len(os.sched_getaffinity(0)))
        for done, (name, reason) in enumerate(workers.computed(_run, todo, jobs, 1, self.scheduler), 1):
            if sys.stderr.isatty():
                print(f"\r{done}/{len(todo)}  {name:<60}", end="\n" * (done == len(todo)), file=sys.stderr, flush=True)
            if reason:
                yield name, reason


def _folder(run: Prune) -> Path:
    assert run.out is not None
    return run.out


def _run(run: Prune, place: int) -> tuple[str, str]:
    """(name of the run, why it failed)."""
    import torch

    torch.set_num_threads(1)
    if run.device == "cuda":
        workers.use_gpu(place)
    try:
        run.run()
    except SparsoptError as error:
        return _folder(run).name, " ".join(str(error).split())
    return _folder(run).name, ""


def command(run: Prune) -> str:
    """The shell command of a run."""
    words = ["OMP_NUM_THREADS=1 python -m nets prune"]
    for field in dataclasses.fields(run):
        value = getattr(run, field.name)
        if value != field.default and value != ():
            text = str(value)
            words.append(f"--{field.name.replace('_', '-')} {workers.quoted(text) if ' ' in text else text}")
    return " ".join(words)


def table(runs: Sequence[Prune]) -> Iterator[str]:
    """One line a method and sparsity: accuracy as mean, least and largest over the seeds that are there."""
    groups: dict[tuple[str, float], list[Mapping[str, Any]]] = {}
    for run in runs:
        found = _result(_folder(run))
        if found is not None:
            groups.setdefault((str(run.method), run.sparsity), []).append(found)
    yield f"{'method':<24} {'sparsity':>9} {'seeds':>5} {'accuracy, %':>11} {'least':>6} {'largest':>7} {'steps':>9}"
    for (method, sparsity), found in groups.items():
        values, steps = [100 * one["accuracy"] for one in found], max(one["cost"]["steps"] for one in found)
        numbers = f"{sum(values) / len(values):11.2f} {min(values):6.2f} {max(values):7.2f} {steps:9,}"
        yield f"{method:<24} {sparsity:9.2%} {len(values):5d} {numbers}"


def _result(folder: Path) -> Mapping[str, Any] | None:
    try:
        return json.loads((folder / "result.json").read_bytes())
    except FileNotFoundError:
        return None
