"""Leaps and bounds end at what enumeration finds, by arrays and compiled, and rest on nothing that drifts."""

from __future__ import annotations

import dataclasses
import math
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsopt import branch_and_bound, solve
from sparsopt.branch_and_bound import BranchAndBound, Relaxation, kernels
from sparsopt.branch_and_bound.compiled import CompiledLeaps, compiled_leaps
from sparsopt.branch_and_bound.incumbent import Incumbent
from sparsopt.branch_and_bound.leaps import Leaps
from sparsopt.branch_and_bound.model import Quadratic as Model
from sparsopt.branch_and_bound.tree import best_first
from sparsopt.errors import InvalidInput, MissingCapability
from sparsopt.exact import enumerate_supports
from sparsopt.machine import compiling
from sparsopt.problems import LeastSquares, Quadratic
from tests.conftest import scaled
from tests.proofs import fixings, instance, kinds, seeds, slack, truth

SEARCHES = [Leaps, *([compiled_leaps()] if compiling.available() else [])]
searches = pytest.mark.parametrize("Search", SEARCHES)


@given(st.sampled_from(("plain", "correlated", "ridge", "scales", "quadratic", "float32")), seeds, st.integers(2, 10))
def test_certified_bounds_on_supports_hold_at_any_point(kind, seed, p):
    problem, rng = instance(kind, seed, max(p, 2)), np.random.default_rng([seed, 4])
    p = problem.p
    model = Model(problem, problem.hessian_block(np.arange(p)), 1)
    A = rng.random((5, p)) < 0.6
    values = [problem.minimise_on(support, None) for support in A]
    best = np.array([x for x, _ in values], dtype=np.float64)
    spreads = np.array([0.0, 1e-9, 1e-6, 1e-3, 1.0])[:, None]
    U = np.where(A, best * (1 + spreads * rng.standard_normal((5, p))), 0.0)
    found = model.certified(U, A)
    truths = np.array([value for _, value in values])
    assert np.all(found <= truths + slack(problem))
    if kind in ("plain", "ridge"):
        assert found[0] >= truths[0] - 1e-9 * (1 + abs(truths[0]))


@searches
@settings(max_examples=scaled(30))
@given(st.sampled_from(("plain", "correlated", "ridge", "quadratic", "scales")), seeds, st.integers(6, 13))
def test_leaps_find_what_enumeration_finds_from_any_start(Search, kind, seed, p):
    problem, rng = instance(kind, seed, p).open(), np.random.default_rng([seed, 5])
    k = int(rng.integers(1, p - 1))
    inside, outside = fixings(rng, p, k)
    if seed % 3:
        inside[:] = outside[:] = False
    value, _ = truth(problem, k, inside, outside)
    x, start = problem.minimise_on(inside, None)
    found = Incumbent(problem, x, start, 3600.0, None)
    left = Search(Model(problem, problem.hessian_block(np.arange(p)), k), found).run(inside, outside)
    assert left == math.inf
    scale = max(abs(value), found.scale)
    assert abs(found.value - value) <= 1e-10 * scale
    assert value - 1e-9 * scale <= min(found.target, found.closed) <= value + slack(problem)


@searches
@settings(max_examples=scaled(8))
@given(seeds, st.sampled_from((1e-6, 1e-3, 0.1, 1.0)))
def test_nothing_rests_on_the_matrix_that_leaps_update(Search, seed, error):
    """With a spoiled inverse the search is slower and as right as before."""
    problem, rng = instance("correlated", seed, 12).open(), np.random.default_rng([seed, 7])
    k, none = 4, np.zeros(12, dtype=bool)
    value, _ = truth(problem, k, none, none)
    found = Incumbent(problem, *problem.minimise_on(none, None), 3600.0, None)
    search = Search(Model(problem, problem.hessian_block(np.arange(12)), k), found)
    right = search._root(none, none)
    spoiled = right.M * (1 + error * rng.standard_normal(right.M.shape))
    w, bound = right.w * (1 + error * rng.standard_normal(12)), right.bound + error * problem.value(np.zeros(12))
    search._root = lambda *_: dataclasses.replace(right, M=spoiled, w=w, bound=bound)
    assert search.run(none, none) == math.inf
    assert search.found.value <= value + slack(problem)
    assert min(search.found.target, search.found.closed) <= value + slack(problem)


@given(kinds, seeds)
def test_closing_one_support_costs_its_rounding_errors(kind, seed):
    """A leaf is closed with a bound below its value, which the final bound may not exceed."""
    problem = instance(kind, seed, 6)
    relaxation, zero = Relaxation(problem, 6), np.zeros(6, dtype=bool)
    start = relaxation.problem.minimise_on(zero, None)
    found = Incumbent(relaxation.problem, *start, 3600.0, None)
    assert best_first(relaxation, found) == []
    assert found.value - 1e-2 * found.scale <= found.closed < found.value
    if relaxation.H is not None:
        found = Incumbent(relaxation.problem, *start, 3600.0, None)
        Leaps(Model(relaxation.problem, relaxation.H, 6), found).run(zero, zero)
        assert found.value - 1e-2 * found.scale <= found.closed < found.value
        found.close(math.inf)
        assert found.closed < found.value


@searches
@settings(max_examples=scaled(20))
@given(seeds, st.integers(0, 4))
def test_leaps_stopped_early_say_what_is_left(Search, seed, nodes):
    problem = instance("correlated", seed, 16).open()
    k, none = 5, np.zeros(16, dtype=bool)
    value = enumerate_supports(problem, k)[1]
    x, start = problem.minimise_on(none, None)
    found = Incumbent(problem, x, start, 3600.0, nodes)
    left = Search(Model(problem, problem.hessian_block(np.arange(16)), k), found).run(none, none)
    assert min(left, found.target, found.closed) <= value + slack(problem)


# ---- compiled ------------------------------------------------------------------------------------------------------

compiling_needed = pytest.mark.skipif(not compiling.available(), reason="needs Numba")


def searched(Search, problem, k, x, value, inside, outside):
    """What a search from (x, value) has found, once it has ended."""
    found = Incumbent(problem, x, value, 3600.0, None)
    model = Model(problem, problem.hessian_block(np.arange(problem.p)), k)
    assert Search(model, found).run(inside, outside) == math.inf
    return found


@compiling_needed
@settings(max_examples=scaled(60))
@given(st.sampled_from(("plain", "correlated", "ridge", "quadratic", "scales", "weights")), seeds, st.integers(7, 14))
def test_compiled_leaps_look_at_the_same_nodes(kind, seed, p):
    """From the optimum on, the nodes do not depend on their order."""
    problem, rng = instance(kind, seed, p).open(), np.random.default_rng([seed, 8])
    k = int(rng.integers(3, p - 1))
    inside, outside = fixings(rng, p, k) if seed % 2 else (np.zeros(p, dtype=bool), np.zeros(p, dtype=bool))
    best = searched(Leaps, problem, k, *problem.minimise_on(inside, None), inside, outside)
    x, value = best.x, best.value
    plain, fast = (searched(Search, problem, k, x, value, inside, outside) for Search in SEARCHES)
    assert fast.nodes == plain.nodes
    assert fast.value == pytest.approx(plain.value, rel=1e-12) and fast.value <= value
    assert fast.closed == pytest.approx(plain.closed, rel=1e-9, abs=1e-9 * plain.scale)


@searches
@settings(max_examples=scaled(20))
@given(seeds, st.integers(6, 10))
def test_ties_are_found_and_closed(Search, seed, p):
    """Orthogonal coordinates of which many are worth the same, and columns that come in pairs, all but equal."""
    rng = np.random.default_rng(seed)
    k, none = int(rng.integers(3, p)), np.zeros(p, dtype=bool)
    level = Quadratic(np.eye(p), rng.integers(1, 3, p).astype(float))
    X = np.repeat(rng.standard_normal((3 * p, (p + 1) // 2)), 2, axis=1)[:, :p] + 1e-3 * rng.standard_normal((3 * p, p))
    for problem in (level, LeastSquares(X, X.sum(axis=1) + rng.standard_normal(3 * p))):
        expected = enumerate_supports(problem, k)[1]
        opened = problem.open()
        found = searched(Search, opened, k, np.zeros(p), opened.value(np.zeros(p)), none, none)
        assert abs(found.value - expected) <= 1e-9 * (1 + abs(expected))
        assert min(found.target, found.closed) <= expected + slack(problem)


def test_the_loop_is_right_without_the_compiler(monkeypatch):
    monkeypatch.setattr(compiling, "available", lambda: False)
    source = Path(str(kernels.__file__)).read_text(encoding="utf-8")
    plain = ModuleType("plain")
    monkeypatch.setitem(sys.modules, "plain", plain)
    exec(compile(source, "plain", "exec"), plain.__dict__)
    monkeypatch.setattr(branch_and_bound, "kernels", plain)
    for seed in range(3):
        problem, none = instance("correlated", seed, 9).open(), np.zeros(9, dtype=bool)
        found = searched(CompiledLeaps, problem, 4, np.zeros(9), problem.value(np.zeros(9)), none, none)
        assert found.value == pytest.approx(enumerate_supports(problem, 4)[1], rel=1e-12)


def test_without_numba_the_compiled_backend_says_what_is_missing(monkeypatch):
    monkeypatch.setattr(compiling, "available", lambda: False)
    compiled_leaps.cache_clear()
    with pytest.raises(MissingCapability, match=r"sparsopt\[fast\].*backend='arrays'"):
        solve(instance("plain", 0, 6), 3, BranchAndBound(backend="compiled"))
    with pytest.raises(InvalidInput, match="unknown backend 'fast'"):
        solve(instance("plain", 0, 6), 3, BranchAndBound(backend="fast"))
