"""What `import sparsopt` gives, and that it is light."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import sparsopt
from sparsopt import catalogue, support
from sparsopt.errors import InvalidInput, InvalidResult, MissingCapability, SparsoptError
from sparsopt.solvers import methods, solve
from tests.processes import python


def test_methods_says_one_line_each():
    table = methods()
    assert next(iter(table)) == "auto" and set(catalogue.METHODS) < set(table)
    assert all(line and "\n" not in line and line.endswith((".", ":")) for line in table.values())
    assert table["omp"].startswith("Orthogonal matching pursuit")


def test_public_names_exist():
    for name in sparsopt.__all__:
        assert getattr(sparsopt, name) is not None and name in dir(sparsopt)
    assert sparsopt.solve is solve and sparsopt.support is support
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = sparsopt.nonsense  # type: ignore[attr-defined]


def test_modules_that_the_readme_names_are_there():
    """`sparsopt.guarantees`, say, after nothing but `import sparsopt`."""
    named = set(re.findall(r"`sparsopt\.([a-z_]+)", (Path(__file__).parents[1] / "README.md").read_text()))
    assert {"guarantees", "hard_instances", "solve"} <= named <= {*sparsopt.__all__}


HEAVY = ("torch", "sklearn", "cvxpy", "matplotlib", "pandas", "scipy", "numba", "tyro")


def test_import_is_light():
    """No heavy module at import, and none for a solve of least squares either, but for scipy."""
    code = f"""
import sys, time
began = time.perf_counter()
import sparsopt, sparsopt.support, sparsopt.method, sparsopt.catalogue
seconds = time.perf_counter() - began
print(seconds, [m for m in {HEAVY} if m in sys.modules])
import numpy as np
X = np.random.default_rng(0).standard_normal((20, 5))
assert sparsopt.solve(sparsopt.LeastSquares(X, X[:, 1]), 1).support[1]
sparsopt.subset_sum
print([m for m in {HEAVY} if m in sys.modules and m != "scipy"])
"""
    first, second = python("-c", code).stdout.splitlines()
    seconds, heavy = first.split(maxsplit=1)
    assert heavy == "[]" == second
    assert float(seconds) < 3  # 0.3 s on a quiet machine; the bound here only catches a heavy import


def test_all_errors_are_of_the_family():
    assert issubclass(InvalidResult, SparsoptError) and issubclass(InvalidInput, ValueError)
    assert issubclass(MissingCapability, TypeError)
