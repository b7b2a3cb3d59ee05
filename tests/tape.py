"""A CUDA graph's semantics on the CPU: the operations of one call, done again on the same memory, without its Python.

What a graph would freeze is frozen: every number that Python has worked out, every choice it has made, and where each
tensor lies. What a graph would read anew is read anew: the contents of memory, and the default generator.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class _Tape(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, Any, list[Any]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (torch.ops.aten._local_scalar_dense.default,):
            raise RuntimeError("a recording cannot wait for a number")
        out = func(*args, **(kwargs or {}))
        self.calls.append((func, args, kwargs or {}, tree_leaves(out)))
        return out


class Recorder:
    """`record` for `nets.captured.RECORDERS`; counts recordings and replays."""

    def __init__(self) -> None:
        self.recordings = self.replays = 0

    def __call__(self, body: Callable[[], None], device: torch.device = torch.device("cpu")) -> Callable[[], None]:
        self.recordings += 1
        body()  # as a warm-up does, so that what it leaves behind must be undone
        with _Tape() as tape:
            body()

        @torch.no_grad()
        def replay() -> None:
            self.replays += 1
            for func, args, kwargs, outputs in tape.calls:
                for before, now in zip(outputs, tree_leaves(func(*args, **kwargs)), strict=True):
                    if isinstance(now, torch.Tensor) and now.data_ptr() != before.data_ptr():
                        before.copy_(now)

        return replay
