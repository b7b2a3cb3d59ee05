"""The command line: prune or train a network on a data set, one or many, and list what there is.

    python -m nets methods
    python -m nets prune --data mnist --model lenet-300-100 --method imp --sparsity 0.9 --epochs 2 --out runs/imp
    python -m nets prune --data mnist --method imp --set early=500 rounds=8
    python -m nets prune --recipe lth-lenet-300-100 --method imp-layerwise+reinit --sparsity 0.96
    python -m nets train --data digits --epochs 20
    python -m nets sweep --data digits --methods imp rigl --sparsity 0.9 0.98 --seeds 5 --out runs/sweep
    python -m nets export runs/imp
    torchrun --standalone --nproc-per-node 2 -m nets prune --model resnet-56 --data cifar10 --out runs/big
    python -m nets strong-ticket --help

With `--out` a run that was interrupted or killed continues by the same command, and a finished one prints its result
again. Errors are one line and exit code 2; Ctrl-C is one line and 130.
"""

from __future__ import annotations

from sparsopt.machine.interrupts import STATUS, at_once

with at_once("nets"):
    import sys
    from collections.abc import Sequence
    from contextlib import redirect_stdout
    from typing import Any

    from nets import ranks
    from nets.command import Methods, Prune, Train
    from nets.export.command import Export
    from nets.strong_tickets.command import StrongTicket
    from nets.sweep import Sweep
    from sparsopt.errors import SparsoptError

COMMANDS = Methods | Train | Prune | Sweep | Export | StrongTicket


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; the exit code is 0, 2 for an error, 130 after Ctrl-C."""
    with at_once("nets"):
        import tyro

        command: Any = tyro.cli(COMMANDS, prog="python -m nets", description=__doc__, args=arguments)  # type: ignore[call-overload]
    try:
        with ranks.joined(getattr(command, "device", "cpu")), redirect_stdout(None if ranks.rank() else sys.stdout):
            command()
    except SparsoptError as error:
        print(f"nets: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        out = getattr(command, "out", None)
        kept = (
            "nothing was kept: give --out to be able to continue"
            if out is None
            else f"the same command continues {out}"
        )
        print(f"nets: interrupted; {kept}", file=sys.stderr)
        return STATUS
    return 0


if __name__ == "__main__":
    sys.exit(main())
