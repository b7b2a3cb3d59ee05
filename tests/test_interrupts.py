"""Ctrl-C while a command is imported, where an exception would be swallowed, is one line and status 130."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from sparsopt.machine.interrupts import STATUS, at_once, starting

ROOT = Path(__file__).resolve().parent.parent
SWALLOWS = """
import os, signal, time
try:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(60)
except BaseException:
    pass
"""


@pytest.mark.parametrize(
    "command, heavy",
    [
        (["nets", "methods"], "torch"),
        (["nets", "methods"], "tyro"),
        (["benchmarks", "compare", "--help"], "tyro"),
        (["benchmarks", "compare", "--help"], "torch"),
        (["sparsopt", "methods"], "numpy"),
        (["sparsopt", "subset-sum"], "tyro"),
    ],
)
def test_while_imports_run(command: list[str], heavy: str, tmp_path: Path) -> None:
    (tmp_path / f"{heavy}.py").write_text(SWALLOWS)
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    call = [sys.executable, "-m", *command]
    ended = subprocess.run(call, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": path}, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (STATUS, "", f"{command[0]}: interrupted\n")


def test_outside_a_command_nothing_changes() -> None:
    usual = signal.getsignal(signal.SIGINT)
    assert not starting()
    with at_once("x", when=False):
        assert signal.getsignal(signal.SIGINT) is usual
    with at_once("x"):
        assert (signal.getsignal(signal.SIGINT) is usual) == (usual is not signal.default_int_handler)
    assert signal.getsignal(signal.SIGINT) is usual


@pytest.mark.parametrize("own", [signal.SIG_IGN, lambda *_: None])
def test_the_handler_of_somebody_else_stays(own: Any) -> None:
    usual = signal.signal(signal.SIGINT, own)
    try:
        with at_once("x"):
            assert signal.getsignal(signal.SIGINT) is own
    finally:
        signal.signal(signal.SIGINT, usual)


def test_threads_are_left_alone() -> None:
    seen: list[Any] = []

    def look() -> None:
        with at_once("x"):
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGINT)]
