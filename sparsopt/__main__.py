"""The command line: fit a sparse model to a file, list the methods, try the theorems, and the subset-sum tools.

    python -m sparsopt fit diabetes.csv --target y --k 5
    python -m sparsopt fit genes.npz --target y --k 10 --loss logistic --ridge 0.001
    python -m sparsopt methods
    python -m sparsopt verify --instances 1000 --seed 1
    python -m sparsopt subset-sum --help

A CSV file has a header and one number a cell. An NPZ file holds the matrix X, the target under its name, and, if
the columns have any, their `names`. Bad input ends with one line on the error stream and exit code 2; `verify`
exits with 1 if a theorem was violated.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsopt.errors import DataError, InvalidInput, MissingCapability, SparsoptError
from sparsopt.result import Result

Table = tuple[NDArray[Any], NDArray[Any], list[str]]  # X (n, p), y (n,), p names


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; the exit code is 0, 1 for a theorem that does not hold, or 2 for input that makes no sense."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if words[:1] == ["subset-sum"]:
            return _subset_sum(words[1:])
        options = _parser().parse_args(words)
        return options.command(options) or 0
    except SparsoptError as error:
        print(f"sparsopt: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sparsopt", description="Sparse-constrained optimisation.")
    commands = parser.add_subparsers(required=True, metavar="fit | methods | verify | subset-sum")
    fit = commands.add_parser("fit", help="the best model with at most k non-zero coefficients, for a CSV or NPZ file")
    fit.add_argument("file", type=Path)
    fit.add_argument("--target", required=True, metavar="NAME", help="the column (CSV) or array (NPZ) to explain")
    fit.add_argument("--k", required=True, type=int, help="how many coefficients may be non-zero")
    fit.add_argument("--method", default="auto", help="one of `python -m sparsopt methods` (default: auto)")
    fit.add_argument("--ridge", default=0.0, type=float, help="adds ridge/2 |w|^2 (default: 0)")
    fit.add_argument("--loss", default="squares", choices=sorted(LOSSES), help="(default: squares)")
    fit.add_argument("--seed", default=0, type=int)
    fit.set_defaults(command=_fit)
    commands.add_parser("methods", help="the methods by name").set_defaults(command=_methods)
    verify = commands.add_parser("verify", help="every theorem on random instances: violations and tightest slack")
    verify.add_argument("--instances", default=200, type=int, help="of each theorem (default: 200, some 10 seconds)")
    verify.add_argument("--seed", default=0, type=int)
    verify.set_defaults(command=_verify)
    commands.add_parser("subset-sum", help="solvers and theorem checks for random subset sums", add_help=False)
    return parser


# ---- fit -----------------------------------------------------------------------------------------------------------


def _squares(X: NDArray[Any], y: NDArray[Any], ridge: float) -> Any:
    from sparsopt.problems import LeastSquares

    return LeastSquares(X, y, ridge=ridge, intercept=True)


def _logistic(X: NDArray[Any], y: NDArray[Any], ridge: float) -> Any:
    from sparsopt.problems import Logistic

    return Logistic(X, y, ridge=ridge, intercept=True)


LOSSES: dict[str, Callable[..., Any]] = {"squares": _squares, "logistic": _logistic}


def _fit(options: argparse.Namespace) -> None:
    from sparsopt.solvers import solve

    X, y, names = read_table(options.file, options.target)
    problem = LOSSES[options.loss](X, y, options.ridge)
    result = solve(problem, options.k, options.method, options.seed)
    print(result)
    print()
    print(coefficients(result, names, problem.intercept(result.x)))


def coefficients(result: Result, names: Sequence[str], intercept: float) -> str:
    """The selected coefficients by name, the largest first, and the intercept."""
    chosen = np.flatnonzero(result.support)
    chosen = chosen[np.argsort(-np.abs(result.x[chosen]), kind="stable")]
    rows = [(names[j], result.x[j]) for j in chosen] + [("(intercept)", intercept)]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {weight: .8g}" for name, weight in rows)


# ---- files ---------------------------------------------------------------------------------------------------------


def read_table(path: Path, target: str) -> Table:
    """X, y and the names of X's columns, from a CSV or NPZ file. Raises `DataError` and `InvalidInput`."""
    readers = {".csv": _read_csv, ".npz": _read_npz}
    if path.suffix.lower() not in readers:
        raise InvalidInput(f"{path.name}: a file that ends in .csv or .npz is needed")
    try:
        return readers[path.suffix.lower()](path, target)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        if isinstance(error, SparsoptError):
            raise
        raise DataError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None


def _read_csv(path: Path, target: str) -> Table:
    with path.open(newline="", encoding="utf-8-sig") as file:
        lines = [(number, row) for number, row in enumerate(csv.reader(file), start=1) if row]
    if len(lines) < 2:
        raise InvalidInput(f"{path.name}: a header and at least one row are needed, found {len(lines)} lines")
    names = [name.strip() for name in lines[0][1]]
    column = _position(target, names, path)
    values = np.array([_numbers(row, names, path, number) for number, row in lines[1:]])
    return np.delete(values, column, axis=1), values[:, column], names[:column] + names[column + 1 :]


def _position(target: str, names: list[str], path: Path) -> int:
    if names.count(target) != 1:
        found = f"{names.count(target)} columns named" if target in names else "no column"
        shown = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
        raise InvalidInput(f"{path.name}: {found} '{target}'; the columns are {shown}")
    return names.index(target)


def _numbers(row: list[str], names: list[str], path: Path, line: int) -> list[float]:
    if len(row) != len(names):
        raise InvalidInput(f"{path.name}, line {line}: {len(row)} cells under a header of {len(names)}")
    return [_number(cell, name, path, line) for cell, name in zip(row, names, strict=True)]


def _number(cell: str, name: str, path: Path, line: int) -> float:
    try:
        number = float(cell)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        what = f"'{cell.strip()}' is not a finite number" if cell.strip() else "nothing there"
        raise InvalidInput(f"{path.name}, line {line}, column '{name}': {what}; encode or drop it first")
    return number


def _read_npz(path: Path, target: str) -> Table:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile, AttributeError):
        raise DataError(f"{path}: not an NPZ file of plain arrays (np.savez(path, X=X, {target}=...))") from None
    for name in ("X", target):
        if name not in arrays:
            raise InvalidInput(f"{path.name}: no array '{name}'; the arrays are {', '.join(arrays) or 'none'}")
    X = arrays["X"]
    columns = X.shape[1] if X.ndim == 2 else 0
    names = [str(name) for name in arrays.get("names", [f"X[{j}]" for j in range(columns)])]
    if len(names) != columns:
        raise InvalidInput(f"{path.name}: {len(names)} names for {columns} columns of X")
    return X, arrays[target], names


# ---- the other commands --------------------------------------------------------------------------------------------


def _methods(options: argparse.Namespace) -> None:
    from sparsopt.solvers import methods

    table = methods()
    width = max(map(len, table))
    for name, line in table.items():
        print(f"{name:<{width}}  {line}")


def _verify(options: argparse.Namespace) -> int:
    from sparsopt.guarantees.verification import table, verify

    if options.instances < 1 or options.seed < 0:
        raise InvalidInput("verify: --instances must be at least 1 and --seed at least 0")
    rows = verify(options.instances, options.seed)
    print(table(rows))
    return 1 if any(row.violations for row in rows) else 0


def _subset_sum(words: list[str]) -> int:
    try:
        import tyro
    except ImportError:
        hint = "pip install 'sparsopt[benchmarks]', or call sparsopt.subset_sum from Python"
        raise MissingCapability(f"the subset-sum commands need tyro, which is not installed; {hint}") from None
    from sparsopt.subset_sum import command

    commands = {"verify": command.Verify, "solve": command.Solve}
    config = tyro.extras.subcommand_cli_from_dict(commands, args=words, prog="python -m sparsopt subset-sum")
    return command.main(config)


if __name__ == "__main__":
    sys.exit(main())
