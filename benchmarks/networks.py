"""The network panel: greedy methods against iterative magnitude pruning, at equal cost and at each one's own.

Two rules of cost. *Equal*: every run has the same number of training steps in all, that of a few trainings, and a
method shares them out: IMP to 98 % divides them over its 19 trainings. *Own*: one training has the recipe's length, and
a method takes as many as it is defined with, IMP one a round.

Runs are paired: with one seed all methods start from the same weights and see the same batches. The accuracy is that of
the last step on the test split; nothing is selected, neither epoch nor hyper-parameter.

>>> NetworkCell("digits", "lenet-300-100", "rigl", 0.9, seed=0, epochs=20, trainings=4).cost
'equal'
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

from benchmarks import structured
from benchmarks.recipes import setting
from nets.recipe import Recipe
from nets.recipes import FAST
from nets.weights import ConvolutionsAndLinear, Rule
from sparsopt.errors import InvalidInput

REFERENCE = "imp"
METHODS = (
    "dense",
    "random",
    "one-shot",
    "imp",
    "imp-reinit",
    "growth",
    "rigl",
    "rigl-accept",
    "acdc",
    "dpf",
    "gmp",
)
NEVER = 10**12  # steps between accuracies inside a run: they would be paid for, and are not used
MULTIPLE = ("imp", "imp-rewind", "imp-reinit", "lr-rewinding", "fine-tuning")  # trainings grow with the sparsity
CORE = ("support", "schedules", "state", "moves", "fits", "judges", "method", "result", "catalogue")


def reference(methods: Sequence[str]) -> str:
    """What the others are compared with: imp, or where it does not take part the first method that removes anything."""
    return REFERENCE if REFERENCE in methods else next((m for m in methods if m != "dense"), REFERENCE)


@dataclass(frozen=True)
class NetworkCell:
    """One pruned network. trainings: steps in all, in trainings of `epochs`; None: the method's own number.

    part: "test", or "validation" to choose settings without looking at the test split.
    settings: (name, value) pairs of the method's entry that differ from its defaults; width: factor on the channels.
    """

    data: str
    model: str
    method: str
    sparsity: float
    seed: int
    epochs: float
    trainings: float | None = None
    device: str = "cpu"
    part: str = "test"
    recipe: Recipe = Recipe()
    prunable: Rule = ConvolutionsAndLinear()
    settings: tuple[tuple[str, Any], ...] = ()
    init: str = "kaiming-normal"
    engine: str = "dense"
    width: float = 1.0

    kind: ClassVar[str] = "network"
    packages: ClassVar[tuple[str, ...]] = ("numpy", "torch")
    sources: ClassVar[tuple[str, ...]] = (
        *("nets/**/*.py", "benchmarks/networks.py", "benchmarks/structured.py"),
        *(f"sparsopt/{module}{kind}" for module in CORE for kind in (".py", "/**/*.py")),
    )

    def __post_init__(self) -> None:
        if self.recipe.name in FAST:
            raise InvalidInput(f"recipe '{self.recipe.name}' is for quick iteration and no protocol: no table takes it")

    @property
    def cost(self) -> str:
        return "own" if self.trainings is None else "equal"

    @property
    def label(self) -> str:
        return f"{self.method} {self.sparsity:.0%} seed {self.seed}, {self.cost} cost"

    @property
    def weight(self) -> float:
        """In trainings."""
        if self.trainings is not None:
            return self.trainings
        method, *controls = self.method.split("+")
        if self.method in structured.SCRATCH:
            return 1.0
        rounds = math.ceil(math.log(1 - self.sparsity) / math.log(0.8)) if method in MULTIPLE else 0
        return 1.0 + rounds + len(controls)

    def compute(self, folder: Path, threads: int) -> dict[str, Any]:
        """Train and prune; continues where an earlier process was killed."""
        import torch

        import nets

        torch.set_num_threads(threads)
        data = _load(self.data, self.part, self.seed)
        model = nets.models.Named(self.model, data.inputs, data.classes, self.width, self.init)
        how: dict[str, Any] = {"seed": self.seed, "device": self.device, "evaluate_every": NEVER, "engine": self.engine}

        def prune(method: str, out: Path | None, **changes: Any) -> Any:
            own = {"epochs": self.epochs, "budget": self._budget(data), "settings": dict(self.settings)}
            options = {**how, **own, "prunable": self.prunable, **changes}
            return nets.prune(model, data, method, self.sparsity, self.recipe, out=out, **options)

        epochs = self.epochs * (self.trainings or 1.0)
        outcome, left = structured.outcome(self.method, prune, data, epochs, folder, recipe=self.recipe, **how)
        return {
            "unit": outcome.unit,
            **left,
            "accuracy": outcome.accuracy,
            "loss": outcome.loss,
            "sparsity": outcome.sparsity,
            "effective_sparsity": None if math.isnan(outcome.effective_sparsity) else outcome.effective_sparsity,
            "kept": sum(int(mask.sum()) for mask in outcome.masks.values()),
            "prunable": outcome.prunable,
            "densities": dict(outcome.densities),
            "collapsed": list(outcome.collapsed),
            "steps": outcome.cost["steps"],
            "flops": outcome.cost["flops"],
            "seconds": outcome.cost["seconds"],
            "samples": len(data.test_labels),
            "status": outcome.status.name,
        }

    def records(self, result: Mapping[str, Any]) -> list[dict[str, Any]]:
        """One row of results: what was asked, and what came."""
        asked = {"cost": self.cost, "method": self.method, "asked": self.sparsity, "seed": self.seed}
        return [{**asked, **result}]

    def _budget(self, data: Any) -> int | None:
        if self.trainings is None:
            return None
        return round(self.trainings * self.epochs * (len(data.labels) // self.recipe.batch))


@lru_cache(maxsize=2)
def _load(name: str, part: str, seed: int) -> Any:
    import nets

    data = nets.data.load(name)
    return data if part == "test" else data.validation(0.1, seed)


def cells(
    data: str, model: str, methods: Sequence[str], sparsities: Sequence[float], seeds: Sequence[int], epochs: float,
    trainings: Mapping[str, float | None], device: str = "cpu", part: str = "test", width: float = 1.0,
) -> Iterator[NetworkCell]:  # fmt: skip
    """Every cell of the panel. trainings: rule of cost -> trainings in all; dense training knows no sparsity."""
    how = setting(data, model)
    for budget in trainings.values():
        for method in methods:
            for sparsity in (0.0,) if method == "dense" else sparsities:
                for seed in seeds:
                    asked = (data, model, method, sparsity, seed, epochs, budget, device, part)
                    rule = structured.counted(method, how.prunable)
                    yield NetworkCell(*asked, recipe=how.recipe, prunable=rule, width=width)
