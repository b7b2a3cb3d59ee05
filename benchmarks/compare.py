"""The main job: run a comparison, print its table, and write its report.

    python -m benchmarks compare
    python -m benchmarks compare --data mnist --methods imp rigl acdc dense --sparsity 0.9 0.98 --seeds 3 --epochs 2
    python -m benchmarks compare --panel convex

Everything is written under `--out`: results/RUN/ holds report.html, the results as CSV and JSON, and run.json with the
full configuration; results/cells/ holds what was computed, and is used again by other comparisons.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from benchmarks import cells, convex, designs, environment, networks, report, results, terminal
from benchmarks.cells import Failure, Store
from benchmarks.runner import commands, execute
from benchmarks.where import Here, Where
from sparsopt.errors import InvalidInput

TRAININGS = 4.0
QUICK = ("dense", "random", "imp", "imp-reinit", "growth", "rigl", "acdc")


@dataclass(frozen=True)
class Compare:
    """Compare the convex solvers with each other, and greedy pruning with iterative magnitude pruning."""

    data: Literal["digits", "mnist", "fashion", "cifar10"] = "digits"
    """Images of the network panel. Only digits needs no download."""
    model: str = ""
    """Network, as nets.models names it. Default: one that suits the data."""
    width: float = 1.0
    """Factor on the network's channels and hidden units."""
    methods: tuple[str, ...] = networks.METHODS
    """Network methods, as `nets.methods()` names them, or with a control (imp+reinit), and for whole channels scratch-E
    and scratch-B; imp is the reference."""
    sparsity: tuple[float, ...] = (0.8, 0.9, 0.95, 0.98)
    """Fractions of the prunable weights to remove; of channels, for methods that remove those."""
    seeds: int = 5
    """Runs of each method, with seeds 0, 1, ..."""
    epochs: float = 0.0
    """Length of one training. Default: the recipe's."""
    trainings: float = TRAININGS
    """Equal cost: the steps of this many trainings, for every method."""
    costs: tuple[Literal["equal", "own"], ...] = ("equal", "own")
    """Rules of cost of the network panel."""
    part: Literal["test", "validation"] = "test"
    """Where accuracy is measured. Choose settings of your own on validation, a tenth of the training split."""
    panel: Literal["both", "convex", "networks"] = "both"
    """What to compare."""
    problems: tuple[str, ...] = designs.DEFAULT
    """Problems of the convex panel: wide, tall, diabetes, diabetes-2, P7, and with SPARSOPT_DATA riboflavin."""
    solvers: tuple[str, ...] = convex.METHODS
    """Convex methods, as `sparsopt.methods()` names them, and scikit-learn's."""
    quick: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """A small comparison that ends within a minute: fewer methods, sparsities, seeds and epochs."""
    where: Here = Where()
    """Where to compute."""

    def resolved(self) -> Compare:
        """The same with every default filled in. Raises InvalidInput for what cannot be run."""
        from benchmarks.recipes import MODELS, setting
        from benchmarks.structured import find
        from sparsopt.names import lookup

        model = self.model or MODELS[self.data]
        small = (
            {"methods": QUICK, "sparsity": (0.9, 0.98), "seeds": 3, "epochs": 5.0, "problems": ("tall", "diabetes")}
            if self.quick
            else {}
        )
        for method in self.methods:
            find(method)
        for solver in self.solvers:
            lookup(dict.fromkeys((*convex.METHODS, *convex.ASKED_FOR)), solver, "convex method")
        for problem in self.problems:
            lookup(designs.PROBLEMS, problem, "convex problem")
        if self.seeds < 1 or self.epochs < 0 or not self.trainings > 0:
            raise InvalidInput("seeds and trainings must be positive; epochs positive, or 0 for the recipe's")
        if not all(0 <= sparsity < 1 for sparsity in self.sparsity):
            raise InvalidInput(f"sparsity is the fraction of weights to remove, in [0, 1), not {self.sparsity}")
        epochs = self.epochs or setting(self.data, model).epochs
        where = dataclasses.replace(self.where, jobs=self.where.resolved_jobs())
        return dataclasses.replace(self, **{"model": model, "epochs": epochs, "where": where, **small})


def main(config: Compare) -> int:
    """Compute what is missing, then write and print the results. 0, or 1 if a cell failed."""
    config = config.resolved()
    where, store = config.where, config.where.store
    panels = cells_of(config)
    if any(store.find(cell) is None for cell in panels.get("networks", ())):
        _check_data(config)
    if where.print_commands:
        print("\n".join(commands([cell for members in panels.values() for cell in members], store)))
        return 0
    folder = run_folder(config, panels, store)
    cells.write(folder / results.RUN, _run(config, panels, store, None))
    failures = [
        failure
        for name, members in panels.items()
        for failure in execute(members, store, where.jobs, name, where.scheduler)
    ]
    cells.write(folder / results.RESULTS, results.collect(panels, store))
    cells.write(folder / results.RUN, _run(config, panels, store, failures))
    written = report.up_to_date(folder)
    terminal.show(folder)
    print(f"report: {written}")
    return 1 if failures else 0


def cells_of(config: Compare) -> dict[str, list[Any]]:
    """The cells of each panel of a resolved configuration."""
    panels: dict[str, list[Any]] = {}
    if config.panel in ("both", "convex"):
        panels["convex"] = list(convex.cells(config.problems, config.solvers, range(config.seeds)))
    if config.panel in ("both", "networks"):
        budgets = {"equal": config.trainings, "own": None}
        panels["networks"] = list(
            networks.cells(
                config.data, config.model, config.methods, config.sparsity, range(config.seeds), config.epochs,
                {rule: budgets[rule] for rule in config.costs}, config.where.device, config.part, config.width,
            )
        )  # fmt: skip
    return panels


def _check_data(config: Compare) -> None:
    """Refuse before anything runs: data that are not there, a model that does not fit them."""
    import nets

    data = nets.data.load(config.data)
    nets.models.build(config.model, data.inputs, data.classes, width=config.width)


def run_folder(config: Compare, panels: dict[str, list[Any]], store: Store) -> Path:
    """results/DATA-MODEL-HASH, the hash being that of what is compared and of the code that computes it."""
    names = sorted(store.name(cell) for members in panels.values() for cell in members)
    name = "convex" if config.panel == "convex" else f"{config.data}-{config.model}"
    return config.where.out / f"{name}-{cells.digest([config.panel, names])[:8]}"


def _run(
    config: Compare, panels: dict[str, list[Any]], store: Store, failures: Sequence[Failure] | None
) -> dict[str, Any]:
    """What a run writes beside its results. failures: None while it is unfinished."""
    members = [cell for group in panels.values() for cell in group]
    packages = sorted({name for cell in members for name in cell.packages})
    return {
        "finished": failures is not None,
        "seconds": sum(store.seconds(cell) for cell in members),
        "configuration": _fields(config),
        "seeds": list(range(config.seeds)),
        "versions": environment.versions(packages),
        "source": {name: store.provenance(group[0])["source"] for name, group in panels.items() if group},
        "threads": config.where.threads,
        "machine": environment.machine(config.where.device),
        "failures": [{"cell": cells.fields(failure.cell), "reason": failure.reason} for failure in failures or ()],
        "cells": {name: [store.name(cell) for cell in group] for name, group in panels.items()},
    }


def _fields(config: Compare) -> dict[str, Any]:
    """The options as JSON, without the folder's own place."""
    where = dataclasses.replace(config.where, out=Path(config.where.out.name))
    return {name: value for name, value in cells.fields(config).items() if name != "where"} | cells.fields(where)
