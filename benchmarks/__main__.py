"""`python -m benchmarks COMMAND`: the dataclass that a command's main takes is its command line."""

from __future__ import annotations

from sparsopt.machine.interrupts import STATUS, at_once

with at_once("benchmarks"):
    import importlib
    import os
    import sys
    import typing

    from sparsopt.errors import InvalidInput, SparsoptError
    from sparsopt.names import lookup

COMMANDS = {
    "compare": ("benchmarks.compare", "greedy pruning against iterative magnitude pruning, and the convex solvers"),
    "cell": ("benchmarks.cell", "compute one cell of a comparison, for runners of one's own"),
    "report": ("benchmarks.report", "write a run's report again from its results"),
    "convex": ("benchmarks.convex_peers", "our convex solvers and other packages side by side"),
    "reproduce": ("benchmarks.reproduce", "published claims run again, with verdicts"),
    "speed": ("benchmarks.speed", "training steps and whole runs against plain loops"),
    "knee": ("benchmarks.knee", "essential sparsity: the knee of one-shot pruning, by default of a small Transformer"),
    "subset-sum": ("benchmarks.subset_sum", "random subset sums: figures and throughput"),
}


def main(arguments: list[str]) -> int:
    """Run a command; its exit status. Errors are one line on stderr: 2 for what was asked, 1 for what happened."""
    os.environ.setdefault("PYTHONWARNINGS", "ignore:resource_tracker:UserWarning")  # what Ctrl-C leaves is cleaned up
    if not arguments or arguments[0] in ("-h", "--help"):
        print("\n".join(_usage()))
        return 0 if arguments else 2
    try:
        module, _ = lookup(COMMANDS, arguments[0], "command")
        return _run(module, arguments)
    except InvalidInput as error:
        return _complain(error, 2)
    except KeyboardInterrupt:
        return _complain("stopped; what was finished is kept, and the same command continues", STATUS)
    except (SparsoptError, OSError) as error:
        return _complain(error, 1)


def _run(module: str, arguments: list[str]) -> int:
    with at_once("benchmarks"):
        import tyro

        entry = importlib.import_module(module).main
        configuration = typing.get_type_hints(entry)["config"]
        made = tyro.cli(configuration, args=arguments[1:], prog=f"python -m benchmarks {arguments[0]}")
    return int(entry(made) or 0)


def _complain(error: object, status: int) -> int:
    print(f"error: {str(error).splitlines()[0]}", file=sys.stderr)
    return status


def _usage() -> list[str]:
    names = [f"  {name:<12} {text}" for name, (_, text) in COMMANDS.items()]
    return ["usage: python -m benchmarks COMMAND ...", "", *names, "", "python -m benchmarks COMMAND --help"]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
