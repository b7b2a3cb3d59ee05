"""How time grows with n and with p: a curve a method, named where it ends; open marks are above the best objective."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from benchmarks.convex_peers.looks import SIZE, color, ordered
from benchmarks.convex_peers.problems import GROWTH
from benchmarks.convex_peers.tables import EQUAL, REFERENCE, Line
from benchmarks.style import SOFT, spread

GROWING = ("n=", "p=")


def curves(made: Any, grid: Any, lines: Sequence[Line]) -> None:
    """Two panels in the last row of the grid."""
    across = grid.shape[1]
    places = grid[-1, 0].get_gridspec()
    for axes in grid[-1]:
        axes.remove()
    for half, start in enumerate(GROWING):
        here = [line for line in lines if line.problem.startswith(start)]
        if here:
            axes = made.add_subplot(places[-1, half * across // 2 : (half + 1) * across // 2])
            _panel(axes, here, start.rstrip("="))


def _panel(axes: Any, lines: Sequence[Line], what: str) -> None:
    axes.set(xscale="log", yscale="log", ylabel="seconds")
    axes.set_title(f"growing {what}")
    ends = []
    for method in ordered({line.method for line in lines}):
        points = sorted((_size(line), line) for line in lines if line.method == method and not math.isnan(line.seconds))
        if points:
            _curve(axes, method, points)
            ends.append((method, points[-1][0], points[-1][1].seconds))
    sizes = sorted({_size(line) for line in lines})
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.minorticks_off()
    axes.set_xlabel(_fixed(lines[0].problem), fontsize=SIZE + 1.5)
    _floor(axes, lines)
    _names(axes, ends)


def _fixed(problem: str) -> str:
    """What grows, and what does not."""
    design: Any = GROWTH[problem].design
    return f"n, with p = {design.p:,}" if problem.startswith("n") else f"p, with n = {design.n:,}"


def _size(line: Line) -> int:
    return int(line.problem[2:])


def _curve(axes: Any, method: str, points: Sequence[tuple[int, Line]]) -> None:
    ink, width = color(method), 2.4 if method == REFERENCE else 1.0
    axes.plot([x for x, _ in points], [line.seconds for _, line in points], "-", color=ink, linewidth=width)
    for x, line in points:
        face = ink if line.excess <= 100 * EQUAL else "white"
        axes.plot([x], [line.seconds], "o", color=ink, markerfacecolor=face, markersize=3.8)


def _floor(axes: Any, lines: Sequence[Line]) -> None:
    floors = {_size(line): line.seconds / line.floors for line in lines if line.method == REFERENCE}
    axes.plot(sorted(floors), [floors[x] for x in sorted(floors)], color=SOFT, linestyle=(0, (1.2, 1.4)), linewidth=1.2)


def _names(axes: Any, ends: Sequence[tuple[str, int, float]]) -> None:
    """To the right of the axes, a thin line from each curve's end; no two overlap."""
    _ = axes.get_xlim(), axes.get_ylim()  # settles the limits, which the transform needs
    transform = axes.transData + axes.transAxes.inverted()
    placed = sorted(((*transform.transform((x, y)), name) for name, x, y in ends), key=lambda end: end[1])
    heights = spread([min(max(y, 0.0), 1.0) for _, y, _ in placed], 1.0 / max(len(placed), 20))
    for (x, y, name), height in zip(placed, heights, strict=True):
        way = ([x + 0.012, 1.02, 1.04], [y, height, height])
        axes.plot(*way, transform=axes.transAxes, color=color(name), linewidth=0.5, alpha=0.5, clip_on=False)
        weight = "bold" if name == REFERENCE else "normal"
        axes.text(
            *(1.045, height, name), transform=axes.transAxes, color=color(name), va="center", fontsize=SIZE + 0.6,
            fontweight=weight,
        )  # fmt: skip
