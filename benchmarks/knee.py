"""Essential sparsity: how much of a trained network magnitude can cut, in one shot and without retraining.

    python -m benchmarks knee                        5 trainings, then every sparsity; about seven minutes on one core
    python -m benchmarks knee --data mnist --model lenet-300-100 --seeds 3 --epochs 2

By default a small Transformer predicts the next character of real English: the help topics that ship with Python. What
accuracy against sparsity has to show is a knee (Jaiswal, Liu, Chen and Wang 2023): flat, then a sharp drop. There are
two readings of it, taken of each seed's own curve: the *essential* sparsity, where a cut first loses `tolerance`, and
the *corner*, where the curve is farthest above the line between its ends (Satopaa et al. 2011). Beside the global cut
stand one that takes the same share of every layer, N:M patterns, and a random cut. Bands and intervals are Student's t,
95 % over seeds. `results.json` keeps every number; the same command continues an interrupted run. Own modules:

    rows = [row for seed, model in enumerate(trained) for row in knee.cut_everywhere(model, data, 30, seed)]
    print("\n".join(knee.summary(rows, tolerance=0.01)))
"""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import nets
from benchmarks.statistics import interval
from benchmarks.style import SOFT, figure
from nets.data import DataSet, from_arrays
from nets.weights import Weights
from sparsopt import support as sp
from sparsopt.machine.files import write_atomically
from sparsopt.schedules import Uniform
from sparsopt.support import NM, Elements

SYMBOLS = "abcdefghijklmnopqrstuvwxyz0123456789 .,;:'\"()[]-_=*/"
TEXT = "help-topics"
CHUNK = 250  # samples at once: what fits into a core's cache
PATTERNS = ((6, 8), (4, 8), (2, 4), (2, 8), (1, 4))
LABELS = {"global": "largest of all weights", "layers": "largest of each layer", "random": "at random"}
COLOURS = {"global": "#AA4499", "layers": "#0072B2", "random": SOFT, "pattern": "#D55E00"}

Row = dict[str, Any]  # seed, how, sparsity, accuracy


@dataclass(frozen=True)
class Config:
    """The knee of one-shot pruning: how far magnitude can cut a trained network that is not trained again."""

    out: Path = Path("results/knee")
    """folder for knee.svg, knee.png, results.json and the trainings"""
    data: str = TEXT
    """help-topics (text that ships with Python), or a data set of `python -m nets methods`"""
    model: str = "transformer-small"
    """a model of `python -m nets methods`"""
    seeds: int = 5
    """trainings, each from other weights"""
    epochs: float = 4
    """length of a training"""
    samples: int = 40_000
    """of help-topics: characters that are predicted in an epoch"""
    tests: int = 4_000
    """of help-topics: characters of the last tenth of the text that are predicted to measure"""
    context: int = 24
    """of help-topics: characters seen before the one that is predicted"""
    points: int = 30
    """sparsities between 0 and 1, evenly"""
    tolerance: float = 0.01
    """accuracy that may be lost at the essential sparsity"""


def main(config: Config) -> int:
    """Train, cut, measure, draw; print both readings of the knee."""
    rows = [row for seed in range(config.seeds) for row in measured(config, seed)]
    config.out.mkdir(parents=True, exist_ok=True)
    settings = {key: str(value) for key, value in asdict(config).items() if key != "out"}
    (config.out / "results.json").write_text(json.dumps({"config": settings, "rows": rows}, indent=1))
    (config.out / "knee.svg").write_text(drawn(rows, config.tolerance, config.out / "knee.png"))
    print("\n".join(summary(rows, config.tolerance)))
    print(config.out / "knee.svg")
    return 0


# ---- the text --------------------------------------------------------------------------------------------------------


def characters() -> np.ndarray:
    """Python's help topics as numbers of `SYMBOLS`, in one case, white space as one space; the rest is one more."""
    from pydoc_data.topics import topics

    text = " ".join(" ".join(topics[name].split()) for name in sorted(topics)).lower()
    number = {symbol: place for place, symbol in enumerate(SYMBOLS)}
    return np.array([number.get(symbol, len(SYMBOLS)) for symbol in text])


def text(context: int, samples: int, tests: int) -> DataSet:
    """(1, context, symbols) one-hot rows and the character that follows: the last tenth of the text is the test."""
    ids = characters()
    parts = ids[: len(ids) * 9 // 10], ids[len(ids) * 9 // 10 :]
    made = [_windows(part, context, count) for part, count in zip(parts, (samples, tests), strict=True)]
    return from_arrays(*made[0], made[1], name="help-topics", classes=len(SYMBOLS) + 1)


def _windows(ids: np.ndarray, context: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    starts = np.linspace(0, len(ids) - context - 1, count).astype(int)
    seen = ids[starts[:, None] + np.arange(context)]
    return (255 * np.eye(len(SYMBOLS) + 1, dtype=np.uint8))[seen][:, None], ids[starts + context]


# ---- the cuts --------------------------------------------------------------------------------------------------------


def measured(config: Config, seed: int) -> list[Row]:
    """One training, and the accuracy after every cut of it; what the folder has of this configuration is not redone."""
    known = text(config.context, config.samples, config.tests) if config.data == TEXT else nets.data.load(config.data)
    out = config.out / f"training-{seed}"
    trained = nets.prune(config.model, known, "dense", 0.0, epochs=config.epochs, seed=seed, out=out)
    kept = out / f"cuts-{config.points}.json"
    if not kept.exists():
        rows = list(cut_everywhere(trained.model, known, config.points, seed))
        write_atomically(kept, lambda file: file.writelines([json.dumps(rows).encode()]))
    return json.loads(kept.read_text())


def cut_everywhere(model: nn.Module, data: DataSet, points: int, seed: int) -> Iterator[Row]:
    """The accuracy of a trained module, as it is and after every cut; of always saying the most frequent class."""
    row = lambda how, sparsity, accuracy: {"seed": seed, "how": how, "sparsity": sparsity, "accuracy": accuracy}  # noqa: E731
    most = int(data.labels.bincount().argmax())
    yield row("dense", 0.0, accuracy_of(model, data))
    yield row("most frequent", 1.0, (data.test_labels == most).double().mean().item())
    weights = Weights(model)
    x, _ = weights.flatten(model)
    for how, support in cuts(weights, x, points, seed):
        yield row(how, 1 - sp.count(support) / len(x), accuracy_of(cut(model, weights, support), data))


def cuts(weights: Weights, x: Tensor, points: int, seed: int) -> Iterator[tuple[str, Tensor]]:
    """(how, support) of everything that is measured."""
    layout, size = weights.layout, abs(x)
    for k in np.linspace(layout.n, 1, points + 1).astype(int)[1:]:
        yield "global", sp.top(size, int(k))
        yield "layers", Elements()(size, Uniform(int(k))(0, layout), layout)
        yield "random", sp.top(sp.uniform((seed,), x), int(k))
    for n, m in PATTERNS:
        yield f"{n}:{m}", NM(n, m)(size, 0, layout)


def cut(model: nn.Module, weights: Weights, support: Tensor) -> nn.Module:
    """A copy of the model with the other weights zero."""
    small = copy.deepcopy(model)
    x, rest = weights.flatten(small)
    weights.write(small, sp.restrict(x, support), rest, {})
    return small


@torch.no_grad()
def accuracy_of(model: nn.Module, data: DataSet) -> float:
    """Accuracy on the test split."""
    chunks = data.evaluation(data.test_images, data.test_labels, CHUNK)
    right = sum(int((model.eval()(inputs).argmax(1) == labels).sum()) for inputs, labels in chunks)
    return right / len(data.test_labels)


# ---- the knee --------------------------------------------------------------------------------------------------------

Curve = Sequence[tuple[float, float]]  # (sparsity, accuracy), by sparsity, the dense network first


def essential(curve: Curve, tolerance: float) -> float:
    """The sparsity at which a cut first loses `tolerance` of the dense network's accuracy; lines between points.

    >>> essential([(0, 0.5), (0.3, 0.5), (0.6, 0.4), (0.8, 0.5)], 0.01)
    0.33
    """
    least = curve[0][1] - tolerance
    for (s0, a0), (s1, a1) in itertools.pairwise(curve):
        if a1 < least:
            return s0 + (s1 - s0) * (a0 - least) / (a0 - a1)
    return curve[-1][0]


def corner(curve: Curve) -> float:
    """The sparsity at which the curve is farthest above the line from its first to its last point.

    >>> corner([(0, 1.0), (0.5, 0.9), (0.75, 0.3), (1, 0.0)])
    0.5
    """
    (s0, a0), (s1, a1) = curve[0], curve[-1]
    above = [a - (a0 + (a1 - a0) * (s - s0) / (s1 - s0)) for s, a in curve]
    return curve[int(np.argmax(above))][0]


def curves(rows: Sequence[Row], how: str) -> list[list[tuple[float, float]]]:
    """The curve of one way to cut, for each seed."""
    seeds = sorted({row["seed"] for row in rows})
    wanted = ("dense", how)
    return [
        sorted((r["sparsity"], r["accuracy"]) for r in rows if r["seed"] == s and r["how"] in wanted) for s in seeds
    ]


def readings(rows: Sequence[Row], how: str, tolerance: float) -> tuple[list[float], list[float]]:
    """(essential sparsity, corner) of every seed's curve."""
    found = curves(rows, how)
    return [essential(curve, tolerance) for curve in found], [corner(curve) for curve in found]


def summary(rows: Sequence[Row], tolerance: float) -> Iterator[str]:
    """Both readings for each way to cut, and the patterns: mean over seeds with its 95 % interval."""
    dense, most = (_values(rows, how, "accuracy") for how in ("dense", "most frequent"))
    yield f"dense accuracy {_spread(dense)}; always the most frequent class {_spread(most)}; {len(dense)} seeds"
    for how, label in LABELS.items():
        last, bend = (_spread(values) for values in readings(rows, how, tolerance))
        corner_too = "" if how == "random" else f"corner {bend}"  # a curve that falls from the start has none
        yield f"{label:<24} essential sparsity (-{100 * tolerance:g} points) {last:<16} {corner_too}".rstrip()
    for how in (f"{n}:{m}" for n, m in PATTERNS):
        sparsity, accuracy = (_spread(_values(rows, how, name)) for name in ("sparsity", "accuracy"))
        yield f"{how:<24} sparsity {sparsity:<16} accuracy {accuracy}"


def _values(rows: Sequence[Row], how: str, name: str) -> list[float]:
    return [row[name] for row in rows if row["how"] == how]


def _spread(values: Sequence[float]) -> str:
    found = interval([100 * value for value in values])
    return f"{found.mean:.1f} %" if len(values) < 2 or found.half < 0.05 else f"{found.mean:.1f} ± {found.half:.1f} %"


# ---- the picture -----------------------------------------------------------------------------------------------------


def drawn(rows: Sequence[Row], tolerance: float, png: Path | None = None) -> str:
    """Accuracy against sparsity with 95 % bands as SVG (and PNG): both readings of the knee, marked."""
    with figure(7.4, 4.4, "knee") as (made, grid, svg):
        axes = grid[0][0]
        for how in LABELS:
            _band(axes, rows, how)
        _patterns(axes, rows)
        chance = 100 * interval(_values(rows, "most frequent", "accuracy")).mean
        axes.axhline(chance, color=SOFT, linewidth=0.8, linestyle=(0, (1, 2)))
        axes.text(102, chance, "always the most\nfrequent class", color=SOFT, fontsize=8, va="center")
        axes.set_xlim(0, 100)
        axes.set_ylim(0, 108 * max(row["accuracy"] for row in rows))
        _knee(axes, rows, tolerance)
        _names(axes, rows)
        axes.set_xlabel("sparsity, % of the prunable weights")
        axes.set_ylabel("test accuracy, %")
        axes.set_title("One cut by magnitude, no retraining")
        if png is not None:
            made.savefig(png, dpi=200)
    return svg[0]


def _band(axes: Any, rows: Sequence[Row], how: str) -> None:
    """The mean over seeds, and its 95 % interval where there are several."""
    found = np.array(curves(rows, how))  # (seeds, points, 2)
    x, each = 100 * found[0, :, 0], [interval(100 * column) for column in found[:, :, 1].T]
    axes.plot(x, [e.mean for e in each], color=COLOURS[how])
    if len(found) > 1:
        axes.fill_between(x, [e.low for e in each], [e.high for e in each], color=COLOURS[how], alpha=0.18, linewidth=0)


def _patterns(axes: Any, rows: Sequence[Row]) -> None:
    """A mark and an interval each; the second of two patterns of one sparsity stands a little to the right."""
    seen: dict[float, int] = {}
    for how in (f"{n}:{m}" for n, m in PATTERNS):
        sparsity, accuracy = _values(rows, how, "sparsity")[0], _values(rows, how, "accuracy")
        place = seen[sparsity] = seen.get(sparsity, -1) + 1
        x, found = 100 * sparsity + 1.6 * place, interval([100 * value for value in accuracy])
        if found.count > 1:
            axes.plot([x, x], [found.low, found.high], color=COLOURS["pattern"], linewidth=1.3)
        axes.plot([x], [found.mean], "D", color=COLOURS["pattern"])
        side = {"ha": "left", "xytext": (6, -2)} if place else {"ha": "right", "xytext": (-6, -4)}
        axes.annotate(how, (x, found.mean), textcoords="offset points", color=COLOURS["pattern"], fontsize=8.5,
                      va="top", **side)  # fmt: skip


def _knee(axes: Any, rows: Sequence[Row], tolerance: float) -> None:
    """A line at the essential sparsity of the global cut, shaded by its interval; a ring at the corner."""
    last, bend = (interval([100 * value for value in values]) for values in readings(rows, "global", tolerance))
    color = COLOURS["global"]
    axes.axvline(last.mean, color=color, linewidth=0.9, linestyle=(0, (4, 2)))
    if last.count > 1:
        axes.axvspan(last.low, last.high, color=color, alpha=0.1, linewidth=0)
    text, early = f"essential sparsity {last.mean:.0f} %: minus {100 * tolerance:g} point", last.mean < 50
    place, side = (min(last.high, 60), "left") if early else (max(last.low, 40), "right")
    axes.annotate(text, (place if last.count > 1 else last.mean, 0.98), (5 if early else -5, 0), fontsize=8.5, ha=side,
                  xycoords=("data", "axes fraction"), textcoords="offset points", color=color, va="top")  # fmt: skip
    mean = np.array(curves(rows, "global")).mean(0)
    height = float(np.interp(bend.mean, 100 * mean[:, 0], 100 * mean[:, 1]))
    axes.plot([bend.mean], [height], "o", markersize=8, markerfacecolor="none", markeredgecolor=color)
    axes.annotate(f"corner {bend.mean:.0f} %", (bend.mean, height), (7, 5), textcoords="offset points", color=color,
                  fontsize=8.5)  # fmt: skip


def _names(axes: Any, rows: Sequence[Row]) -> None:
    """Names beside the axes: the curves in the order in which they fall to half of the dense accuracy."""
    half = 0.5 * float(np.mean(_values(rows, "dense", "accuracy")))
    falls = {how: float(np.mean(readings(rows, how, half)[0])) for how in LABELS}
    names = [("pattern", "N:M patterns"), *((how, LABELS[how]) for how in sorted(falls, key=lambda how: falls[how]))]
    for height, (how, name) in zip((0.45, 0.52, 0.59, 0.66), names, strict=True):
        axes.text(1.02, height, name, transform=axes.transAxes, color=COLOURS[how], va="center", fontsize=9)
