"""The figure of the side-by-side: a panel a problem, a row a method, seconds to the right.

A full mark stands for the best objective found, on every draw; an open one says how far above it is. A bar spans the
draws. The dotted line is the floor, k products with all of X'; the band goes from the time of `auto` to three times
that, so what is as good should stand to the right of it. Growing problems are curves, in panels of their own.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from typing import Any

from benchmarks.convex_peers.growth import GROWING, curves
from benchmarks.convex_peers.looks import BAD, BAND, SIZE, STRIPE, color, ordered
from benchmarks.convex_peers.tables import EQUAL, REFERENCE, Line
from benchmarks.style import INK, SOFT, figure

ACROSS, ROW, WIDTH = 4, 0.165, 2.75  # panels; inches
LEAST = 1.5  # the axis spans this many decades at least


def draw(lines: Sequence[Line]) -> str:
    """SVG text."""
    growing = [line for line in lines if line.problem.startswith(GROWING)]
    rest = [line for line in lines if not line.problem.startswith(GROWING)]
    problems = list(dict.fromkeys(line.problem for line in rest))
    methods = ordered({line.method for line in rest})
    down = math.ceil(len(problems) / ACROSS) + (1 if growing else 0)
    across = ACROSS if growing else min(ACROSS, len(problems))
    height = 0.9 + down * max(ROW * len(methods or ordered({line.method for line in growing})) + 0.75, 2.2)
    with figure(WIDTH * across + 1.6, height, "side-by-side", nrows=down, ncols=across) as (made, grid, drawn):
        for place, axes in enumerate(grid.flat):
            if place < len(problems):
                _panel(axes, [line for line in rest if line.problem == problems[place]], methods, place % across == 0)
            else:
                axes.set_visible(False)
        if growing:
            curves(made, grid, growing)
        if problems:
            made.supxlabel("seconds, the best of several runs; bars span the draws", fontsize=9.5)
        made.legend(handles=_legend(), loc="outside upper left", ncols=5, frameon=False, fontsize=8.5)
    return drawn[0]


def _panel(axes: Any, lines: Sequence[Line], methods: Sequence[str], named: bool) -> None:
    axes.set_title(lines[0].problem)
    axes.set_xscale("log")
    axes.grid(axis="y", visible=False)
    axes.set_ylim(len(methods) - 0.4, -0.6)
    axes.set_yticks(range(len(methods)), methods if named else [""] * len(methods), fontsize=SIZE + 1)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=SIZE + 1)
    if named:
        for label, name in zip(axes.get_yticklabels(), methods, strict=True):
            label.set(color=color(name), fontweight="bold" if name == REFERENCE else "normal")
    done = [line for line in lines if not math.isnan(line.seconds)]
    _limits(axes, done)
    _stripes(axes, methods)
    _landmarks(axes, done)
    for line in lines:
        _mark(axes, line, methods.index(line.method))


def _stripes(axes: Any, methods: Sequence[str]) -> None:
    """Every other package on grey."""
    groups = [list(group) for _, group in itertools.groupby(range(len(methods)), lambda row: color(methods[row]))]
    for group in groups[1::2]:
        axes.axhspan(group[0] - 0.5, group[-1] + 0.5, color=STRIPE, linewidth=0, zorder=-1)


def _limits(axes: Any, done: Sequence[Line]) -> None:
    """Decades around everything that is drawn, with room for words at the right."""
    times = [time for line in done for time in (line.fastest, line.slowest, line.seconds / line.floors)] or [1e-3, 1.0]
    low, high = math.log10(min(times)) - 0.25, math.log10(max(times))
    axes.set_xlim(10**low, 10 ** (max(high, low + LEAST) + 0.32 * max(high - low, LEAST)))
    axes.xaxis.set_minor_formatter("")


def _landmarks(axes: Any, done: Sequence[Line]) -> None:
    for line in done:
        if line.method == REFERENCE:
            axes.axvspan(line.seconds, 3 * line.seconds, color=BAND, linewidth=0, zorder=0)
    if done:
        floor = statistics.median(line.seconds / line.floors for line in done)
        axes.axvline(floor, color=SOFT, linewidth=0.9, linestyle=(0, (1.2, 1.4)), zorder=1)


def _mark(axes: Any, line: Line, row: int) -> None:
    if math.isnan(line.seconds):
        axes.text(0.98, row, _brief(line.failure), transform=axes.get_yaxis_transform(), **_words(BAD, "right"))
        return
    ink = color(line.method)
    best = line.best == line.seeds
    axes.plot([line.fastest, line.slowest], [row, row], "-", color=ink, linewidth=1.0, zorder=2)
    axes.plot([line.seconds], [row], "o", color=ink, markerfacecolor=ink if best else "white", markersize=4.6, zorder=3)
    said = "" if best else _above(line)
    if line.failure:
        said = f"{said}  {_brief(line.failure)}".strip()
    axes.annotate(said, (line.slowest, row), xytext=(5, -0.3), textcoords="offset points", **_words(SOFT, "left"))


def _words(ink: str, side: str) -> dict[str, Any]:
    return {"color": ink, "ha": side, "va": "center", "fontsize": SIZE}


def _above(line: Line) -> str:
    """How far above the best, or on how many draws it is there if it is on most."""
    if line.excess <= 100 * EQUAL:
        return f"{line.best} of {line.seeds}"
    return f"+{line.excess:.2g} %" if line.excess < 99.5 else f"x {1 + line.excess / 100:.3g}"


def _brief(failure: str) -> str:
    """A few words for the figure; the table has all of them."""
    known = {"not finished after": "> " + failure.removeprefix("not finished after "), "died of": "crashed"}
    known |= {"cannot be imported": "missing", "not asked": "too large"}
    return next((word for start, word in known.items() if failure.startswith(start)), "failed")


def _legend() -> list[Any]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    dot = {"marker": "o", "linestyle": "none", "color": INK, "markersize": 4.6}
    return [
        Line2D([], [], label="best objective on every draw", **dot),
        Line2D([], [], label="above it: median", markerfacecolor="white", **dot),
        Patch(color=BAND, label="up to 3 times the time of auto"),
        Line2D([], [], color=SOFT, linewidth=0.9, linestyle=(0, (1.2, 1.4)), label="floor: k products with X'"),
    ]
