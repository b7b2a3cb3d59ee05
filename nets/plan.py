"""What an entry of the catalogue is given, what it costs, and how it is fitted to a budget.

>>> plan = Plan(Layout(("fc",), ((10, 784),)), k=784, steps=1000)
>>> cost(imp(plan)), cost(within(imp, plan, budget=5000)) <= 5000
(12000, True)
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from nets.local_models import LocalFit
from nets.recipe import Recipe
from nets.training import Train
from sparsopt.errors import InvalidInput
from sparsopt.method import Method, Phase, Stage, parts
from sparsopt.moves import Move, Stay
from sparsopt.names import lookup
from sparsopt.schedules import ERK, Decay, Falling, Uniform
from sparsopt.state import Layout
from sparsopt.support import Elements, Structure

__all__ = ["Entry", "Plan", "configured", "cost", "evaluations", "finish", "scoped", "scoring", "within"]

RATE = 0.2  # what iterative magnitude pruning removes a round (Frankle and Carbin 2019, most networks)


@dataclass(frozen=True)
class Plan:
    """What a method is asked to do: keep k weights of a layout, a training being `steps` long.

    structure: what k counts, for the methods that prune whole channels (`nets.structured`); others do not look at it.
    """

    layout: Layout
    k: int
    steps: int
    recipe: Recipe = Recipe()
    structure: Structure = Elements()

    @property
    def n(self) -> int:
        return self.layout.n

    @property
    def rounds(self) -> int:
        """Rounds of iterative pruning: the fewest that remove at most 20 % each."""
        return max(1, math.ceil(math.log(self.k / self.n) / math.log(1 - RATE) - 1e-9)) if self.k < self.n else 0

    def train(self, steps: int, **changes: object) -> Train:
        """`steps` steps of a training that is T long in all."""
        return Train(steps, self.recipe, total=max(self.steps, 1), **changes)  # type: ignore[arg-type]


def finish(plan: Plan, done: int, **changes: object) -> tuple[Stage, ...]:
    """What remains of one training, on the support as it is."""
    left = plan.steps - done
    return (Stage((Phase(Stay(), plan.train(left, **changes)),)),) if left > 0 else ()


SCOPES: dict[str, Callable[[Decay], Decay | Falling]] = {
    "global": lambda total: total,
    "uniform": lambda total: Falling(Uniform(total)),
    "erk": lambda total: Falling(ERK(total)),
}


def scoped(total: Decay, scope: str) -> Decay | Falling:
    """A total as it is ("global": scores compete over all layers), or divided: "uniform" densities, or "erk"."""
    if total.rounds < 1:
        raise InvalidInput(f"rounds = {total.rounds}: at least 1 is needed to prune at all")
    return lookup(SCOPES, scope, "scope")(total)


Entry = Callable[..., Method]  # (plan) -> method; what a catalogue consists of


def configured(entry: Entry, settings: Mapping[str, Any]) -> Entry:
    """The entry with some of its parameters set by name; InvalidInput for one that it has not, or another type."""
    known = dict(list(inspect.signature(entry, eval_str=True).parameters.items())[1:])
    for name, value in settings.items():
        who = getattr(entry, "__name__", repr(entry)).replace("_", "-")
        if name not in known:
            raise InvalidInput(f"{who} has no setting '{name}'; it has {', '.join(known) or 'none'}")
        kinds = typing.get_args(known[name].annotation) or (known[name].annotation,)
        plain = tuple(kind for kind in kinds if kind in (int, float, str, bool, type(None)))
        if len(plain) == len(kinds) and not isinstance(value, (*plain, int) if float in plain else plain):
            raise InvalidInput(f"{who}: {name} = {value!r} is no {' or '.join(kind.__name__ for kind in plain)}")
    return functools.update_wrapper(functools.partial(entry, **settings), entry)


def cost(method: Method) -> int:
    """Training steps that a method takes in all, if no judge ends it early; what local models cost is among them."""
    return sum(
        stage.rounds * sum(phase.fit.steps for phase in stage.phases if isinstance(phase.fit, (Train, LocalFit)))
        for stage in method.stages
    )


def scoring(method: Method) -> int:
    """Gradients that a method evaluates at most to choose weights, beside its training steps.

    A pruned network's price is `cost` steps and these. Each takes one batch or less (`Score.gradients` has more on it).
    """
    return sum(stage.rounds * sum(evaluations(phase.move) for phase in stage.phases) for stage in method.stages)


def evaluations(move: Move) -> int:
    """Gradients that one call of a move evaluates: what its scores declare as `gradients`, else 1 if they need one."""
    return sum(getattr(part, "gradients", int("gradient" in getattr(part, "needs", ()))) for part in parts(move))


def within(entry: Entry, plan: Plan, budget: int) -> Method:
    """The entry with the longest training whose total cost stays within `budget` steps: comparison at equal cost."""
    low, high = 0, budget
    while low < high:
        middle = (low + high + 1) // 2
        fits = cost(entry(dataclasses.replace(plan, steps=middle))) <= budget
        low, high = (middle, high) if fits else (low, middle - 1)
    if low == 0:
        name = getattr(entry, "__name__", repr(entry))
        raise InvalidInput(f"a budget of {budget} steps is too small for {name}, even with one step a training")
    return entry(dataclasses.replace(plan, steps=low))
