"""`benchmarks speed`: all contestants do the same work; the tables say what was measured and what was inferred."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.speed import imp, peers, pipeline, report, steps
from nets.data import from_arrays


@pytest.fixture(autouse=True)
def no_real_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPARSOPT_DATA", raising=False)


def test_both_feeds_give_the_same_numbers() -> None:
    """By sample or resident: the same normalised images, each once an epoch."""
    data = imp.images(0.002)
    (one, test_one), (two, test_two) = peers.by_sample(data, 20), peers.resident(data, 20)
    sums = []
    for epoch in (one, two):
        x = torch.cat([x for x, _ in epoch(0)]).flatten(1)
        assert x.shape == (120, 784)
        sums.append(x.double().sum(1).sort().values)
    assert torch.allclose(*sums, atol=1e-3)
    (x1, y1), (x2, y2) = ([torch.cat(part) for part in zip(*test, strict=True)] for test in (test_one, test_two))
    assert torch.allclose(x1, x2, atol=1e-6) and torch.equal(y1, y2)


def test_a_sample_of_the_pipeline_is_ours() -> None:
    """Through arrays, images and small tensors comes what one operation on the whole set gives, with the same label."""
    data = imp.images(0.002)
    samples = pipeline.samples(data)
    ((x, y),) = data.evaluation(data.images, data.labels)
    assert len(samples) == len(y) == 120
    for i in range(0, 120, 7):
        tensor, label = samples[i]
        assert tensor.shape == (1, 28, 28) and tensor.dtype == torch.float32 and label == int(y[i])
        assert torch.allclose(tensor, x[i], atol=1e-6)
    assert pipeline.microseconds(samples, 20) > 1
    with pytest.raises(ValueError, match="deviation is zero"):
        pipeline.normal((0.1,), (0.0,))(Image.fromarray(data.images[0, 0].numpy()))


def test_the_plain_loop_prunes_a_fifth_and_rewinds(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(200, 12, generator=generator), torch.randint(0, 3, (200,), generator=generator)
    data = from_arrays(x, y, (x, y))
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 10), torch.nn.ReLU(), torch.nn.Linear(10, 3))
    before = {name: p.clone() for name, p in model.state_dict().items()}
    batches = [(data.images[i : i + 20], data.labels[i : i + 20]) for i in range(0, 200, 20)]
    seconds = peers.imp(model, lambda epoch: iter(batches), batches, 3, 1, 0.1, tmp_path)
    kept = []
    for level in range(3):
        with np.load(tmp_path / f"masks-{level}.npz") as file:
            kept.append(sum(int(np.unpackbits(file[name]).sum()) for name in file.files))
    assert kept == [150, 120, 96] and len(seconds) == 3
    assert all(torch.equal(before[name], p) for name, p in model.state_dict().items())


def test_ours_takes_all_levels_and_all_engines() -> None:
    data = imp.images(0.01)
    timings = [imp.ours(data, "dense", 3, 1), imp.plain(data, "resident", 3, 1, 3)]
    assert [len(t.levels) for t in timings] == [3, 3] and all(min(t.levels) > 0 for t in timings)
    assert 0 <= timings[0].accuracy <= 1
    inferred = imp.plain(data, "resident", 5, 1, 1)
    assert inferred.timed == 1 and len(set(inferred.levels)) == 1 and inferred.seconds > inferred.levels[0] * 4.9


def test_sparse_levels_are_those_at_a_tenth() -> None:
    timing = imp.Timing("x", tuple([1.0] * 16), 16)
    assert timing.sparse() == sum(0.8**level <= 0.1 for level in range(16)) == 5


def test_the_tables_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    rows = list(steps.table(imp.images(0.005), ("dense",), 1, 1))
    assert [density for density, _ in rows] == list(steps.DENSITIES)
    report.steps(rows)
    report.runs([imp.Timing("sparsopt, dense", (1.0, 1.0), 2), imp.Timing("plain loop, x", (2.0, 3.5), 1)], 33.3)
    report.replicas((2.0, 3.5), 8, 2)
    said = capsys.readouterr().out
    assert all(text in said for text in ("1 of 2", "2.8", "5.5", "x /", "33 us", "1.75"))
