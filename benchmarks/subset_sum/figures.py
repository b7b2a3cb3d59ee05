"""Figures A to F from their data, as SVG files that open offline."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

Rows = list[dict[str, Any]]


def draw(data: dict[str, Any], folder: Path) -> list[Path]:
    """Write every figure whose data are there; the paths."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    made = []
    for key, (name, title, plot) in FIGURES.items():
        if not data.get(key):
            continue
        figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
        plot(axes, data[key])
        axes.set_title(title, fontsize=11)
        axes.legend(fontsize=8)
        axes.grid(alpha=0.25)
        made.append(folder / f"{name}.svg")
        figure.savefig(made[-1])
        plt.close(figure)
    return made


def success(axes: Any, rows: Rows) -> None:
    for epsilon, group in _groups(rows, "epsilon"):
        n = [r["n"] for r in group]
        (line,) = axes.plot(n, [r["success"] for r in group], "o", ms=4, label=f"error {epsilon:g}")
        axes.fill_between(n, [r["low"] for r in group], [r["high"] for r in group], alpha=0.2, color=line.get_color())
        axes.plot(n, [r["predicted"] for r in group], "-", lw=1, color=line.get_color())
    axes.set(xlabel="items n", ylabel="P[every z in [-1/2, 1/2] is reached]")


def thresholds(axes: Any, rows: Rows) -> None:
    for (law, level), group in _groups(rows, "law", "level"):
        group = [r for r in group if math.isfinite(r["n"])]
        axes.plot([r["bits"] for r in group], [r["n"] for r in group], "o-" if level == 0.5 else "s--", ms=3, lw=1,
                  label=f"{law}, {level:.0%}")  # fmt: skip
    bits = sorted({r["bits"] for r in rows})
    axes.plot(bits, [b - 1 for b in bits], "k:", label="counting bound log2(1 / 2 error)")
    axes.set(xlabel="log2(1 / error)", ylabel="items n that suffice for this share of draws")


def tails(axes: Any, rows: Rows) -> None:
    for law, group in _groups(rows, "law"):
        group = [r for r in group if r["failures"]]
        share = np.array([r["failures"] / r["draws"] for r in group])
        bars = [share - [r["low"] for r in group], [r["high"] for r in group] - share]
        axes.errorbar([r["n"] for r in group], share, yerr=bars, fmt="o-", ms=3, lw=1, capsize=2,
                      label=f"{law}: e^(-{group[0]['rate']:.2f} n)")  # fmt: skip
    axes.set(xlabel="items n", ylabel="P[z = 1/2 missed by more than .01]", yscale="log")


def dimensions(axes: Any, rows: Rows) -> None:
    d = np.array([r["d"] for r in rows])
    n = np.array([r["n"] for r in rows])
    axes.errorbar(d, n, yerr=[n - [r["low"] for r in rows], [r["high"] for r in rows] - n], fmt="o", capsize=3,
                  label="measured n50")  # fmt: skip
    axes.plot(d, [r["predicted"] for r in rows], "-", label="predicted without solving")
    axes.plot(d, n[0] * d**2, "--", lw=1, label="d^2 from d = 1")
    axes.plot(d, n[0] * d**3, ":", lw=1, label="d^3 from d = 1")
    axes.set(xlabel="dimension d", ylabel="items n", yscale="log", xticks=d)


def networks(axes: Any, rows: Rows) -> None:
    for (name, mode), group in _groups(rows, "construction", "mode"):
        x = [r["parameters"] for r in group]
        (line,) = axes.plot(x, [r["sampled"] for r in group], "o-", ms=4, lw=1, label=f"{name}, {mode}: sampled")
        axes.plot(x, [r["certified"] for r in group], "^:", ms=4, lw=1, color=line.get_color(), label="certified")
        for r in group:
            axes.annotate(f"{r['success']:.0%}", (r["parameters"], r["sampled"]), fontsize=6, color=line.get_color())
    axes.set(xlabel="parameters of the source", ylabel="sup error on the box (labels: networks without a miss)")
    axes.set(xscale="log", yscale="log")


def speed(axes: Any, rows: Rows) -> None:
    for (method, tolerance), group in _groups(rows, "method", "tolerance"):
        style = "o-" if "," in method else "*"
        axes.plot([r["n"] for r in group], [r["rate"] for r in group], style, ms=5, lw=1,
                  label=f"{method} ({tolerance:g})")  # fmt: skip
    axes.set(xlabel="items n", ylabel="instances a second, one core", yscale="log")


def _groups(rows: Rows, *keys: str) -> list[tuple[Any, Rows]]:
    """Rows by the value of a key (or of several), in order of appearance."""
    found: dict[Any, Rows] = {}
    for row in rows:
        found.setdefault(row[keys[0]] if len(keys) == 1 else tuple(row[key] for key in keys), []).append(row)
    return list(found.items())


FIGURES = {
    "all targets": ("A-success", "A. All targets at once: measured (95 % bands) and predicted (lines)", success),
    "thresholds": ("B-thresholds", "B. Items needed per bit of precision", thresholds),
    "tails": ("C-tails", "C. Rare failures: items needed per factor of safety", tails),
    "dimensions": ("D-dimensions", "D. Vectors: the threshold grows about linearly in d", dimensions),
    "networks": ("E-networks", "E. Whole networks at equal parameter count (median over seeds)", networks),
    "throughput": ("F-throughput", "F. Throughput", speed),
}
