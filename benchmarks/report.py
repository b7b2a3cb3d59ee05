"""The report."""

from __future__ import annotations

from pathlib import Path

from benchmarks import results
from benchmarks.cells import write_text


def write(folder: Path) -> Path:
    """Render."""
    run, found = results.load(folder)
    for name, records in found.items():
        write_text(folder / f"{name}.csv", results.as_csv(records))
    return folder
