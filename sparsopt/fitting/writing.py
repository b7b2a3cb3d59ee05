"""What was fitted as files: fit.json for programs, path.svg for the eye."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from sparsopt.errors import MissingCapability
from sparsopt.fitting.models import Fitted
from sparsopt.machine.files import replacing

__all__ = ["write"]


def write(fitted: Fitted, folder: Path) -> list[Path]:
    """fit.json, and path.svg where matplotlib is installed; the files that were written.

    Each file appears whole or not at all. Raises `DataError` where the folder cannot be written to.
    """
    from sparsopt.fitting.pictures import draw

    summary = fitted.summary()
    text = json.dumps(summary, indent=1, allow_nan=False) + "\n"
    written = []
    for name, save in (
        ("fit.json", lambda file: file.write_text(text)),
        ("path.svg", lambda file: draw(summary, file)),
    ):
        with contextlib.suppress(MissingCapability), replacing(folder / name) as file:  # no pictures without matplotlib
            save(file)
            written.append(folder / name)
    return written
