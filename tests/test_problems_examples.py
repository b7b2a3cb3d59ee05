"""The examples in the modules of problems and structures, run."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import numpy as np
import pytest

import sparsopt
import sparsopt.problems
from sparsopt.state import Layout

WITHOUT = {"columns", "spectrum"}
PARTS = sorted({module.name for module in pkgutil.iter_modules(sparsopt.problems.__path__)} - WITHOUT)
OTHERS = ["problems", "structures", "adapted", "portfolio.general"]


@pytest.mark.parametrize("name", [*OTHERS, *(f"problems.{part}" for part in PARTS)])
def test_examples(name):
    if "torch" in name or "smooth" in name:
        pytest.importorskip("torch")
    module = importlib.import_module(f"sparsopt.{name}")
    given = {"np": np, "sparsopt": sparsopt, "Layout": Layout}
    failures, tests = doctest.testmod(module, extraglobs=given, optionflags=doctest.IGNORE_EXCEPTION_DETAIL)
    assert tests > 0 and failures == 0
