"""The command line: fit a sparse model to a file, list the methods, try the theorems, and the subset-sum tools.

    python -m sparsopt fit diabetes.csv --target y --k 5
    python -m sparsopt fit diabetes.csv.gz --target y --k 0:10
    python -m sparsopt fit patients.csv --target sick --k 3 --loss logistic --ridge 0.001 --missing mean --text encode
    python -m sparsopt fit genes.npz --k 10 --out results/genes
    python -m sparsopt methods
    python -m sparsopt verify --instances 1000 --seed 1
    python -m sparsopt hard --seeds 20 --large
    python -m sparsopt subset-sum --help

Text files (commas, semicolons, tabs, bars or spaces) and Parquet files have a header or names; an NPZ file holds the
matrix X (or the parts of a sparse one), the target under its name, and, if the columns have any, their `names`; a
LIBSVM file has its target first in each line. Text may be packed (.gz, .bz2, .xz). Of a range --k 0:10 the k with the
least held-out loss is taken, or by EBIC with --folds 0. With --out, fit.json and path.svg say what happens for k = 0,
1, ... Bad input ends with one line on the error stream and exit code 2; `verify` and `hard` exit with 1 if something
proved did not hold.
"""

from __future__ import annotations

from sparsopt.machine.interrupts import at_once

with at_once("sparsopt"):
    import argparse
    import os
    import re
    import sys
    from collections.abc import Sequence
    from pathlib import Path

    from sparsopt.errors import InvalidInput, MissingCapability, SparsoptError


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; the exit code is 0, 1 for a theorem that does not hold, 2 for input that makes no sense, or
    130 after Ctrl-C: what is written is written at the end."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        with at_once("sparsopt"):
            if words[:1] == ["subset-sum"]:
                return _subset_sum(words[1:])
            options = _parser().parse_args(words)
            code = options.command(options) or 0
            print(end="", flush=True)  # what cannot be written is known here
            return code
    except SparsoptError as error:
        print(f"sparsopt: {error}", file=sys.stderr)
        return 2
    except OSError as error:  # of the output: files that cannot be read or written are a `DataError`
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or Python would try again when it ends
        if isinstance(error, BrokenPipeError):  # `| head` has seen enough
            return 0
        print(f"sparsopt: the output cannot be written ({error.strerror or error})", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sparsopt", description="Sparse-constrained optimisation.")
    commands = parser.add_subparsers(required=True, metavar="fit | methods | verify | hard | subset-sum")
    fit = commands.add_parser("fit", help="the best model with at most k non-zero coefficients, for a table in a file")
    fit.add_argument("file", type=Path, help=".csv, .tsv, .txt, .parquet, .npz, .libsvm; text also .gz")
    fit.add_argument("--target", metavar="NAME", help="the column, or array of an NPZ file, to explain")
    fit.add_argument("--k", required=True, type=_sizes, help="how many coefficients may be non-zero, or 0:10 to choose")
    fit.add_argument("--method", default="auto", help="one of `python -m sparsopt methods` (default: auto)")
    fit.add_argument("--ridge", default=0.0, type=float, help="adds ridge/2 |w|^2 (default: 0)")
    fit.add_argument("--loss", default="squares", help="squares, logistic, poisson, gamma, huber or hinge")
    fit.add_argument("--missing", default="error", choices=("error", "drop", "mean"), help="cells with no number")
    fit.add_argument("--text", default="error", choices=("error", "drop", "encode"), help="columns with text")
    fit.add_argument("--folds", default=5, type=int, help="of cross-validation; 0: none (default: 5)")
    fit.add_argument("--out", type=Path, metavar="FOLDER", help="where fit.json and path.svg go")
    fit.add_argument("--seed", default=0, type=int)
    fit.set_defaults(command=_fit)
    commands.add_parser("methods", help="the methods by name").set_defaults(command=_methods)
    verify = commands.add_parser("verify", help="every theorem on random instances: violations and tightest slack")
    verify.add_argument("--instances", default=200, type=int, help="of each theorem (default: 200, some 10 seconds)")
    verify.add_argument("--seed", default=0, type=int)
    verify.set_defaults(command=_verify)
    hard = commands.add_parser("hard", help="which methods find the answer of the published worst cases")
    hard.add_argument("--seeds", default=20, type=int, help="orders and signs of the columns (default: 20)")
    hard.add_argument("--large", action="store_true", help="also thousands of columns, for a few methods: minutes")
    hard.set_defaults(command=_hard)
    commands.add_parser("subset-sum", help="solvers and theorem checks for random subset sums", add_help=False)
    return parser


def _sizes(text: str) -> int | range:
    """5, or 0:10 with both ends."""
    found = re.fullmatch(r"(-?\d+)(?::(\d+))?", text.strip())
    if found is None or (found[2] and not 0 <= int(found[1]) <= int(found[2])):
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor a range such as 0:10")
    return range(int(found[1]), int(found[2]) + 1) if found[2] else int(found[1])


# ---- fit -----------------------------------------------------------------------------------------------------------


def _fit(options: argparse.Namespace) -> None:
    from sparsopt.fitting import fit, write
    from sparsopt.tables import read

    table = read(options.file, options.target, options.missing, options.text)
    found = fit(table, options.k, options.loss, options.ridge, options.method, options.seed, options.folds)
    text, files = str(found), [] if options.out is None else write(found, options.out)
    print("\n".join([text, *([""] if files else []), *map(str, files)]))


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


def _hard(options: argparse.Namespace) -> int:
    from sparsopt.hard_instances.recovery import FAST, LARGE, recovery, table

    if options.seeds < 1:
        raise InvalidInput("hard: --seeds must be at least 1")
    rows = recovery(options.seeds) | (recovery(options.seeds, LARGE, FAST) if options.large else {})
    print(table(rows))
    return 0 if all(cell.agrees for row in rows.values() for cell in row.values()) else 1


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
