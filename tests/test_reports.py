"""From records to a report that says what the numbers say."""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import cells, reading, report, results, style, summary
from benchmarks.__main__ import main


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
