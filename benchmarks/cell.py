"""One cell by itself: what any outside runner (a Slurm array, submitit, a second machine) can call.

    python -m benchmarks compare --print-commands > todo.sh          # a line a cell that is not finished
    python -m benchmarks cell "NetworkCell(data='digits', ...)"      # one of them

The cell is written as Python writes it. A finished one is left alone, so nothing is computed twice.
"""

from __future__ import annotations

import dataclasses
import importlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from benchmarks.cells import Store
from sparsopt.errors import InvalidInput

MODULES = (  # where the names in a cell live
    *("benchmarks.networks", "benchmarks.convex", "nets.recipe", "nets.weights", "nets.structured.rule"),
)


@dataclass(frozen=True)
class Cell:
    """Compute one cell of a comparison, if it is not finished."""

    cell: Annotated[str, tyro.conf.Positional]
    """The cell, as --print-commands writes it."""
    out: Path = Path("results")
    """Folder for results, that of the comparison."""
    threads: int = 1
    """Threads, those of the comparison."""


def main(config: Cell) -> int:
    """0, or 1 if the cell failed; the reason is kept beside its result, and said."""
    store, cell = Store(config.out, config.threads), parse(config.cell)
    store.compute(cell)
    if store.find(cell) is None:
        print(f"{cell.label}: {store.failure(cell)}")
        return 1
    print(f"{cell.label}: {store.folder(cell)}")
    return 0


def parse(text: str) -> Any:
    """The cell that `repr` wrote. Knows the dataclasses of cells and recipes, and nothing else."""
    names: dict[str, Any] = {"__builtins__": {}, "inf": math.inf, "nan": math.nan}
    for module in MODULES:
        found = vars(importlib.import_module(module))
        names |= {
            name: kind for name, kind in found.items() if isinstance(kind, type) and dataclasses.is_dataclass(kind)
        }
    try:
        cell = eval(text, names)
    except Exception as error:
        raise InvalidInput(f"{text[:60]}... is no cell ({error}); --print-commands writes them") from error
    if not hasattr(cell, "compute"):
        raise InvalidInput(f"{text[:60]}... is a {type(cell).__name__}, not a cell; --print-commands writes them")
    return cell
