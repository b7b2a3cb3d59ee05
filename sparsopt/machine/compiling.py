"""Loops that Numba compiles where it is installed (the extra `fast`), and plain Python, right and slow, where not.

Kernels live at module level in files called `kernels.py` that nothing imports before they are needed, because
importing Numba takes half a second; at module level is also where Numba can keep what it compiled for the next
process. Which of two implementations runs is a `backend`: "compiled", "arrays", or "auto".

>>> @compiled
... def double(x):
...     return 2 * x
>>> double(3.0)
6.0
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

__all__ = ["available", "compiled"]


def available() -> bool:
    """Whether Numba is installed."""
    return find_spec("numba") is not None


def compiled(function: Any) -> Any:
    """Compile on first use, with the divisions of NumPy; keep the machine code if there is a folder to keep it in."""
    if not available():
        return function
    njit = import_module("numba").njit
    try:
        return njit(cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError:  # no folder for the cache
        return njit(nogil=True, error_model="numpy")(function)
