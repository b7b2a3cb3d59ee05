"""`python -m benchmarks compare`, from end to end: found again, mistakes in one line, Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import nets
from benchmarks import cells, report
from benchmarks.__main__ import main
from benchmarks.cells import Store
from sparsopt.errors import InvalidInput

ROOT = Path(__file__).resolve().parent.parent


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


def test_recipes_refuse_a_model_they_do_not_know() -> None:
    from benchmarks.recipes import setting

    assert setting("digits", "lenet-300-100").recipe.batch == 60 and setting("mnist", "lenet-5").recipe.batch == 128
    with pytest.raises(InvalidInput, match="no recipe"):
        setting("digits", "perceptron")


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
