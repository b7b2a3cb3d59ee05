"""The few array operations whose names differ between NumPy and Torch, so that every solver here is written once.

`library(items)` looks at what the caller passed: a Torch tensor is solved by Torch on its own device, everything
else by NumPy. Torch is imported only when a tensor is already there, so importing this package never loads it.

>>> import numpy as np
>>> library(np.ones(3)).name
'numpy'
"""

from __future__ import annotations

from typing import Any

import numpy as np


class NumPy:
    """The operations of NumPy under the names used here."""

    name = "numpy"
    rows = 8192  # instances solved at a time, so that their arrays stay in the cache
    key_bytes = 1 << 20  # and the keys that one sort sees, for the same reason
    looked_at = 0  # items whose subsets `first_look` covers
    few = 0  # sizes that `few_items` covers

    def first_look(self, items: Any, targets: Any, tolerance: Any) -> Any:
        """Masks (B, n) that may settle some instances of mode `any` quickly; `Compiled` has one."""
        raise NotImplementedError

    def few_items(self, items: Any, targets: Any, tolerance: Any) -> Any:
        """Masks (B, n) of the fewest items within the tolerance, for the instances where `few` suffice."""
        raise NotImplementedError

    def floats(self, x: Any) -> Any:
        return np.asarray(x, dtype=np.float64)

    def integers(self, x: Any) -> Any:
        return x.astype(np.int64)

    def empty(self, shape: tuple[int, ...], kind: str) -> Any:
        return np.empty(shape, dtype=kind)

    def sort(self, x: Any) -> Any:
        x.sort(axis=-1)
        return x

    def take(self, x: Any, at: Any) -> Any:
        return np.take_along_axis(x, at[..., None], axis=-1)[..., 0]

    def where(self, condition: Any, x: Any, y: Any) -> Any:
        return np.where(condition, x, y)

    def exponent(self, x: Any) -> Any:
        return np.frexp(x)[1]

    def power_of_two(self, x: Any) -> Any:
        return np.ldexp(1.0, x)

    def arange(self, n: int) -> Any:
        return np.arange(n, dtype=np.int64)

    def repeat(self, x: Any, times: int) -> Any:
        return np.repeat(x, times, axis=0)

    def argsort(self, x: Any) -> Any:
        return np.argsort(x)

    def searchsorted(self, x: Any, y: Any) -> Any:
        return np.searchsorted(x, y)

    def same(self, x: Any) -> Any:
        return np.asarray(x)

    def numpy(self, x: Any) -> Any:
        return np.asarray(x)

    def finite(self, x: Any) -> bool:
        return bool(np.isfinite(x).all())


class Torch(NumPy):
    """The same operations on tensors of one device."""

    name = "torch"

    def __init__(self, device: Any) -> None:
        import torch

        self.torch, self.device = torch, device
        if device.type != "cpu":
            self.rows, self.key_bytes = 1 << 20, 1 << 29

    def floats(self, x: Any) -> Any:
        return self.torch.as_tensor(x, dtype=self.torch.float64, device=self.device).detach()

    def integers(self, x: Any) -> Any:
        return x.to(self.torch.int64)

    def empty(self, shape: tuple[int, ...], kind: str) -> Any:
        return self.torch.empty(shape, dtype=getattr(self.torch, kind), device=self.device)

    def sort(self, x: Any) -> Any:
        return self.torch.sort(x, dim=-1).values

    def take(self, x: Any, at: Any) -> Any:
        return self.torch.take_along_dim(x, at[..., None], dim=-1)[..., 0]

    def where(self, condition: Any, x: Any, y: Any) -> Any:
        return self.torch.where(condition, x, y)

    def exponent(self, x: Any) -> Any:
        return self.torch.frexp(x).exponent

    def power_of_two(self, x: Any) -> Any:
        return ((x.to(self.torch.int64) + 1023) << 52).view(self.torch.float64)  # torch.ldexp goes through float32

    def arange(self, n: int) -> Any:
        return self.torch.arange(n, device=self.device)

    def repeat(self, x: Any, times: int) -> Any:
        return self.torch.repeat_interleave(x, times, dim=0)

    def argsort(self, x: Any) -> Any:
        return self.torch.argsort(x)

    def searchsorted(self, x: Any, y: Any) -> Any:
        return self.torch.searchsorted(x, y)

    def same(self, x: Any) -> Any:
        return self.torch.as_tensor(x, device=self.device)

    def numpy(self, x: Any) -> Any:
        return x.cpu().numpy()

    def finite(self, x: Any) -> bool:
        return bool(self.torch.isfinite(x).all())


Library = NumPy


def library(x: Any) -> Library:
    """The library that `x` belongs to; lists and numbers belong to NumPy."""
    return Torch(x.device) if type(x).__module__.partition(".")[0] == "torch" else NumPy()
