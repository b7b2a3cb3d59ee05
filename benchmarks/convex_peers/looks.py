"""One colour a package, ours first; the colours are Okabe and Ito's (2008) and a few between."""

from __future__ import annotations

from collections.abc import Collection

from benchmarks.convex_peers.methods import OURS
from benchmarks.convex_peers.peers import FILE, FILES

COLORS = dict(
    zip(
        FILES,
        ("#1d1f24", "#009E73", "#CC79A7", "#D55E00", "#3d9bd1", "#b07d00", "#7a4fa3", "#8c4a2f", "#6b7078"),
        strict=True,
    )
)
MINE, BAND, STRIPE, BAD = "#0072B2", "#d3e6f3", "#f4f4f5", "#a63c00"
SIZE = 6.6  # points of the small words


def color(method: str) -> str:
    """Of the package that a method is from."""
    return MINE if method in OURS else COLORS[FILE[method]]


def ordered(methods: Collection[str]) -> list[str]:
    """Ours, then the peers package by package."""
    return [name for name in (*OURS, *FILE) if name in methods]
