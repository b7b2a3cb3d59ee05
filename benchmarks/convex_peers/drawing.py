"""The figure of the side-by-side: for each problem, seconds against excess over the best, a mark a method."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from benchmarks.convex_peers.methods import OURS
from benchmarks.convex_peers.tables import Line
from benchmarks.style import INK, figure

COLORS = ("#0072B2", "#009E73", "#D55E00", "#AA4499", "#56B4E9", "#E69F00", "#6b7078")  # Okabe and Ito (2008)
MARKERS = "osD^vPX<>"
ACROSS = 4


def draw(lines: Sequence[Line]) -> str:
    """SVG text: filled marks are ours, hollow ones the peers'."""
    problems = list(dict.fromkeys(line.problem for line in lines))
    methods = list(dict.fromkeys(line.method for line in sorted(lines, key=lambda line: line.method not in OURS)))
    looks = {name: (COLORS[i % len(COLORS)], MARKERS[i % len(MARKERS)]) for i, name in enumerate(methods)}
    across = min(ACROSS, len(problems))
    down = math.ceil(len(problems) / across)
    height = max(2.7 * down, 0.24 * len(methods) + 0.4)
    with figure(3.1 * across + 2.2, height, "side-by-side", nrows=down, ncols=across) as (made, grid, drawn):
        for axes, problem in zip(grid.flat, problems, strict=False):
            _panel(axes, [line for line in lines if line.problem == problem and not line.failure], looks)
            axes.set_title(problem)
        for axes in grid.flat[len(problems) :]:
            axes.set_visible(False)
        made.supxlabel("seconds, the best of several runs", fontsize=9.5)
        made.supylabel("% above the best objective found", fontsize=9.5)
        made.legend(handles=[_handle(name, *looks[name]) for name in methods], loc="outside right upper", frameon=False)
    return drawn[0]


def _panel(axes: Any, lines: Sequence[Line], looks: dict[str, tuple[str, str]]) -> None:
    if not lines:
        return
    axes.set_xscale("log")
    axes.set_yscale("symlog", linthresh=0.1)
    for line in lines:
        color, marker = looks[line.method]
        face = color if line.method in OURS else "white"
        axes.plot([line.seconds], [max(line.excess, 0.0)], marker, color=color, markerfacecolor=face, markersize=6)
    seconds = [line.seconds for line in lines]
    axes.set_xlim(min(seconds) / 2, max(2 * max(seconds), 10 * min(seconds)))
    axes.xaxis.set_minor_formatter("")
    axes.set_ylim(-0.05, max([1.0, *(2 * line.excess for line in lines)]))
    axes.axhline(0, color=INK, linewidth=0.8)


def _handle(name: str, color: str, marker: str) -> Any:
    from matplotlib.lines import Line2D

    face = color if name in OURS else "white"
    return Line2D([], [], color=color, marker=marker, linestyle="none", markerfacecolor=face, label=name)
