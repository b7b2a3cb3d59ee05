"""The benchmarks' statistics against closed forms and SciPy: intervals, pairs, Holm's procedure, verdicts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from benchmarks.statistics import holm, interval, paired, verdict

numbers = st.floats(-1, 1, allow_subnormal=False)


@given(st.lists(numbers, min_size=2, max_size=12).filter(lambda v: np.std(v) > 1e-6))
def test_interval_is_students(values: list[float]) -> None:
    expected = stats.ttest_1samp(values, 0.0)
    low, high = expected.confidence_interval(0.95)
    found = interval(values)
    assert np.allclose([found.low, found.high, found.p], [low, high, expected.pvalue], rtol=1e-9, atol=1e-12)


def test_paired_is_the_paired_t_test_whatever_the_order_of_seeds() -> None:
    a, b = {2: 0.9, 0: 0.8, 1: 0.85}, {0: 0.7, 1: 0.8, 2: 0.82}
    found = paired(a, b)
    assert math.isclose(found.p, stats.ttest_rel([0.8, 0.85, 0.9], [0.7, 0.8, 0.82]).pvalue)
    with pytest.raises(ValueError, match="cannot be paired"):
        paired(a, {0: 0.7, 1: 0.8})


def test_seeds_that_agree_by_rounding_do_not_make_a_certainty() -> None:
    step = 1 / 500
    same = paired(dict.fromkeys(range(3), 0.972), dict.fromkeys(range(3), 0.97), step)
    assert same.low < 0 < same.high and verdict(same, same.p) == "not separable"
    far = paired(dict.fromkeys(range(3), 0.99), dict.fromkeys(range(3), 0.95), step)
    assert verdict(far, far.p) == "better"


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.floats(0.01, 0.99))
def test_holm_rejects_what_the_step_down_procedure_rejects(p: list[float], level: float) -> None:
    order, rejected = np.argsort(p, kind="stable"), set()
    for rank, i in enumerate(order):
        if p[i] * (len(p) - rank) >= level:
            break
        rejected.add(int(i))
    assert {i for i, adjusted in enumerate(holm(p)) if adjusted < level} == rejected


def test_holm_by_hand_and_without_the_unknown() -> None:
    assert holm([0.01, math.nan, 0.04, 0.03])[:1] == [0.03]
    assert np.allclose(holm([0.01, math.nan, 0.04, 0.03]), [0.03, math.nan, 0.06, 0.06], equal_nan=True)


def test_verdicts() -> None:
    clear = {s: 0.9 + s / 1000 for s in range(5)}, {s: 0.8 + s / 900 for s in range(5)}
    ours, theirs = paired(*clear), paired(*clear[::-1])
    assert verdict(ours, ours.p) == "better" and verdict(theirs, theirs.p) == "worse"
    assert verdict(ours, 0.0501) == verdict(ours, math.nan) == "not separable"
    two = paired({0: 0.9, 1: 0.901}, {0: 0.5, 1: 0.501}, 1e-9)
    assert two.p < 0.05 and verdict(two, two.p) == "not separable"


def test_the_same_method_twice_is_rarely_separable() -> None:
    """A/A over 500 resamples: rounded accuracies of 500 images, 5 seeds, at most 5 % + 2 deviations."""
    rng, wrong, images = np.random.default_rng(0), 0, 500
    for _ in range(500):
        a, b = (dict(enumerate(rng.binomial(images, 0.97, 5) / images)) for _ in range(2))
        d = paired(a, b, 1 / images)
        wrong += verdict(d, d.p) != "not separable"
    assert 0 < wrong <= 500 * (0.05 + 2 * math.sqrt(0.05 * 0.95 / 500))
