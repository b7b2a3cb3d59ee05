"""A solve finds the memory that the last one freed, in a process that has freed nothing large before."""

import os
import platform
import subprocess
import sys

import pytest

SCRIPT = """
import resource
import numpy as np
import sparsopt

X = np.random.default_rng(0).standard_normal((100, 10_000))
y = X[:, :5].sum(axis=1) + np.random.default_rng(1).standard_normal(100) / 3

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    sparsopt.solve(sparsopt.LeastSquares(X, y), 5)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print([faults() for _ in range(6)][-1])
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries keep memory in their own way")
def test_later_solves_ask_the_system_for_next_to_nothing():
    quiet = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=quiet, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 50, f"{done.stdout.strip()} page faults in the sixth solve"
