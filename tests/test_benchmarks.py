"""Benchmarks: statistics against closed forms, cells that are found again and never trusted when unfinished, reports
that say what the numbers say, and published objectives of other packages."""

from __future__ import annotations

import csv
import dataclasses
import errno
import functools
import io
import itertools
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import nets
from benchmarks import cells, convex, environment, networks, reading, report, results, runner, style, summary
from benchmarks.__main__ import main
from benchmarks.cells import Store
from benchmarks.convex import ConvexCell, Counted
from benchmarks.designs import PROBLEMS
from benchmarks.networks import NetworkCell
from benchmarks.statistics import holm, interval, paired, verdict
from sparsopt.errors import InvalidInput
from sparsopt.problems import LeastSquares

ROOT = Path(__file__).resolve().parent.parent
numbers = st.floats(-1, 1, allow_subnormal=False)


# ---- statistics ----------------------------------------------------------------------------------------------------


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


# ---- cells and the store -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Toy:
    """A cell that squares, fails, or cannot write, as it is told."""

    number: float
    trouble: str = ""

    kind: ClassVar[str] = "toy"
    packages: ClassVar[tuple[str, ...]] = ("numpy",)
    sources: ClassVar[tuple[str, ...]] = ("benchmarks/cells.py",)
    label = "toy"
    weight = 1.0
    calls: ClassVar[list[float]] = []

    def compute(self, folder: Path, threads: int) -> dict[str, Any]:
        self.calls.append(self.number)
        if self.trouble and not (folder.parent / "mended").exists():
            raise {"value": ValueError("it is broken\nand more"), "disk": OSError(errno.ENOSPC, "no space")}[
                self.trouble
            ]
        return {"square": self.number**2}


def test_a_cell_is_computed_once_and_its_failure_is_kept_and_retried(tmp_path: Path) -> None:
    store, good, bad = Store(tmp_path), Toy(3.0), Toy(4.0, "value")
    Toy.calls.clear()
    failures = runner.execute([good, bad, good], store, 1)
    assert [(f.cell, f.reason) for f in failures] == [(bad, "ValueError: it is broken")]
    assert store.find(good) == {"square": 9.0} and store.find(bad) is None
    (store.folder(bad) / "mended").touch()
    assert runner.execute([good, bad], store, 1) == []
    assert sorted(Toy.calls) == [3.0, 4.0, 4.0] and not (store.folder(bad) / "failure.json").exists()


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"result": {"square": 1}}', '{"configuration": {}, "result": {}}'])
def test_what_is_not_a_whole_result_of_this_configuration_is_unfinished(tmp_path: Path, damage: str) -> None:
    store, cell = Store(tmp_path), Toy(3.0)
    store.compute(cell)
    (store.folder(cell) / "result.json").write_text(damage)
    assert store.find(cell) is None
    store.compute(cell)
    assert store.find(cell) == {"square": 9.0}


def test_everything_that_decides_a_number_is_in_its_name(tmp_path: Path) -> None:
    cell = NetworkCell("digits", "lenet-300-100", "imp", 0.9, 0, 2.0)
    changes: list[dict[str, Any]] = [
        *({"method": "rigl"}, {"sparsity": 0.95}, {"seed": 1}, {"epochs": 3.0}, {"trainings": 4.0}, {"device": "cuda"}),
        *({"part": "validation"}, {"recipe": dataclasses.replace(cell.recipe, batch=32)}),
    ]
    names = {Store(tmp_path).name(dataclasses.replace(cell, **change)) for change in ({}, *changes)}
    assert len(names | {Store(tmp_path, threads=2).name(cell)}) == len(changes) + 2
    assert Store(tmp_path).name(cell) == Store(tmp_path / "elsewhere").name(cell)


def test_source_digests_see_code_and_no_comments(tmp_path: Path) -> None:
    def digest(text: str) -> str:
        environment._meaning.cache_clear()
        (tmp_path / "a.py").write_text(text)
        return environment.source_digest(("*.py",), tmp_path)

    base = digest('"""One."""\ndef f(x):\n    """Two."""\n    return x + 1\n')
    assert digest("# none\ndef f(x):\n\n    return x + 1  # said\n") == base
    assert digest("def f(x):\n    return x + 2\n") != base
    nested = "match 0:\n case _:\n  try:\n   pass\n  except E:\n   def g():\n    {}\n    pass\n"
    assert digest(nested.format("'said'")) == digest(nested.format("")) != digest(nested.format("f('said')"))


def test_other_code_in_a_worker_is_noticed(tmp_path: Path) -> None:
    store = Store(tmp_path, code={"toy": {"versions": {}, "source": "of yesterday"}})
    with pytest.raises(cells.StaleCode, match="start it again"):
        store.compute(Toy(3.0))


def test_a_full_disk_stops_everything_and_leaves_what_was_there(tmp_path: Path, monkeypatch: Any) -> None:
    path = tmp_path / "a.json"
    cells.write(path, {"a": 1})
    with pytest.raises(OSError, match="no space"):
        runner.execute([Toy(1.0, "disk")], Store(tmp_path), 1)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        cells.write(path, {"a": 2})
    assert cells.read(path) == {"a": 1} and os.listdir(tmp_path) == ["a.json"]


# ---- networks ------------------------------------------------------------------------------------------------------


def test_equal_cost_is_equal_and_own_cost_is_not(tmp_path: Path) -> None:
    made = list(networks.cells("digits", "lenet-300-100", ("dense", "imp", "rigl"), (0.9, 0.5), (0,), 1.0,
                               {"equal": 4.0, "own": None}))  # fmt: skip
    assert len(made) == 2 * (1 + 2 + 2) and len(set(made)) == len(made)
    found = [(cell, cell.compute(tmp_path / str(i), 1)) for i, cell in enumerate(made)]
    budget = 4 * (1297 // 60)
    for cell, result in found:
        trainings = 1 if cell.method != "imp" else {0.9: 12, 0.5: 5}[cell.sparsity]
        assert result["steps"] == trainings * 21 if cell.cost == "own" else budget - 12 < result["steps"] <= budget
        assert result["kept"] == round((1 - cell.sparsity) * 50200) and result["prunable"] == 50200
        assert result["samples"] == 500 and (result["accuracy"] * 500).is_integer()


def test_a_killed_cell_continues(tmp_path: Path, monkeypatch: Any) -> None:
    store, cell = Store(tmp_path), NetworkCell("digits", "lenet-300-100", "imp", 0.5, 0, 0.5)
    whole = cell.compute(tmp_path / "whole", 1)
    from nets import checkpoint

    calls, save = [], checkpoint.save

    def dies(*args: Any, **kwargs: Any) -> None:
        save(*args, **kwargs)
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(nets, "prune", functools.partial(nets.prune, save_every=0.0))
    monkeypatch.setattr(checkpoint, "save", dies)
    with pytest.raises(KeyboardInterrupt):
        store.compute(cell)
    assert store.find(cell) is None and (store.folder(cell) / "run" / "checkpoint.pt").exists()
    calls.clear()
    calls.extend([1] * 10)
    store.compute(cell)
    again = store.find(cell)
    assert again is not None and {**again, "seconds": 0} == {**whole, "seconds": 0}
    assert not (store.folder(cell) / "run").exists()


# ---- convex --------------------------------------------------------------------------------------------------------


def test_published_objectives() -> None:
    """P7 at its true support and by the lasso, diabetes to degree 3 by scikit-learn, as others measured them."""
    X, y, truth = PROBLEMS["P7"].draw(0)
    assert truth is not None
    chosen = np.isin(np.arange(X.shape[1]), truth)
    assert abs(LeastSquares(X, y).minimise_on(chosen, None)[1] - 3.005532) < 1e-6
    assert abs(_at(ConvexCell("P7", "sklearn-lasso", 0), 25)["refit"] - 7.697) < 1e-3
    for method, value in (("omp", 0.223545), ("sklearn-omp", 0.223545), ("sklearn-lasso", 0.234903)):
        assert abs(_at(ConvexCell("diabetes", method, 0), 10)["refit"] - value) < 1e-6


def _at(cell: ConvexCell, k: int) -> dict[str, Any]:
    return cell._size(PROBLEMS[cell.problem].draw(cell.seed), k, curve=True)


def test_counting_changes_nothing_and_counts_what_omp_does() -> None:
    X, y, _ = PROBLEMS["diabetes"].draw(0)
    plain, counted = LeastSquares(X, y), Counted(LeastSquares(X, y))
    for method in ("omp", "htp", "niht", "foba"):
        x, support, points = convex._solver(method)(counted, 6, 0)
        x0, support0, none = convex._solver(method)(plain, 6, 0)
        assert np.array_equal(support, support0) and np.allclose(x, x0, rtol=1e-12) and points and not none
    counted = Counted(LeastSquares(X, y))
    points = convex._solver("omp")(counted, 6, 0)[2]
    assert (counted.counts.gradients, counted.counts.refits) == (6, 6)
    assert [round(point[0]) for point in points] == [1, 2, 3, 4, 5, 6]
    assert all(a[2] > b[2] and a[1] <= b[1] for a, b in itertools.pairwise(points))


def test_every_convex_method_returns_a_support_of_at_most_k() -> None:
    X, y, _ = PROBLEMS["diabetes-2"].draw(0)
    problem = LeastSquares(X[:, :12], y)
    for method in convex.METHODS:
        x, support, _ = convex._solver(method)(problem, 4, 0)
        assert support.sum() <= 4 and not x[~support].any(), method


def test_methods_that_need_a_minimiser_are_not_asked_where_there_is_none() -> None:
    asked = {
        (cell.problem, cell.method, cell.seed)
        for cell in convex.cells(("wide", "tall", "diabetes"), convex.METHODS, (0, 1))
    }
    assert ("tall", "backward-elimination", 1) in asked and ("wide", "backward-elimination", 0) not in asked
    assert ("diabetes", "omp", 0) in asked and ("diabetes", "omp", 1) not in asked


# ---- from records to a report --------------------------------------------------------------------------------------


def _record(method: str, seed: int, accuracy: float, asked: float = 0.9, cost: str = "equal") -> dict[str, Any]:
    return {
        "cost": cost, "method": method, "asked": asked, "seed": seed, "accuracy": accuracy, "loss": 0.1,
        "sparsity": asked, "kept": 10, "prunable": 100, "densities": {"a<b": 0.1, "c": 0.2}, "collapsed": [],
        "steps": 84.0, "seconds": 1.0,
        "samples": 500, "status": "FINISHED",
    }  # fmt: skip


SPREAD = (0.0, 0.002, -0.002, 0.004, -0.004)
RECORDS = [
    _record(method, seed, mean + SPREAD[seed] * (1 + (method == "growth")), sparsity, cost)
    for cost in ("equal", "own")
    for method, mean in (("dense", 0.98), ("imp", 0.9), ("rigl", 0.96), ("random", 0.5), ("growth", 0.9002))
    for sparsity in ((0.0,) if method == "dense" else (0.9, 0.98))
    for seed in range(5)
]


def test_lines_have_the_means_and_verdicts_of_their_records() -> None:
    found = {(line.cost, line.method, line.asked): line for line in summary.lines(RECORDS, range(5), "imp")}
    words = {method: found["equal", method, 0.9].verdict for method in ("imp", "rigl", "random", "growth")}
    assert words == {"imp": "", "rigl": "better", "random": "worse", "growth": "not separable"}
    rigl = found["own", "rigl", 0.98]
    assert math.isclose(rigl.difference.mean, 0.06) and math.isclose(rigl.accuracy.mean, 0.96)
    assert found["equal", "dense", 0.0].verdict == "" and found["equal", "dense", 0.0].densities == {
        "a<b": 0.1,
        "c": 0.2,
    }


def test_missing_seeds_are_refused_by_name() -> None:
    records = [r for r in RECORDS if (r["method"], r["seed"]) != ("rigl", 3)]
    line = next(x for x in summary.lines(records, range(5), "imp") if x.method == "rigl")
    assert line.missing == (3,) and math.isnan(line.accuracy.mean) and line.verdict == ""
    assert "refused: no seed 3" in report._refused(line)
    without = [r for r in RECORDS if (r["method"], r["seed"]) != ("imp", 0)]
    sentence = next(reading.networks(summary.lines(without, range(5), "imp"), "imp"))
    assert sentence.endswith("nothing is compared.")


def test_the_reading_says_what_the_lines_say() -> None:
    sentences = list(reading.networks(summary.lines(RECORDS, range(5), "imp"), "imp"))
    assert sentences[0] == (
        "At equal cost, 90 % sparse, imp reaches 90.00 %. Better: rigl (+6.00); worse: random (-40.00); "
        "not separable: growth (+0.02)."
    )
    reversed_roles = [r | {"accuracy": 1 - r["accuracy"]} for r in RECORDS]
    sentence = next(reading.networks(summary.lines(reversed_roles, range(5), "imp"), "imp"))
    assert "better: random (+40.00)" in sentence.lower() and "worse: rigl (-6.00)" in sentence


def _convex_records() -> list[dict[str, Any]]:
    shifts = {"omp": 0.0, "cosamp": -0.4, "htp": 2.0, "iht": 0.001}
    return [
        {"problem": "tall", "method": method, "seed": seed, "k": k, "size": k, "value": 3.0, "hits": 5,
         "refit": 2.0 + shift + seed * (0.1 if method != "iht" else 0.09), "gradients": 20, "refits": 20,
         "seconds": 0.01, "curve": [[1, 0.001, 9.0], [2, 0.002, 3.0]] if k == 20 else []}
        for method, shift in shifts.items() for seed in range(4) for k in (5, 20)
    ]  # fmt: skip


def test_points_are_relative_to_the_best_of_each_seed() -> None:
    found = {(point.method, point.k): point for point in summary.points(_convex_records(), "omp")}
    assert found["cosamp", 20].excess.mean == 0.0 and found["cosamp", 20].verdict == "better"
    expected = np.mean([100 * ((2 + s / 10) / (1.6 + s / 10) - 1) for s in range(4)])
    assert math.isclose(found["omp", 20].excess.mean, expected)
    assert found["htp", 20].verdict == "worse" and found["iht", 20].verdict == "not separable"
    assert found["htp", 5].verdict == ""


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    run = {
        "finished": True, "seconds": 61.0, "seeds": list(range(5)), "threads": 1, "source": {"networks": "abc"},
        "configuration": {"data": "digits", "model": "lenet-300-100", "panel": "both",
                          "trainings": 4.0, "epochs": 15.0, "part": "test"},
        "versions": {"python": "3"}, "machine": {"processor": "a <b> & c", "cores": 2},
        "failures": [{"cell": {"method": "imp", "seed": 7}, "reason": "NotFinite: <diverged>"}],
    }  # fmt: skip
    cells.write(tmp_path / results.RUN, run)
    cells.write(tmp_path / results.RESULTS, {"convex": _convex_records(), "networks": RECORDS})
    return tmp_path


def test_the_report_is_one_file_that_needs_no_network(run_folder: Path) -> None:
    assert main(["report", str(run_folder)]) == 0
    page = (run_folder / "report.html").read_text()
    assert page.count("<svg") == page.count("</svg>") == 3
    links = set(re.findall(r'(?:src|href|url)\s*[=(]\s*["\']?([^"\')>\s]+)', page))
    assert all(link.startswith("#") for link in links), links
    assert not re.search(r"<script|<link|@import", page) and str(run_folder) not in page
    assert "a &lt;b&gt; &amp; c" in page and "&lt;diverged&gt;" in page and "a&lt;b" in page
    for value in ("+6.00 ±", "not separable", "90.0000 %", "1.6", "better", "50.00 ±"):
        assert value in page, value
    first = page
    assert main(["report", str(run_folder)]) == 0 and (run_folder / "report.html").read_text() == first


def test_a_report_is_drawn_again_when_what_it_says_has_changed(run_folder: Path, monkeypatch: Any) -> None:
    written, drawn = report.up_to_date(run_folder), []
    monkeypatch.setattr(report.figures, "accuracy", lambda lines: drawn.append(lines) or "<svg></svg>")
    changes: list[dict[str, Any]] = [{}, {"seconds": 62.0}, {}]
    for change, expected in zip(changes, (0, 1, 1), strict=True):
        cells.write(run_folder / results.RUN, json.loads((run_folder / results.RUN).read_text()) | change)
        assert report.up_to_date(run_folder) == written and len(drawn) == expected
    written.unlink()
    assert report.up_to_date(run_folder).exists() and len(drawn) == 2


def test_csv_has_a_row_for_every_record(run_folder: Path) -> None:
    report.write(run_folder)
    rows = list(csv.DictReader(io.StringIO((run_folder / "networks.csv").read_text())))
    assert len(rows) == len(RECORDS) and "densities" not in rows[0]
    assert [float(row["accuracy"]) for row in rows] == [record["accuracy"] for record in RECORDS]


def test_an_unfinished_run_has_no_report(run_folder: Path, capsys: Any) -> None:
    run = json.loads((run_folder / results.RUN).read_text()) | {"finished": False}
    cells.write(run_folder / results.RUN, run)
    assert main(["report", str(run_folder)]) == 1
    assert "no finished run" in capsys.readouterr().err


@given(st.lists(st.floats(0, 1), min_size=1, max_size=18))
def test_labels_do_not_overlap_and_stay_inside(heights: list[float]) -> None:
    wished = sorted(heights)
    placed = style.spread(wished, 0.052)
    assert all(b - a >= 0.052 - 1e-9 for a, b in itertools.pairwise(placed))
    assert placed[0] >= -1e-9 and placed[-1] <= 1 + 1e-9
    if all(b - a >= 0.052 for a, b in itertools.pairwise(wished)):
        assert np.allclose(placed, wished)


# ---- the command line ----------------------------------------------------------------------------------------------


def test_a_small_comparison_from_end_to_end_and_from_its_results(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    call = [
        "compare",
        "--data",
        "digits",
        "--methods",
        "dense",
        "imp",
        "rigl",
        "--sparsity",
        "0.5",
        "0.8",
        "--seeds",
        "2",
    ]
    call += ["--epochs", "0.5", "--problems", "diabetes-2", "--solvers", "omp", "sklearn-omp", "--jobs", "2"]
    call += ["--out", str(tmp_path)]
    assert main(call) == 0
    (folder,) = tmp_path.glob("digits-lenet-300-100-*")
    run = json.loads((folder / "run.json").read_text())
    assert (
        run["finished"] and run["configuration"]["epochs"] == 0.5 and run["versions"]["torch"] and run["threads"] == 1
    )
    assert len(run["cells"]["networks"]) == 2 * 2 * 5 and len(run["cells"]["convex"]) == 2
    printed = capsys.readouterr().out
    assert "not separable" in printed and "report.html" in printed and "80" in printed
    before = (folder / "results.json").read_text()
    for where, name in ((Store, "compute"), (nets.data, "load"), (report, "write")):
        monkeypatch.setattr(where, name, lambda *_: pytest.fail("what is finished was done again"))
    assert main(call) == 0 and (folder / "results.json").read_text() == before


@pytest.mark.parametrize(
    "call, message",
    [
        (["compre"], "did you mean compare"),
        (["compare", "--methods", "rigle"], "did you mean rigl"),
        (["compare", "--sparsity", "1.5"], "in [0, 1)"),
        (["compare", "--seeds", "0"], "must be positive"),
        (["compare", "--problems", "tal"], "did you mean tall"),
    ],
)
def test_mistakes_are_one_line(call: list[str], message: str, capsys: Any) -> None:
    assert main(call) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_results_that_cannot_be_written_are_one_line(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "file").touch()
    call = [
        "compare",
        "--panel",
        "convex",
        "--problems",
        "diabetes-2",
        "--solvers",
        "omp",
        "--out",
        str(tmp_path / "file"),
    ]
    assert main(call) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_ctrl_c_keeps_what_is_finished(tmp_path: Path) -> None:
    call = [
        sys.executable,
        "-m",
        "benchmarks",
        "compare",
        "--panel",
        "convex",
        "--problems",
        "tall",
        "--solvers",
        "omp",
    ]
    call += ["--seeds", "900", "--jobs", "2", "--out", str(tmp_path)]
    process = subprocess.Popen(
        call, cwd=ROOT, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 300  # starting takes long on a machine that is busy
    while not list(tmp_path.glob("cells/*/result.json")) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 130 and errors.count("\n") == 1 and "continues" in errors
    finished = [cells.read(path) for path in tmp_path.glob("cells/*/result.json")]
    assert finished and all(content and "sizes" in content["result"] for content in finished)


def test_recipes_refuse_a_model_they_do_not_know() -> None:
    from benchmarks.recipes import setting

    assert setting("digits", "lenet-300-100").recipe.batch == 60 and setting("mnist", "lenet-5").recipe.batch == 128
    with pytest.raises(InvalidInput, match="no recipe"):
        setting("digits", "perceptron")
