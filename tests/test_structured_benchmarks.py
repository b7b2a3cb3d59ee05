"""Comparisons of methods that remove channels: their own unit, what is left of the network, and scratch training."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest

import nets
from benchmarks import networks, report, results, structured, summary, terminal
from benchmarks.__main__ import main
from benchmarks.cell import parse
from benchmarks.networks import NetworkCell
from nets.export import shrink
from nets.structured import Channels
from nets.weights import ConvolutionsAndLinear
from sparsopt.errors import InvalidInput

SETTING = ("digits", "lenet-5")
CHANNELS = 20 + 50 + 500


def cell(method: str, sparsity: float = 0.5, **changes: Any) -> NetworkCell:
    made, *_ = networks.cells(*SETTING, (method,), (sparsity,), (0,), 0.5, {"own": None})
    return dataclasses.replace(made, **changes)


def test_what_a_sparsity_counts() -> None:
    """Channels for methods about channels, also under a control and from scratch; single weights for the others."""
    for method in ("l1-filters", "thinet", "network-slimming+reinit", "scratch-B", "network-slimming+scratch-E"):
        rule = cell(method).prunable
        assert rule == Channels(scaled="slimming" in method), method
        assert parse(repr(cell(method))) == cell(method)
    assert cell("imp").prunable == cell("dense").prunable == ConvolutionsAndLinear()
    for wrong in ("scratch", "scratch-C", "l1-filter+scratch-B", "scratch-B+scratch-E+no"):
        with pytest.raises(InvalidInput, match="unknown"):
            cell(wrong)


def test_a_cell_says_what_is_left(tmp_path: Path) -> None:
    """Shares of weights and operations are the shrunk network's, not the sparsity; times are measured."""
    found = cell("l1-filters").compute(tmp_path / "a", 1)
    assert (found["unit"], found["prunable"], found["sparsity"]) == ("channels", CHANNELS, 0.5)
    data = nets.data.load("digits")
    how: dict[str, Any] = {"epochs": 0.5, "evaluate_every": networks.NEVER}
    model = nets.models.Named("lenet-5", data.inputs, data.classes)
    recipe = cell("l1-filters").recipe
    state = nets.prune(model, data, "l1-filters", 0.5, recipe, 0, tmp_path / "a", **how)
    (inputs, _), *_ = data.evaluation(data.test_images[:2], data.test_labels[:2])
    small = shrink(state.model, state.masks, inputs, repeats=0)
    assert found["flops_left"] == pytest.approx(small.flops[1] / small.flops[0]) and found["flops_left"] < 0.3
    weights = [sum(p.numel() for p in m.parameters() if p.dim() > 1) for m in (state.model, small.model)]
    assert found["weights_left"] == weights[1] / weights[0] and found["latency_left"] > 0
    single = cell("gmp").compute(tmp_path / "b", 1)
    assert single["unit"] == "weights" and single["weights_left"] == pytest.approx(0.5, abs=1e-4)
    assert 0 < single["flops_left"] < 1 and "latency" not in single


def test_scratch_training_of_the_same_shares_and_of_what_a_method_found(tmp_path: Path) -> None:
    """E: as many epochs; B: as many operations. After a method's name its cost is paid, too."""
    methods = ("dense", "l1-filters", "scratch-E", "scratch-B", "thinet+scratch-E")
    dense, pruned, E, B, after = (cell(method).compute(tmp_path / method, 1) for method in methods)
    assert E["steps"] == dense["steps"] and B["steps"] == round(0.5 / E["flops_left"] * 21)
    assert after["steps"] == dense["steps"] + int(1.25 * dense["steps"])
    for found in (E, B, after):
        for name in ("unit", "prunable", "sparsity", "weights_left", "flops_left"):
            assert found[name] == pruned[name], name
    assert E["accuracy"] == after["accuracy"], "the same network from the same fresh weights"


def test_a_comparison_says_what_its_sparsity_means(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = "--panel networks --costs own --data digits --model lenet-5 --epochs 0.1 --seeds 1 --jobs 1 --width 1"
    methods = ("dense", "soft-filter-pruning", "gmp", "scratch-E")
    arguments = ["compare", *options.split(), "--methods", *methods, "--sparsity", "0.4", "--out", str(tmp_path)]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert "soft-filter-pruning (of channels)" in said and "What is left, own cost" in said and "shrunk ms" in said
    assert "difference to soft-filter-pruning" in said
    folder = next(tmp_path.glob("digits-lenet-5-*"))
    page = (folder / "report.html").read_text()
    assert (
        f"for methods that remove whole channels of {CHANNELS} channels" in page and "minus soft-filter-pruning" in page
    )
    run, found = results.load(folder)
    lines = {line.method: line for line in summary.lines(found["networks"], run["seeds"], "soft-filter-pruning")}
    assert lines["scratch-E"].unit == "channels" and lines["scratch-E"].latency_left > 0
    assert math.isnan(lines["gmp"].latency) and lines["dense"].weights_left == 1.0
    assert report.write(folder).exists() and terminal.show(folder) is None


def test_the_reference() -> None:
    assert networks.reference(("dense", "rigl", "imp")) == "imp"
    assert networks.reference(("dense", "thinet", "l1-filters")) == "thinet" and networks.reference(("dense",)) == "imp"
    assert set(structured.SCRATCH) == {"scratch-E", "scratch-B"}
