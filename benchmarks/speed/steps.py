"""One training step of LeNet-300-100 by density: the dense engine, the sparse engine, and the loop around them.

Milliseconds of a step with its batch, the best of several runs; a phase's own cost (rows built, weights in and out) is
not a step's, and is left out.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from benchmarks.speed.imp import RECIPE

DENSITIES = (1.0, 0.5, 0.33, 0.2, 0.1, 0.05, 0.02, 0.01)


def table(data: Any, engines: tuple[str, ...], steps: int, repeats: int) -> Iterator[tuple[float, dict[str, float]]]:
    """(density, engine -> milliseconds a step)."""
    import nets
    from nets.gates import Masked
    from nets.training import Network
    from sparsopt import support as sp

    model = nets.models.build("lenet-300-100", data.inputs, data.classes, 0)
    worlds = {engine: Network(model, data, recipe=RECIPE, engine=engine) for engine in engines}
    start = worlds[engines[0]].start(0)
    for density in DENSITIES:
        state = Masked().enter(start.but(support=sp.top(start.x.abs(), round(density * len(start.x)))))
        yield density, {name: _milliseconds(world, state, steps, repeats) for name, world in worlds.items()}


def _milliseconds(world: Any, state: Any, steps: int, repeats: int) -> float:
    from nets.gates import Masked

    def timed(count: int) -> float:
        began = time.process_time()
        world.train(state, RECIPE, Masked(), count, max(count, 1))
        return time.process_time() - began

    timed(steps)
    return 1e3 * (min(timed(steps) for _ in range(repeats)) - min(timed(0) for _ in range(repeats))) / steps
