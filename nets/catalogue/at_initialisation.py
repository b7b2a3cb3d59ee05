"""Without pruning, and pruning before training.

A mask that is chosen before the first step costs one training. What it must beat is `random`.
"""

from __future__ import annotations

from nets.catalogue.plan import Entry, Plan
from sparsopt.method import Method, Phase, Stage
from sparsopt.moves import Choose, Everything, Random
from sparsopt.schedules import ERK

__all__ = ["METHODS", "dense", "random"]


def dense(plan: Plan) -> Method:
    """Train all weights: what the others are measured against (k is ignored).

    S = all;  train T.       Cost: 1 training.
    """
    return Method("dense", (Stage((Phase(Everything(), plan.train(plan.steps)),)),))


def random(plan: Plan) -> Method:
    """A random mask with Erdos-Renyi-kernel layer densities, fixed before training.

    S = random, ERK(k);  train T.       Cost: 1 training. The baseline that any choice of mask has to beat.
    """
    stage = Stage((Phase(Choose(ERK(plan.k), Random()), plan.train(plan.steps)),))
    return Method("random", (stage,), "Mocanu et al. (2018); Evci et al. (2020), static")


METHODS: dict[str, Entry] = {
    "dense": dense,
    "random": random,
}
