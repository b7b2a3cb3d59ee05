"""The side-by-side: published objectives of its problems, its numbers by hand, a run with no peer but scikit-learn."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.__main__ import main
from benchmarks.convex_peers import cell, genes, methods, peers, problems, tables, worker
from benchmarks.convex_peers.problems import Case

PEERS = {peer.name: peer for peer in peers.PEERS}


def planted(loss: str) -> Case:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 40))
    signal = X[:, [3, 17, 30]] @ [3.0, -2.0, 2.0]
    y = signal + 0.1 * rng.standard_normal(300) if loss == "squares" else (signal + rng.logistic(size=300) > 0) * 1.0
    return Case(loss, X, y, 3, 1e-3, np.array([3, 17, 30]))


@pytest.mark.parametrize("name", ["P2", "P7"])
def test_planted_problems_have_their_published_objectives(name: str) -> None:
    case = problems.PROBLEMS[name].draw(0)
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


def test_a_worker_answers_with_what_its_method_found(tmp_path: Path) -> None:
    case = planted("squares")
    np.savez(tmp_path / "data.npz", X=case.X, y=case.y)
    ask = {"data": str(tmp_path / "data.npz"), "loss": "squares", "k": 3, "ridge": 0.0, "patience": 0.0}
    answer = worker.main({**ask, "method": "omp"})
    assert answer["support"] == [3, 17, 30] and answer["seconds"] > 0 and answer["repetitions"] == 1
    residual = case.y - case.X[:, [3, 17, 30]] @ np.linalg.lstsq(case.X[:, [3, 17, 30]], case.y)[0]
    assert answer["value"] == pytest.approx(residual @ residual / 600)


def test_a_process_that_fails_says_why(tmp_path: Path) -> None:
    assert "FileNotFoundError" in cell.ask(sys.executable, {"data": str(tmp_path / "no.npz")})["failure"]
    assert "not finished" in cell.ask(sys.executable, {"installed": True}, budget=1e-3)["failure"]


def record(method: str, seed: int, value: float, seconds: float) -> dict:
    return {"problem": "A", "method": method, "seed": seed, "value": value, "seconds": seconds, "floor": 0.5, "k": 2,
            "memory": 1.0, "hits": 1, "size": 2}  # fmt: skip


def test_ratios_are_taken_within_a_seed_to_the_fastest_peer_that_is_as_good() -> None:
    records = [
        *(record("auto", 0, 1.0, 2.0), record("auto", 1, 3.0, 1.0)),
        *(record("abess", 0, 1.0, 8.0), record("abess", 1, 3.0, 2.0)),
        *(record("spams-omp", 0, 1.5, 0.1), record("spams-omp", 1, 3.0, 10.0)),
        {**record("auto", 0, 2.0, 1.0), "problem": "B"},
        {"problem": "B", "method": "celer", "seed": 0, "failure": "killed"},
    ]
    a, b = tables.comparisons(records)
    assert (a.peer, a.ratio, a.best, a.seeds) == ("abess", (2 / 8 + 1 / 2) / 2, 2, 2)
    assert b.peer == "" and math.isnan(b.ratio)
    lines = {(line.problem, line.method): line for line in tables.lines(records)}
    assert lines["A", "spams-omp"].excess == pytest.approx(25.0) and lines["A", "spams-omp"].best == 1
    assert lines["A", "abess"].times == 3.0 and lines["A", "abess"].f1 == 0.5
    assert lines["B", "celer"].failure == "killed"
    assert "median 0.38 over 1 problems; on 1 problems no peer is as good" in tables.markdown(records)


def test_how_soon_auto_is_there_is_taken_within_a_seed() -> None:
    records = [
        {"problem": "a", "method": method, "seed": seed, "value": 1.0, "cpu": cpu, **more}
        for seed, first, other in ((0, 0.002, 0.001), (1, 0.009, 0.003), (2, 0.004, 0.001))
        for method, cpu, more in (("auto", 1.0, {"reach": first}), ("sklearn-omp", other, {}))
    ]
    assert tables.reaches(records) == [("a", "4", "1", "3.00")]
    assert tables.reaches([record for record in records if record["method"] == "auto"]) == []


def test_the_command_measures_ours_without_any_peer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--problems", "P8", "--methods", "auto-0", "omp", "--patience", "0", "--out", str(tmp_path)]
    assert main(["convex", *asked]) == 0
    assert "| P8 | auto-0 | 0.238784 | 0.00 | 1/1 |" in capsys.readouterr().out
    found = json.loads((tmp_path / "results.json").read_text())
    assert [row["method"] for row in found["convex"]] == ["auto-0", "omp"]
    assert (tmp_path / "figure.svg").read_text().startswith("<svg")
    assert main(["convex", "--problems", "P9"]) == 2 and main(["convex", "--seeds", "0"]) == 2


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
