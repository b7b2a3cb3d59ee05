"""The knee: readings of curves that are known, cuts that are those of the catalogue, and a small run to its end."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import nets
from benchmarks.knee import (
    PATTERNS,
    SYMBOLS,
    Config,
    accuracy_of,
    characters,
    corner,
    cut,
    cut_everywhere,
    cuts,
    drawn,
    essential,
    main,
    summary,
    text,
)
from nets.weights import Weights
from sparsopt import support as sp
from tests.networks import MOMENTUM, blobs, module


@given(st.integers(1, 18), st.floats(0.02, 0.5))
def test_a_knee_is_found_where_it_was_put(place: int, drop: float) -> None:
    """Flat, then straight down to chance: lost are 0.01 a small way down the first step."""
    s = np.linspace(0, 1, 20)
    a = np.where(s <= s[place], 0.9, 0.9 - drop - 0.3 * (s - s[place]))
    curve = list(zip(s.tolist(), a.tolist(), strict=True))
    found, step = essential(curve, 0.01), (s[1] - s[0]) * 0.01 / (drop + 0.3 * (s[1] - s[0]))
    assert found == pytest.approx(s[place] + step) and corner(curve) == s[place]
    assert essential(curve, 1.0) == 1 and essential([(0.0, 0.5), (1.0, 0.1)], 0.1) == pytest.approx(0.25)
    assert np.interp(found, s, a) == pytest.approx(0.89), "the curve has lost exactly the tolerance there"


def test_cuts_are_those_of_the_catalogue() -> None:
    data = blobs()
    dense = nets.prune(module("dropout"), data, "dense", 0.0, MOMENTUM, epochs=2)
    weights = Weights(dense.model)
    x, _ = weights.flatten(dense.model)
    for how, support in cuts(weights, x, 4, 0):
        settings = {"layers": {"scope": "uniform"}}.get(how, {"pattern": how} if ":" in how else {})
        sparsity = 1 - sp.count(support) / len(x)
        if how == "random" or (":" in how and how.endswith("8")):
            continue
        there = nets.prune(
            module("dropout"), data, "one-shot-magnitude", sparsity, MOMENTUM, epochs=2, settings=settings
        )
        assert all(torch.equal(there.masks[name], mask) for name, mask in weights.blocks(support)), how
        assert accuracy_of(cut(dense.model, weights, support), data) == pytest.approx(there.accuracy)


def test_the_text_is_what_follows_what_was_seen() -> None:
    ids = characters()
    letters = "".join([*SYMBOLS, "?"][i] for i in ids)
    assert len(ids) > 100_000 and '"assert" statement' in letters and (ids == len(SYMBOLS)).mean() < 0.05
    data = text(8, 50, 20)
    seen = data.images[:, 0].argmax(-1).numpy()
    for row, label in zip(seen, data.labels.tolist(), strict=True):
        shown = "".join([*SYMBOLS, "?"][i] for i in [*row, label])
        assert shown in letters[: len(ids) * 9 // 10]
    assert data.inputs == (1, 8, len(SYMBOLS) + 1) and (data.images.sum((1, 3)) == 255).all()


def test_a_small_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    config = Config(tmp_path, seeds=2, epochs=0.1, samples=1500, tests=100, context=6, points=3)
    assert main(config) == 0
    rows = json.loads((tmp_path / "results.json").read_text())["rows"]
    assert len(rows) == 2 * (2 + 3 * 3 + len(PATTERNS))
    assert all(0 <= row["sparsity"] <= 1 and 0 <= row["accuracy"] <= 1 for row in rows)
    half = [row["sparsity"] for row in rows if row["how"] == "2:4"]
    assert half[0] == half[1] and 0.4 < half[0] <= 0.5, "layers whose inputs 4 does not divide stay whole"
    printed = capsys.readouterr().out
    assert "largest of all weights" in printed and "corner" in printed and "2 seeds" in printed
    assert "<svg" in (tmp_path / "knee.svg").read_text() and (tmp_path / "knee.png").stat().st_size > 10_000
    assert main(config) == 0 and capsys.readouterr().out == printed, "the same command finds its trainings again"


def test_a_module_of_ones_own() -> None:
    """Any module and data: its rows are those of the cuts, and bands shrink to lines where all seeds agree."""
    data, model = blobs(), module("residual")
    rows = list(cut_everywhere(model, data, 4, 0))
    assert rows[0]["accuracy"] == accuracy_of(model, data) and len(rows) == 2 + 3 * 4 + len(PATTERNS)
    again = [{**row, "seed": 1} for row in rows]
    assert "±" not in "".join(summary([*rows, *again], 0.01)) and "2 seeds" in next(
        iter(summary([*rows, *again], 0.01))
    )
    pytest.importorskip("matplotlib")
    assert drawn(rows, 0.01).startswith("<svg") and drawn([*rows, *again], 0.01).startswith("<svg")
