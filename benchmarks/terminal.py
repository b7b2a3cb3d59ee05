"""The tables of a run on the terminal: coloured there, plain where the output is a file or a pipe."""

from __future__ import annotations

import math
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks import convex, networks, results, summary
from benchmarks.designs import PROBLEMS
from benchmarks.statistics import Interval
from benchmarks.summary import Line, Point

STYLES = {"better": "green", "worse": "red", "not separable": "dim", "": ""}
SHOWN = ("problem", "method", "sparsity", "seed", "trainings")
CONVEX = "objective after the same refit for all; ± 95 % interval over seeds, none for one data set; found: of the true"
RULES = {"equal": "the same number of training steps for all", "own": "each method's own number of trainings"}


def show(folder: Path) -> None:
    """Print the tables of a run folder."""
    run, found = results.load(folder)
    console = Console()
    if not console.is_terminal:
        console = Console(width=150, no_color=True)
    shape = box.SIMPLE_HEAD if console.is_terminal else box.ASCII2
    for table in (
        *_convex_tables(found.get("convex", []), shape),
        *_network_tables(run, found.get("networks", []), shape),
    ):
        console.print(table)
    for failure in run["failures"]:
        asked = ", ".join(f"{name} {value}" for name, value in failure["cell"].items() if name in SHOWN)
        console.print(f"no result: {asked}: {failure['reason']}", highlight=False, style="red")


def _convex_tables(records: list, shape: box.Box) -> list[Table]:
    """One for every problem, at the size that its design looks at closely, the best first."""
    points = [point for point in summary.points(records, convex.REFERENCE) if point.k == PROBLEMS[point.problem].k]
    made = []
    for problem in dict.fromkeys(point.problem for point in points):
        here = sorted((p for p in points if p.problem == problem), key=lambda p: p.refit)
        title = f"Convex, {PROBLEMS[problem]}; k = {here[0].k}"
        table = Table(title=title, caption=CONVEX, box=shape, title_justify="left", caption_justify="left")
        for name in ("method", "objective", "% above best", f"% below {convex.REFERENCE}", "", "found", "gradients",
                     "refits", "ms"):  # fmt: skip
            table.add_column(name, justify="left" if name in ("method", "") else "right")
        for point in here:
            table.add_row(*_convex_row(point))
        made.append(table)
    return made


def _convex_row(point: Point) -> tuple[str, ...]:
    style = STYLES[point.verdict]
    return (
        point.method,
        f"{point.refit:.5g}",
        _with_interval(point.excess),
        _with_interval(point.gain, "+") if point.gain.count else "",
        f"[{style}]{point.verdict}[/{style}]" if style else point.verdict,
        "" if math.isnan(point.found) else f"{point.found:.0%}",
        f"{point.gradients:,.0f}",
        f"{point.refits:,.0f}",
        f"{1000 * point.seconds:.3g}",
    )


def _with_interval(interval: Interval, sign: str = "") -> str:
    if interval.count == 0:
        return "seeds missing"
    text = f"{interval.mean:{sign}.2f}"
    return text if interval.count == 1 else f"{text} ± {interval.half:.2f}"


def _network_tables(run: dict, records: list, shape: box.Box) -> list[Table]:
    lines = summary.lines(records, run["seeds"], networks.REFERENCE)
    made = []
    for cost in dict.fromkeys(line.cost for line in lines):
        title = f"Networks, {cost} cost ({RULES[cost]}): test accuracy in %, {len(run['seeds'])} seeds"
        caption = f"± 95 % interval of the mean; below, difference to {networks.REFERENCE} paired by seed"
        table = Table(title=title, caption=caption, box=shape, title_justify="left", caption_justify="left")
        here = [line for line in lines if line.cost == cost]
        asked = sorted({line.asked for line in here if line.method != "dense"})
        for name in ("method", *(f"{sparsity:.3%}".replace("0%", "%") for sparsity in asked), "steps", "s a run"):
            table.add_column(name, justify="left" if name == "method" else "right")
        for method in dict.fromkeys(line.method for line in here):
            own = {line.asked: line for line in here if line.method == method}
            cells = [_cell(own.get(sparsity) or own.get(0.0)) for sparsity in asked]
            table.add_row(method, *cells, _span([line.steps for line in own.values()], ",.0f"),
                          _span([line.seconds for line in own.values()], ".2g"))  # fmt: skip
        made.append(table)
    return made


def _cell(line: Line | None) -> str:
    if line is None:
        return ""
    if line.missing:
        return f"seeds {', '.join(map(str, line.missing))} missing"
    value = f"{100 * line.accuracy.mean:.2f}"
    if line.accuracy.count > 1:
        value += f" ± {100 * line.accuracy.half:.2f}"
    if line.difference.count:
        style = STYLES[line.verdict]
        text = f"{100 * line.difference.mean:+.2f} {line.verdict}"
        value += f"\n[{style}]{text}[/{style}]" if style else f"\n{text}"
    return value


def _span(values: list[float], form: str) -> str:
    low, high = format(min(values), form), format(max(values), form)
    return low if low == high else f"{low} to {high}"
