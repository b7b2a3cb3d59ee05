"""Ctrl-C where a command has nothing to save, above all while it is imported: one line and exit status 130.

    with at_once("nets"):
        import torch

An exception will not do: an import that it breaks off may swallow it, turn it into another, or print a traceback.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["STATUS", "at_once", "starting"]

STATUS = 130  # of a process that Ctrl-C has ended: 128 + SIGINT


def starting() -> bool:
    """Whether `python -m` is importing a command's package, for nobody but that command."""
    return sys.argv[:1] == ["-m"]


@contextmanager
def at_once(command: str, when: bool = True) -> Iterator[None]:
    """Ctrl-C ends the process. A handler of somebody's own, or a Ctrl-C that is ignored, stays as it is."""

    def end(*_: Any) -> None:
        os.write(2, f"{command}: interrupted\n".encode())
        os._exit(STATUS)

    if not when or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    try:
        signal.signal(signal.SIGINT, end)
    except ValueError:  # only the main thread is told of signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
