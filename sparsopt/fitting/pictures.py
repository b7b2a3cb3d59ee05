"""The picture of a path over k: the loss on all rows and held out, and what each selected column contributes.

>>> rows = [{"k": 0, "value": 2.0, "held_out": None, "standard_error": None, "coefficients": {}},
...         {"k": 1, "value": 0.5, "held_out": None, "standard_error": None, "coefficients": {"dose": 3.0}}]
>>> import pathlib, tempfile
>>> file = pathlib.Path(tempfile.mkdtemp()) / "path.svg"
>>> draw({"k": 1, "path": rows, "deviations": {"dose": 0.5}}, file)
>>> "dose" in file.read_text()
True
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sparsopt.errors import MissingCapability

__all__ = ["draw"]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D31")
QUIET = "#9aa0a6"
LEGIBLE = 0.055  # of the height of the axes: the least distance of two labels


def draw(summary: Mapping[str, Any], file: Path) -> None:
    """Left the loss against k, right the coefficients times their columns' standard deviations, the largest by name.

    summary: what `Fitted.summary` returns. The format follows from the name of the file: .svg, .pdf, .png.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError:
        hint = "pip install matplotlib; the JSON file has the same numbers"
        raise MissingCapability(f"{file.name}: pictures need matplotlib, which is not installed; {hint}") from None
    with rc_context({"svg.fonttype": "none", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        made = Figure(figsize=(7.6, 3.1), layout="constrained")
        losses, weights = made.subplots(ncols=2, width_ratios=(1, 1.25))
        _losses(losses, summary["path"])
        _weights(weights, summary)
        for axes in (losses, weights):
            axes.axvline(summary["k"], color=QUIET, linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
            axes.locator_params(axis="x", integer=True)
            axes.set_xlabel("k, coefficients that may be non-zero")
        made.savefig(file, dpi=200)


def _losses(axes: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    axes.plot([row["k"] for row in rows], [row["value"] for row in rows], "o-", ms=3, lw=1.2, c=COLOURS[0])
    held = [(row["k"], row["held_out"], row["standard_error"]) for row in rows if row["held_out"] is not None]
    if held:
        ks, means, errors = zip(*held, strict=True)
        axes.errorbar(ks, means, errors, fmt="s-", ms=3, lw=1.2, capsize=2, elinewidth=0.9, c=COLOURS[1])
        axes.legend(["on all rows", "held out, with standard error"], framealpha=1, edgecolor="none", borderpad=0.2)
    axes.set_ylabel("mean loss")
    values = [row["value"] for row in rows]
    if min(values) > 0 and max(values) > 10 * min(values):
        axes.set_yscale("log")


def _weights(axes: Any, summary: Mapping[str, Any]) -> None:
    rows, deviations = summary["path"], summary["deviations"]
    ks = [row["k"] for row in rows]
    names = dict.fromkeys(name for row in rows for name in row["coefficients"])
    lines = {name: [row["coefficients"].get(name, 0.0) * deviations[name] for row in rows] for name in names}
    chosen = next((row for row in rows if row["k"] == summary["k"]), rows[-1])["coefficients"]
    shown = sorted(chosen, key=lambda name: -abs(chosen[name] * deviations[name]))[: len(COLOURS)]
    for name, line in lines.items():
        if name not in shown:
            axes.plot(ks, line, color=QUIET, linewidth=0.6, alpha=0.7)
    for name, colour in zip(shown, COLOURS, strict=False):
        axes.plot(ks, lines[name], color=colour, linewidth=1.4)
    axes.axhline(0.0, color="black", linewidth=0.6)
    axes.set_ylabel("coefficient x standard deviation")
    axes.margins(x=0.02)
    low, high = axes.get_ylim()
    places = _apart([lines[name][-1] for name in shown], LEGIBLE * (high - low))
    axes.set_ylim(min([low, *places]), max([high, *places]))
    for name, colour, place in zip(shown, COLOURS, places, strict=False):
        axes.annotate(
            name, (ks[-1], place), (6, 0), textcoords="offset points", color=colour, va="center", annotation_clip=False
        )


def _apart(values: Sequence[float], least: float) -> list[float]:
    """The nearest places (in squares) in the same order that are at least so far apart: isotonic regression."""
    order = sorted(range(len(values)), key=lambda i: values[i])
    pools: list[list[float]] = []
    for rank, i in enumerate(order):
        pools.append([values[i] - rank * least])
        while len(pools) > 1 and _mean(pools[-2]) >= _mean(pools[-1]):
            pools[-2:] = [pools[-2] + pools[-1]]
    level = [_mean(pool) for pool in pools for _ in pool]
    places = dict(zip(order, level, strict=True))
    return [places[i] + order.index(i) * least for i in range(len(values))]


def _mean(pool: Sequence[float]) -> float:
    return sum(pool) / len(pool)
