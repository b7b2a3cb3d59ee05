"""Targets: the arms to run, the claims to check on them, and what their sources report.

>>> Target("toy", "A toy", "nobody", "digits", "lenet-300-100", arms={"dense": Arm("dense")}).cells(range(2))
[('dense', NetworkCell(...)), ('dense', NetworkCell(...))]

A target has its source's protocol. `budgeted()` is the same with fewer epochs and seeds, for machines without an
accelerator: only claims about orders are left of it, and what it prints says so.
"""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.networks import NetworkCell
from benchmarks.reproduce.claims import Claim
from nets.recipe import Recipe
from nets.weights import ConvolutionsAndLinear, Rule

PUBLISHED = Path(__file__).with_name("published.csv")


@dataclass(frozen=True)
class Arm:
    """One method at one sparsity. recipe, init, engine: None for the target's; trainings: as in `NetworkCell`."""

    method: str
    sparsity: float = 0.0
    recipe: Recipe | None = None
    trainings: float | None = None
    settings: tuple[tuple[str, Any], ...] = ()
    init: str | None = None
    engine: str | None = None


@dataclass(frozen=True)
class Published:
    """A number of a source: value ± spread over `runs`, and where it was read."""

    value: float
    spread: float | None
    runs: int | None
    source: str


@dataclass(frozen=True)
class Target:
    """What a source claims, and how to check it.

    epochs    of one training
    protocol  what is done, in a few sentences, where title and recipe do not say it
    cpu       what the budgeted version changes
    """

    name: str
    title: str
    source: str
    data: str
    model: str
    recipe: Recipe = Recipe()
    epochs: float = 1.0
    seeds: int = 5
    arms: Mapping[str, Arm] = field(default_factory=dict)
    claims: tuple[Claim, ...] = ()
    prunable: Rule = ConvolutionsAndLinear()
    init: str = "kaiming-normal"
    engine: str = "dense"
    width: float = 1.0
    protocol: tuple[str, ...] = ()
    cpu: Mapping[str, Any] = field(default_factory=dict)
    shortened: bool = False

    @property
    def published(self) -> dict[str, Published]:
        """Arm -> what its source reports, where a number was read there."""
        return _published().get(self.name, {})

    def budgeted(self) -> Target:
        """For two cores: fewer epochs and seeds, and the claims that are about orders."""
        if not self.cpu:
            return self
        changed = dataclasses.replace(self, **self.cpu, shortened=True)
        return dataclasses.replace(changed, claims=tuple(c for c in changed.claims if not c.absolute))

    def cells(self, seeds: Iterable[int], device: str = "cpu") -> list[tuple[str, NetworkCell]]:
        return [(name, self._cell(arm, seed, device)) for name, arm in self.arms.items() for seed in seeds]

    def _cell(self, arm: Arm, seed: int, device: str) -> NetworkCell:
        return NetworkCell(
            self.data, self.model, arm.method, arm.sparsity, seed, self.epochs, arm.trainings, device,
            recipe=arm.recipe or self.recipe, prunable=self.prunable, settings=arm.settings,
            init=arm.init or self.init, engine=arm.engine or self.engine, width=self.width,
        )  # fmt: skip


@cache
def _published() -> dict[str, dict[str, Published]]:
    found: dict[str, dict[str, Published]] = {}
    with PUBLISHED.open(newline="") as file:
        for row in csv.DictReader(file):
            number = Published(
                float(row["value"]), _optional(row["spread"], float), _optional(row["runs"], int), row["source"]
            )
            found.setdefault(row["target"], {})[row["arm"]] = number
    return found


def _optional(text: str, kind: type) -> Any:
    return kind(text) if text else None


def published(target: str, arm: str) -> float:
    """The number that a claim is built on."""
    return _published()[target][arm].value
