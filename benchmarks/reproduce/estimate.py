"""How long a target will take, before it starts: the steps of its unfinished cells, and the time of one, measured.

A few dense steps of each arm's model, batch and engine are timed here and now; a method's steps are what it announces.
Gates that sort scores cost more than a plain step, sparse phases less, and a busy machine anything: it is the order of
magnitude that counts.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import cache

from benchmarks.networks import NetworkCell, _load
from nets.models import Named
from nets.recipe import Recipe
from nets.weights import Rule

WARM, TIMED = 3, 8  # steps


def seconds(cells: Iterable[NetworkCell], jobs: int) -> float:
    """Wall time of cells that have not been computed yet, `jobs` at a time."""
    return sum(steps(cell) * _step(_network(cell), cell.recipe, cell.device, cell.engine) for cell in cells) / jobs


def said(seconds: float) -> str:
    """A rough length of time, in words.

    >>> said(40), said(400), said(50_000)
    ('about 40 s', 'about 7 min', 'about 14 h')
    """
    if seconds < 100:
        return f"about {max(1, round(seconds))} s"
    return f"about {round(seconds / 60)} min" if seconds < 6000 else f"about {round(seconds / 3600)} h"


def steps(cell: NetworkCell) -> int:
    """Training steps that a cell takes in all, if no judge ends it early."""
    from benchmarks import structured
    from nets.plan import Plan, configured, cost, within

    data, network = _load(cell.data, cell.part, cell.seed), _network(cell)
    layout = _built(*network).layout
    entry = configured(structured.find(cell.method), dict(cell.settings))
    epoch = len(data.labels) // cell.recipe.batch
    scratch = round(cell.epochs * epoch) if structured.from_scratch(cell.method) else 0
    if cell.method in structured.SCRATCH:
        return scratch
    plan = Plan(layout, max(1, round((1 - cell.sparsity) * layout.n)), round(cell.epochs * epoch), cell.recipe)
    budget = cell._budget(data)
    return scratch + cost(entry(plan) if budget is None else within(entry, plan, budget))


Built = tuple[str, str, float, str, Rule]


def _network(cell: NetworkCell) -> Built:
    return cell.data, cell.model, cell.width, cell.init, cell.prunable


@cache
def _built(data: str, model: str, width: float, init: str, prunable: Rule, device: str = "cpu", engine: str = "dense"):
    from nets.training import Network

    images = _load(data, "test", 0)
    named = Named(model, images.inputs, images.classes, width, init)
    look = getattr(prunable, "found", None)  # a rule that must see the module first: channels
    rule = prunable if look is None else look(named(0), images.inputs)
    return Network(named, images, prunable=rule, device=device, engine=engine).open()


@cache
def _step(built: Built, recipe: Recipe, device: str, engine: str) -> float:
    """Seconds of one dense training step."""
    from nets.training import Masked

    network = _built(*built, device, engine)
    state = network.start(0)
    for count in (WARM, TIMED):
        began = time.perf_counter()
        state = network.train(state, recipe, Masked(), count, WARM + TIMED)
        float(state.x.sum())  # a GPU has to be done
    return (time.perf_counter() - began) / TIMED
