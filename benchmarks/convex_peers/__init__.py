"""Our convex solvers and the installed packages side by side: objective, support, seconds, memory, floor.

    python -m benchmarks convex                                   P1 to P8, three draws where they are random
    python -m benchmarks convex --suites core real growth         real data in SPARSOPT_DATA, and growing n and p, too
    python -m benchmarks convex --problems P7 --methods auto sklearn-omp abess
    python -m benchmarks convex --suites genes                    `auto` on gene expression: values and gaps
    python -m benchmarks convex --device cuda                     ours on Torch tensors there, beside NumPy arrays

First every method runs on every problem, in a process of its own with pinned threads; then `auto` meets the fastest
peer that is as good on each draw, both timed in turns in one process, and what is claimed about time is taken from
there. Peers are optional: what is not installed is left out; what crashes or does not end is a cell that says so.

Written under `--out`: results.json and results.csv, table.md and figure.svg. Finished cells are kept and found again,
so that the same command continues after Ctrl-C, and a repeated one writes the same tables; when our code changes, ours
are measured again and the peers are not.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks import cells, environment, results
from benchmarks.cells import Failure, Store
from benchmarks.convex_peers import devices, drawing, genes, methods, tables, verdict
from benchmarks.convex_peers.cell import Bench, Duel, OurCell, SideCell
from benchmarks.convex_peers.problems import SUITES, source
from benchmarks.convex_peers.process import ask
from benchmarks.designs import stored_at
from sparsopt.errors import DataError, InvalidInput

__all__ = ["Config", "main"]


@dataclass(frozen=True)
class Config:
    """Our convex solvers and other packages side by side, on P1 to P8 by default.

    With all nine packages P1 to P8 take about a quarter of an hour on two cores, most of it for compilation and for
    what needs seconds a solve; ours alone take two minutes, the suite real as long again. What is finished is kept:
    the same command continues after Ctrl-C. A progress line is shown on a terminal, and nothing in a pipe.
    """

    suites: tuple[Literal["core", "real", "growth", "genes"], ...] = ("core",)
    """core: P1 to P8; real: sets in SPARSOPT_DATA; growth: growing n and p; genes: values and gaps of auto alone."""
    problems: tuple[str, ...] = ()
    """Problems by name, in place of suites."""
    methods: tuple[str, ...] = ()
    """Methods by name. Default: ours, and every peer that is installed and fits the loss."""
    seeds: int = 3
    """Draws of each planted problem, and duels on every problem. With fewer than 3, nothing is separable."""
    threads: int = 1
    """Threads of each process."""
    jobs: int = 2
    """Processes at a time; they share the memory's bandwidth. Duels, the base of all claims, run alone in any case."""
    patience: float = 0.3
    """Seconds of repetitions of a method on a draw; the best counts. Duels last five times as long."""
    budget: float = 60.0
    """Seconds after which a process, that is a method on all draws of a problem, is ended. What it finished counts."""
    python: str = sys.executable
    """Interpreter of the measured processes, where the peers are installed (NumPy, SciPy and scikit-learn as well)."""
    device: str = ""
    """A Torch device, such as cuda: our methods on tensors there and on NumPy arrays, and nothing else."""
    out: Path = Path("results/convex")
    """Folder for results."""


DUEL = 5.0  # times the patience


def main(config: Config) -> int:
    """Measure what is missing; write and print the tables. 0, or 1 if a method of ours failed."""
    if min(config.seeds, config.threads, config.jobs) < 1 or config.patience < 0 or not config.budget > 0:
        raise InvalidInput("seeds, threads, jobs and budget must be positive, patience at least 0")
    if config.device:
        return _on_device(config)
    status = _side_by_side(config) if config.problems or set(config.suites) - {"genes"} else 0
    if "genes" in config.suites and not config.problems:
        text = genes.markdown(genes.measure())
        cells.write_text(config.out / "genes.md", text)
        print(text)
    return status


def _on_device(config: Config) -> int:
    """The table of `devices`, written and printed."""
    rows = devices.measure(
        config.problems or ("P1", "P2", "P4", "P7"), config.device, config.methods or devices.METHODS, config.patience
    )
    cells.write(config.out / f"{config.device}.json", {"rows": [asdict(row) for row in rows]})
    cells.write_text(config.out / f"{config.device}.md", devices.markdown(rows))
    print(devices.markdown(rows))
    return 0


def _side_by_side(config: Config) -> int:
    from benchmarks.runner import execute  # loads torch, which the measured processes need not have

    store, modules = Store(config.out, config.threads), _installed(config.python)
    members = _cells(config, modules)
    failures = execute(members, store, config.jobs, "methods")
    records: list[Any] = results.collect({"convex": members}, store)["convex"]
    duels = _duels(records, config, modules)
    failures += execute(duels, store, 1, "duels")
    _write(records, results.collect({"duels": duels}, store)["duels"], config, modules)
    return _complain(failures, records)


def _installed(python: str) -> dict[str, str]:
    """The packages' modules that this interpreter has, with their versions. Raises DataError if it does not run."""
    answer = ask(python, {"installed": True})
    if not answer.lines:
        raise DataError(f"{python} does not measure: {answer.failure}")
    return answer.lines[0]


def _cells(config: Config, modules: Mapping[str, str]) -> list[SideCell]:
    """One for every problem and method; what lacks its data is left out unless it was asked for by name."""
    for method in config.methods:
        methods.check(method)
    asked = config.problems or tuple(name for suite in config.suites for name in SUITES.get(suite, ()))
    here = [name for name in asked if not source(name).data or stored_at(source(name).data)]
    if config.problems and here != list(asked):
        raise DataError(f"{', '.join(set(asked) - set(here))}: set SPARSOPT_DATA to the folder that has the data")
    return [
        _cell(config, name, method, modules)
        for name in here
        for method in methods.names(name, source(name).loss, modules)
        if not config.methods or method in config.methods
    ]


def _cell(config: Config, problem: str, method: str, modules: Mapping[str, str]) -> SideCell:
    seeds = tuple(range(config.seeds if source(problem).random else 1))
    bench = _bench(config, method, modules)
    if method in methods.OURS:
        return OurCell(problem, method, seeds, bench)
    return SideCell(problem, method, seeds, bench, methods.code(method))


def _bench(config: Config, method: str, modules: Mapping[str, str]) -> Bench:
    """Of the versions, those that decide this method's numbers."""
    needed = ("numpy", "scipy", *(() if method in methods.OURS else (methods.peer(method).module,)))
    versions = tuple(f"{name} {modules[name]}" for name in needed if name in modules)
    return Bench(config.patience, config.budget, config.python, versions)


def _duels(records: Sequence[Any], config: Config, modules: Mapping[str, str]) -> list[Duel]:
    """With the fastest peer as good on every draw; on data that have one draw, as many times as there are seeds."""
    found = []
    for (problem, seed), rival in verdict.rivals(records).items():
        bench = _bench(config, rival, modules)
        longer = Bench(DUEL * bench.patience, bench.budget, bench.python, bench.versions)
        seeds = (seed,) if source(problem).random else range(config.seeds)
        found += [Duel(problem, rival, s, longer, methods.code(rival)) for s in seeds]
    return found


def _write(records: Sequence[Any], duels: Sequence[Any], config: Config, modules: Mapping[str, str]) -> None:
    machine = {"machine": environment.machine(), "threads": config.threads, "versions": dict(modules)}
    cells.write(config.out / results.RESULTS, {"convex": records, "duels": duels, **machine})
    cells.write_text(config.out / "results.csv", results.as_csv(records))
    text = "\n".join([tables.markdown(records), verdict.markdown(records, duels)])
    cells.write_text(config.out / "table.md", text)
    cells.write_text(config.out / "figure.svg", drawing.draw(tables.lines(records)))
    print(text)
    print(f"{config.out}: table.md, figure.svg, results.json, results.csv")


def _complain(failures: Sequence[Failure], records: Sequence[Any]) -> int:
    """Say what has no result; a peer that fails is a cell of the table, a method of ours is an error."""
    for failure in failures:
        print(f"no result: {failure.cell.label}: {failure.reason}")
    return int(any("failure" in r and r["method"] in methods.OURS for r in records))
