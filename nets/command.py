"""`python -m nets train`, `prune` and `methods`: a dataclass each, which is its command line."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nets
from nets.recipes import RECIPES, Published
from sparsopt import support as sp
from sparsopt.errors import InvalidInput
from sparsopt.names import lookup
from sparsopt.result import Trace
from sparsopt.state import State

__all__ = ["Methods", "Prune", "Train"]


@dataclass(frozen=True)
class Train:
    """Train a network on all its weights: what pruning is measured against."""

    data: str | None = None
    """digits, mnist, fashion or cifar10; default: the recipe's, digits for adam and sgd"""
    model: str | None = None
    """a model of `python -m nets methods`; default: the recipe's, lenet-300-100 for adam and sgd"""
    epochs: float | None = None
    """length of one training; default: the recipe's, 20 for adam and sgd"""
    width: float = 1.0
    """factor on the channels and hidden units of each layer"""
    init: str = "kaiming-normal"
    """first weights: kaiming-normal, fan-out or signed-constant"""
    dropout: float = 0.0
    """of the hidden linear layers of the LeNets and Conv-2/4/6"""
    validation: float = 0.0
    """share of the training split to hold out and measure on, to choose settings; 0: measure on the test split"""
    seed: int = 0
    """of first weights, order of samples, and all that is random"""
    out: Path | None = None
    """folder for checkpoints and results, so that the same command continues; default: nothing is kept"""
    device: str = "cpu"
    """cpu or cuda"""
    engine: str = "dense"
    """dense; captured: a step is one CUDA graph; explicit, sparse, auto: perceptrons cost less on the CPU"""
    recipe: str = "adam"
    """adam (0.001, cosine schedule, batches of 64), sgd (0.1, momentum, two milestones, 128), or that of a paper"""
    learning_rate: float | None = None
    """instead of the recipe's"""
    batch: int | None = None
    """instead of the recipe's"""
    save_every: float = 20.0
    """seconds between checkpoints"""

    def __call__(self) -> None:
        self._print(self.run())

    def run(self) -> nets.Outcome:
        """The outcome; nothing is printed."""
        return self._prune("dense", 0.0, None)

    def _prune(
        self, method: str | None, sparsity: float, budget: int | None, settings: Mapping[str, Any] | None = None
    ) -> nets.Outcome:
        paper = self._recipe()
        data = nets.data.load(self.data or paper.data)
        data = data.validation(self.validation, seed=0) if self.validation else data
        model = nets.models.Named(
            self.model or paper.model, data.inputs, data.classes, self.width, self.init, self.dropout
        )
        with _progress() as progress:
            outcome = nets.prune(
                model, data, method, sparsity, paper, self.seed, self.out, epochs=self.epochs,
                budget=budget, settings=settings, device=self.device, engine=self.engine, progress=progress,
                save_every=self.save_every,
            )  # fmt: skip
        return outcome

    @staticmethod
    def _print(outcome: nets.Outcome) -> None:
        print(outcome)
        for name, density in outcome.densities.items():
            print(f"{'':<10} {density:8.4f} of {name}")

    def _recipe(self) -> Published:
        paper = lookup(RECIPES, self.recipe, "recipe")
        given = {"learning_rate": self.learning_rate, "batch": self.batch}
        changes = {name: value for name, value in given.items() if value is not None}
        return dataclasses.replace(paper, recipe=dataclasses.replace(paper.recipe, **changes))


@dataclass(frozen=True)
class Prune(Train):
    """Prune a network to a sparsity that is met exactly."""

    method: str | None = None
    """a method of `python -m nets methods`, also with a control: imp+reinit; default: the recipe's, else imp"""
    sparsity: float = 0.9
    """fraction of the prunable weights to remove (of structured methods: of the channels), 0 or more and below 1"""
    budget: int | None = None
    """training steps in all, instead of epochs: the method shares them out"""
    set: tuple[str, ...] = ()
    """parameters of the method: NAME=VALUE, such as early=500 for imp or scope=erk for gmp"""

    def run(self) -> nets.Outcome:
        return self._prune(self.method, self.sparsity, self.budget, dict(_setting(text) for text in self.set))


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
    """List methods, controls, models, data sets and recipes."""

    def __call__(self) -> None:
        for name, text in nets.methods().items():
            print(f"{name:<20} {text}")
        print(f"\ncontrols: {', '.join('+' + name for name in nets.controls.CONTROLS)}")
        print(f"models:   {', '.join(nets.models.names())}\ndata:     {', '.join(nets.data.names())}\n")
        for name, paper in RECIPES.items():
            print(f"--recipe {name:<24} {paper}")


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
