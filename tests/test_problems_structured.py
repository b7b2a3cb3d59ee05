"""Groups, at most m of a group, always-selected columns: the structures, and every method under them."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sparsopt
from sparsopt.errors import InvalidInput, MissingCapability, NotFinite
from sparsopt.fits import Exact
from sparsopt.method import Method, Phase, Stage
from sparsopt.moves import Everything
from sparsopt.problems import LeastSquares, Quadratic, grouped, per_group, preselected
from sparsopt.state import Layout
from sparsopt.support import Always, Elements, Groups, PerGroup, Rows, allows, extended, units
from tests.conftest import scaled
from tests.worked import LABELS, data, losses, truth

seeds = st.integers(0, 2**32 - 1)
LAYOUT = Layout.single(7)
scores = st.lists(st.sampled_from([0.0, 1.0, 1.0, 2.0, 3.5, np.inf]), min_size=7, max_size=7).map(np.array)
STRUCTURES = [
    Elements(),
    Rows(1),
    PerGroup(LABELS, 1),
    PerGroup(LABELS, 2),
    Always((1, 5)),
    Always((5,), PerGroup(LABELS, 1)),
]


def best_by_enumeration(structure, score, k, within):
    """The largest sum of scores over allowed supports of the largest size up to k; of equal ones the first in order."""
    always = set(structure.coordinates) if isinstance(structure, Always) else set()
    inner = structure.inner if always else structure
    free = set(np.flatnonzero(within)) | always
    for size in range(min(k, len(free)), -1, -1):
        found = []
        for chosen in itertools.combinations(sorted(free), size):
            full = always <= set(chosen) if size >= len(always) else set(chosen) <= always
            counts = (
                np.bincount(np.array(LABELS)[np.array(chosen, dtype=int)], minlength=4)
                if isinstance(inner, PerGroup)
                else [0]
            )
            if full and max(counts) <= getattr(inner, "m", 7):
                found.append((tuple(sorted((-score[j] for j in chosen if j not in always))), chosen))
        if found:
            return np.isin(np.arange(7), min(found, key=lambda pair: pair)[1])
    raise AssertionError


@pytest.mark.parametrize("structure", STRUCTURES)
@given(score=scores, k=st.integers(0, 7), bits=st.integers(0, 127))
def test_choices_are_those_of_enumeration(structure, score, k, bits):
    within = np.array([bits >> j & 1 for j in range(7)], dtype=bool)
    k = max(k, getattr(structure, "least", 0))
    chosen = structure(score, k, LAYOUT, within)
    expected = best_by_enumeration(structure, score, k, within)
    np.testing.assert_array_equal(chosen, expected)
    assert allows(structure, chosen, k, LAYOUT)


@pytest.mark.parametrize("structure", STRUCTURES)
@given(score=scores, first=st.integers(0, 4), m=st.integers(0, 3))
def test_extensions_stay_allowed_and_add_the_best(structure, score, first, m):
    """Adding one at a time what may join is adding them together."""
    support = structure(-np.where(np.isinf(score), 9, score), max(first, getattr(structure, "least", 0)), LAYOUT)
    larger = extended(structure, score, m, LAYOUT, support)
    assert (larger | ~support).all() and allows(structure, larger, int(larger.sum()), LAYOUT)
    step = support
    for _ in range(m):
        step = extended(structure, score, 1, LAYOUT, step)
    np.testing.assert_array_equal(larger, step)


@given(scores, st.integers(0, 4), st.integers(0, 127))
@settings(max_examples=scaled(30))
def test_structures_are_the_same_on_torch_tensors(score, k, bits):
    torch = pytest.importorskip("torch")
    within = np.array([bits >> j & 1 for j in range(7)], dtype=bool)
    for structure in (*STRUCTURES, Groups(LABELS), Rows(7), Always((2, 3), Groups(LABELS))):
        host = structure(score, k, LAYOUT, within)
        there = structure(torch.from_numpy(score), k, LAYOUT, torch.from_numpy(within))
        assert there.dtype == torch.bool
        np.testing.assert_array_equal(there.numpy(), host)


@given(st.integers(1, 4), seeds, st.integers(0, 5))
def test_rows_are_groups(width, seed, k):
    draws = np.random.default_rng(seed)
    score, within = draws.integers(0, 3, 6 * width).astype(float), np.repeat(draws.random(6) < 0.7, width)
    labels, layout = tuple(np.repeat(np.arange(6), width).tolist()), Layout.single(6 * width)
    mine, other = Rows(width)(score, k, layout, within), Groups(labels)(score, k, layout, within)
    np.testing.assert_array_equal(mine, other)
    assert Rows(width).size(mine) == Groups(labels).size(mine) and Rows(width).most(k) == Groups(labels).most(k)


@pytest.mark.parametrize("method", ["omp", "fully-corrective", "backward-elimination", "replacement"])
def test_gains_of_a_group_are_added(method):
    """Gains 3 and 3 against 5 and 0: the first group is worth 6, though the norm of its gains is the smaller."""
    c = np.sqrt([6.0, 6.0, 10.0, 0.0])
    result = sparsopt.solve(grouped(Quadratic(np.eye(4), c), (0, 0, 1, 1)), 1, method)
    assert result.support.tolist() == [True, True, False, False] and math.isclose(result.value, -6.0)
    problem = grouped(Quadratic(np.eye(4), c), (0, 0, 1, 1))
    built = sparsopt.solve(problem, 1, sparsopt.catalogue.METHODS[method](1, problem))
    np.testing.assert_array_equal(built.support, result.support)


def test_sizes_and_units():
    assert Groups(LABELS).most(1) == 2 and Groups((0, 1, 1, 1)).most(1) == 3 and Groups((0, 1, 1, 1)).most(9) == 4
    assert Always((1, 2)).least == 2 and Always((2, 3), Groups(LABELS)).least == 1 and Always((2,), Rows(2)).least == 1
    f = losses(0)["least squares"]
    assert (units(f), units(grouped(f, LABELS)), units(per_group(f, LABELS, 1))) == (7, 4, 7)
    assert units(losses(0)["softmax"]) == 7
    for text in (repr(PerGroup(LABELS, 2)), repr(Always((1,), Rows(2)))):
        assert repr(eval(text)) == text
    arrays = PerGroup(np.array(LABELS), 2), Always(np.array([3, 1, 3]), Groups(np.array(LABELS)))
    assert arrays == (PerGroup(LABELS, 2), Always((1, 3), Groups(LABELS))) and len({*arrays, *arrays}) == 2


def test_bad_structures_are_named():
    f = losses(0)["least squares"]
    with pytest.raises(InvalidInput, match="give m >= 1"):
        PerGroup(LABELS, 0)
    with pytest.raises(InvalidInput, match="negative"):
        Always((-1,))
    with pytest.raises(InvalidInput, match="coordinate 9 of only 7"):
        Always((9,))(np.zeros(7), 1, LAYOUT)
    with pytest.raises(InvalidInput, match="counts one a block"):
        Rows(7)(np.zeros(7), (1, 1), LAYOUT)
    with pytest.raises(InvalidInput, match="not a number of rows"):
        Rows(2)(np.zeros(7), 1, LAYOUT)
    with pytest.raises(InvalidInput, match="6 labels for 7"):
        PerGroup(LABELS[:6], 1)(np.zeros(7), 1, LAYOUT)
    with pytest.raises(NotFinite, match="a score is NaN"):
        PerGroup(LABELS, 1)(np.full(7, np.nan), 1, LAYOUT)
    with pytest.raises(InvalidInput, match="7 integers >= 0, one a coordinate, are needed"):
        grouped(f, [0, 1])
    with pytest.raises(InvalidInput, match="numbers from 0 to 6 are needed"):
        preselected(f, [7])
    with pytest.raises(InvalidInput, match="already has the structure Groups"):
        per_group(grouped(f, LABELS), LABELS, 1)
    with pytest.raises(InvalidInput, match="k = 1 is less than the 2 that are always in; give k >= 2"):
        sparsopt.solve(preselected(f, [0, 3]), 1)


# ---- problems ------------------------------------------------------------------------------------------------------

CASES = {
    "groups": (lambda f: grouped(f, LABELS), 2),
    "one of a group": (lambda f: per_group(f, LABELS, 1), 3),
    "two of a group": (lambda f: per_group(f, (0, 0, 0, 0, 1, 1, 1), 2), 4),
    "preselected": (lambda f: preselected(f, [6, 2]), 3),
    "preselected group": (lambda f: preselected(grouped(f, LABELS), [3]), 2),
    "preselected, one of a group": (lambda f: preselected(preselected(per_group(f, LABELS, 1), [6]), [0]), 3),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", ["least squares", "logistic", "poisson"])
def test_auto_is_the_best_allowed_support(name, case):
    make, k = CASES[case]
    for seed in range(2):
        problem = make(losses(seed)[name])
        best, result = truth(problem, k), sparsopt.solve(problem, k)
        assert allows(problem.structure, result.support, k, problem.layout)
        assert math.isclose(result.value, best, rel_tol=1e-9), (seed, result.value, best)
        assert result.lower_bound <= best + 1e-12 and result.certificates.one_swap_optimal is None


@pytest.mark.parametrize("case", ["groups", "one of a group", "preselected group"])
def test_every_method_obeys_or_refuses(case):
    make, k = CASES[case]
    problem = make(losses(9)["least squares"])
    best, ran = truth(problem, k), []
    for method in sparsopt.methods():
        try:
            result = sparsopt.solve(problem, k, method)
        except MissingCapability as error:
            assert "single coordinates" in str(error) or "does not know groups" in str(error)
            continue
        ran.append(method)
        assert allows(problem.structure, result.support, k, problem.layout), method
        assert result.value >= best - 1e-12, method
    assert {"auto", "omp", "replacement", "backward-elimination", "iht", "htp", "cosamp"} <= set(ran)


@given(seeds)
@settings(max_examples=scaled(5))
def test_groups_of_one_change_nothing(seed):
    X, eta, draws = data(seed)
    plain = LeastSquares(X, eta + draws.standard_normal(50), 0.01, True)
    for method in ("omp", "replacement", "htp", "iht", "cosamp"):
        a, b = sparsopt.solve(plain, 3, method), sparsopt.solve(grouped(plain, range(7)), 3, method)
        c, d = (
            sparsopt.solve(per_group(plain, [0] * 7, 7), 3, method),
            sparsopt.solve(preselected(plain, []), 3, method),
        )
        for other in (b, c, d):
            np.testing.assert_array_equal(a.support, other.support)
            np.testing.assert_allclose(a.x, other.x, rtol=1e-9, atol=1e-12)


def test_all_of_it():
    problem = losses(1)["least squares"]
    assert sparsopt.solve(grouped(problem, LABELS), 4).status is sparsopt.Status.CLIPPED
    assert sparsopt.solve(per_group(problem, LABELS, 1), 7).support.sum() == 4  # the groups have no room for more
    assert not sparsopt.solve(grouped(problem, LABELS), 0).support.any()


class Stubborn:
    """A solver that ignores the problem's structure, though it says that it does not."""

    structured = True

    def solve(self, problem, k, seed):
        return Method("all", (Stage((Phase(Everything(), Exact()),)),)).solve(problem, k, seed)


def test_a_support_that_is_not_allowed_is_a_defect_of_the_method():
    with pytest.raises(sparsopt.InvalidResult, match="a support"):
        sparsopt.solve(per_group(losses(1)["least squares"], LABELS, 1), 7, Stubborn())
