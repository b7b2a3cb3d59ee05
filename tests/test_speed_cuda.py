"""`benchmarks speed --device`: every row runs on a CPU in miniature; what does not fit or breaks is said."""

from __future__ import annotations

import dataclasses
import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.__main__ import main
from benchmarks.speed import cuda, cuda_report
from nets import captured
from tests.tape import Recorder

SMALL = dataclasses.replace(cuda.TINY, width=0.1, batch=12, steps=1, samples=24, levels=2)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPARSOPT_DATA", raising=False)
    monkeypatch.setattr(cuda, "TINY", SMALL)


def test_all_rows_run_and_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["speed", "--device", "cpu", "--quick", "--out", str(tmp_path)]) == 0
    written = json.loads((tmp_path / "cpu.json").read_text())
    rows = written["rows"]
    names = ["device", *(f"resnet-20 {engine} {precision}" for engine, precision, _ in cuda.ALONE)]
    names += [f"resnet-20 {what}" for what in ("shares", "projected", "pruned", "x 1", "x 2")]
    assert list(rows) == [*names, "airbench"]
    assert not [name for name, row in rows.items() if "failed" in row or "skipped" in row]
    assert all(row["took s"] >= 0 for row in rows.values())
    step = rows["resnet-20 captured bfloat16"]
    assert step["epoch s"] == pytest.approx(2 * step["ms"] / 1e3)
    assert step["of peak"] == pytest.approx(step["TFLOP/s"] / rows["device"]["bfloat16 TFLOP/s"])
    assert len(rows["resnet-20 pruned"]["levels"]) == 2 and min(rows["resnet-20 pruned"]["levels"]) > 0
    assert rows["resnet-20 projected"]["minutes"] == pytest.approx(
        11 * 160 * rows["resnet-20 shares"]["epoch with test s"] / 60
    )
    assert 0 <= rows["resnet-20 shares"]["augmentation"] < 1 and 0 < rows["resnet-20 shares"]["evaluation"] < 1
    assert written["data"] == "noise" and "accelerator" not in written["machine"]
    assert (tmp_path / "cpu.svg").read_text().count("captured") >= 3
    said = capsys.readouterr().out
    assert "roofline model" in said and "0.53 to 0.88" in said


def test_what_does_not_fit_is_skipped_and_cheaper_rows_after_it_still_run() -> None:
    bench = cuda.Bench("cpu", SMALL)
    calls: list[str] = []

    def row(name: str, seconds: float) -> cuda.Row:
        return cuda.Row(name, seconds, lambda: calls.append(name) or {"ms": 1.0})  # type: ignore[func-returns-value]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cuda, "rows", lambda bench: [row("a", 5), row("b", 1000), row("c", 5)])
        found = cuda.measured(bench, 100)
    assert calls == ["a", "c"] and found["b"] == {"skipped": "some 1000 s, and 100 s were left"}
    assert all("skipped" in numbers for numbers in cuda.measured(cuda.Bench("cpu", SMALL), -1.0).values())


def test_a_row_that_breaks_says_why_and_the_others_stand() -> None:
    def breaks() -> dict[str, Any]:
        raise torch.OutOfMemoryError("CUDA out of memory\nmore")

    def differs() -> dict[str, Any]:
        raise AttributeError("no such thing in this version")

    bench = cuda.Bench("cpu", SMALL)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            cuda,
            "rows",
            lambda bench: [cuda.Row("a", 1, breaks), cuda.Row("c", 1, differs), cuda.Row("b", 1, lambda: {"ms": 2.0})],
        )
        found = cuda.measured(bench, 100)
    assert found["a"]["failed"] == "OutOfMemoryError: CUDA out of memory" and found["b"]["ms"] == 2.0
    assert "no such thing" in found["c"]["failed"]
    cuda_report.tables(found, "nowhere", "noise")


def test_a_projection_without_its_row_fails_by_name() -> None:
    bench = cuda.Bench("cpu", SMALL)
    found = cuda._tried(cuda.Row("projected", 0, partial(bench.projected, "resnet-20")))
    assert "resnet-20 shares" in found["failed"]


def test_the_whole_table_fits_into_eight_minutes_by_its_own_estimate() -> None:
    """And the estimates are no smaller than what the roofline model says of the steps in them."""
    bench = cuda.Bench("cpu", cuda.Sizes())
    planned = {row.name: row.seconds for row in cuda.rows(bench)}
    assert len(planned) == 23 and sum(planned.values()) < 450 < 8 * 60
    steps = cuda.Sizes().epochs * cuda.Sizes().levels * (50_000 // 128)
    assert planned["resnet-20 pruned"] > 1e-3 * cuda.EXPECTED["resnet-20"][1] * steps
    assert "23 rows" in cuda_report.plan(list(cuda.rows(bench)), 450)


def test_recorded_rows_give_recorded_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder()
    monkeypatch.setitem(captured.RECORDERS, "cpu", recorder)
    bench = cuda.Bench("cpu", SMALL)
    found = bench.steps_of("resnet-20", ("captured", "float32", "contiguous"))
    assert found["ms"] > 0 and recorder.recordings == 1 and recorder.replays >= 2 * SMALL.steps + 3


def test_a_row_says_that_its_step_could_not_be_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(body: Any, device: Any) -> Any:
        raise RuntimeError("operation not permitted when stream is capturing\nand more")

    monkeypatch.setitem(captured.RECORDERS, "cpu", fails)
    bench = cuda.Bench("cpu", SMALL)
    found = bench.steps_of("resnet-20", ("captured", "float32", "contiguous"))
    assert found["ms"] > 0 and "not recorded" in found["but"] and "stream is capturing" in found["but"]
    assert "but" not in bench.steps_of("resnet-20", ("dense", "float32", "contiguous"))
    cuda_report.tables({"resnet-20 captured float32": found}, "nowhere", "noise")


def test_an_unknown_device_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["speed", "--device", "cuda", "--quick"]) == 2 or torch.cuda.is_available()
    said = capsys.readouterr().err
    assert torch.cuda.is_available() or (said.count("\n") == 1 and "cannot be used here" in said)
