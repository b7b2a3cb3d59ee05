"""A run's results as one JSON object and as CSV: one record a run of a method, in the order of the configuration."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.cells import Store, read
from sparsopt.errors import DataError

RUN, RESULTS = "run.json", "results.json"


def collect(panels: Mapping[str, Sequence[Any]], store: Store) -> dict[str, Any]:
    """Records of every cell by panel. A cell without a result has a record with `failure` in place of its numbers."""
    return {name: [row for cell in members for row in _rows(cell, store)] for name, members in panels.items()}


def _rows(cell: Any, store: Store) -> list[dict[str, Any]]:
    result = store.find(cell)
    return cell.records(result) if result is not None else cell.records({"failure": store.failure(cell)})


def load(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """(run, results) of a run folder. Raises DataError where there is no finished run."""
    run, found = read(folder / RUN), read(folder / RESULTS)
    if run is None or found is None or not run.get("finished"):
        raise DataError(f"{folder} holds no finished run (run.json and results.json); the same compare finishes it")
    return run, found


def as_csv(records: Sequence[Mapping[str, Any]]) -> str:
    """The records as CSV; nested values (densities, traces) are left to results.json."""
    names = list(dict.fromkeys(name for record in records for name, value in record.items() if _flat(value)))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: value for name, value in record.items() if _flat(value)} for record in records)
    return text.getvalue()


def _flat(value: Any) -> bool:
    return not isinstance(value, (dict, list))
