"""Numbers as people write them: grouped thousands, decimal commas, percent and currency signs.

A column of cells is a column of numbers if one way of writing fits all of them; the way is noted. What fits in two
ways is read as in the rest of its file: a comma before three digits groups thousands in a file that commas separate.

>>> notes: list[str] = []
>>> column("price", ["$1,234.50", "", "$7"], notes).numbers, notes
(array([1234.5,    nan,    7. ]), ["column 'price': currency signs are left out, commas group thousands"])
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sparsopt.tables.columns import MISSING, Column

__all__ = ["DECIMAL", "column"]

DECIMAL = re.compile(r"[+-]?(\d+(,\d*)?|,\d+)([eE][+-]?\d+)?")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
SIGNS = (
    ("currency signs are left out", re.compile(r"([+-]?)\s*[$€£¥]\s*(.*)|([+-]?)(.*?)\s*[€£¥]")),
    ("percent signs are left out", re.compile(r"()(.*?)\s*%|()(.*)%")),
)


@dataclass(frozen=True)
class Writing:
    """A way to write numbers: what each cell looks like, what one of them has to show, what groups, what is decimal."""

    note: str
    each: re.Pattern[str]
    some: re.Pattern[str]
    group: str
    point: str

    def fits(self, cells: Sequence[str]) -> bool:
        return all(map(self.each.fullmatch, cells)) and any(map(self.some.search, cells))

    def plain(self, cell: str) -> str:
        return re.sub(self.group, "", cell).replace(self.point, ".") if self.group else cell.replace(self.point, ".")


def _grouped(note: str, group: str, point: str, some: str) -> Writing:
    each = rf"[+-]?([1-9]\d{{0,2}}({group}\d{{3}})+|\d+)({re.escape(point)}\d*)?"
    return Writing(note, re.compile(each), re.compile(some), group, point)


WRITINGS = (
    _grouped("commas group thousands", ",", ".", r",\d{3}"),
    _grouped("points group thousands, commas are decimal", r"\.", ",", r"\.\d{3}[.,]"),
    _grouped("spaces or apostrophes group thousands", r"[ '’\u00a0\u202f]", ".", r".[ '’\u00a0\u202f]\d{3}"),
    _grouped("spaces group thousands, commas are decimal", r"[ \u00a0\u202f]", ",", r".[ \u00a0\u202f]\d{3}"),
    Writing("commas are decimal", DECIMAL, re.compile(","), "", ","),
)


def column(name: str, cells: Sequence[str], notes: list[str]) -> Column:
    """The column, its texts read as numbers if one way of writing fits all of them."""
    found = Column.of(name, cells)
    if not found.text:
        return found
    known = {i: cell.strip() for i, cell in enumerate(cells) if cell.strip().lower() not in MISSING}
    said, bare = [], list(known.values())
    for note, sign in SIGNS:
        matches = [sign.fullmatch(cell) for cell in bare]
        if all(matches):
            bare = ["".join(part or "" for part in match.groups()) for match in matches if match]
            said.append(note)
    if not all(map(NUMBER.fullmatch, bare)):
        writing = next((writing for writing in WRITINGS if writing.fits(bare)), None)
        if writing is None:
            return found
        bare = [writing.plain(cell) for cell in bare]
        said.append(writing.note)
    elif not said:
        return found
    notes.append(f"column '{name}': {', '.join(said)}")
    numbers = dict(zip(known, bare, strict=True))
    return Column.of(name, [numbers.get(i) for i in range(len(cells))])
