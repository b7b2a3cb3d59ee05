"""`benchmarks reproduce`: verdicts from intervals, targets that can run, published numbers where they belong."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.__main__ import main
from benchmarks.cells import read
from benchmarks.reproduce import TARGETS, Reproduce, asked, estimate, report
from benchmarks.reproduce.claims import (
    FAILED,
    OPEN,
    REPRODUCED,
    Claim,
    above,
    agree,
    collapses,
    near,
    not_below,
    survives,
)
from benchmarks.reproduce.target import Arm, Target
from benchmarks.statistics import Interval
from nets.models import names
from nets.recipe import SGD, Recipe

numbers = st.floats(-50, 50)


def records(**arms: list[float]) -> dict[str, dict[int, dict[str, Any]]]:
    """Accuracies in %, by arm and seed."""
    return {
        arm: {seed: {"accuracy": value / 100, "samples": 10_000, "collapsed": 0.0} for seed, value in enumerate(values)}
        for arm, values in arms.items()
    }


@given(numbers, st.floats(0, 20), numbers, st.floats(0, 20))
def test_a_verdict_is_where_the_interval_lies(middle: float, half: float, low: float, width: float) -> None:
    claim = Claim("x", ((1.0, "a"),), low, low + width)
    verdict = claim.verdict(Interval(middle, middle - half, middle + half, 5))
    inside = low <= middle - half and middle + half <= low + width
    outside = middle + half < low or middle - half > low + width
    assert verdict == (REPRODUCED if inside else FAILED if outside else OPEN)


def test_two_seeds_are_no_evidence() -> None:
    found = records(a=[99.0, 99.0], b=[10.0, 10.0])
    claim = above("a", "b")
    assert claim.verdict(claim.measure(found)) == OPEN


def test_differences_are_paired_by_seed() -> None:
    """The seeds' own ups and downs, far larger than the difference, cancel."""
    found = records(a=[90.0, 50.0, 70.0, 30.0], b=[89.0, 49.1, 68.9, 29.0])
    measured = above("a", "b").measure(found)
    assert measured.mean == pytest.approx(1.0) and above("a", "b").verdict(measured) == REPRODUCED
    assert above("b", "a").verdict(above("b", "a").measure(found)) == FAILED
    assert above("a", "b", 5.0).verdict(measured) == FAILED


def test_equality_needs_evidence() -> None:
    noisy, steady = records(a=[90.0, 80.0, 85.0], b=[85.0, 85.0, 85.0]), records(a=[90.0, 90.1, 89.9], b=[90.0] * 3)
    assert agree("a", "b", 0.5).verdict(agree("a", "b", 0.5).measure(noisy)) == OPEN
    assert agree("a", "b", 0.5).verdict(agree("a", "b", 0.5).measure(steady)) == REPRODUCED
    assert not_below("a", "b", 0.5).verdict(not_below("a", "b", 0.5).measure(steady)) == REPRODUCED
    assert near("a", 95.0, 0.5).verdict(near("a", 95.0, 0.5).measure(steady)) == FAILED


def test_seeds_that_agree_have_the_interval_of_their_rounding() -> None:
    measured = near("a", 90.0, 0.3).measure(records(a=[90.0] * 3))
    assert 0 < measured.half < 0.05


def test_missing_seeds_are_left_out_of_pairs() -> None:
    found = records(a=[90.0, 91.0, 92.0, 93.0], b=[80.0, 81.0, 82.0])
    assert above("a", "b").measure(found).count == 3
    nothing = above("a", "c").measure(found)
    assert nothing.count == 0 and math.isnan(nothing.mean) and above("a", "c").verdict(nothing) == OPEN


def test_layers_that_die() -> None:
    found = records(a=[10.0] * 3, b=[90.0] * 3)
    for record in found["a"].values():
        record["collapsed"] = 1.0
    for claim, verdict in ((collapses("a"), REPRODUCED), (survives("a"), FAILED), (collapses("b"), FAILED)):
        assert claim.verdict(claim.measure(found)) == verdict
    assert not collapses("a").absolute and near("a", 1.0, 1.0).absolute and not above("a", "b").absolute


# ---- the targets ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TARGETS)
def test_targets_can_run(name: str) -> None:
    """Every claim speaks of arms that exist, every published number too; methods, settings and models are known."""
    import nets
    from benchmarks import structured
    from nets.catalogue import Plan
    from nets.prune import configured
    from sparsopt.state import Layout

    for target in (TARGETS[name], TARGETS[name].budgeted()):
        assert {arm for claim in target.claims for arm in claim.arms} <= set(target.arms) and target.claims
        assert target.model in names() or nets.models.build(target.model) is not None
        for arm in target.arms.values():
            plan = Plan(Layout(("a", "b"), ((200, 300), (100, 200))), max(1, round((1 - arm.sparsity) * 80_000)), 400)
            assert configured(structured.find(arm.method), dict(arm.settings))(plan).stages
    assert set(TARGETS[name].published) <= set(TARGETS[name].arms)


@pytest.mark.parametrize("name", [name for name, target in TARGETS.items() if target.data == "cifar10"])
def test_budgeted_targets_claim_orders_only(name: str) -> None:
    short = TARGETS[name].budgeted()
    assert short.shortened and short.epochs < TARGETS[name].epochs and not any(c.absolute for c in short.claims)
    assert set(short.arms) <= set(TARGETS[name].arms)


def test_the_command_line_changes_a_target() -> None:
    target = TARGETS["lenet-tickets"]
    assert asked(target, Reproduce(seeds=3)).seeds == 3 and not asked(target, Reproduce()).shortened
    assert asked(target, Reproduce(epochs=0.1)).shortened


@pytest.mark.parametrize("method, trainings", [("dense", 1), ("imp", 12), ("gem-miner", 2), ("imp+reinit", 13)])
def test_the_estimate_counts_the_steps_that_runs_take(method: str, trainings: int) -> None:
    """90 % is 11 rounds of 20 %, each with a training; a control adds one."""
    target = Target("x", "", "", "digits", "lenet-300-100", Recipe(batch=60), 0.5, arms={"a": Arm(method, 0.9)})
    ((_, cell),) = target.cells([0])
    assert estimate.steps(cell) == trainings * round(0.5 * (1297 // 60))
    budget = Target("x", "", "", "digits", "lenet-300-100", arms={"a": Arm(method, 0.9, trainings=30.0)})
    ((_, cell),) = budget.cells([0])
    assert 0 < estimate.steps(cell) <= 30 * (1297 // cell.recipe.batch)
    assert 0 < estimate.seconds([cell], 2) == pytest.approx(estimate.seconds([cell], 1) / 2)


# ---- a run ---------------------------------------------------------------------------------------------------------

TINY = Target(
    "tiny",
    "A tiny target",
    "this test",
    "digits",
    "lenet-300-100",
    Recipe(0.1, optimiser=SGD(0.9, weight_decay=0.0), batch=60),
    epochs=0.5,
    seeds=3,
    arms={"dense": Arm("dense"), "random, 90 %": Arm("random", 0.9), "random, 99.9 %": Arm("random", 0.999)},
    claims=(above("dense", "random, 99.9 %"), survives("random, 90 %"), near("dense", 10.0, 1.0)),
)


def test_a_target_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(TARGETS, "tiny", TINY)
    monkeypatch.setattr("benchmarks.reproduce.RECORDS", tmp_path / "records")
    arguments = ["reproduce", "tiny", "--out", str(tmp_path), "--jobs", "1", "--record"]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert "dense is above random, 99.9 %" in said and said.count("reproduced") >= 3 and "not reproduced" in said
    found = read(tmp_path / "reproduce-tiny" / "result.json")
    assert found is not None and found == read(tmp_path / "records" / "tiny.json")
    assert [claim["verdict"] for claim in found["claims"]] == [REPRODUCED, REPRODUCED, FAILED]
    assert {len(by) for by in found["arms"].values()} == {3} and found["machine"] and found["versions"]["torch"]
    page = (tmp_path / "reproduce-tiny" / "report.html").read_text()
    assert "<svg" in page and "not reproduced" in page and not re.search(r'(src|href)="http', page)
    assert main(["reproduce"]) == 0  # what is on record is listed
    assert "2 reproduced, 1 not" in " ".join(capsys.readouterr().out.split())


def test_a_cell_that_fails_is_said_and_nothing_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import dataclasses

    broken = dataclasses.replace(TINY, recipe=dataclasses.replace(TINY.recipe, learning_rate=1e9))
    monkeypatch.setitem(TARGETS, "tiny", broken)
    monkeypatch.setattr("benchmarks.reproduce.RECORDS", tmp_path / "records")
    assert main(["reproduce", "tiny", "--out", str(tmp_path), "--jobs", "1", "--record"]) == 1
    said = capsys.readouterr().out
    assert "diverged" in said and "not separable" in said and not (tmp_path / "records").exists()


def test_unknown_targets_name_the_near_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", "lenet-ticket"]) == 2
    assert "did you mean lenet-tickets" in capsys.readouterr().err


def test_results_on_record_are_of_known_targets() -> None:
    from benchmarks.reproduce import RECORDS

    for path in sorted(RECORDS.glob("*.json")):
        found = json.loads(path.read_text())
        target = TARGETS[found["target"]]
        target = target.budgeted() if found["shortened"] else target
        assert {claim["says"] for claim in found["claims"]} <= {claim.says for claim in target.claims}
        assert not found["failures"] and len(found["seeds"]) >= 3, path.name
        again = [claim for claim in target.claims if claim.says in {c["says"] for c in found["claims"]}]
        arms = {arm: {int(seed): r for seed, r in by.items()} for arm, by in found["arms"].items()}
        told = {claim["says"]: claim["verdict"] for claim in found["claims"]}
        assert {c.says: c.verdict(c.measure(arms)) for c in again} == told, path.name
        assert set(report.accuracies(found)) == set(arms)
