"""Columns of cells: which are numbers, and what becomes of the others.

>>> column = Column.of("size", ["1", "n/a", "12%"])
>>> column.numbers, column.strange, column.text
(array([ 1., nan, nan]), {1: 'n/a', 2: '12%'}, True)
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsopt.errors import InvalidInput

__all__ = ["MISSING", "Column", "Source", "encoded", "labels", "listed"]

MISSING = {"", "na", "n/a", "nan", "null", "none", "?", "-"}
ISO = re.compile(r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})(?:[ T]+(.*))?")
DOTTED = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})(?: +(.*))?")
SLASHED = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})(?: +(.*))?")
CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}(?:\.\d*)?))?")
LEVELS = 100  # a text column with more values than this is an identifier, not a category


@dataclass(frozen=True)
class Column:
    """Cells as numbers (nan: none), and the text of those that are no finite numbers, by row."""

    name: str
    numbers: NDArray[np.float64]
    strange: dict[int, str]

    @classmethod
    def of(cls, name: str, cells: Sequence[Any]) -> Column:
        numbers, strange = np.full(len(cells), math.nan), {}
        for row, cell in enumerate(cells):
            number = _number(cell)
            if math.isfinite(number):
                numbers[row] = number
            else:
                strange[row] = "" if cell is None else str(cell).strip()
        return cls(name, numbers, strange)

    @property
    def text(self) -> bool:
        """Whether some cell is neither a number nor a sign for nothing."""
        return any(not _missing(cell) for cell in self.strange.values())

    @property
    def empty(self) -> bool:
        """Whether every cell stands for nothing."""
        return len(self.strange) == len(self.numbers) and not self.text

    @property
    def counts(self) -> bool:
        """Whether it says 0, 1, 2, ... or 1, 2, 3, ...: the index of a data frame."""
        return not self.strange and self.numbers[0] in (0, 1) and bool((np.diff(self.numbers) == 1).all())

    def cells(self) -> list[str]:
        return [self.strange.get(i, f"{number:g}") for i, number in enumerate(self.numbers)]


def _number(cell: Any) -> float:
    """nan for what is no number. (Python reads 2024_01 as one.)"""
    if isinstance(cell, str) and "_" in cell:
        return math.nan
    try:
        return float(cell)
    except (TypeError, ValueError):
        return math.nan


def _missing(cell: str) -> bool:
    return cell.lower() in MISSING


@dataclass(frozen=True)
class Source:
    """Where cells came from: the name of the file, and the line of each row where it has lines."""

    name: str
    lines: Sequence[int] | None = None

    def place(self, column: Column) -> str:
        """Where the first strange cell is: texts before gaps."""
        row = min(column.strange, key=lambda i: (_missing(column.strange[i]), i))
        cell = column.strange[row]
        where = f"row {row}" if self.lines is None else f"line {self.lines[row]}"
        found = f"'{cell}' is not a finite number" if cell else "nothing there"
        return f"{self.name}, {where}, column '{column.name}': {found}"


def labels(goal: Column, source: Source, notes: list[str]) -> Column:
    """A target of two texts as 0 and 1."""
    levels = sorted({cell for cell in goal.cells() if not _missing(cell)})
    if len(levels) != 2:
        raise InvalidInput(
            f"{source.place(goal)}; a target is numbers, or one of two labels (SparseClassifier, in Python, takes more)"
        )
    notes.append(f"target '{goal.name}': {levels[0]} is 0, {levels[1]} is 1")
    return Column.of(goal.name, [levels.index(cell) if cell in levels else None for cell in goal.cells()])


def encoded(column: Column, text: str, source: Source, notes: list[str]) -> list[Column]:
    """A text column as `text` says; any other as it is."""
    if not column.text:
        return [column]
    if {cell.lower() for cell in column.cells() if not _missing(cell)} <= {"true", "false"}:
        return [_truths(column, notes)]
    if text == "drop":
        notes.append(f"column '{column.name}' has text and is left out")
        return []
    numbers = len(column.numbers) - len(column.strange)
    if numbers > sum(not _missing(cell) for cell in column.strange.values()):  # a slip, no category
        raise InvalidInput(
            f"{source.place(column)}, as {numbers} other cells are; correct it, or --text drop leaves the column out"
        )
    if text == "error":
        raise InvalidInput(source.place(column) + "; --text encode or --text drop would go on")
    return _categories(column, notes)


def _truths(column: Column, notes: list[str]) -> Column:
    notes.append(f"column '{column.name}': true is 1, false is 0")
    return _mapped(column, lambda cell: float(cell.lower() == "true"))


def _categories(column: Column, notes: list[str]) -> list[Column]:
    """Days for dates, else a column of 0 and 1 for every level but the first; nothing for an identifier."""
    known = [cell for cell in column.cells() if not _missing(cell)]
    for pattern, order in ((ISO, (1, 2, 3)), (DOTTED, (3, 2, 1)), (SLASHED, (3, 1, 2))):
        if all(pattern.fullmatch(cell) for cell in known):
            return [_days(column, pattern, _order(column, known) if pattern is SLASHED else order, notes)]
    levels = sorted(set(known))
    if len(levels) > LEVELS:
        notes.append(f"column '{column.name}' has {len(levels)} different texts, no category, and is left out")
        return []
    notes.append(f"column '{column.name}' has text: for each of it but '{levels[0]}' there is a column of 0 and 1")
    return [
        _mapped(column, lambda cell, level=level: float(cell == level), f"{column.name}={level}")
        for level in levels[1:]
    ]


def _order(column: Column, cells: Sequence[str]) -> tuple[int, ...]:
    """Where year, month and day stand in dates with slashes: one number above 12 tells."""
    first, second = (max(int(cell.split("/")[place]) for cell in cells) for place in (0, 1))
    if first <= 12 and second <= 12:
        raise InvalidInput(
            f"column '{column.name}': {cells[0]} may be the {cells[0].split('/')[0]}th day or month; write dates as "
            "2024-12-31, or leave the column out by --text drop"
        )
    return (3, 2, 1) if first > 12 else (3, 1, 2)


def _days(column: Column, pattern: re.Pattern[str], order: tuple[int, ...], notes: list[str]) -> Column:
    """Dates as days since the first of them, times as parts of a day. order: where year, month and day stand."""

    def day(cell: str) -> float:
        found = pattern.fullmatch(cell)
        assert found is not None
        try:
            whole = date(*(int(found[place]) for place in order)).toordinal()
        except ValueError as error:
            raise InvalidInput(
                f"column '{column.name}': a date that does not exist ({cell}: {error}); correct it"
            ) from None
        clock = CLOCK.match(found[4] or "")
        hours, minutes, seconds = clock.groups(default=0) if clock else (0, 0, 0)
        return whole + (int(hours) + int(minutes) / 60 + float(seconds) / 3600) / 24

    first = int(min(day(cell) for cell in column.cells() if not _missing(cell)))
    notes.append(f"column '{column.name}' has dates: days since {date.fromordinal(first)}")
    return _mapped(column, lambda cell: day(cell) - first)


def _mapped(column: Column, number: Callable[[str], float], name: str = "") -> Column:
    """The column with a number for each cell that is there."""
    return Column.of(name or column.name, [None if _missing(cell) else number(cell) for cell in column.cells()])


def listed(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
