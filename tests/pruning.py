"""`nets.prune` on a tiny network and tiny data, as its tests call it."""

from __future__ import annotations

from typing import Any

import nets
from nets.outcome import Outcome
from nets.recipe import Recipe
from tests.networks import MOMENTUM, blobs, module

DATA = blobs()


def prune(method: Any = "gmp", sparsity: Any = 0.8, recipe: Recipe = MOMENTUM, **options: Any) -> Outcome:
    model = options.pop("model", None) or module()
    return nets.prune(model, options.pop("data", DATA), method, sparsity, recipe, **{"epochs": 3, **options})
