"""What the figures share: one colour a family of algorithms, the same in both worlds, and labels beside the curves.

The colours are Okabe and Ito's (2008), which remain distinct for colour-blind readers; within a family, methods differ
by marker and dash.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

INK, SOFT, FAINT = "#1d1f24", "#6b7078", "#e4e6ea"
FAMILIES = {
    "backward": ("#D55E00", "backward: prune and refit"),
    "forward": ("#009E73", "forward: grow"),
    "replacement": ("#0072B2", "replacement: swap"),
    "thresholding": ("#AA4499", "hard thresholding"),
    "control": ("#6b7078", "controls"),
    "peer": ("#1d1f24", "scikit-learn"),
}
MEMBERS = {
    "backward": (
        *("imp", "imp-reinit", "one-shot", "imp-rewind", "lr-rewinding", "fine-tuning", "gmp", "backward-elimination"),
        *("l1-filters", "network-slimming", "thinet"),
    ),
    "forward": ("growth", "omp", "fully-corrective", "forward-greedy", "frank-wolfe"),
    "replacement": ("rigl", "rigl-accept", "set", "replacement", "foba", "auto"),
    "thresholding": ("acdc", "dpf", "htp", "iht", "niht", "cosamp", "iht-with-feedback", "soft-filter-pruning"),
    "control": ("dense", "random", "randomised", "scratch-E", "scratch-B"),
    "peer": ("sklearn-omp", "sklearn-lasso"),
}
MARKERS = "osD^vPX<>ph"
DASHES = ("-", (0, (4, 1.6)), (0, (1.2, 1.4)), (0, (5, 1.5, 1.2, 1.5)), *("-",) * 7)
SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9.5,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.grid": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "text.color": INK,
    "lines.linewidth": 1.7,
    "lines.markersize": 4.5,
}


@dataclass(frozen=True)
class Look:
    """How a method is drawn."""

    color: str
    marker: str
    dash: Any

    @property
    def line(self) -> dict[str, Any]:
        return {"color": self.color, "marker": self.marker, "linestyle": self.dash}


def look(method: str) -> Look:
    """Colour of the method's family, marker and dash of its place there; grey for a stranger, or under a control."""
    for family, members in MEMBERS.items():
        if method in members:
            place = members.index(method)
            return Look(FAMILIES[family][0], MARKERS[place], DASHES[place])
    return Look(SOFT, "o", "-")


@contextmanager
def figure(width: float, height: float, salt: str, **grid: Any) -> Iterator[tuple[Any, Any, list[str]]]:
    """(figure, axes, drawn): when the block ends, `drawn` holds the figure as SVG that goes into a page as it is."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    drawn: list[str] = []
    with rc_context({**SETTINGS, "svg.hashsalt": salt}):
        made = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(made)
        yield made, made.subplots(squeeze=False, **grid), drawn
        drawn.append(_svg(made))


def _svg(made: Any) -> str:
    text = io.StringIO()
    made.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    return re.sub(
        r'(<svg[^>]*?) width="[^"]*"', r"\1", re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1), count=1
    )


def label_ends(axes: Any, ends: Sequence[tuple[str, float, float]], gap: float = 0.052) -> None:
    """Names to the right of the axes, a thin line to each curve's last point (name, x, y); no two overlap."""
    for x, y, height, name in _placed(axes, ends, gap):
        color = look(name).color
        way = ([x + 0.012, 1.03, 1.055], [y, height, height])
        axes.plot(*way, transform=axes.transAxes, color=color, linewidth=0.6, alpha=0.6, clip_on=False)
        axes.text(1.07, height, name, transform=axes.transAxes, color=color, va="center", fontsize=8.5)


def list_ends(axes: Any, ends: Sequence[tuple[str, float, float]], gap: float = 0.052) -> None:
    """Names and markers to the right of scattered points (name, x, y), in the order of their heights."""
    for _, _, height, name in _placed(axes, ends, gap):
        style = look(name)
        axes.plot([1.05], [height], style.marker, color=style.color, transform=axes.transAxes, clip_on=False)
        axes.text(1.08, height, name, transform=axes.transAxes, color=style.color, va="center", fontsize=8.5)


def _placed(axes: Any, ends: Sequence[tuple[str, float, float]], gap: float) -> list[tuple[float, float, float, str]]:
    """(x, y, height of the label, name) in the axes' own coordinates, ascending."""
    _ = axes.get_xlim(), axes.get_ylim()  # settles the limits, which the transform needs
    transform = axes.transData + axes.transAxes.inverted()
    points = [(*(float(v) for v in transform.transform((x, y))), name) for name, x, y in ends]
    points = sorted(((x, min(max(y, 0.0), 1.0), name) for x, y, name in points), key=lambda point: point[1])
    heights = spread([y for _, y, _ in points], gap)
    return [(x, y, height, name) for (x, y, name), height in zip(points, heights, strict=True)]


def spread(heights: Sequence[float], gap: float) -> list[float]:
    """Ascending heights in [0, 1], moved as little as possible (in squares) so that neighbours are `gap` apart.

    Isotonic regression of height_i - i gap, by pooling adjacent violators; then back into [0, 1] where all fit.
    """
    pools: list[tuple[float, int]] = []  # (mean, members)
    for i, height in enumerate(heights):
        pools.append((height - i * gap, 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (above, many), (below, others) = pools.pop(), pools.pop()
            pools.append(((above * many + below * others) / (many + others), many + others))
    levels = [mean for mean, members in pools for _ in range(members)]
    room = max(0.0, 1 - (len(levels) - 1) * gap)
    return [min(max(level, 0.0), room) + i * gap for i, level in enumerate(levels)]
