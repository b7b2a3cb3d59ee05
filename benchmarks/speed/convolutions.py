"""Sparse convolutions against dense ones: the layers of ResNet-20 forward and backward, and its whole training step.

    python -m benchmarks speed --convolutions            # a minute and a half
    python -m benchmarks speed --convolutions --quick    # two layers, a small batch: does it run?

One thread, batches of 128 images of 3 x 32 x 32, masks uniformly at random. Dense is PyTorch's convolution with
channels_last, which is the faster order here. The two take turns, and the least of their times counts. A layer's inputs
are in its own order of memory; what changes of order cost is in the step, with batch norm, ReLU, shortcuts and SGD.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import cells, environment
from benchmarks.speed.report import Pair, pairs
from sparsopt.errors import MissingCapability

STEPS = 2  # of a network at a time
DENSITIES = (0.2, 0.1, 0.05, 0.02)


@dataclass(frozen=True)
class Shape:
    """A convolution of ResNet-20, on images of side x side."""

    inputs: int
    outputs: int
    side: int
    stride: int = 1
    kernel: int = 3

    def __str__(self) -> str:
        stride = f", stride {self.stride}" if self.stride > 1 else ""
        return f"{self.inputs} -> {self.outputs} at {self.side} x {self.side}, {self.kernel} x {self.kernel}{stride}"


SHAPES = (
    Shape(16, 16, 32), Shape(32, 32, 16), Shape(64, 64, 8), Shape(16, 32, 32, 2), Shape(32, 64, 16, 2),
    Shape(16, 32, 32, 2, 1), Shape(32, 64, 16, 2, 1),
)  # fmt: skip


def report(quick: bool, out: Path) -> None:
    """Measure, print, write."""
    try:
        import numba  # noqa: F401
    except ImportError as error:
        raise MissingCapability("sparse convolutions need Numba: pip install numba") from error
    import torch

    torch.set_num_threads(1)
    batch, rounds = (16, 1) if quick else (128, 4)
    layers = [layer(shape, density, batch, rounds) for shape in SHAPES[-2 if quick else 0 :] for density in DENSITIES]
    pairs("A convolution forward and backward", f"ms, batch {batch}, one thread", layers)
    steps = list(whole("resnet-20", batch, rounds, DENSITIES[-1:] if quick else DENSITIES))
    pairs("A training step of ResNet-20", f"ms, batch {batch}, one thread, everything included", steps)
    content = {"layers": [cells.fields(one) for one in layers], "steps": [cells.fields(one) for one in steps]}
    versions = environment.versions(("numpy", "torch", "numba"))
    cells.write(out / "convolutions.json", content | {"machine": environment.machine(), "versions": versions})


def layer(shape: Shape, density: float, batch: int, rounds: int) -> Pair:
    """One layer: outputs, gradient of inputs and of weights."""
    import torch
    from torch import nn

    from nets.sparse.convolution import Pool, SparseConvolution, images

    size, generator = shape.kernel, torch.Generator().manual_seed(0)
    conv = nn.Conv2d(shape.inputs, shape.outputs, size, shape.stride, size // 2, bias=False)
    mask = torch.rand(conv.weight.shape, generator=generator) < density
    conv.weight.data *= mask
    x = images(torch.randn(shape.inputs, shape.side, shape.side, batch, generator=generator))
    last = torch.channels_last
    usual, dense = x.contiguous(memory_format=last), copy.deepcopy(conv)
    dense.weight.data = dense.weight.data.contiguous(memory_format=last)
    works = _work(SparseConvolution(conv, mask.numpy(), Pool()), conv.weight, x), _work(dense, dense.weight, usual)
    sparse, reference = taking_turns(works, rounds)
    return Pair(str(shape), density, reference, sparse)


def _work(convolve: Any, weight: Any, x: Any) -> Callable[[], Any]:
    import torch

    inputs = x.detach().requires_grad_()
    d, wanted = torch.ones_like(convolve(inputs)), (inputs, weight)
    return lambda: torch.autograd.grad(convolve(inputs), wanted, d)


def whole(name: str, batch: int, rounds: int, densities: tuple[float, ...]) -> Iterator[Pair]:
    """Training steps of a network, with batches and optimiser."""
    import dataclasses

    import torch

    import nets
    from nets.gates import Masked
    from nets.recipe import Recipe
    from nets.training import Network
    from sparsopt import support as sp

    generator = torch.Generator().manual_seed(0)
    images, labels = torch.rand((4 * batch, 3, 32, 32), generator=generator), torch.arange(4 * batch) % 10
    data = nets.data.from_arrays(images, labels, (images[:10], labels[:10]), name="noise", classes=10)
    recipe = Recipe(0.01, batch=batch)
    usual = dataclasses.replace(recipe, memory="channels_last")
    worlds = [(Network(nets.models.build(name), data, engine=e), r) for e, r in (("dense", usual), ("sparse", recipe))]
    start = worlds[0][0].start(0)
    for density in densities:
        state = Masked().enter(start.but(support=sp.uniform((0,), start.x) < density))
        works = [lambda w=w, r=r, s=state: w.train(s, r, Masked(), STEPS, STEPS) for w, r in worlds]
        dense, sparse = (each / STEPS for each in taking_turns(works, rounds))
        yield Pair(name, density, dense, sparse)


def taking_turns(works: Any, rounds: int) -> list[float]:
    """The least milliseconds of each on the processor, after one turn that compiles; a turn is three runs."""
    times: list[list[float]] = [[] for _ in works]
    for _ in range(rounds + 1):
        for work, own in zip(works, times, strict=True):
            for _ in range(3):
                began = time.process_time()
                work()
                own.append(1e3 * (time.process_time() - began))
    return [min(own[3:]) for own in times]
