"""Train, cut once, and stop: what magnitude alone is worth, on any module, without retraining.

nets.prune("transformer-small", data, "one-shot-magnitude", sparsity=0.5)
nets.prune("transformer-small", data, "one-shot-magnitude", settings={"pattern": "2:4"})       # hardware's pattern
"""

from __future__ import annotations

import re

from nets.plan import Entry, Plan, scoped
from sparsopt.errors import InvalidInput
from sparsopt.fits import Restrict
from sparsopt.method import Method, Phase, Stage
from sparsopt.moves import Everything, Keep, Magnitude
from sparsopt.schedules import Geometric
from sparsopt.support import NM, Elements, Structure

__all__ = ["METHODS", "one_shot_magnitude"]


def one_shot_magnitude(plan: Plan, scope: str = "global", pattern: str = "") -> Method:
    """The largest weights of a trained network, as they are.

    train T;  S = the k largest |w|;  w = w_S.       scope: global, uniform or erk

    pattern "2:4": S = the 2 largest of every 4 that follow each other along a layer's inputs; k and scope are ignored,
    and layers whose inputs 4 does not divide stay whole, so the sparsity is what comes of it. One round of iterative
    hard thresholding, without correction. Cost: 1 training.
    """
    structure = _structure(pattern)
    keep = Keep(scoped(Geometric(plan.n, plan.k, 1), scope), Magnitude(), structure)
    stage = Stage((Phase(Everything(), plan.train(plan.steps)), Phase(keep, Restrict())))
    return Method("one-shot-magnitude", (stage,), "Jaiswal, Liu, Chen, Wang (2023), the setting; Han et al. (2015)")


def _structure(pattern: str) -> Structure:
    if not pattern:
        return Elements()
    parts = re.fullmatch(r"(\d+):(\d+)", pattern)
    if parts is None:
        raise InvalidInput(f"pattern = {pattern!r}: give n:m, such as 2:4 for two of every four weights, or nothing")
    return NM(int(parts[1]), int(parts[2]))


METHODS: dict[str, Entry] = {"one-shot-magnitude": one_shot_magnitude}
