"""Controls as maps from methods to methods, and the names they go by.

>>> CONTROLS["reinit"](method, plan).stages[-1]
Stage(phases=(Phase(move=Stay(), fit=Reinitialise(...)), ...
"""

from __future__ import annotations

import dataclasses
import inspect
from dataclasses import dataclass
from typing import Any

from nets.controls.fits import Reinitialise, Restart
from nets.controls.moves import Shuffle, inverted
from nets.plan import Entry, Plan, cost
from nets.training import Train
from nets.weights import Rule
from sparsopt.errors import InvalidInput
from sparsopt.fits import Fit, Restrict
from sparsopt.method import Method, Phase, Stage
from sparsopt.moves import Everything, Move, Stay

__all__ = ["CONTROLS", "Control", "Controlled", "until_mask"]

Model = Any  # an nn.Module, or a function seed -> nn.Module


@dataclass(frozen=True)
class Control:
    """(method, plan) -> method. Most leave the model alone."""

    def __call__(self, method: Method, plan: Plan) -> Method:
        raise NotImplementedError

    def model(self, model: Model, k: int, prunable: Rule) -> Model:
        """The model that is trained in the place of `model`, k being the prunable weights that the method keeps."""
        return model


@dataclass(frozen=True)
class OnTheMask(Control):
    """The method up to its mask; `move` and `fit` put others in the place of mask and weights; one training."""

    move: Move
    fit: Fit

    def __call__(self, method: Method, plan: Plan) -> Method:
        closing = Stage((Phase(self.move, self.fit), Phase(Stay(), plan.train(plan.steps))))
        return dataclasses.replace(method, stages=(*until_mask(method).stages, closing))


def until_mask(method: Method) -> Method:
    """The method without what follows its last change of the support.

    Whole stages, and within the last stage the fits, if that has a single round and no judge (one of several rounds
    repeats its fits before later choices).
    """
    stages = list(method.stages)
    while stages and all(phase.move == Stay() for phase in stages[-1].phases):
        stages.pop()
    if stages and stages[-1].rounds == 1 and stages[-1].judge is None:
        phases = stages[-1].phases
        last = max(i for i, phase in enumerate(phases) if phase.move != Stay())
        stages[-1] = Stage((*phases[:last], Phase(phases[last].move, Restrict())))
    return dataclasses.replace(method, stages=tuple(stages))


@dataclass(frozen=True)
class InvertedScores(Control):
    """Every move takes what its scores rank last. Refused where there is nothing to invert."""

    def __call__(self, method: Method, plan: Plan) -> Method:
        new = inverted(method)
        if new == method:
            raise InvalidInput(
                f"'{method.name}' ranks weights by no score, or only at random, so inverting it changes nothing; "
                "its controls are reinit, shuffle, random-mask and small-dense"
            )
        return new


@dataclass(frozen=True)
class SmallDense(Control):
    """A narrower network of the same family with about k weights, trained densely for as long as the method trains.

    Learning-rate schedules stretch over the whole. How many weights it has is the outcome's `prunable`.
    """

    def __call__(self, method: Method, plan: Plan) -> Method:
        steps = cost(method)
        return Method(method.name, (Stage((Phase(Everything(), Train(steps, plan.recipe)),)),), "Evci et al. (2020)")

    def model(self, model: Model, k: int, prunable: Rule) -> Model:
        narrower = getattr(model, "narrower", None)
        if narrower is None:
            raise InvalidInput(
                f"small-dense needs a family of models of several widths, and {type(model).__name__} is one model: "
                'give it by name, as in nets.prune("lenet-300-100", ...), or as an object with '
                "narrower(weights, prunable) -> (seed -> nn.Module)"
            )
        return narrower(k, prunable)


CONTROLS: dict[str, Control] = {
    "reinit": OnTheMask(Stay(), Reinitialise()),
    "shuffle": OnTheMask(Shuffle(), Restart()),
    "random-mask": OnTheMask(Shuffle(), Reinitialise()),
    "inverted": InvertedScores(),
    "small-dense": SmallDense(),
}


@dataclass(frozen=True)
class Controlled:
    """An entry of the catalogue under a control: an entry again."""

    of: Entry
    control: str

    @property
    def __name__(self) -> str:
        return f"{getattr(self.of, '__name__', repr(self.of))}+{self.control}"

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self.of, eval_str=True)  # the settings are the method's

    def __call__(self, plan: Plan, **settings: Any) -> Method:
        method = self.of(plan, **settings)
        new = CONTROLS[self.control](method, plan)
        return dataclasses.replace(new, name=f"{method.name}+{self.control}")

    def model(self, model: Model, k: int, prunable: Rule) -> Model:
        """The model that this entry trains: see `Control.model`."""
        before = getattr(self.of, "model", None)
        return CONTROLS[self.control].model(model if before is None else before(model, k, prunable), k, prunable)
