"""Training batches as a pure function of (seed, step).

There is no loader and no iterator: the set is resident, a batch is an index into it, and the index is computed.
Epoch e is a permutation drawn for (seed, e); a step's augmentation is drawn for (seed, step). Both are drawn on the
CPU, so that runs on every device see the same order. Batches have one size; the few samples that do not fill a last
batch are left out of that epoch, others in each.

    >>> from nets.data import Batches, load
    >>> batches = Batches(load("digits"), 128, seed=0)
    >>> batches.steps_per_epoch
    10
    >>> x, y = batches.at(25)          # in epoch 2; the same whatever was asked for before
"""

from __future__ import annotations

import torch
from torch import Tensor

from nets import seeds
from nets.data.dataset import Augmentation, DataSet, normalised
from sparsopt.errors import InvalidInput


class Batches:
    """Batches of a data set's training split, on the device where the set is (`data.to(device)`).

    data          the set
    size          samples a batch; at most the number there are
    seed          of order and augmentation
    augmentation  None: the set's own; Augmentation(): none
    dtype         of x
    """

    def __init__(
        self, data: DataSet, size: int, seed: int = 0, *, augmentation: Augmentation | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:  # fmt: skip
        count = len(data.labels)
        if size < 1 or count < 1:
            raise InvalidInput(f"batches of {size} out of {count} samples: both must be at least 1")
        self.data = data
        self.size = min(size, count)
        self.seed = seed
        self.augmentation = data.augmentation if augmentation is None else augmentation
        self.dtype = dtype
        self.steps_per_epoch = count // self.size
        self._scaling = data.scaling(data.images.device, dtype)
        self._permutation: tuple[int, Tensor] = (-1, torch.empty(0))

    def at(self, step: int) -> tuple[Tensor, Tensor]:
        """x (size, C, H, W) in `dtype`, augmented and normalised, and y (size,) int64, of a step >= 0."""
        rows = self.rows(step)
        draw = self.draw(step)
        return self.assemble(rows, draw if draw is None else draw.to(rows.device))

    def assemble(self, rows: Tensor, draw: Tensor | None) -> tuple[Tensor, Tensor]:
        """x and y of these samples, moved as (B, 1) draws say: operations on the device alone, for a graph to hold."""
        images = self.data.images.index_select(0, rows)
        images = images if draw is None else self.augmentation.moved(images, draw)
        return normalised(images, self._scaling, self.dtype), self.data.labels.index_select(0, rows)

    def draw(self, step: int) -> Tensor | None:
        """(size, 1) what augmentation draws for a step, on the CPU; None without augmentation."""
        if self.augmentation == Augmentation():
            return None
        return self.augmentation.draw(self.size, seeds.generator("augmentation", self.seed, step))

    def rows(self, step: int) -> Tensor:
        """(size,) row numbers of a step's samples."""
        if step < 0:
            raise InvalidInput(f"steps count from 0, not {step}")
        epoch, place = divmod(step, self.steps_per_epoch)
        return self._order(epoch)[place * self.size : (place + 1) * self.size]

    def _order(self, epoch: int) -> Tensor:
        # number and permutation are replaced together, so that threads sharing this object never mix two epochs
        memo = self._permutation
        if memo[0] != epoch:
            order = torch.randperm(len(self.data.labels), generator=seeds.generator("order", self.seed, epoch))
            memo = self._permutation = (epoch, order.to(self.data.labels.device))
        return memo[1]
