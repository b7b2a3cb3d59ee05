"""Cells: what a comparison is made of, and the store that finds them again.

A cell is a frozen dataclass; `compute` is a pure function from its fields, the packages' versions, the source code and
the number of threads to a JSON object. All of these together are its configuration, whose hash names its folder:

    results/cells/<hash>/result.json     finished: written whole or not at all, with the configuration inside
                         failure.json    it failed, and why, in one line; tried again next time
                         run/            where a long cell keeps its checkpoints; gone once it is finished

A cell is finished if result.json is there and holds this very configuration. Everything else is unfinished.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import shutil
import time
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import IO, Any, ClassVar, Protocol

from benchmarks import environment
from sparsopt.errors import SparsoptError

PLAIN = (str, int, float, bool, type(None))


class Cell(Protocol):
    """One point of a comparison. packages, sources: the code besides this cell that decides its numbers."""

    kind: ClassVar[str]
    packages: ClassVar[tuple[str, ...]]
    sources: ClassVar[tuple[str, ...]]

    @property
    def label(self) -> str:
        """What the progress line says."""
        ...

    @property
    def weight(self) -> float:
        """Roughly how long it takes, in any unit that the cells of one run share."""
        ...

    def compute(self, folder: Path, threads: int) -> dict[str, Any]:
        """The result; may keep checkpoints in `folder`, which need not exist yet."""
        ...


class StaleCode(SparsoptError):
    """A process has loaded other code than the one that asked it to compute."""


@dataclass(frozen=True)
class Failure:
    """A cell that did not give a result, and why."""

    cell: Any
    reason: str


@dataclass(frozen=True)
class Store:
    """Results of cells under a folder, found by the hash of their configuration."""

    root: Path
    threads: int = 1
    code: dict[str, dict[str, Any]] = field(default_factory=dict, compare=False, repr=False)

    def configuration(self, cell: Cell) -> dict[str, Any]:
        """All that decides the result of a cell, as JSON."""
        return {
            "kind": cell.kind,
            "cell": fields(cell),
            "threads": self.threads,
            **self.provenance(cell),
        }

    def provenance(self, cell: Cell) -> dict[str, Any]:
        """Versions and source of the code that computes such cells, as they were when the store was first asked."""
        if cell.kind not in self.code:
            self.code[cell.kind] = provenance(cell)
        return self.code[cell.kind]

    def name(self, cell: Cell) -> str:
        """The hash of the configuration."""
        return digest(self.configuration(cell))

    def folder(self, cell: Cell) -> Path:
        return self.root / "cells" / self.name(cell)

    def find(self, cell: Cell) -> dict[str, Any] | None:
        """The result of a finished cell, else None."""
        asked = self.configuration(cell)
        found = read(self.root / "cells" / digest(asked) / "result.json")
        if found is None or found.get("configuration") != asked:
            return None
        return found["result"]

    def seconds(self, cell: Cell) -> float:
        """Wall time of the call that finished the cell; 0 for one that is not finished."""
        found = read(self.folder(cell) / "result.json")
        return 0.0 if found is None else float(found.get("seconds", 0.0))

    def failure(self, cell: Cell) -> str:
        """Why the cell has no result."""
        found = read(self.folder(cell) / "failure.json")
        return "it was not computed" if found is None else found["reason"]

    def compute(self, cell: Cell) -> None:
        """Compute an unfinished cell and write its result, or why there is none.

        An OSError (no space left, a folder that cannot be written) is nobody's result, and is raised.
        """
        if self.find(cell) is not None:
            return
        if provenance(cell) != self.provenance(cell):
            raise StaleCode("the source code changed while the comparison ran; start it again")
        folder, began = self.folder(cell), time.monotonic()
        try:
            result = cell.compute(folder / "run", self.threads)
        except OSError:
            raise
        except Exception as error:
            self._write(cell, "failure.json", reason=_reason(error))
            return
        self._write(cell, "result.json", result=result, seconds=time.monotonic() - began)
        with contextlib.suppress(FileNotFoundError):
            (folder / "failure.json").unlink()
        shutil.rmtree(folder / "run", ignore_errors=True)

    def _write(self, cell: Cell, name: str, **content: Any) -> None:
        where = environment.machine(getattr(cell, "device", "cpu"))
        write(self.folder(cell) / name, {"configuration": self.configuration(cell), "machine": where, **content})


def provenance(cell: Cell) -> dict[str, Any]:
    """Versions and source of the code that computes such cells, as this process first found them."""
    return _provenance(cell.packages, cell.sources)


@cache
def _provenance(packages: tuple[str, ...], sources: tuple[str, ...]) -> dict[str, Any]:
    return {"versions": environment.versions(packages), "source": environment.source_digest(sources)}


def fields(thing: Any) -> dict[str, Any]:
    """The fields of a dataclass as JSON; what JSON does not know is written as Python would (`repr`)."""
    return {f.name: _plain(getattr(thing, f.name)) for f in dataclasses.fields(thing)}


def _plain(value: Any) -> Any:
    if isinstance(value, PLAIN):
        return value
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else repr(value)


def digest(configuration: Any) -> str:
    """A hash of a JSON object."""
    return hashlib.sha256(json.dumps(configuration, sort_keys=True).encode()).hexdigest()[:16]


def read(path: Path) -> dict[str, Any] | None:
    """A JSON object from a file; None if there is no whole one."""
    try:
        content = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def write(path: Path, content: Any) -> None:
    """A JSON object into a file: all of it, or the file stays as it was."""
    write_text(path, json.dumps(content, indent=1) + "\n")


def write_text(path: Path, text: str) -> None:
    """Text into a file: all of it, or the file stays as it was. Raises OSError."""
    from sparsopt.machine.files import write_atomically

    def fill(file: IO[bytes]) -> None:
        file.write(text.encode())

    write_atomically(path, fill)


def _reason(error: Exception) -> str:
    first = (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}: {first}"[:300]
