"""The side-by-side: published objectives of its problems, its numbers by hand, a run with no peer but scikit-learn."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.__main__ import main
from benchmarks.convex_peers import (
    cell,
    drawing,
    genes,
    methods,
    peers,
    problems,
    process,
    referee,
    tables,
    verdict,
    worker,
)
from benchmarks.convex_peers.problems import Case
from benchmarks.statistics import Interval
from sparsopt.errors import MissingCapability

PEERS = {peer.name: peer for peer in peers.PEERS}


def planted(loss: str) -> Case:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 40))
    signal = X[:, [3, 17, 30]] @ [3.0, -2.0, 2.0]
    y = signal + 0.1 * rng.standard_normal(300) if loss == "squares" else signal + rng.logistic(size=300) > 0
    y = y.astype(np.float64)
    return Case(loss, X, y, 3, 1e-3, np.array([3, 17, 30]))


@pytest.mark.parametrize("name", ["P2", "P7"])
def test_planted_problems_have_their_published_objectives(name: str) -> None:
    case = problems.PROBLEMS[name].draw(0)
    assert case.truth is not None
    support = np.isin(np.arange(case.X.shape[1]), case.truth)
    assert case.problem().minimise_on(support, None)[1] == pytest.approx(problems.BEST[name], rel=1e-7)


@pytest.mark.parametrize(("name", "shape"), [("P5", (442, 285)), ("P6", (569, 495)), ("P8", (442, 65))])
def test_real_problems_have_their_shapes(name: str, shape: tuple[int, int]) -> None:
    """Of P8, auto reaches the value that was proved best."""
    case = problems.PROBLEMS[name].draw(0)
    assert case.X.shape == shape
    if name == "P8":
        value = case.problem().minimise_on(methods.solver("auto")(case), None)[1]
        assert value == pytest.approx(problems.BEST[name], rel=1e-6)


def test_columns_that_miss_numbers_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "convex").mkdir()
    X = np.array([[1.0, np.nan, 3.0], [2.0, 0.0, 1.0], [4.0, 1.0, 1.0]])
    np.savez(tmp_path / "convex" / "holes.npz", X=X, y=X[:, 0])
    monkeypatch.setenv("SPARSOPT_DATA", str(tmp_path))
    case = problems.Stored("holes", "squares", 1).draw(0)
    assert case.X.shape == (3, 2) and np.isfinite(case.X).all()


@pytest.mark.parametrize("loss", ["squares", "logistic"])
@pytest.mark.parametrize("name", PEERS)
def test_a_peer_that_is_installed_finds_what_is_clear(name: str, loss: str) -> None:
    peer = PEERS[name]
    if peer.module not in peers.installed() or loss not in peer.losses:
        pytest.skip(f"{peer.module} is not installed or does not know this loss")
    case = planted(loss)
    with np.errstate(all="ignore"):
        found = methods.solver(name)(case)
    assert set(np.flatnonzero(found)) == {3, 17, 30}


def test_the_support_is_the_k_largest_and_never_a_zero() -> None:
    case = Case("squares", np.eye(4), np.ones(4), 2)
    assert methods.support(np.array([0.1, -3.0, 2.0, 0.0]), case).tolist() == [False, True, True, False]
    assert methods.support(np.array([0.0, -3.0, 0.0, 0.0]), case).tolist() == [False, True, False, False]


@pytest.mark.parametrize(("loss", "ridge"), [("squares", 0.0), ("squares", 0.1), ("logistic", 1e-3), ("logistic", 1.0)])
def test_the_judge_refits_to_the_minimum(loss: str, ridge: float) -> None:
    """The same as the library's refit; and no step along a coordinate leads below."""
    case = planted(loss)
    case = Case(loss, case.X, case.y, 3, ridge)
    for chosen in ([3, 17, 30], [0, 5], []):
        mask = np.isin(np.arange(40), chosen)
        assert referee.value(case, mask) == pytest.approx(case.problem().minimise_on(mask, None)[1], rel=1e-10)


def test_separable_labels_without_ridge_do_not_stop_the_judge() -> None:
    X = np.arange(-3.0, 4.0)[:, None]
    assert (
        0
        <= referee.value(Case("logistic", X, (X[:, 0] > 0).astype(np.float64), 1), np.array([True]))
        < np.log(2) / 7 + 1e-6
    )


def test_a_worker_answers_with_what_its_method_found() -> None:
    asked = {"problem": "P8", "seeds": [0, 1], "method": "omp", "patience": 0.0}
    first, second = worker.answers(asked)
    case = problems.PROBLEMS["P8"].draw(0)
    A = case.X[:, first["support"]]
    residual = case.y - A @ np.linalg.lstsq(A, case.y)[0]
    assert first["value"] == second["value"] == pytest.approx(residual @ residual / (2 * len(case.y)))
    assert (first["seed"], second["seed"], first["size"], first["repetitions"]) == (0, 1, 6, 1)
    assert first["hits"] is None and first["truth"] is None and 0 < first["pass"] < first["seconds"]


def test_a_duel_is_the_median_of_rounds_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """With times by hand, in the order of the calls: ours and theirs change places every round."""
    times = iter([1.0, 4.0, 8.0, 2.0, 3.0, 4.0])
    monkeypatch.setattr(worker, "TURNS", 3)
    monkeypatch.setattr(worker, "_timed", lambda call: (None, (next(times), 0.0)))
    found = worker.duel("omp", "htp", planted("squares"), patience=60.0)
    assert found == {"ratio": 0.25, "seconds": 2.0, "rival_seconds": 4.0, "rounds": 3}


def test_a_process_that_fails_says_why() -> None:
    this = sys.executable
    assert "KeyError" in process.ask(this, {}).failure
    assert process.ask(this, {"installed": True}, budget=1e-3).failure == "not finished after 0.001 s"
    asked = {"problem": "P8", "seeds": [0], "patience": 0.0}
    assert process.ask(this, {**asked, "method": "omp-omp"}).failure.startswith("unknown method 'omp-omp'")


def test_signals_and_missing_packages_have_words() -> None:
    assert process._failure(-11, "") == "died of SIGSEGV"
    assert process._failure(-9, "") == "died of SIGKILL (out of memory?)"
    assert process._failure(1, "x\nImportError: libmpi.so") == "cannot be imported: ImportError: libmpi.so"
    assert process._lines('nonsense\n[1]\n{"seed": 0}\n{"se') == ({"seed": 0},)


class Script:
    """Answers by hand, in place of processes."""

    def __init__(self, *answers: process.Answer) -> None:
        self.answers, self.asked = list(answers), []

    def __call__(self, python: str, request: dict, threads: int, budget: float) -> process.Answer:
        self.asked.append(request["seeds"])
        return self.answers.pop(0)


def test_draws_after_a_crash_are_measured_and_after_a_timeout_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    good = [{"seed": seed, "value": 1.0 + seed, "crashes": 0} for seed in range(3)]
    died = process.Answer((), "died of SIGSEGV")
    crash = Script(process.Answer((good[0],), "died of SIGSEGV"), died, died, process.Answer((good[2],)))
    monkeypatch.setattr(cell, "ask", crash)
    rows = cell.SideCell("P1", "abess", (0, 1, 2)).compute(None, 1)["rows"]
    assert crash.asked == [[0, 1, 2], [1, 2], [1, 2], [2]]
    assert rows == [good[0], {"seed": 1, "failure": "died of SIGSEGV", "crashes": 3}, good[2]]
    monkeypatch.setattr(cell, "ask", Script(died, process.Answer((good[0],))))
    assert cell.SideCell("P1", "abess", (0,)).compute(None, 1)["rows"] == [{**good[0], "crashes": 1}]
    late = Script(process.Answer((good[0],), "not finished after 60 s"))
    monkeypatch.setattr(cell, "ask", late)
    rows = cell.SideCell("P1", "abess", (0, 1, 2)).compute(None, 1)["rows"]
    assert len(late.asked) == 1 and [row.get("failure", "") for row in rows] == ["", *["not finished after 60 s"] * 2]
    monkeypatch.setattr(cell, "ask", Script(process.Answer((), "cannot be imported: libmpi")))
    with pytest.raises(MissingCapability):  # which the store does not keep as a result
        cell.SideCell("P1", "el0ps", (0,)).compute(None, 1)


def test_a_peer_is_measured_again_when_its_own_file_changes_and_not_when_ours_do() -> None:
    assert not any("sparsopt" in source for source in cell.SideCell.sources)
    assert "sparsopt/**/*.py" in cell.OurCell.sources and "sparsopt/**/*.py" in cell.Duel.sources
    assert methods.code("abess") == methods.code("abess-full") != methods.code("celer")


def record(method: str, seed: int, value: float, seconds: float, problem: str = "A") -> dict:
    return {"problem": problem, "method": method, "seed": seed, "value": value, "seconds": seconds, "pass": 0.25,
            "k": 2, "memory": 1.0, "hits": 1, "size": 2}  # fmt: skip


RECORDS = [
    *(record("auto", seed, 1.0 + seed, 2.0) for seed in range(3)),
    *(record("abess", seed, 1.0 + seed, 2.0 * ratio) for seed, ratio in enumerate((4.0, 4.1, 3.9))),
    *(record("spams-omp", seed, (1.0 + seed) * worse, 0.1 + seed) for seed, worse in enumerate((1.5, 1.0, 1.0))),
    *(record("celer", seed, (1.0 + seed) * worse, 2.0) for seed, worse in enumerate((1.20, 1.21, 1.22))),
    record("auto", 0, 2.0, 1.0, "B"),
    record("abess", 0, 1.9, 1.0, "B"),
    {"problem": "B", "method": "okridge", "seed": 0, "failure": "died of SIGSEGV"},
]
DUELS = [
    *({"problem": "A", "rival": "abess", "seed": seed, "ratio": ratio} for seed, ratio in ((0, 0.2), (1, 0.25))),
    {"problem": "A", "rival": "spams-omp", "seed": 2, "ratio": 0.16},
]


def test_lines_are_medians_and_words_are_paired_by_seed() -> None:
    lines = {(line.problem, line.method): line for line in tables.lines(RECORDS)}
    abess, spams, celer = (lines["A", name] for name in ("abess", "spams-omp", "celer"))
    assert (abess.value, abess.best, abess.f1, abess.speed) == ("equal", 3, 0.5, "slower")
    assert abess.times.mean == pytest.approx((4.0 * 4.1 * 3.9) ** (1 / 3)) and abess.passes == 32 and abess.floors == 16
    assert (spams.value, spams.best, spams.speed) == ("not separable", 2, "not separable") and spams.excess == 0
    assert (celer.value, celer.speed) == ("worse", "not separable") and celer.excess == pytest.approx(21.0)
    assert lines["B", "auto"].excess == pytest.approx(100 / 19) and lines["B", "abess"].value == "better"
    assert "| B | okridge | died of SIGSEGV |" in tables.markdown(RECORDS)


def test_the_verdict_is_of_duels_with_the_fastest_peer_as_good_on_each_draw() -> None:
    assert verdict.rivals(RECORDS) == {
        ("A", 0): "abess", ("A", 1): "spams-omp", ("A", 2): "spams-omp", ("B", 0): "abess",
    }  # fmt: skip
    a, b = verdict.comparisons(RECORDS, DUELS)
    assert (a.best, a.draws, a.peers, a.worst, a.word) == (3, 3, ("abess", "spams-omp"), 0.25, "faster")
    assert a.ratio.mean == pytest.approx(0.2) and a.ahead == pytest.approx(0.0, abs=1e-12)
    assert b.peers == () and math.isnan(b.ratio.mean) and b.ahead == pytest.approx(-5.0) and b.ahead_by == "abess"
    text = verdict.markdown(RECORDS, DUELS)
    assert "auto has the best objective found in 3 of 4 runs." in text
    assert "A peer is better: B, seed 0: abess 1.9, auto 2, 5 % better." in text and "at most a third on A" in text


def test_two_duels_separate_nothing() -> None:
    assert tables.faster(tables.ratio_of([0.5, 0.5]), 0.01) == "not separable"
    assert tables.faster(tables.ratio_of([0.5, 0.6, 0.55]), 0.01) == "faster"
    assert (
        tables.spanned(Interval(math.nan, math.nan, math.nan, 0)) == "" and tables.spanned(tables.ratio_of([2])) == "2"
    )


def test_the_figure_says_what_is_best_how_far_the_others_are_and_what_failed() -> None:
    growing = [record("auto", 0, 1.0, 0.1 * size, f"n={size}") for size in (500, 2000)]
    svg = drawing.draw(tables.lines([*RECORDS, *growing]))
    for words in ("+21 %", "2 of 3", "crashed", "growing n", "best objective on every draw", "okridge"):
        assert words in svg
    assert drawing.draw(tables.lines(growing)).startswith("<svg")


def test_how_soon_auto_is_there_is_taken_within_a_seed() -> None:
    records = [
        {"problem": "a", "method": method, "seed": seed, "value": 1.0, "cpu": cpu, **more}
        for seed, first, other in ((0, 0.002, 0.001), (1, 0.009, 0.003), (2, 0.004, 0.001))
        for method, cpu, more in (("auto", 1.0, {"reach": first}), ("sklearn-omp", other, {}))
    ]
    assert tables.reaches(records) == [("a", "4", "1", "3.00")]
    assert tables.reaches([record for record in records if record["method"] == "auto"]) == []


def test_the_command_measures_ours_without_any_peer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A second call measures nothing, says nothing else, and writes the same bytes."""
    asked = ["convex", "--problems", "P8", "--methods", "auto-0", "omp", "--patience", "0", "--out", str(tmp_path)]
    assert main(asked) == 0
    said = capsys.readouterr()
    assert "| P8 | auto-0 | 0.238784 | 0.00 | 1/1 |" in said.out and said.err == ""
    found = json.loads((tmp_path / "results.json").read_text())
    assert [row["method"] for row in found["convex"]] == ["auto-0", "omp"]
    written = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert {path.name for path in written} >= {"table.md", "figure.svg", "results.csv", "result.json"}
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.glob("cells/*/*")}
    assert main(asked) == 0 and capsys.readouterr().out == said.out
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == written
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("cells/*/*")} == stamps


def test_what_is_not_there_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPARSOPT_DATA", raising=False)
    out = ["--out", str(tmp_path)]
    assert main(["convex", "--problems", "P9", *out]) == 2 and main(["convex", "--seeds", "0", *out]) == 2
    assert main(["convex", "--methods", "omp-omp", *out]) == 2
    assert main(["convex", "--problems", "riboflavin", *out]) == 1


def test_genes_compare_with_what_was_reached_before() -> None:
    row = genes.Row("colon", 1e-3, 5, 0.0884, 0.1, 0.0442, 0.2, "feasible")
    line = "| colon | 0.001 | 5 | 0.0884 | 0.10 | 0.088346 | 0.086464 | 0.0442 | 50.0 | 0.20 | feasible |"
    assert line in genes.markdown([row])


def test_tensors_and_arrays_are_timed_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command for a GPU, on the device that is always there; one that is not is refused in a sentence."""
    asked = ["convex", "--problems", "P8", "--patience", "0", "--out", str(tmp_path), "--device"]
    assert main([*asked, "cpu"]) == 0
    assert "| P8 | auto | cpu |" in capsys.readouterr().out
    rows = json.loads((tmp_path / "cpu.json").read_text())["rows"]
    assert [row["method"] for row in rows] == ["auto", "omp", "htp"]
    assert all(row["numpy"] > 0 and row["torch"] > 0 and abs(row["excess"]) < 1e-6 for row in rows)
    assert main([*asked, "nowhere"]) == 2
