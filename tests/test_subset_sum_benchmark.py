"""The subset-sum benchmark: small runs of every figure, and what its pieces promise."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.subset_sum import Config, main, networks, throughput
from sparsopt.subset_sum import solve


def test_every_figure_is_made_from_its_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    config = Config(out=tmp_path, draws=16, seeds=1, seconds=0.001, weights=2000)
    assert main(config) == 0
    assert len(list(tmp_path.glob("*.svg"))) == 6
    data = json.loads((tmp_path / "results.json").read_text())
    for row in data["all targets"]:
        assert 0 <= row["low"] <= row["success"] <= row["high"] <= 1 and 0 <= row["predicted"] <= 1
    assert all(row["n"] >= row["counting"] for row in data["thresholds"])
    assert all(0.2 < row["rate"] < 1.2 for row in data["tails"])
    assert data["agreement"] == {"plain": 0}
    text = (tmp_path / "summary.md").read_text()
    assert "| best, arrays | 0.01 | 15 |" in text and "2,000 weights at n = 21" in text
    assert "A  all targets" in capsys.readouterr().out


def test_plain_search_is_the_smallest_subset() -> None:
    rng = np.random.default_rng(0)
    items, targets = rng.uniform(-1, 1, (60, 9)), rng.uniform(-1, 1, 60)
    ours = solve(items, targets, "smallest", 0.05)
    for a, z, fine, size in zip(items, targets, ours.success, ours.sizes, strict=True):
        total, chosen = throughput.exhaustive(float(z), a, 0.05, 9)
        assert (abs(total - z) <= 0.05) == fine
        assert abs(a[chosen].sum() - total) < 1e-12 and (not fine or len(chosen) == size)
    with pytest.raises(FileNotFoundError):
        throughput.public_search(Path("no such folder"))


@pytest.mark.parametrize("build", [networks.two_layers, networks.one_more_layer])
@pytest.mark.parametrize("mode", ["any", "smallest"])
def test_certificates_cover_what_was_sampled(build, mode: str) -> None:
    runs = [build(width, mode, seed) for width in (8, 24) for seed in range(3)]
    assert all(0 < run.sampled <= run.certified for run in runs)
    assert all(few.missed > many.missed for few, many in zip(runs[:3], runs[3:], strict=True))
    assert runs[0] == build(8, mode, 0)


def test_enough_width_leaves_no_miss_and_a_small_error() -> None:
    run = networks.two_layers(80, "any", 0)
    assert run.missed == 0 and run.sampled < 5 * networks.TOLERANCE
    assert networks.source_parameters(80) == run.parameters
