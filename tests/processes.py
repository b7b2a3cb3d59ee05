"""Python in a process of its own."""

from __future__ import annotations

import subprocess
import sys


def python(*words, check=True):
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, done.stderr
    return done
