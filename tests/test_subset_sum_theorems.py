"""The experiments behind the theorems: their statistics, their verdicts, and that a wrong claim is caught."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsopt.errors import InvalidInput
from sparsopt.subset_sum import command, statistics
from sparsopt.subset_sum.theorems import THEOREMS, Lueker, Quantised


@given(st.integers(1, 400), st.data())
def test_clopper_pearson_inverts_the_binomial(draws: int, data: st.DataObject) -> None:
    from scipy.stats import binom

    failures = data.draw(st.integers(0, draws))
    low, high = statistics.clopper_pearson(failures, draws)
    assert 0 <= low <= failures / draws <= high <= 1
    assert failures == 0 or abs(binom.sf(failures - 1, draws, low) - 0.025) < 1e-6
    assert failures == draws or abs(binom.cdf(failures, draws, high) - 0.025) < 1e-6


@pytest.mark.parametrize(("draws", "promise"), [(59, 0.95), (299, 0.99), (2995, 0.999)])
def test_no_failures_prove_the_classical_promises(draws: int, promise: float) -> None:
    assert (
        statistics.clopper_pearson(0, draws, 0.9)[1] <= 1 - promise < statistics.clopper_pearson(0, draws - 1, 0.9)[1]
    )
    with pytest.raises(InvalidInput):
        statistics.clopper_pearson(3, 2)


def test_thresholds_and_tails_of_a_known_law() -> None:
    rng = np.random.default_rng(0)
    needs = np.ceil(rng.normal(12, 2, 4000))
    assert abs(statistics.threshold(needs) - 12) < 0.2
    low, high = statistics.bootstrap_threshold(needs)
    assert low <= 12 <= high and high - low < 0.5
    assert statistics.threshold([3.0, np.inf, np.inf]) == math.inf
    sizes = (10, 14, 18, 22)
    failures = rng.binomial(10**6, np.exp(-0.5 * np.array(sizes)))
    line = statistics.tail_rate(sizes, [*failures[:-1], 0], 10**6)
    assert abs(line.slope + 0.5) < 0.02
    with pytest.raises(InvalidInput):
        statistics.tail_rate(sizes, [0, 0, 5, 0], 10)


@pytest.mark.parametrize("name", list(THEOREMS))
def test_every_theorem_is_met(name: str) -> None:
    theorem = THEOREMS[name](seed=1, **({"draws": 240} if name in ("lueker", "da-cunha") else {}))
    verdict = theorem.verify()
    assert verdict.holds, verdict.sentence + str([c for c in verdict.checks if not c.holds])
    assert "consistent" in verdict.sentence and verdict.rows and 0 < verdict.constant < 10
    assert eval(repr(theorem), dict(vars(__import__("sparsopt.subset_sum.theorems", fromlist=["x"])))) == theorem
    for row in verdict.rows:
        assert row.low <= row.failures / row.draws <= row.high
    for case in theorem.cases():
        by_size = [row.failures for row in verdict.rows if row.case == theorem.label(case)]
        nested = name in ("lueker", "da-cunha", "vectors", "quantised")
        assert not nested or by_size == sorted(by_size, reverse=True)


def test_a_claim_that_grows_too_slowly_is_caught() -> None:
    @dataclass(frozen=True)
    class TooFew(Quantised):
        """Claims that the number of items need not grow with M."""

        def scale(self, case: Hashable) -> float:
            return 1.0

    verdict = TooFew(draws=200).verify()
    assert not verdict.holds and "NOT met" in verdict.sentence
    assert "M = 2^12" in verdict.sentence


def test_a_predictor_that_is_wrong_is_caught() -> None:
    @dataclass(frozen=True)
    class Doubled(Lueker):
        def predicted(self, case: Hashable, n: int) -> float:
            return 3 * super().predicted(case, n)

    assert "predictor" in Doubled(draws=200).verify().sentence


def test_draws_depend_on_their_own_position_only() -> None:
    few, many = Quantised(draws=50), Quantised(draws=100)
    assert (few.errors(8) == many.errors(8)[:50]).all()
    assert (few.errors(8) != Quantised(draws=50, seed=3).errors(8)).any()


def test_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(command.Verify("quantised", draws=200)) == 0
    assert "consistent with the claim" in capsys.readouterr().out
    assert command.main(command.Solve((0.5, 0.3, -0.2), 0.3, tolerance=0.01)) == 0
    assert "= 0.29999999999999999" in capsys.readouterr().out
    assert command.main(command.Solve((0.5, 0.3), 9.0, "any", 0.1)) == 1
    assert "larger tolerance" in capsys.readouterr().out
    assert [type(t).__name__ for t in command.theorems(command.Verify(draws=50))] == [
        t.__name__ for t in THEOREMS.values()
    ]
