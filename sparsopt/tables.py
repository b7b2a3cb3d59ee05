"""Tables from files: CSV, Parquet, LIBSVM and NPZ, with what is missing, text, constant or repeated said plainly.

Nothing is repaired silently: a missing cell or a text column is an error that names the place, unless the caller says
what to do about it. How a CSV file is written (commas, semicolons or tabs, decimal commas, UTF-8 or not) is found out
and noted.

    missing   "error", "drop" (rows with a missing cell), "mean" (of the column; of the target the row is dropped)
    text      "error", "drop" (the column), "encode" (dates as days; a 0/1 column for each value but the first)

>>> import pathlib, tempfile
>>> path = pathlib.Path(tempfile.mkdtemp()) / "a.csv"
>>> _ = path.write_text("colour,size,y\\nred,1,2\\nblue,,3\\nred,4,5\\n")
>>> table = read(path, "y", missing="mean", text="encode")
>>> table.names, table.X.tolist()
(['colour=red', 'size'], [[1.0, 1.0], [0.0, 2.5], [1.0, 4.0]])
"""

from __future__ import annotations

import csv
import difflib
import importlib
import math
import re
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsopt import delimited
from sparsopt.errors import DataError, InvalidInput, MissingCapability, SparsoptError

__all__ = ["Table", "read"]

MISSING = {"", "na", "n/a", "nan", "null", "none", "?", "-"}
DATE = re.compile(r"\d{4}-\d{2}-\d{2}([ T].*)?")
LEVELS = 100  # a text column with more values than this is an identifier, not a category


@dataclass(frozen=True)
class Table:
    """X (n, p), dense or sparse, y (n,), a name for each column, and what a reader should know about them."""

    X: Any
    y: NDArray[Any]
    names: list[str]
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Column:
    """Cells as numbers (nan: none), and the text of those that are no finite numbers, by row."""

    name: str
    numbers: NDArray[np.float64]
    strange: dict[int, str]

    @property
    def text(self) -> bool:
        """Whether some cell is neither a number nor a sign for nothing."""
        return any(cell.strip().lower() not in MISSING for cell in self.strange.values())

    def cells(self) -> list[str]:
        return [self.strange.get(i, f"{number:g}").strip() for i, number in enumerate(self.numbers)]


def read(path: Path, target: str | None, missing: str = "error", text: str = "error") -> Table:
    """The table in a file. target: the column (CSV, Parquet) or array (NPZ, default y) to explain.

    Raises `DataError` for files that cannot be read, `InvalidInput` for what they hold, `MissingCapability` for a
    format whose library is not installed.
    """
    readers: dict[str, Callable[[], Table]] = {
        ".csv": lambda: _repaired(*_csv(path), path, target, missing, text),
        ".tsv": lambda: _repaired(*_csv(path), path, target, missing, text),
        ".parquet": lambda: _repaired(_parquet(path), None, [], path, target, missing, text),
        ".npz": lambda: _npz(path, target or "y"),
        ".libsvm": lambda: _libsvm(path),
        ".svm": lambda: _libsvm(path),
    }
    if path.suffix.lower() not in readers:
        raise InvalidInput(
            f"{path.name}: a file that ends in .csv or .npz (or .tsv, .parquet, .libsvm, .svm) is needed"
        )
    try:
        return _noted(readers[path.suffix.lower()]())
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        if isinstance(error, SparsoptError):
            raise
        raise DataError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None


# ---- columns -------------------------------------------------------------------------------------------------------


def _csv(path: Path) -> tuple[list[Column], list[int], list[str]]:
    """The columns, the line of the file that each row stands in, and how the file was read."""
    names, columns, lines, notes = delimited.cells(path, MISSING)
    return [_column(name, column) for name, column in zip(names, columns, strict=True)], lines, notes


def _column(name: str, cells: Sequence[Any]) -> Column:
    numbers, strange = np.full(len(cells), math.nan), {}
    for row, cell in enumerate(cells):
        try:
            number = float(cell)
        except (TypeError, ValueError):
            number = math.nan
        if math.isfinite(number):
            numbers[row] = number
        else:
            strange[row] = "" if cell is None else str(cell)
    return Column(name, numbers, strange)


def _parquet(path: Path) -> list[Column]:
    try:
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError:
        hint = "pip install pyarrow, or save the table as CSV"
        raise MissingCapability(f"{path.name}: Parquet files need pyarrow, which is not installed; {hint}") from None
    try:
        table = parquet.read_table(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not a Parquet file ({str(error).splitlines()[0]})") from None
    return [_column(name, table.column(name).to_pylist()) for name in table.column_names]


# ---- what to do about cells that are no numbers --------------------------------------------------------------------


def _repaired(
    columns: list[Column],
    lines: list[int] | None,
    notes: list[str],
    path: Path,
    target: str | None,
    missing: str,
    text: str,
) -> Table:
    """X and y from columns, after what `missing` and `text` say."""
    position = _position(target, [column.name for column in columns], path)
    goal = columns.pop(position)
    if goal.text:
        goal = _labels(goal, _place(goal, lines, path), notes)
    features = [part for column in columns for part in _encoded(column, text, lines, path, notes)]
    if missing == "error":
        for column in (*features, goal):
            if column.strange:
                raise InvalidInput(_place(column, lines, path) + "; --missing drop or --missing mean would go on")
    empty = [column.name for column in features if np.isnan(column.numbers).all()]
    if empty:
        notes.append("empty columns are left out: " + _listed(empty))
        features = [column for column in features if column.name not in empty]
    X = np.column_stack([column.numbers for column in features] or [np.empty((len(goal.numbers), 0))])
    X, y = _whole(X, goal.numbers, missing, path, notes)
    return Table(X, y, [column.name for column in features], notes)


def _whole(
    X: NDArray[Any], y: NDArray[Any], missing: str, path: Path, notes: list[str]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Without the rows that lack y, and without, or with means in, those that lack some of X."""
    gaps = np.isnan(X)
    keep = ~np.isnan(y) & (True if missing == "mean" else ~gaps.any(axis=1))
    if not keep.any():
        raise InvalidInput(f"{path.name}: every row has a missing cell; --missing mean fills them in")
    if not keep.all():
        notes.append(f"{np.count_nonzero(~keep)} of {len(y)} rows have missing cells and are left out")
    X, y, gaps = X[keep], y[keep], gaps[keep]
    if gaps.any():
        notes.append(f"{np.count_nonzero(gaps)} missing cells are set to the mean of their column")
        X = np.where(gaps, np.where(gaps, 0.0, X).sum(axis=0) / np.maximum((~gaps).sum(axis=0), 1), X)
    return X, y


def _position(target: str | None, names: list[str], path: Path) -> int:
    shown = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
    if target is None:
        raise InvalidInput(f"{path.name}: --target NAME says which column to explain; the columns are {shown}")
    if names.count(target) != 1:
        found = f"{names.count(target)} columns named" if target in names else "no column"
        near = [name for name in names if name.lower() == target.lower()] or difflib.get_close_matches(target, names, 1)
        hint = f"did you mean '{near[0]}'? " if near and target not in names else ""
        raise InvalidInput(f"{path.name}: {found} '{target}'; {hint}the columns are {shown}")
    return names.index(target)


def _place(column: Column, lines: list[int] | None, path: Path) -> str:
    """Where the first strange cell is: texts before gaps."""
    row = min(column.strange, key=lambda i: (column.strange[i].strip().lower() in MISSING, i))
    cell = column.strange[row].strip()
    where = f"line {lines[row]}" if lines is not None else f"row {row}"
    return f"{path.name}, {where}, column '{column.name}': " + (
        f"'{cell}' is not a finite number" if cell else "nothing there"
    )


def _labels(goal: Column, place: str, notes: list[str]) -> Column:
    """A target of two texts as 0 and 1."""
    levels = sorted({cell for cell in goal.cells() if cell.lower() not in MISSING})
    if len(levels) != 2:
        raise InvalidInput(f"{place}; a target is numbers, or one of two labels")
    notes.append(f"target '{goal.name}': {levels[0]} is 0, {levels[1]} is 1")
    return _column(goal.name, [levels.index(cell) if cell in levels else None for cell in goal.cells()])


def _encoded(column: Column, text: str, lines: list[int] | None, path: Path, notes: list[str]) -> list[Column]:
    """A text column as `text` says; any other as it is."""
    if not column.text:
        return [column]
    if text == "error":
        raise InvalidInput(_place(column, lines, path) + "; --text encode or --text drop would go on")
    if text == "drop":
        notes.append(f"column '{column.name}' has text and is left out")
        return []
    cells = column.cells()
    known = [cell for cell in cells if cell.lower() not in MISSING]
    if all(DATE.fullmatch(cell) for cell in known):
        return [_days(column, cells, notes)]
    levels = sorted(set(known))
    if len(levels) > LEVELS:
        notes.append(f"column '{column.name}' has {len(levels)} different texts, no category, and is left out")
        return []
    notes.append(
        f"column '{column.name}' has text: {len(levels) - 1} columns of 0 and 1 stand for all but '{levels[0]}'"
    )
    return [
        _column(f"{column.name}={level}", [None if cell.lower() in MISSING else float(cell == level) for cell in cells])
        for level in levels[1:]
    ]


def _days(column: Column, cells: list[str], notes: list[str]) -> Column:
    """Dates as days since the first of them."""
    try:
        days = [None if cell.lower() in MISSING else date.fromisoformat(cell[:10]).toordinal() for cell in cells]
    except ValueError as error:
        raise InvalidInput(f"column '{column.name}': a date that does not exist ({error}); correct it") from None
    first = min(day for day in days if day is not None)
    notes.append(f"column '{column.name}' has dates: days since {date.fromordinal(first)}")
    return _column(column.name, [None if day is None else day - first for day in days])


# ---- arrays --------------------------------------------------------------------------------------------------------


def _npz(path: Path, target: str) -> Table:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile, AttributeError):
        raise DataError(f"{path}: not an NPZ file of plain arrays (np.savez(path, X=X, {target}=...))") from None
    if {"data", "indices", "indptr", "shape"} <= arrays.keys():
        from scipy import sparse

        kind = sparse.csc_array if arrays.get("format", b"csr") == b"csc" else sparse.csr_array
        arrays["X"] = kind((arrays["data"], arrays["indices"], arrays["indptr"]), shape=arrays["shape"])
    for name in ("X", target):
        if name not in arrays:
            raise InvalidInput(f"{path.name}: no array '{name}'; the arrays are {', '.join(arrays) or 'none'}")
    X: Any = arrays["X"]
    columns = X.shape[1] if X.ndim == 2 else 0
    names = [str(name) for name in arrays.get("names", [f"X[{j}]" for j in range(columns)])]
    if len(names) != columns:
        raise InvalidInput(f"{path.name}: {len(names)} names for {columns} columns of X")
    return Table(X, arrays[target], names)


def _libsvm(path: Path) -> Table:
    """`label index:value ...` a line, indices from 1 (from 0 if one is 0); `#` begins a comment."""
    from scipy import sparse

    labels, values, indices, starts = [], [], [], [0]
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        words = line.split("#", 1)[0].split()
        if not words:
            continue
        try:
            pairs = [word.split(":", 1) for word in words[1:] if not word.startswith("qid:")]
            labels.append(float(words[0]))
            indices += [int(index) for index, _ in pairs]
            values += [float(value) for _, value in pairs]
        except ValueError:
            raise InvalidInput(f"{path.name}, line {number}: 'label index:value index:value ...' is needed") from None
        starts.append(len(values))
    if not values or min(indices) < 0:
        raise InvalidInput(f"{path.name}: no entries index:value with an index of at least 0")
    first = 0 if min(indices) == 0 else 1
    X: Any = sparse.csr_array((np.array(values), np.array(indices) - first, np.array(starts)))
    return Table(X, np.array(labels), [f"X[{j}]" for j in range(first, X.shape[1] + first)])


# ---- notes ---------------------------------------------------------------------------------------------------------


def _noted(table: Table) -> Table:
    """A dense table without columns that are constant (the intercept is one) or repeat another one."""
    X = table.X
    if hasattr(X, "tocsc") or X.ndim != 2 or X.dtype.kind not in "fiub" or not X.size:
        return table
    constant, first = (X[:1] == X).all(axis=0), dict[bytes, int]()
    origin = [first.setdefault(X[:, j].tobytes(), j) for j in range(X.shape[1])]
    again = [j for j, earlier in enumerate(origin) if earlier != j and not constant[j]]
    notes, names = list(table.notes), table.names
    if constant.any():
        notes.append("constant columns are left out: " + _listed([names[j] for j in np.flatnonzero(constant)]))
    if again:
        pairs = [f"{names[j]} (as {names[origin[j]]})" for j in again]
        notes.append("columns that repeat another one are left out: " + _listed(pairs))
    left = [j for j in range(X.shape[1]) if not constant[j] and origin[j] == j]
    return table if len(left) == X.shape[1] else Table(X[:, left], table.y, [names[j] for j in left], notes)


def _listed(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
