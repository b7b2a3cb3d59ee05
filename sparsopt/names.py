"""Looking things up by name, with a sentence for a name that is not there.

>>> lookup({"omp": 1, "ols": 2}, "opm", "method")
Traceback (most recent call last):
...
sparsopt.errors.InvalidInput: unknown method 'opm'; did you mean omp?
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import TypeVar

from sparsopt.errors import InvalidInput

T = TypeVar("T")


def lookup(table: Mapping[str, T], name: str, kind: str) -> T:
    """table[name]; an unknown name raises `InvalidInput` with the nearest known ones."""
    if name in table:
        return table[name]
    near = difflib.get_close_matches(name, table, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(table)}"
    raise InvalidInput(f"unknown {kind} '{name}'; {hint}")
