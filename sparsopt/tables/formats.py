"""Binary files and LIBSVM: their columns, or X and y at once.

>>> import pathlib, tempfile
>>> path = pathlib.Path(tempfile.mkdtemp()) / "a.libsvm"
>>> _ = path.write_text("+1 1:0.5 3:2\\n-1 2:1\\n")
>>> X, y, names = libsvm(path)
>>> X.toarray().tolist(), y.tolist(), names
([[0.5, 0.0, 2.0], [0.0, 1.0, 0.0]], [1.0, -1.0], ['X[1]', 'X[2]', 'X[3]'])
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np

from sparsopt.errors import DataError, InvalidInput, MissingCapability
from sparsopt.tables.columns import Column
from sparsopt.tables.compressed import content

__all__ = ["libsvm", "npz", "parquet"]

Arrays = tuple[Any, Any, list[str]]  # X, y, names
MOST = 10**9  # columns that a file may say it has


def parquet(path: Path) -> list[Column]:
    """The columns, by pyarrow."""
    try:
        library = importlib.import_module("pyarrow.parquet")
    except ImportError:
        hint = "pip install pyarrow, or save the table as CSV"
        raise MissingCapability(f"{path.name}: Parquet files need pyarrow, which is not installed; {hint}") from None
    try:
        table = library.read_table(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not a Parquet file ({str(error).splitlines()[0]})") from None
    return [_column(name, column) for name, column in zip(table.column_names, table.columns, strict=True)]


def _column(name: str, column: Any) -> Column:
    """Numbers go over at once, anything else cell by cell."""
    if not str(column.type).startswith(("int", "uint", "float", "double")):
        return Column.of(name, column.to_pylist())
    numbers = np.array(column.cast("float64", safe=False).to_numpy())
    rows = np.flatnonzero(~np.isfinite(numbers))
    strange = {
        int(row): "" if cell is None else str(cell)
        for row, cell in zip(rows, column.take(rows).to_pylist(), strict=True)
    }
    return Column(name, np.where(np.isfinite(numbers), numbers, np.nan), strange)


def npz(path: Path, target: str) -> Arrays:
    """The arrays X (or the parts of a sparse one, as `scipy.sparse.save_npz` names them), target, and names."""
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        if {"data", "indices", "indptr", "shape"} <= arrays.keys():
            arrays["X"] = _sparse(arrays)
    except OSError:
        raise
    except Exception:  # a torn archive raises whatever its reader stumbles over
        raise DataError(f"{path}: not an NPZ file of plain arrays (np.savez(path, X=X, {target}=...))") from None
    for name in ("X", target):
        if name not in arrays:
            raise InvalidInput(f"{path.name}: no array '{name}'; the arrays are {', '.join(arrays) or 'none'}")
    X, y = arrays["X"], arrays[target]
    if X.ndim != 2 or y.ndim != 1 or X.shape[0] != y.shape[0]:
        found = f"X has shape {X.shape} and {target} {y.shape}"
        raise InvalidInput(f"{path.name}: {found}; a matrix (n, p) and a vector (n,) are needed")
    names = [str(name) for name in arrays.get("names", [f"X[{j}]" for j in range(X.shape[1])])]
    if len(names) != X.shape[1]:
        raise InvalidInput(f"{path.name}: {len(names)} names for {X.shape[1]} columns of X")
    return X, y, names


def _sparse(arrays: dict[str, Any]) -> Any:
    from scipy import sparse

    kind = sparse.csc_array if arrays.get("format", b"csr") == b"csc" else sparse.csr_array
    X = kind((arrays["data"], arrays["indices"], arrays["indptr"]), shape=tuple(arrays["shape"]))
    X.check_format()
    return X


def libsvm(path: Path) -> Arrays:
    """`label index:value ...` a line, indices from 1 (from 0 if one is 0); `#` begins a comment."""
    from scipy import sparse

    labels, values, indices, starts = [], [], [], [0]
    for number, line in enumerate(content(path).decode().splitlines(), start=1):
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
    if max(indices) > MOST:
        raise InvalidInput(f"{path.name}: an entry has the index {max(indices)}; up to {MOST} are read")
    first = 0 if min(indices) == 0 else 1
    X: Any = sparse.csr_array((np.array(values), np.array(indices) - first, np.array(starts)))
    return X, np.array(labels), [f"X[{j}]" for j in range(first, X.shape[1] + first)]
