"""Iterative magnitude pruning of LeNet-300-100, as a whole run: ours with each engine, and plain loops.

16 levels of 20 %, 2 epochs a level, batches of 128, one thread, a test pass after every epoch, masks on disk after
every level. A plain loop multiplies dense matrices whatever the masks, so its levels cost the same: by sample, where a
level takes a quarter of a minute, the first one is timed and the others are taken to cost as much, unless all are asked
for.
"""

from __future__ import annotations

import dataclasses
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.speed import peers
from nets.recipe import SGD, Constant, Recipe

RECIPE = Recipe(0.1, Constant(), SGD(0.0, weight_decay=0.0), batch=128, name="sgd")
KEPT = 0.8


@dataclass(frozen=True)
class Timing:
    """Seconds of each level; `timed` of them measured, the others taken to cost as much."""

    name: str
    levels: tuple[float, ...]
    timed: int
    accuracy: float = float("nan")

    @property
    def seconds(self) -> float:
        return sum(self.levels)

    def sparse(self, density: float = 0.1) -> float:
        """Seconds of the levels at this density or below."""
        return sum(s for level, s in enumerate(self.levels) if KEPT**level <= density)


class _Watch:
    """Called after every epoch: a pass over the test set, masks on disk, and the clock of the level."""

    def __init__(self, network: Any, levels: int, steps: int, folder: Path) -> None:
        self.network, self.steps, self.folder = network, steps, folder
        self.seconds, self.cost, self.accuracy = [0.0] * levels, 0, float("nan")
        self.began = time.process_time()

    def __call__(self, state: Any, trace: Any) -> None:
        from sparsopt import support as sp

        level = max(0, state.cost - 1) // self.steps
        if state.cost > self.cost:
            self.accuracy, self.cost = self.network.test(state)[1], state.cost
            np.savez(self.folder / f"masks-{level}.npz", np.packbits(sp.to_numpy(state.support)))
        now = time.process_time()
        self.seconds[level] += now - self.began
        self.began = now


def ours(data: Any, engine: str, levels: int, epochs: int) -> Timing:
    """Our own run. What happens between two levels counts for the one that ends."""
    import nets
    from nets.catalogue import METHODS
    from nets.training import Network
    from sparsopt.method import run

    model = nets.models.build("lenet-300-100", data.inputs, data.classes, 0)
    began, per_epoch = time.process_time(), len(data.labels) // RECIPE.batch
    network = Network(model, data, recipe=RECIPE, chunk=per_epoch, engine=engine)
    kept = round(network.layout.n * KEPT ** (levels - 1))
    plan = nets.Plan(network.layout, kept, epochs * per_epoch, RECIPE)
    with tempfile.TemporaryDirectory() as folder:
        watch = _Watch(network, levels, plan.steps, Path(folder))
        watch.began = began
        run(METHODS["imp"](plan, rounds=levels - 1), network, network.start(0), save=watch)
    return Timing(f"sparsopt, {network.engine_name}", tuple(watch.seconds), levels, watch.accuracy)


def plain(data: Any, feed: str, levels: int, epochs: int, timed: int) -> Timing:
    """A plain loop, fed "by sample" or "resident"."""
    import nets

    epoch, test = {"by sample": peers.by_sample, "resident": peers.resident}[feed](data, RECIPE.batch)
    model = nets.models.build("lenet-300-100", data.inputs, data.classes, 0)
    with tempfile.TemporaryDirectory() as folder:
        seconds = peers.imp(model, epoch, test, timed, epochs, RECIPE.learning_rate, Path(folder))
    rest = [sum(seconds) / len(seconds)] * (levels - timed)
    return Timing(f"plain loop, {feed}", (*seconds, *rest), timed)


def images(share: float) -> Any:
    """A share of MNIST where SPARSOPT_DATA has it, else of noise of its size."""
    import nets

    data = nets.data.load("mnist") if os.environ.get("SPARSOPT_DATA") else _noise()
    a, b = int(share * len(data.labels)), int(share * len(data.test_labels))
    return dataclasses.replace(
        data, images=data.images[:a], labels=data.labels[:a], test_images=data.test_images[:b],
        test_labels=data.test_labels[:b],
    )  # fmt: skip


def _noise() -> Any:
    import nets

    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (70_000, 1, 28, 28), generator=generator, dtype=torch.uint8)
    pixels *= (torch.rand(pixels.shape, generator=generator) < 0.19).to(torch.uint8)
    labels = torch.randint(0, 10, (70_000,), generator=generator)
    return nets.data.from_arrays(pixels[:60_000], labels[:60_000], (pixels[60_000:], labels[60_000:]))
