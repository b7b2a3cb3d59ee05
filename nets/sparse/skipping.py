"""Training on inputs that are mostly zero: an engine for fixed masks on perceptrons, at any density, on the CPU.

Where the sparse engine skips weights that are zero, this one skips inputs that are: the zeros of an image, four fifths
of MNIST. The matrices are dense and masked; the first, which costs most, is read and moved in two passes, of which
zeros are no part. It computes the steps of the dense engine with sums in another order: equal up to rounding
over the first steps. It takes what the sparse engine takes, if batches are rows of the data set as it is, without
augmentation.

    Network(model, data, engine="skipping")
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from nets.data import DataSet
from nets.engine import Engine
from nets.gates import Gate
from nets.recipe import SGD, Recipe
from nets.sparse.engine import CHUNK, SparseEngine, aligned, closed
from nets.sparse.zeros import NonZeros, in_order, rows_of
from sparsopt.state import Array, State


class SkippingEngine(SparseEngine):
    """Trains the perceptron of a dense engine on the non-zero entries of its inputs."""

    def __init__(self, dense: Engine) -> None:
        super().__init__(dense)
        self.shapes = [(layer.shape[1], layer.shape[0]) for layer in self.layers]
        outs = [_padded(m) for _, m in self.shapes]
        self.padded = list(zip([self.shapes[0][0], *outs], outs, strict=False))

    def train(self, state: State, recipe: Recipe, gate: Gate, batches: Any, steps: int, total: int) -> State:
        """As `Engine.train`."""
        from nets.sparse.skipping_kernels import Sgd, train

        sgd = recipe.optimiser
        assert isinstance(sgd, SGD)
        x, rest, memory, masks = self._opened(state)
        layers = self._packed(x, rest, memory, masks)
        data, rows = batches.data, rows_of(batches, state.cost, steps)
        rates = np.array([recipe.rate(state.clock + t, total) for t in range(steps)], np.float32)
        numbers = np.array([sgd.momentum, sgd.weight_decay, recipe.label_smoothing], np.float32)
        inputs, work = NonZeros.of(data, data.images).arrays(), self._room(batches.size)
        train(rows, data.labels.numpy(), rates, inputs, layers, *work, Sgd(sgd.nesterov, *numbers))
        self._unpack(layers.V, layers.bias, x, rest)
        if sgd.buffers:
            self._unpack(layers.mom, layers.bias_mom, *memory)
        return closed(state, x, rest, memory if sgd.buffers else (), steps)

    def evaluate(
        self, state: State, x: Tensor, recipe: Recipe, data: DataSet, images: Tensor, labels: Tensor
    ) -> tuple[float, float]:
        """(mean loss, accuracy) on some images of the data set."""
        from nets.sparse.skipping_kernels import evaluate

        layers = self._packed(x.numpy(), state.slots["rest"].numpy())
        inputs, smoothing = NonZeros.of(data, images).arrays(), np.float32(recipe.label_smoothing)
        loss, right = evaluate(
            in_order(len(labels), CHUNK), labels.numpy(), inputs, layers, self._room(CHUNK)[1], smoothing
        )
        return loss / len(labels), right / len(labels)

    # ---- what kernels work on ---------------------------------------------------------------------------------------

    def _packed(self, x: Array, rest: Array, memory: tuple[Array, ...] = (), masks: Sequence[Array] = ()) -> Any:
        """All layers as kernels take them; without memory and masks, as evaluation does."""
        from nets.sparse.skipping_kernels import Layers

        shapes = np.array(self.padded, np.int64)
        starts = np.concatenate([[0], np.cumsum(shapes.prod(1))])
        outs = np.concatenate([[0], np.cumsum(shapes[:, 1])])
        V, bias = self._pack(x, rest)
        mom, bias_mom = self._pack(*memory) if memory else (V[:0], bias[:0])
        keep, bias_keep = np.zeros(len(V), np.uint8), np.zeros(len(bias), np.uint8)
        for block, mask in zip(self._blocks(keep), masks, strict=False):
            block[:] = mask.T
        for layer, part in zip(self.layers, self._parts(bias_keep), strict=True):
            part[:] = layer.bias is not None
        return Layers(shapes, starts, outs, V, mom, keep, bias, bias_mom, bias_keep, self.shapes[-1][1])

    def _pack(self, x: Array, rest: Array) -> tuple[Array, Array]:
        """Padded V and biases of all layers, out of vectors like x and rest."""
        V = aligned(sum(n * m for n, m in self.padded))
        bias = aligned(sum(m for _, m in self.padded))
        for layer, block, part in zip(self.layers, self._blocks(V), self._parts(bias), strict=True):
            block[:] = layer.weight(x, rest).T
            part[:] = 0 if layer.bias is None else rest[layer.bias]
        return V, bias

    def _unpack(self, V: Array, bias: Array, x: Array, rest: Array) -> None:
        """The way back, into vectors like x and rest."""
        for layer, block, part in zip(self.layers, self._blocks(V), self._parts(bias), strict=True):
            layer.weight(x, rest)[:] = block.T
            if layer.bias is not None:
                rest[layer.bias] = part

    def _blocks(self, flat: Array) -> Iterator[Array]:
        """Views of each layer's V without its padding."""
        start = 0
        for (n, m), (N, M) in zip(self.shapes, self.padded, strict=True):
            yield flat[start : start + N * M].reshape(N, M)[:n, :m]
            start += N * M

    def _parts(self, flat: Array) -> Iterator[Array]:
        start = 0
        for (_, m), (_, M) in zip(self.shapes, self.padded, strict=True):
            yield flat[start : start + m]
            start += M

    def _room(self, batch: int) -> tuple[Any, Any]:
        from nets.sparse.skipping_kernels import Batch, Work

        inputs, samples = self.shapes[0][0], -(-batch // 4) * 4
        units = samples * sum(m for _, m in self.padded)
        others = self.padded[1:]
        turned = max((n * m for n, m in others), default=0)
        g = max([2 * self.padded[0][1], *(n * m + max(n, m) for n, m in others)])
        room = inputs * batch
        entries = np.arange(0, room, batch), np.empty(inputs, np.int64), np.empty(room, np.uint32), aligned(room)
        scratch = (aligned(size) for size in (units, units, turned, g, self.padded[0][1]))
        return Batch(*entries), Work(*scratch)


def _padded(units: int) -> int:
    """Rows of whole vector registers."""
    step = 64 if units > 48 else 16
    return -(-units // step) * step
