"""The figures of a report, as SVG text: accuracy against sparsity, differences to the reference, the convex panel."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from benchmarks.designs import PROBLEMS
from benchmarks.style import INK, figure, label_ends, list_ends, look
from benchmarks.summary import Line, Point

RULES = {"equal": "Equal cost", "own": "Own cost"}
ACCURACIES = (10, 50, 80, 90, 95, 97, 98, 99, 99.5, 99.9)


def accuracy(lines: Sequence[Line]) -> str:
    """Test accuracy against sparsity, one panel a rule of cost; both axes stretch towards 100 %."""
    costs = list(dict.fromkeys(line.cost for line in lines))
    with figure(10.4 if len(costs) > 1 else 6.4, 4.6, "accuracy", ncols=len(costs), sharey=True) as (_, grid, drawn):
        for axes, cost in zip(grid[0], costs, strict=True):
            _accuracy(axes, [line for line in lines if line.cost == cost], _limits(lines))
            axes.set_title(RULES[cost])
        grid[0][0].set_ylabel("test accuracy, %")
        for axes, cost in zip(grid[0], costs, strict=True):
            _label_methods(axes, [line for line in lines if line.cost == cost])
    return drawn[0]


def _limits(lines: Sequence[Line]) -> tuple[float, float]:
    """Errors at the bottom and the top of the panels."""
    errors = [_error(line.accuracy.mean) for line in lines if not line.missing]
    return min(100.0, 1.15 * max(errors)), 0.75 * min(errors)


def _accuracy(axes: Any, lines: Sequence[Line], limits: tuple[float, float]) -> None:
    asked = sorted({line.asked for line in lines if line.method != "dense"})
    axes.set_yscale("log")
    axes.set_xscale("log")
    axes.set_ylim(*limits)
    axes.set_xlim(1.12 * (1 - asked[0]), 0.93 * (1 - asked[-1]))
    axes.set_yticks([100 - a for a in ACCURACIES if axes.get_ylim()[1] < 100 - a < axes.get_ylim()[0]])
    axes.set_yticklabels([f"{100 - error:g}" for error in axes.get_yticks()])
    for method in dict.fromkeys(line.method for line in lines):
        _curve(axes, sorted((x for x in lines if x.method == method and not x.missing), key=lambda x: x.asked), asked)
    axes.set_xticks([1 - sparsity for sparsity in asked], [f"{100 * sparsity:g}" for sparsity in asked])
    axes.minorticks_off()
    axes.set_xlabel("sparsity, % of the prunable weights")


def _error(accuracy: float) -> float:
    return max(100 * (1 - accuracy), 0.05)


def _curve(axes: Any, lines: Sequence[Line], asked: Sequence[float]) -> None:
    if not lines:
        return
    style = look(lines[0].method)
    if lines[0].method == "dense":
        axes.axhline(_error(lines[0].accuracy.mean), color=style.color, linewidth=1.1)
        return
    density = [1 - line.asked for line in lines]
    axes.plot(density, [_error(line.accuracy.mean) for line in lines], **style.line)
    if lines[0].accuracy.count > 1:
        low, high = ([_error(getattr(line.accuracy, end)) for line in lines] for end in ("low", "high"))
        if len(density) == 1:  # a band of one point would be nothing
            axes.vlines(density, low, high, color=style.color, alpha=0.4, linewidth=2)
        else:
            axes.fill_between(density, low, high, color=style.color, alpha=0.1, linewidth=0)


def _label_methods(axes: Any, lines: Sequence[Line]) -> None:
    last = {line.method: line for line in lines if not line.missing}
    right = axes.get_xlim()[1]
    ends = [
        (name, right if name == "dense" else 1 - line.asked, _error(line.accuracy.mean)) for name, line in last.items()
    ]
    label_ends(axes, ends)


def differences(lines: Sequence[Line], reference: str) -> str:
    """Difference to the reference with its interval: filled where separable, hollow where not."""
    shown = [line for line in lines if line.difference.count]
    costs = list(dict.fromkeys(line.cost for line in shown))
    asked = sorted({line.asked for line in shown})
    methods = list(dict.fromkeys(line.method for line in shown))[::-1]
    height = 0.55 + len(costs) * (0.55 + 0.21 * len(methods))
    with figure(10.4, height, "differences", nrows=len(costs), ncols=len(asked), sharex=True, sharey=True) as (
        made, grid, drawn,
    ):  # fmt: skip
        for row, cost in zip(grid, costs, strict=True):
            for axes, sparsity in zip(row, asked, strict=True):
                here = [line for line in shown if line.cost == cost and line.asked == sparsity]
                _forest(axes, here, methods)
                axes.set_title(f"{RULES[cost]}, {100 * sparsity:g} %", fontsize=9.5)
        made.supxlabel(
            f"accuracy minus that of {reference}, points (the scale is linear to ±2, then logarithmic)", fontsize=9.5
        )
    return drawn[0]


def _forest(axes: Any, lines: Sequence[Line], methods: Sequence[str]) -> None:
    axes.axvline(0, color=INK, linewidth=0.9)
    axes.set_xscale("symlog", linthresh=2, linscale=1.4)
    for line in lines:
        height, color, d = methods.index(line.method), look(line.method).color, line.difference
        filled = color if line.verdict in ("better", "worse") else "white"
        if d.count > 1:
            axes.plot([100 * d.low, 100 * d.high], [height, height], color=color, linewidth=1.3, solid_capstyle="butt")
        axes.plot([100 * d.mean], [height], "o", color=color, markerfacecolor=filled, markersize=5)
    axes.set_yticks(range(len(methods)), methods)
    axes.set_ylim(-0.7, len(methods) - 0.3)
    axes.set_xlim(-100, 10 if all(line.difference.mean < 0.1 for line in lines) else 100)
    axes.set_xticks([-50, -10, -2, 0, 2, 10, 50], ["−50", "−10", "−2", "0", "2", "10", "50"])
    axes.minorticks_off()
    axes.grid(axis="y", visible=False)


# ---- the convex panel ----------------------------------------------------------------------------------------------


def convex(points: Sequence[Point], problem: str) -> str:
    """Excess over the best against k; the objective at one k against gradients, and against seconds."""
    design = PROBLEMS[problem]
    here = [point for point in points if point.problem == problem]
    close = [point for point in here if point.k == design.k]
    with figure(12.4, 4.6, f"convex-{problem}", ncols=3, width_ratios=[1, 0.9, 0.9]) as (_, grid, drawn):
        by_size, by_gradients, by_seconds = grid[0]
        _excess(by_size, here)
        _costs(by_gradients, close, 0, "gradients (products with all of X)")
        _costs(by_seconds, close, 1, "seconds, one thread")
        by_size.set_title("above the best found, %")
        by_gradients.set_title(f"best objective so far, k = {design.k}")
        last = max(point.k for point in here)
        label_ends(by_size, [(p.method, p.k, max(p.excess.mean, 0.0)) for p in here if p.k == last], 0.055)
        list_ends(by_seconds, [(p.method, *_end(p, 1)) for p in close], 0.055)
    return drawn[0]


def _excess(axes: Any, points: Sequence[Point]) -> None:
    axes.set_yscale("symlog", linthresh=1)
    for method in dict.fromkeys(point.method for point in points):
        own = sorted((point for point in points if point.method == method), key=lambda point: point.k)
        values = [max(point.excess.mean, 0.0) for point in own]
        axes.plot([point.k for point in own], values, **look(method).line)
    axes.set_ylim(-0.15, None)
    ticks = [0, 1, 3, 10, 30, 100, 300, 1000]
    axes.set_yticks([t for t in ticks if t <= axes.get_ylim()[1]], [str(t) for t in ticks if t <= axes.get_ylim()[1]])
    axes.set_xticks(sorted({point.k for point in points}))
    axes.minorticks_off()
    axes.set_xlabel("k, size of the support")


def _costs(axes: Any, points: Sequence[Point], column: int, name: str) -> None:
    """The best objective so far of the first seed, and where each method ends after the refit."""
    for point in points:
        style = look(point.method)
        cost = [max(step[column], 1 if column == 0 else 1e-5) for step in point.curve]
        best = list(accumulate((step[2] for step in point.curve), min))
        axes.plot(cost, best, color=style.color, linestyle=style.dash, linewidth=1.1, alpha=0.75)
        x, y = _end(point, column)
        axes.plot([x], [y], marker=style.marker, color=style.color, linestyle="none")
    axes.set_xscale("log")
    axes.set_yscale("log")
    values = [_end(point, column)[1] for point in points]
    axes.set_ylim(0.93 * min(values), 1.35 * max(values))
    _plain_ticks(axes, 0.93 * min(values), 1.35 * max(values))
    axes.set_xlabel(name)


def _plain_ticks(axes: Any, low: float, high: float) -> None:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (
        (1, 1.25, 1.5, 2, 2.5, 3, 4, 5, 6, 8) if high / low < 5 else (1, 1.5, 2, 3, 5, 7) if high / low < 20 else (1, 3)
    )
    ticks = [m * 10.0**d for d in decades for m in steps if low <= m * 10.0**d <= high]
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()


def _end(point: Point, column: int) -> tuple[float, float]:
    """(cost, objective) of the first seed."""
    return (max(point.first[0], 1.0), point.first[1])[column], point.first[2]
