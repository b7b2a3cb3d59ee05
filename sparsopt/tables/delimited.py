"""Text files of cells as programs write them: commas, semicolons, tabs, bars or spaces, decimal commas, UTF-8 or not.

>>> import pathlib, tempfile
>>> path = pathlib.Path(tempfile.mkdtemp()) / "a.csv"
>>> _ = path.write_bytes("gr\u00f6\u00dfe;y\\n1,5;2\\n0,5;3\\n".encode("latin-1"))
>>> names, columns, lines, notes = cells(path, {""})
>>> names == ["gr\u00f6\u00dfe", "y"], columns, lines
(True, [('1.5', '0.5'), ('2', '3')], [2, 3])
>>> notes[1:]
['columns are separated by semicolons', 'numbers have decimal commas']
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Container, Sequence
from pathlib import Path

from sparsopt.errors import DataError, InvalidInput
from sparsopt.tables.compressed import content
from sparsopt.tables.numerals import DECIMAL, NUMBER

__all__ = ["cells"]

MARKS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", " ": "spaces"}
ANNOUNCED = re.compile(r"sep=([,;|\t])\r?\n")  # how spreadsheets say what separates cells
REMARKS = re.compile(r"(?:[ \t]*(?:#[^\r\n]*)?(?:\r\n?|\n))*")


def cells(path: Path, missing: Container[str]) -> tuple[list[str], list[tuple[str, ...]], list[int], list[str]]:
    """The header, the columns, the line of the file that each row begins in, and notes on how it was read.

    missing: what stands for nothing, in lower case. Raises `DataError` for what is no text, `InvalidInput` for lines of
    different lengths.
    """
    text, notes = _decoded(path)
    mark, text, begin = _begin(text, notes)
    if mark == " ":  # any number of them, and some before the first cell
        text = re.sub(r"(?m)^[ \t]+|[ \t]+$", "", text).replace("\t", " ")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark, skipinitialspace=mark == " ")
    rows, before = [], begin
    for row in reader:
        if any(row):
            rows.append((begin, row))
        begin = reader.line_num + before
    if len(rows) < 2:
        raise InvalidInput(f"{path.name}: a header and at least one row are needed, found {len(rows)} lines")
    names = [name.strip() for name in rows[0][1]]
    for number, row in rows[1:]:
        if len(row) != len(names):
            raise InvalidInput(f"{path.name}, line {number}: {len(row)} cells under a header of {len(names)}")
    columns = list(zip(*(row for _, row in rows[1:]), strict=True))
    if mark != ",":
        notes.append(f"columns are separated by {MARKS[mark]}")
        changed = [_pointed(column, missing) for column in columns]
        if changed != columns:
            notes.append("numbers have decimal commas")
            columns = changed
    return names, columns, [number for number, _ in rows[1:]], notes


def _begin(text: str, notes: list[str]) -> tuple[str, str, int]:
    """What separates cells, the text from the header on, and the line that this begins in.

    Remarks (#) before the header are left out. NumPy writes the header as one: the last, if only numbers follow.
    """
    said = ANNOUNCED.match(text)
    if said:
        return said[1], text[said.end() :], 2
    found = REMARKS.match(text)
    head = found[0] if found else ""
    if "#" not in head:
        return _mark(_line(text)), text, 1
    remarks, rest = head.splitlines(), text[len(head) :]
    mark, first = _mark(_line(rest)), _line(rest)
    if all(map(NUMBER.fullmatch, first.split() if mark == " " else first.split(mark))):
        return mark, f"{remarks[-1].strip(' #')}\n{rest}", len(remarks)
    notes.append("lines that begin with # are left out")
    return mark, rest, len(remarks) + 1


def _line(text: str) -> str:
    """The first line with something in it."""
    return re.split(r"[\r\n]", text.lstrip(), maxsplit=1)[0]


def _mark(header: str) -> str:
    """What the header has most of; spaces only if there is nothing else."""
    return max(MARKS, key=lambda mark: header.count(mark) if mark != " " else (mark in header) / 2)


def _decoded(path: Path) -> tuple[str, list[str]]:
    """The text of a file: UTF-8, UTF-16 with its mark, or else what Western Windows programs write."""
    raw = content(path)
    if raw[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return raw.decode("utf-16"), ["the file is read as UTF-16"]
    if b"\0" in raw:
        raise DataError(f"{path}: cannot be read (zero bytes: not a text file); save it as CSV in UTF-8")
    try:
        return raw.decode("utf-8-sig"), []
    except UnicodeDecodeError:
        note = "the file is not UTF-8 and is read as Windows-1252 (Latin-1)"
        return raw.decode("cp1252", errors="replace"), [note]


def _pointed(column: Sequence[str], missing: Container[str]) -> tuple[str, ...]:
    """With points for commas where all cells are then numbers, or nothing."""
    numbers = [cell.strip() for cell in column if cell.strip().lower() not in missing]
    decimal = all(DECIMAL.fullmatch(cell) for cell in numbers)
    return tuple(cell.replace(",", ".") for cell in column) if decimal else tuple(column)
