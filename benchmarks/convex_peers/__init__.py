"""Our convex solvers and the installed packages side by side: objective, support, seconds, memory, floor.

    python -m benchmarks convex                                   P1 to P8, one seed
    python -m benchmarks convex --seeds 3 --suites core real growth
    python -m benchmarks convex --problems P7 --methods auto sklearn-omp abess
    python -m benchmarks convex --suites genes                    `auto` on gene expression: values and gaps
    python -m benchmarks convex --device cuda                     ours on Torch tensors there, beside NumPy arrays

Every method runs in a process of its own with pinned threads; each cell (a problem at a seed) is measured in one go, so
ratios are ratios within one run. Peers are optional: what is not installed is left out. Written under `--out`:
results.json and results.csv, table.md and figure.svg; finished cells are kept and found again.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks import cells, environment, results
from benchmarks.cells import Store
from benchmarks.convex_peers import devices, drawing, genes, methods, tables
from benchmarks.convex_peers.cell import SideCell, ask
from benchmarks.convex_peers.problems import SUITES, source
from sparsopt.errors import DataError, InvalidInput


@dataclass(frozen=True)
class Config:
    """Our convex solvers and other packages side by side."""

    suites: tuple[Literal["core", "real", "growth", "genes"], ...] = ("core",)
    """core: P1 to P8; real: sets in SPARSOPT_DATA; growth: growing n and p; genes: values and gaps of auto alone."""
    problems: tuple[str, ...] = ()
    """Problems by name, in place of suites."""
    methods: tuple[str, ...] = ()
    """Methods by name. Default: ours, and every peer that is installed and fits the loss."""
    seeds: int = 1
    """Draws of each planted problem."""
    threads: int = 1
    """Threads of each process."""
    patience: float = 0.5
    """Seconds of repetitions; the best counts."""
    budget: float = 60.0
    """Seconds after which a method is ended."""
    python: str = sys.executable
    """Interpreter of the measured processes, where the peers are installed (NumPy, SciPy and scikit-learn as well)."""
    device: str = ""
    """A Torch device, such as cuda: our methods on tensors there and on NumPy arrays, and nothing else."""
    out: Path = Path("results/convex")
    """Folder for results."""


def main(config: Config) -> int:
    """Measure what is missing; write and print the tables. 0, or 1 if a cell failed."""
    if config.seeds < 1 or config.threads < 1 or config.patience < 0 or not config.budget > 0:
        raise InvalidInput("seeds, threads and budget must be positive, patience at least 0")
    if config.device:
        return _on_device(config)
    from benchmarks.runner import execute  # loads torch, which the measured processes need not have

    store, failures = Store(config.out, config.threads), []
    modules = ask(config.python, {"installed": True})
    members = _cells(config, modules)
    if members:
        failures = execute(members, store, 1, "convex")
        _write(members, store, config, modules)
    if "genes" in config.suites and not config.problems:
        text = genes.markdown(genes.measure())
        cells.write_text(config.out / "genes.md", text)
        print(text)
    for failure in failures:
        print(f"no result: {failure.cell.label}: {failure.reason}")
    return 1 if failures else 0


def _on_device(config: Config) -> int:
    """The table of `devices`, written and printed."""
    rows = devices.measure(
        config.problems or ("P1", "P2", "P4", "P7"), config.device, config.methods or devices.METHODS, config.patience
    )
    cells.write(config.out / f"{config.device}.json", {"rows": [asdict(row) for row in rows]})
    cells.write_text(config.out / f"{config.device}.md", devices.markdown(rows))
    print(devices.markdown(rows))
    return 0


def _cells(config: Config, modules: Mapping[str, str]) -> list[SideCell]:
    """One for every problem and seed; what lacks its data is left out unless it was asked for by name."""
    asked = config.problems or tuple(name for suite in config.suites for name in SUITES.get(suite, ()))
    return [cell for name in asked for cell in _seeds(config, name, modules)]


def _seeds(config: Config, name: str, modules: Mapping[str, str]) -> list[SideCell]:
    problem = source(name)
    try:
        fitting = methods.names(name, problem.draw(0), modules)
    except DataError:
        if config.problems:
            raise
        return []
    for method in config.methods:
        methods.solver(method)
    chosen = tuple(method for method in config.methods or fitting if method in fitting)
    seeds = range(config.seeds if problem.random else 1)
    return [SideCell(name, seed, chosen, config.patience, config.budget, config.python) for seed in seeds]


def _write(members: Sequence[SideCell], store: Store, config: Config, modules: Mapping[str, str]) -> None:
    found: dict[str, Any] = results.collect({"convex": members}, store)
    records = found["convex"]
    versions = {**environment.versions(SideCell.packages), **modules}
    machine = {"machine": environment.machine(), "threads": config.threads, "versions": versions}
    cells.write(config.out / results.RESULTS, {**found, **machine})
    cells.write_text(config.out / "results.csv", results.as_csv(records))
    measured = [record for record in records if "method" in record]
    text = tables.markdown(measured)
    cells.write_text(config.out / "table.md", text)
    cells.write_text(config.out / "figure.svg", drawing.draw(tables.lines(measured)))
    print(text)
    print(f"{config.out}: table.md, figure.svg, results.json, results.csv")
