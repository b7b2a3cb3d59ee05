"""The table and the figure of `benchmarks speed --device`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.speed.cuda import BEST, EXPECTED, Row
from benchmarks.style import FAINT, INK, SETTINGS, SOFT

Found = Mapping[str, Mapping[str, Any]]


def plan(rows: list[Row], budget: float) -> str:
    """What is about to be done, before anything is."""
    total = sum(row.seconds for row in rows)
    return (
        f"{len(rows)} rows, some {total:.0f} s on a GPU by an estimate (start-up and data beside it), of {budget:.0f} s"
    )


def tables(found: Found, where: str, data: str) -> None:
    """Everything that was measured, and what was not."""
    console = Console()
    console = console if console.is_terminal else Console(width=120, no_color=True)
    shape = box.SIMPLE_HEAD if console.is_terminal else box.ASCII2
    table = Table(title=f"Speed of pruning on {where}", box=shape, title_justify="left", caption_justify="left")
    table.caption = f"images: {data}; an H200's milliseconds are a roofline model's, not a measurement"
    for name, justify in (("", "left"), ("measured", "left"), ("H200, estimated", "left"), ("took, s", "right")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for name, numbers in found.items():
        table.add_row(name, _line(numbers), _expected(name), f"{numbers['took s']:.1f}" if "took s" in numbers else "")
    console.print(table)


def _line(numbers: Mapping[str, Any]) -> str:
    shown = {name: value for name, value in numbers.items() if name not in ("took s", "levels")}
    return ", ".join(
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}" for name, value in shown.items()
    )


def _expected(name: str) -> str:
    """What the model says of a row; "" where it says nothing."""
    for model, (least, most) in EXPECTED.items():
        if name == f"{model} {' '.join(BEST[:2])}":
            return f"ms {least} to {most}"
    return ""


def figure(found: Found, where: str, out: Path) -> None:
    """Milliseconds of a step by network, engine and precision, as bars."""
    import matplotlib as mpl

    mpl.use("Agg", force=False)
    from matplotlib import pyplot

    steps = {name: numbers["ms"] for name, numbers in found.items() if "ms" in numbers}
    if not steps:
        return
    with mpl.rc_context(SETTINGS):
        picture, axes = pyplot.subplots(figsize=(7.2, 0.6 + 0.34 * len(steps)), layout="constrained")
        names = list(steps)[::-1]
        colours = [INK if "captured" in name else SOFT for name in names]
        bars = axes.barh(names, [steps[name] for name in names], color=colours, height=0.6)
        axes.bar_label(bars, [f"{steps[name]:.3g}" for name in names], padding=3, color=INK)
        axes.set(title=f"A training step, ms, {where}", xlabel="")
        axes.grid(axis="y", visible=False)
        axes.grid(axis="x", color=FAINT)
        picture.savefig(out)
        pyplot.close(picture)
