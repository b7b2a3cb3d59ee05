"""What a researcher writes in an afternoon: iterative magnitude pruning of a perceptron as a plain PyTorch loop.

Two ways to feed it. *By sample*: `pipeline.samples`, whose items go through an image, a tensor and a normalisation as
torchvision's do, collated by a `DataLoader`. *Resident*: the whole set as one normalised tensor, batches by index. The
loop is the same: forward, backward, `torch.optim.SGD`, weights multiplied by their masks after each step; a pass over
the test set after each epoch; masks saved after each level; 20 % of the survivors pruned by global magnitude, weights
rewound to their first values.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from benchmarks.speed.pipeline import samples

Epoch = Callable[[int], Iterator[tuple[Tensor, Tensor]]]


def by_sample(data: Any, batch: int) -> tuple[Epoch, list[tuple[Tensor, Tensor]] | Any]:
    """(training epochs, test batches) through DataLoaders; without workers, which was the fastest for these images."""
    loader = DataLoader(samples(data), batch_size=batch, shuffle=True, drop_last=True)
    return lambda epoch: iter(loader), DataLoader(samples(data, "test"), batch_size=batch)


def resident(data: Any, batch: int) -> tuple[Epoch, list[tuple[Tensor, Tensor]]]:
    """The same from tensors that stay in memory."""

    def scaled(images: Tensor) -> Tensor:
        return images.float().div_(255).sub_(float(data.mean[0])).div_(float(data.std[0]))

    x, test = scaled(data.images), scaled(data.test_images)

    def epoch(number: int) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(number))
        for rows in order[: len(order) // batch * batch].split(batch):
            yield x[rows], data.labels[rows]

    return epoch, list(zip(test.split(1024), data.test_labels.split(1024), strict=True))


def imp(model: nn.Module, epoch: Epoch, test: Any, levels: int, epochs: int, rate: float, out: Path) -> list[float]:
    """Seconds of each level."""
    model = copy.deepcopy(model)
    start = copy.deepcopy(model.state_dict())
    pruned = [p for p in model.parameters() if p.dim() > 1]
    masks, seconds, number = [torch.ones_like(p) for p in pruned], [], 0
    for level in range(levels):
        began = time.process_time()
        optimiser = torch.optim.SGD(model.parameters(), lr=rate)
        for _ in range(epochs):
            _train(model, epoch(number), optimiser, pruned, masks)
            _test(model, test)
            number += 1
        np.savez(out / f"masks-{level}.npz", *(np.packbits(mask.numpy().astype(bool)) for mask in masks))
        alive = torch.cat([p.detach()[mask > 0].abs() for p, mask in zip(pruned, masks, strict=True)])
        threshold = alive.kthvalue(max(1, round(0.2 * len(alive)))).values
        masks = [mask * (p.detach().abs() > threshold) for p, mask in zip(pruned, masks, strict=True)]
        model.load_state_dict(start)
        with torch.no_grad():
            for p, mask in zip(pruned, masks, strict=True):
                p.mul_(mask)
        seconds.append(time.process_time() - began)
    return seconds


def _train(model: nn.Module, batches: Any, optimiser: Any, pruned: list[Any], masks: list[Tensor]) -> None:
    model.train()
    for x, y in batches:
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimiser.step()
        with torch.no_grad():
            for p, mask in zip(pruned, masks, strict=True):
                p.mul_(mask)


@torch.no_grad()
def _test(model: nn.Module, batches: Any) -> float:
    model.eval()
    right = count = 0
    for x, y in batches:
        right += int((model(x).argmax(1) == y).sum())
        count += len(y)
    return right / count
