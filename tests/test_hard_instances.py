"""The published worst cases: what provably fails does, what provably does not does not, and closed forms hold."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsopt import catalogue, hard_instances
from sparsopt.__main__ import main
from sparsopt.certificates import Certificates
from sparsopt.errors import InvalidInput
from sparsopt.exact import enumerate_supports
from sparsopt.hard_instances import INSTANCES, HardInstance, decoy_value, recovery
from sparsopt.method import Method, run
from sparsopt.moves import Gradient
from sparsopt.portfolio.quadratic import Search
from tests.conftest import PROFILE

SEEDS = st.integers(0, 10**6)


@st.composite
def instances(draw: Any) -> HardInstance:
    """Any of the families, over its sizes."""
    name, seed = draw(st.sampled_from(sorted(INSTANCES))), draw(SEEDS)
    sizes: dict[str, Any] = {
        "diagonal": {"s": st.integers(1, 4), "kappa": st.floats(3, 20), "margin": st.floats(0.01, 0.16)},
        "decoys": {"s": st.integers(2, 9), "excess": st.floats(0.01, 0.9)},
        "diagonal-start": {"s": st.integers(1, 3), "kappa": st.floats(2, 7)},
        "flat": {"k": st.integers(1, 12), "radius": st.floats(0.1, 10)},
        "coherent-triples": {
            "triples": st.integers(1, 6),
            "coherence": st.floats(0.9, 0.99),
            "drop": st.floats(0.01, 0.2),
        },
        "sharp": {"size": st.integers(2, 20), "epsilon": st.floats(1e-6, 0.3)},
        "sharp-below": {"size": st.integers(2, 20), "epsilon": st.floats(1e-6, 0.3)},
    }
    return INSTANCES[name](**{key: draw(value) for key, value in sizes[name].items()}, seed=seed)


def portfolio(problem: Any, k: int, seed: int) -> np.ndarray:
    """The support that the portfolio for quadratics finds, as a mask."""
    found = np.zeros(problem.layout.n, dtype=bool)
    found[Search(problem.open(), k, seed, effort=1).run()] = True
    return found


@given(instances())
def test_what_provably_fails_does_and_the_rest_does_not(hard: HardInstance) -> None:
    assert np.count_nonzero(hard.truth) <= hard.k and hard.why
    for method in hard.fails:
        assert not hard.solved(hard.run(method).x), f"{hard.name}: {method.name} was to fail"
    for method in hard.succeeds:
        assert hard.solved(hard.run(method).x), f"{hard.name}: {method.name} was not to fail"


@given(instances(), SEEDS)
def test_the_portfolio_solves_all_of_them(hard: HardInstance, seed: int) -> None:
    found = portfolio(hard.problem, hard.k, seed)
    assert hard.solved(hard.problem.minimise_on(found, None)[0])
    if hard.name not in ("flat", "diagonal-start"):  # elsewhere the answer is the truth and nothing else
        assert np.array_equal(found, hard.truth)


@pytest.mark.parametrize("name", ["decoys", "coherent-triples", "sharp", "diagonal"])
def test_the_truth_is_optimal(name: str) -> None:
    small = {"decoys": {"s": 3}, "coherent-triples": {"triples": 2}, "sharp": {}, "diagonal": {"s": 2, "kappa": 5}}
    hard = INSTANCES[name](**small[name])
    assert math.isclose(enumerate_supports(hard.problem, hard.k)[1], hard.target, abs_tol=1e-12)


# ---- closed forms --------------------------------------------------------------------------------------------------


def values(problem: Any, method: Method) -> list[float]:
    """f after each round of the first stage."""
    return [row.value for row in run(method, problem, problem.start(0)).trace if row.stage == 0]


@given(st.integers(2, 9), st.floats(0.01, 0.9), SEEDS)
def test_decoys_trajectory(s: int, excess: float, seed: int) -> None:
    hard = hard_instances.decoys(s, excess=excess, seed=seed)
    assert math.isclose(hard.problem.value(np.zeros(5 * s)), decoy_value(s, excess, 0))
    found = run(catalogue.omp(4 * s), hard.problem, hard.problem.start(0))
    assert not np.any(found.support & hard.truth)
    wanted = [decoy_value(s, excess, t) for t in range(1, 4 * s + 1)]
    assert np.allclose([row.value for row in found.trace], wanted, rtol=1e-9)
    # s (beta / lambda) atoms and more: with any bounded number of decoys the error stays away from 0
    assert wanted[-1] > 0.05 * wanted[0]


@given(st.integers(2, 9), SEEDS)
def test_decoys_stop_every_single_exchange(s: int, seed: int) -> None:
    hard = hard_instances.decoys(s, seed=seed)
    found = hard.run(catalogue.omp(s))
    assert Certificates(hard.problem, found.x, found.support, s).one_swap_optimal


@given(st.integers(1, 3), st.integers(4, 20), st.floats(0.01, 0.16), SEEDS)
def test_the_number_of_atoms_that_the_gradient_rule_needs(s: int, kappa: int, margin: float, seed: int) -> None:
    hard = hard_instances.diagonal(s, kappa, margin, seed)
    needed = s * kappa * (1 - 4 * margin) / (1 - 2 * margin)
    falls = values(hard.problem, catalogue.omp(s * kappa, by=Gradient()))
    reached = 1 + next(i for i, value in enumerate(falls) if value <= hard.target * (1 + 1e-12))
    assert reached == math.ceil(needed - 1e-9)
    assert len(values(hard.problem, catalogue.omp(s))) == s  # where the curvature is known


def test_the_published_numbers() -> None:
    hard = hard_instances.diagonal(3, 16.0, 0.03)
    falls = values(hard.problem, catalogue.omp(48, by=Gradient()))
    assert 1 + next(i for i, value in enumerate(falls) if value <= hard.target) == 45
    assert hard_instances.diagonal_start(2, 6.0).k == 67


@given(st.integers(1, 3), st.floats(2, 7), SEEDS)
def test_a_start_that_thresholding_never_leaves(s: int, kappa: float, seed: int) -> None:
    hard = hard_instances.diagonal_start(s, kappa, seed=seed)
    assert hard.start is not None
    for method in hard.fails:
        found = hard.run(method)
        assert np.array_equal(found.support, hard.start.support)
        assert math.isclose(hard.problem.value(found.x), s / 2)
    assert math.isclose(hard.problem.value(np.zeros(hard.problem.p)) - hard.target, s / 2)
    assert hard.target < s / 2 and hard.k >= s


@given(st.integers(1, 12), st.floats(0.1, 10), SEEDS)
def test_flat_is_within_sixteen_of_the_l1_bound(k: int, radius: float, seed: int) -> None:
    hard = hard_instances.flat(k, radius, seed)
    for method in hard.succeeds:
        assert math.isclose(hard.problem.value(hard.run(method).x), radius**2 / (8 * k))
    assert math.isclose(2 * radius**2 / k, 16 * hard.target)


@given(st.integers(2, 20), st.floats(1e-6, 0.3), SEEDS)
def test_sharp_has_the_isometry_constant_it_says(size: int, epsilon: float, seed: int) -> None:
    below, above = hard_instances.sharp_below(size, epsilon, seed), hard_instances.sharp(size, epsilon, seed)
    for hard, c in ((below, 1 - epsilon), (above, 1 + epsilon)):
        H = hard.problem.hessian_columns(np.arange(size + 1))
        spectrum = np.linalg.eigvalsh(H)
        assert np.allclose(np.diagonal(H), 1)
        assert math.isclose(max(spectrum[-1] - 1, 1 - spectrum[0]), c / math.sqrt(size), rel_tol=1e-9)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: hard_instances.diagonal(0), "s >= 1"),
        (lambda: hard_instances.diagonal(margin=0.25), "margin < 1/6"),
        (lambda: hard_instances.decoys(3, decoys=5), "decoys >= 3 s"),
        (lambda: hard_instances.diagonal_start(2, 6.0, k=80), "choose 2 <= k"),
        (lambda: hard_instances.flat(0), "k >= 1"),
        (lambda: hard_instances.coherent_triples(coherence=0.5), "0.9 <= coherence"),
        (lambda: hard_instances.sharp(1), "K >= 2"),
        (lambda: hard_instances.sharp_below(4, 1.5), "epsilon < 1"),
    ],
)
def test_impossible_sizes_are_refused(make: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        make()


# ---- the table of who finds the answer -----------------------------------------------------------------------------


@pytest.mark.parametrize("case", recovery.CASES)
def test_counts_agree_with_proofs_and_auto_finds_every_answer(case: str) -> None:
    seeds = 2 if PROFILE != "nightly" else 20
    rows = recovery.recovery(seeds, {case: recovery.CASES[case]})
    assert all(cell.agrees for cell in rows[case].values()), recovery.table(rows)
    assert rows[case]["auto"].found == seeds
    if case.startswith("decoys"):
        assert [cell.found for name, cell in rows[case].items() if name not in ("auto", "oscillation")].count(0) >= 15


@pytest.mark.parametrize("case", recovery.LARGE if PROFILE == "nightly" else ["decoys p=506 k=6"])
def test_many_decoys_do_not_hide_the_answer_from_auto(case: str) -> None:
    seeds = 2 if PROFILE != "nightly" else 20
    rows = recovery.recovery(seeds, {case: recovery.LARGE[case]}, ("auto", "omp"))
    assert rows[case]["auto"].found == seeds and rows[case]["omp"].found == 0


def test_a_count_against_a_proof_is_wrong_and_said() -> None:
    cells = {"a": recovery.Cell(1, 2, False), "b": recovery.Cell(2, 2, True), "c": recovery.Cell(1, 2, None)}
    assert [cell.agrees for cell in cells.values()] == [False, True, True]
    shown = recovery.table({"case": cells})
    assert "| a | 1- WRONG |" in shown and "| b | 2+ |" in shown and "| c | 1 |" in shown


def test_the_hard_command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery.recovery, "__defaults__", (1, {"sharp": recovery.CASES["sharp p=5 k=4"]}, ("omp",)))
    assert main(["hard", "--seeds", "1"]) == 0
    assert "| omp | 0- |" in capsys.readouterr().out
    assert main(["hard", "--seeds", "0"]) == 2
