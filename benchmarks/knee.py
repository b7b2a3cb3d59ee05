"""Essential sparsity: how much of a trained Transformer magnitude can cut, in one shot and without retraining.

    python -m benchmarks knee                        one training a seed, then every sparsity; minutes on one core
    python -m benchmarks knee --seeds 3 --epochs 6

The small Transformer predicts the next character of real English: the help topics that ship with Python. What the curve
of accuracy against sparsity has to show is a knee (Jaiswal, Liu, Chen and Wang 2023): flat, then a sharp drop. Two
readings of it are printed: the *essential* sparsity, the last one up to which no cut loses more than `tolerance`, and
the *corner*, where the curve is farthest above the line between its ends (Satopaa et al. 2011). Beside the global cut
stand one that takes the same share of every layer, N:M patterns, and a random cut. `results.json` keeps every number.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import nets
from benchmarks.style import figure
from nets.data import DataSet, from_arrays
from nets.weights import Weights
from sparsopt import support as sp
from sparsopt.schedules import Uniform
from sparsopt.support import NM, Elements

SYMBOLS = "abcdefghijklmnopqrstuvwxyz0123456789 .,;:'\"()[]-_=*/"
PATTERNS = ((6, 8), (4, 8), (2, 4), (2, 8), (1, 4))
LABELS = {"global": "largest weights", "layers": "largest of each layer", "random": "at random"}
COLOURS = {"global": "#AA4499", "layers": "#0072B2", "random": "#6b7078", "pattern": "#D55E00"}


@dataclass(frozen=True)
class Config:
    """The knee of one-shot pruning on a small Transformer trained on text."""

    out: Path = Path("results/knee")
    """folder for knee.svg and results.json"""
    seeds: int = 1
    """trainings, each from other weights"""
    epochs: float = 4
    """length of a training"""
    samples: int = 40_000
    """characters that are predicted in an epoch"""
    tests: int = 4_000
    """characters of the last tenth of the text that are predicted to measure"""
    context: int = 24
    """characters seen before the one that is predicted"""
    points: int = 20
    """sparsities between 0 and 1, evenly"""
    tolerance: float = 0.01
    """accuracy that may be lost at the essential sparsity"""


def main(config: Config) -> int:
    """Train, cut, measure, draw; print both readings of the knee."""
    rows = [row for seed in range(config.seeds) for row in measured(config, seed)]
    config.out.mkdir(parents=True, exist_ok=True)
    (config.out / "results.json").write_text(
        json.dumps({"config": {key: str(value) for key, value in asdict(config).items()}, "rows": rows}, indent=1)
    )
    (config.out / "knee.svg").write_text(drawn(rows, config.tolerance))
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


def measured(config: Config, seed: int) -> Iterator[dict[str, Any]]:
    """One training, and the accuracy after every cut of it."""
    data = text(config.context, config.samples, config.tests)
    trained = nets.prune("transformer-small", data, "dense", 0.0, epochs=config.epochs, seed=seed)
    yield {"seed": seed, "how": "dense", "sparsity": 0.0, "accuracy": trained.accuracy}
    most = int(data.labels.bincount().argmax())
    yield {
        "seed": seed,
        "how": "most frequent",
        "sparsity": 1.0,
        "accuracy": (data.test_labels == most).double().mean().item(),
    }
    weights = Weights(trained.model)
    x, _ = weights.flatten(trained.model)
    for how, support in cuts(weights, x, config.points, seed):
        accuracy = accuracy_of(cut(trained.model, weights, support), data)
        yield {"seed": seed, "how": how, "sparsity": 1 - sp.count(support) / len(x), "accuracy": accuracy}


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
    chunks = data.evaluation(data.test_images, data.test_labels)
    right = sum(int((model.eval()(inputs).argmax(1) == labels).sum()) for inputs, labels in chunks)
    return right / len(data.test_labels)


# ---- the knee --------------------------------------------------------------------------------------------------------

Curve = Sequence[tuple[float, float]]  # (sparsity, accuracy), by sparsity, the dense network first


def essential(curve: Curve, tolerance: float) -> float:
    """The largest sparsity up to which no cut loses more than `tolerance` of the dense network's accuracy.

    >>> essential([(0, 0.5), (0.3, 0.495), (0.6, 0.4), (0.8, 0.5)], 0.01)
    0.3
    """
    found = curve[0][0]
    for sparsity, accuracy in curve:
        if accuracy < curve[0][1] - tolerance:
            break
        found = sparsity
    return found


def corner(curve: Curve) -> float:
    """The sparsity at which the curve is farthest above the line from its first to its last point.

    >>> corner([(0, 1.0), (0.5, 0.9), (0.75, 0.3), (1, 0.0)])
    0.5
    """
    (s0, a0), (s1, a1) = curve[0], curve[-1]
    above = [a - (a0 + (a1 - a0) * (s - s0) / (s1 - s0)) for s, a in curve]
    return curve[int(np.argmax(above))][0]


def curves(rows: Sequence[dict[str, Any]], how: str) -> list[list[tuple[float, float]]]:
    """The curve of one way to cut, for each seed."""
    seeds = sorted({row["seed"] for row in rows})
    wanted = ("dense", how)
    return [
        sorted((r["sparsity"], r["accuracy"]) for r in rows if r["seed"] == s and r["how"] in wanted) for s in seeds
    ]


def summary(rows: Sequence[dict[str, Any]], tolerance: float) -> Iterator[str]:
    """Both readings for each way to cut, and the patterns: mean over seeds, and range."""
    dense, most = ([r["accuracy"] for r in rows if r["how"] == how] for how in ("dense", "most frequent"))
    yield f"dense accuracy {_spread(dense)}; always the most frequent character {_spread(most)}"
    for how, label in LABELS.items():
        found = curves(rows, how)
        readings: tuple[Callable[[Curve], float], ...] = (lambda c: essential(c, tolerance), corner)
        last, bend = (_spread([reading(curve) for curve in found]) for reading in readings)
        yield f"{label:<22} essential sparsity (-{100 * tolerance:g} points) {last}   corner {bend}"
    for n, m in PATTERNS:
        mine = [row for row in rows if row["how"] == f"{n}:{m}"]
        sparsity, accuracy = ([row[name] for row in mine] for name in ("sparsity", "accuracy"))
        yield f"{f'{n}:{m}':<22} sparsity {_spread(sparsity)}   accuracy {_spread(accuracy)}"


def _spread(values: Sequence[float]) -> str:
    ends = f" ({100 * min(values):.1f} to {100 * max(values):.1f})" if len(values) > 1 else ""
    return f"{100 * sum(values) / len(values):.1f} %{ends}"


def drawn(rows: Sequence[dict[str, Any]], tolerance: float) -> str:
    """Accuracy against sparsity as SVG: the knee, marked."""
    with figure(6.8, 4.4, "knee") as (_, grid, made):
        axes = grid[0][0]
        for how, label in LABELS.items():
            for place, curve in enumerate(curves(rows, how)):
                points = np.array(curve)
                axes.plot(100 * points[:, 0], 100 * points[:, 1], color=COLOURS[how], label="" if place else label)
        for n, m in PATTERNS:
            mine = [row for row in rows if row["how"] == f"{n}:{m}"]
            axes.plot(
                [100 * r["sparsity"] for r in mine], [100 * r["accuracy"] for r in mine], "D", color=COLOURS["pattern"]
            )
            axes.annotate(f" {n}:{m}", (100 * mine[0]["sparsity"], 100 * mine[0]["accuracy"]), va="bottom")
        for curve in curves(rows, "global"):
            axes.axvline(100 * essential(curve, tolerance), color=COLOURS["global"], linewidth=0.8, linestyle=":")
        axes.set_xlabel("sparsity, % of the prunable weights")
        axes.set_ylabel("next character right, %")
        axes.set_title("One cut, no retraining")
        axes.legend(frameon=False)
    return made[0]
