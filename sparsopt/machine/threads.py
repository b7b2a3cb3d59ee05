"""Two pools of BLAS threads that do not take each other's cores.

NumPy and SciPy each bring an OpenBLAS with threads of its own, and threads that have nothing to do wait by spinning.
Where a loop goes to and fro between products with X (NumPy's) and triangular solves (SciPy's), those of the one pool
spin on the cores that the other needs, and two threads are slower than one. SciPy's part here are matrices of the size
of a support, for which one thread is enough: it has one while a problem is solved, and its own number again afterwards.

>>> with one_pool():
...     pass
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["one_pool"]


@contextmanager
def one_pool() -> Iterator[None]:
    """SciPy's own BLAS has one thread inside. Nothing happens where SciPy shares its BLAS with NumPy."""
    pool = _pool()
    pool.narrow()
    try:
        yield
    finally:
        pool.widen()


class Pool:
    """The threads of one BLAS, one while anybody is inside: calls nest, and those of several threads overlap."""

    def __init__(self, blas: Any) -> None:
        self.blas, self.lock, self.inside, self.threads = blas, threading.Lock(), 0, 1

    def narrow(self) -> None:
        with self.lock:
            self.inside += 1
            if self.inside == 1:
                self.threads = self.blas.get_num_threads()
                self._set(1)

    def widen(self) -> None:
        with self.lock:
            self.inside -= 1
            if self.inside == 0:
                self._set(self.threads)

    def _set(self, threads: int) -> None:
        if self.threads > 1:
            self.blas.set_num_threads(threads)


class Nothing:
    """A BLAS that is not there."""

    def get_num_threads(self) -> int:
        return 1


@functools.cache
def _pool() -> Pool:
    import scipy.linalg  # loads its BLAS
    from threadpoolctl import ThreadpoolController

    beside = os.path.dirname(os.path.realpath(scipy.__file__))  # .../scipy, and .../scipy.libs
    found = [x for x in ThreadpoolController().lib_controllers if os.path.realpath(x.filepath).startswith(beside)]
    return Pool(found[0] if found else Nothing())
