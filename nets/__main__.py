"""The command line: prune or train a network on a data set, and list what there is.

    python -m nets methods
    python -m nets prune --data mnist --model lenet-300-100 --method imp --sparsity 0.9 --epochs 2 --out runs/imp
    python -m nets prune --data mnist --method imp --set early=500 rounds=8
    python -m nets train --data digits --epochs 20
    python -m nets export runs/imp
    python -m nets strong-ticket --help

With `--out` a run that was interrupted or killed continues by the same command, and a finished one prints its result
again. Errors are one line and exit code 2; Ctrl-C is one line and 130.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import nets
from nets.export.command import Export
from nets.recipe import SGD, Adam, Cosine, Recipe
from nets.strong_tickets.command import StrongTicket
from sparsopt import support as sp
from sparsopt.errors import InvalidInput, SparsoptError
from sparsopt.result import Trace
from sparsopt.state import State

RECIPES = {
    "adam": Recipe(1e-3, Cosine(), Adam(), batch=64, name="adam-cosine"),
    "sgd": Recipe(0.1, optimiser=SGD(0.9, weight_decay=1e-4), batch=128, name="sgd-milestones"),
}


@dataclass(frozen=True)
class Train:
    """Train a network on all its weights: what pruning is measured against."""

    data: str = "digits"
    """digits, mnist, fashion or cifar10"""
    model: str = "lenet-300-100"
    """a name of `python -m nets methods`"""
    epochs: float = 20
    """length of one training"""
    seed: int = 0
    """of first weights, order of samples, and all that is random"""
    out: Path | None = None
    """folder for checkpoints and results"""
    device: str = "cpu"
    """cpu or cuda"""
    engine: str = "dense"
    """dense; sparse or auto: phases with few weights cost less (perceptrons on the CPU), other last digits"""
    recipe: Literal["adam", "sgd"] = "adam"
    """Adam at 0.001 with a cosine schedule and batches of 64; or SGD at 0.1 with momentum, two milestones, and 128"""
    learning_rate: float | None = None
    """instead of the recipe's"""
    batch: int | None = None
    """instead of the recipe's"""
    save_every: float = 20.0
    """seconds between checkpoints"""

    def __call__(self) -> None:
        self._prune("dense", 0.0, None)

    def _prune(
        self, method: str, sparsity: float, budget: int | None, settings: Mapping[str, Any] | None = None
    ) -> None:
        data = nets.data.load(self.data)
        with _progress() as progress:
            outcome = nets.prune(
                lambda seed: nets.models.build(self.model, data.inputs, data.classes, seed), data, method, sparsity,
                self._recipe(), self.seed, self.out, epochs=self.epochs, budget=budget, settings=settings,
                device=self.device,
                engine=self.engine, progress=progress, save_every=self.save_every,
            )  # fmt: skip
        print(outcome)
        for name, density in outcome.densities.items():
            print(f"{'':<10} {density:8.4f} of {name}")

    def _recipe(self) -> Recipe:
        base = RECIPES[self.recipe]
        rate = base.learning_rate if self.learning_rate is None else self.learning_rate
        batch = base.batch if self.batch is None else self.batch
        return Recipe(rate, base.schedule, base.optimiser, batch, name=base.name)


@dataclass(frozen=True)
class Prune(Train):
    """Prune a network to a sparsity that is met exactly."""

    method: str = "imp"
    """a name of `python -m nets methods`"""
    sparsity: float = 0.9
    """fraction of the prunable weights to remove, 0 or more and below 1"""
    budget: int | None = None
    """training steps in all, instead of epochs: the method shares them out"""
    set: tuple[str, ...] = ()
    """parameters of the method: NAME=VALUE, such as early=500 for imp or scope=erk for gmp"""

    def __call__(self) -> None:
        self._prune(self.method, self.sparsity, self.budget, dict(_setting(text) for text in self.set))


def _setting(text: str) -> tuple[str, Any]:
    """NAME=VALUE; a value that is no Python literal is a word."""
    name, equals, value = text.partition("=")
    if not equals:
        raise InvalidInput(f"--set {text}: NAME=VALUE is needed, such as early=500")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


@dataclass(frozen=True)
class Methods:
    """List methods, models and data sets."""

    def __call__(self) -> None:
        for name, text in nets.methods().items():
            print(f"{name:<20} {text}")
        print(f"\nmodels: {', '.join(nets.models.names())}\ndata:   {', '.join(nets.data.names())}")


@contextmanager
def _progress() -> Iterator[Callable[[State, Trace], None] | None]:
    """One line on the error stream that changes as the run goes on; nothing where that is no terminal."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    with console.status("starting") as line:

        def show(state: State, trace: Trace) -> None:
            measured = trace.column("accuracy")
            known = f", accuracy {measured[-1]:.4f}" if measured else ""
            line.update(f"step {state.cost:,}, {sp.count(state.support):,} weights{known}")

        yield show


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; the exit code is 0, 2 for an error, 130 after Ctrl-C."""
    import tyro

    commands = Methods | Train | Prune | Export | StrongTicket
    command: Any = tyro.cli(commands, prog="python -m nets", description=__doc__, args=arguments)  # type: ignore[call-overload]
    try:
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
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
