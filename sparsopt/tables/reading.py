"""From a file to a table: the target is found, cells become numbers, and what no model can use is left out, and said.

>>> distinct(["a", "b", "a"])
['a', 'b', 'a (2)']
"""

from __future__ import annotations

import csv
import difflib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsopt.errors import DataError, InvalidInput, SparsoptError
from sparsopt.tables import delimited, formats, numerals
from sparsopt.tables.columns import MISSING, Column, Source, encoded, labels, listed
from sparsopt.tables.compressed import parts

__all__ = ["Table", "distinct", "read"]

TEXTS = (".csv", ".tsv", ".txt", ".dat")
LABELLED = (".libsvm", ".svm")
BINARY = (".parquet", ".npz")
INDEX = re.compile(r"__index_level_\d+__")  # what pandas calls an index without a name in Parquet


@dataclass(frozen=True)
class Table:
    """X (n, p), dense or sparse, y (n,), a name for each column, and what a reader should know about them."""

    X: Any
    y: NDArray[Any]
    names: list[str]
    notes: list[str] = field(default_factory=list)


def read(path: Path, target: str | None, missing: str = "error", text: str = "error") -> Table:
    """The table in a file. target: the column (CSV, Parquet) or array (NPZ, default y) to explain.

    Raises `DataError` for files that cannot be read, `InvalidInput` for what they hold, `MissingCapability` for a
    format whose library is not installed.
    """
    kind, packed = parts(path)
    if kind not in (*TEXTS, *LABELLED, *BINARY) or (packed and kind in BINARY):
        raise InvalidInput(
            f"{path.name}: a file that ends in .csv or .npz (or {', '.join((*TEXTS, *LABELLED, *BINARY)[1:-1])}; "
            "texts also in .gz, .bz2, .xz) is needed"
        )
    try:
        return _noted(_read(path, kind, target, missing, text))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        if isinstance(error, SparsoptError):
            raise
        raise DataError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None


def _read(path: Path, kind: str, target: str | None, missing: str, text: str) -> Table:
    if kind == ".npz":
        return Table(*formats.npz(path, target or "y"))
    if kind in LABELLED:
        return Table(*formats.libsvm(path))
    if kind == ".parquet":
        return _repaired(formats.parquet(path), Source(path.name), [], target, missing, text)
    names, columns, lines, notes = delimited.cells(path, MISSING)
    found = [numerals.column(name, column, notes) for name, column in zip(names, columns, strict=True)]
    return _repaired(found, Source(path.name, lines), notes, target, missing, text)


def _repaired(
    columns: list[Column], source: Source, notes: list[str], target: str | None, missing: str, text: str
) -> Table:
    """X and y from columns, after what `missing` and `text` say."""
    goal = columns.pop(_position(target, [column.name for column in columns], source))
    if goal.empty:
        raise InvalidInput(f"{source.name}: column '{goal.name}', the target, is empty: there is nothing to explain")
    if goal.text:
        goal = labels(goal, source, notes)
    columns = _named(columns, notes)
    features = [part for column in columns for part in encoded(column, text, source, notes)]
    if missing == "error":
        for column in (*features, goal):
            if column.strange:
                raise InvalidInput(source.place(column) + "; --missing drop or --missing mean would go on")
    empty = [column.name for column in features if np.isnan(column.numbers).all()]
    if empty:
        notes.append("empty columns are left out: " + listed(empty))
        features = [column for column in features if column.name not in empty]
    X = np.column_stack([column.numbers for column in features] or [np.empty((len(goal.numbers), 0))])
    X, y = _whole(X, goal.numbers, missing, source, notes)
    return Table(X, y, [column.name for column in features], notes)


def _named(columns: list[Column], notes: list[str]) -> list[Column]:
    """Without the index of a data frame, and nameless columns that are empty (lines that end in a comma)."""
    kept = []
    for number, column in enumerate(columns, start=1):
        if INDEX.fullmatch(column.name) or (not column.name and column.counts):
            notes.append("the index of the rows is left out")
        elif not column.name and column.empty:
            notes.append("a column without a name is empty and is left out")
        else:
            kept.append(Column(column.name or f"column {number}", column.numbers, column.strange))
    return kept


def _whole(
    X: NDArray[Any], y: NDArray[Any], missing: str, source: Source, notes: list[str]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Without the rows that lack y, and without, or with means in, those that lack some of X."""
    gaps = np.isnan(X)
    keep = ~np.isnan(y) & (True if missing == "mean" else ~gaps.any(axis=1))
    if not keep.any():
        raise InvalidInput(f"{source.name}: every row has a missing cell; --missing mean fills them in")
    if not keep.all():
        notes.append(f"{np.count_nonzero(~keep)} of {len(y)} rows have missing cells and are left out")
    X, y, gaps = X[keep], y[keep], gaps[keep]
    if gaps.any():
        notes.append(f"{np.count_nonzero(gaps)} missing cells are set to the mean of their column")
        X = np.where(gaps, np.where(gaps, 0.0, X).sum(axis=0) / np.maximum((~gaps).sum(axis=0), 1), X)
    return X, y


def _position(target: str | None, names: list[str], source: Source) -> int:
    shown = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
    if target is None:
        raise InvalidInput(f"{source.name}: --target NAME says which column to explain; the columns are {shown}")
    if names.count(target) != 1:
        found = f"{names.count(target)} columns named" if target in names else "no column"
        near = [name for name in names if name.lower() == target.lower()] or difflib.get_close_matches(target, names, 1)
        hint = f"did you mean '{near[0]}'? " if near and target not in names else ""
        if all(numerals.NUMBER.fullmatch(name) for name in names):
            hint = "its first line is all numbers, and one with the names of the columns is needed before it; "
        raise InvalidInput(f"{source.name}: {found} '{target}'; {hint}the columns are {shown}")
    return names.index(target)


# ---- what no model can use -----------------------------------------------------------------------------------------


def _noted(table: Table) -> Table:
    """With a name for each column, and, if dense, without those that are constant or repeat another one."""
    X, y, notes, names = table.X, table.y, list(table.notes), distinct(table.names)
    if not X.shape[1]:
        raise InvalidInput("no column is left beside the target" + "".join(f"; {note}" for note in notes))
    again = [new for new, old in zip(names, table.names, strict=True) if new != old]
    if again:
        notes.append("several columns have the same name and got numbers: " + listed(again))
    if y.dtype.kind in "fiub" and len(y) > 1 and (y == y[0]).all():
        notes.append(f"the target is {y[0]:g} in every row: there is nothing to explain")
    if hasattr(X, "tocsc") or X.dtype.kind not in "fiub" or not X.size:
        return Table(X, y, names, notes)
    left = _useful(X, names, notes)
    return Table(X if len(left) == len(names) else X[:, left], y, [names[j] for j in left], notes)


def _useful(X: NDArray[Any], names: list[str], notes: list[str]) -> list[int]:
    """The columns that are not constant (the intercept is one) and repeat none before them."""
    constant, first = (X[:1] == X).all(axis=0), dict[bytes, int]()
    origin = [first.setdefault(X[:, j].tobytes(), j) for j in range(X.shape[1])]
    again = [j for j, earlier in enumerate(origin) if earlier != j and not constant[j]]
    if constant.any():
        notes.append("constant columns are left out: " + listed([names[j] for j in np.flatnonzero(constant)]))
    if again:
        pairs = [f"{names[j]} (as {names[origin[j]]})" for j in again]
        notes.append("columns that repeat another one are left out: " + listed(pairs))
    left = [j for j in range(X.shape[1]) if not constant[j] and origin[j] == j]
    if not left:
        raise InvalidInput(
            f"all columns beside the target ({listed(names)}) are constant in {len(X)} rows: nothing to select"
        )
    return left


def distinct(names: list[str]) -> list[str]:
    """The names, the second of a kind with a (2) behind it, the third with a (3), and none twice."""
    taken, count, found = set(names), dict[str, int](), dict[str, None]()
    for name in names:
        new, number = name, count.get(name, 1)
        while new in found or (number > 1 and new in taken):
            number += 1
            new = f"{name} ({number})"
        found[new], count[name] = None, number
    return list(found)
