"""A Torch matrix as a design: whatever goes over all of X runs where the tensor lives, the small rest on the host.

>>> import torch
>>> from sparsopt.problems import LeastSquares
>>> problem = LeastSquares(torch.eye(3, dtype=torch.float64), np.array([1.0, 2.0, 4.0]))
>>> problem.gradient(np.zeros(3)).round(3)
array([-0.333, -0.667, -1.333])
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from sparsopt.problems.any_design import BLOCK, Design
from sparsopt.problems.dense_design import Dense
from sparsopt.state import Array

__all__ = ["TorchDense"]


class TorchDense(Dense):
    """A dense float32 or float64 tensor (n, p) on any device. Vectors come and go as NumPy arrays."""

    def __init__(self, X: Any, weight: Array, centred: bool) -> None:
        super().__init__(X, weight, centred)
        self.dtype = np.dtype(str(X.dtype).removeprefix("torch."))

    @property
    def entries(self) -> int:
        return int(self.X.numel())

    def _there(self, values: Array) -> Any:
        """A host array on the device, in the type of X."""
        return self.X.new_tensor(np.ascontiguousarray(values))

    def _index(self, indices: Array) -> Any:
        """The columns with these indices, on the device."""
        import torch

        return self.X[:, torch.as_tensor(indices, device=self.X.device)]

    def _times(self, x: Array) -> Array:
        return _host(self.X @ self._there(x))

    def _transposed(self, r: Array) -> Array:
        return _host(self.X.T @ self._there(r))

    def part(self, indices: Array, x: Array) -> Array:
        product = _host(self._index(indices).double() @ self._there(x).double())
        return product - self.mean[indices] @ x

    def take(self, indices: Array) -> Array:
        block = np.asfortranarray(_host(self._index(indices).double()))
        if self.centred:
            block = block - self.mean[indices]
            block[:, self.variance[indices] == 0] = 0.0
        return block

    def _means(self) -> Array:
        return self._summed(lambda block, weight: weight @ block)

    @cached_property
    def _spread(self) -> Array:
        mean = self._there(self.mean).double()
        return self._summed(lambda block, weight: weight @ (block - mean) ** 2)

    def squares(self, weight: Array) -> Array:
        return self._summed(lambda block, share: share @ block**2, weight)

    def gram(self) -> Array:
        mean = self._there(self.mean).double()

        def product(block: Any, weight: Any) -> Any:
            block = (block - mean) * weight[:, None].sqrt()
            return block.T @ block

        return self._summed(product)

    def normal(self, target: Array) -> tuple[Array, Array]:
        return Design.normal(self, target)

    def outer(self) -> Array:
        total: Any = 0.0
        scale = self.X.new_tensor(np.sqrt(self.shares)).double()[:, None]
        step = max(1, BLOCK // self.n)
        for start in range(0, self.p, step):
            part = slice(start, start + step)
            block = (self.X[:, part].double() - self.X.new_tensor(self.mean[part]).double()) * scale
            total = total + block @ block.T
        return _host(total)

    def gram_columns(self, indices: Array) -> Array:
        block = self.take(indices) * self.shares[:, None]
        product = _host(self.X.T @ self._there(block))
        return np.asarray(product - np.outer(self.mean, block.sum(axis=0)), dtype=np.float64)

    def _summed(self, term: Any, weight: Array | None = None) -> Array:
        """The sum of term(rows of X in float64, their shares or weights) over blocks of rows."""
        shares = self.X.new_tensor(self.shares if weight is None else weight).double()
        return _host(sum(term(self.X[rows].double(), shares[rows]) for rows in self._row_blocks()))

    def _divided(self, scale: Array) -> Any:
        return self.X / self._there(scale)

    def restricted(self, indices: Array) -> Any:
        if np.array_equal(indices, np.arange(self.p)):
            return self
        return TorchDense(self._index(indices), self.weight, self.centred)

    def absolute(self) -> Any:
        return TorchDense(self.X.abs(), self.weight, False)


def _host(values: Any) -> Array:
    return values.cpu().numpy()
