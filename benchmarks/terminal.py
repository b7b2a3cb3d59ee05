"""The tables of a run on the terminal: coloured there, plain where the output is a file or a pipe."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks import convex, networks, results, summary
from benchmarks.designs import PROBLEMS
from benchmarks.statistics import Interval
from benchmarks.summary import Line, Point

STYLES = {"better": "green", "worse": "red", "not separable": "dim", "": ""}
SHOWN = ("problem", "method", "sparsity", "seed", "trainings")
BELOW = f"% below {convex.REFERENCE}"
WIDE, NARROW = ("% above best, interval", BELOW, "found", "refits"), ("% above best",)  # columns of only one of the two
CONVEX = "objective after the same refit for all; ± 95 % interval over seeds; found: of the true support"
NETWORKS = "± 95 % interval of the mean; below, difference to {} paired by seed"
LEFT = (
    "weights, FLOPs: by theory. ms: a batch of 64 through the network before and after its channels were taken out, "
    "beside other processes. Zeros among single weights save no time in dense tensors, so there is nothing to measure"
)
RULES = {"equal": "the same number of training steps for all", "own": "each method's own number of trainings"}


@dataclass(frozen=True)
class Paper:
    """What the tables are printed on."""

    shape: box.Box
    width: int

    @property
    def wide(self) -> bool:
        return self.width >= 112

    def table(self, title: str, caption: str, columns: Sequence[str], words: Sequence[str]) -> Table:
        table = Table(title=title, caption=caption, box=self.shape, title_justify="left", caption_justify="left")
        for name in columns:
            table.add_column(name, justify="left" if name in words else "right", no_wrap=name in words)
        return table


def show(folder: Path) -> None:
    """Print the tables of a run folder."""
    run, found = results.load(folder)
    console = Console()
    if not console.is_terminal:
        console = Console(width=150, no_color=True)
    paper = Paper(box.SIMPLE_HEAD if console.is_terminal else box.ASCII2, console.width)
    for table in (
        *_convex_tables(found.get("convex", []), paper),
        *_network_tables(run, found.get("networks", []), paper),
    ):
        console.print(table)
    for failure in run["failures"]:
        asked = ", ".join(f"{name} {value}" for name, value in failure["cell"].items() if name in SHOWN)
        console.print(f"no result: {asked}: {failure['reason']}", highlight=False, style="red")


def _convex_tables(records: list[Any], paper: Paper) -> Iterator[Table]:
    """One for every problem, at the size that its design looks at closely, the best first."""
    points = [point for point in summary.points(records, convex.REFERENCE) if point.k == PROBLEMS[point.problem].k]
    for problem in dict.fromkeys(point.problem for point in points):
        here = sorted((p for p in points if p.problem == problem), key=lambda p: p.refit)
        rows = [_convex_row(point) for point in here]
        names = [name for name in rows[0] if name not in (NARROW if paper.wide else WIDE)]
        title = f"Convex, {PROBLEMS[problem]}; k = {here[0].k}"
        table = paper.table(title, CONVEX, names, ("method", f"against {convex.REFERENCE}"))
        for row in rows:
            table.add_row(*(row[name] for name in names))
        yield table


def _convex_row(point: Point) -> dict[str, str]:
    return {
        "method": point.method,
        "objective": f"{point.refit:.5g}",
        "% above best": f"{point.excess.mean:.2f}",
        "% above best, interval": _with_interval(point.excess),
        BELOW: _with_interval(point.gain, "+") if point.gain.count else "",
        f"against {convex.REFERENCE}": _styled(point.verdict, point.verdict),
        "found": "" if math.isnan(point.found) else f"{point.found:.0%}",
        "gradients": f"{point.gradients:,.0f}",
        "refits": f"{point.refits:,.0f}",
        "ms": f"{1000 * point.seconds:.3g}",
    }


def _styled(text: str, verdict: str) -> str:
    style = STYLES[verdict]
    return f"[{style}]{text}[/{style}]" if style else text


def _with_interval(interval: Interval, sign: str = "") -> str:
    if interval.count == 0:
        return "seeds missing"
    text = f"{interval.mean:{sign}.2f}"
    return text if interval.count == 1 else f"{text} ± {interval.half:.2f}"


def _network_tables(run: Mapping[str, Any], records: list[Any], paper: Paper) -> Iterator[Table]:
    """One for every rule of cost: a row a method, a column a sparsity."""
    reference = networks.reference([record["method"] for record in records])
    lines = summary.lines(records, run["seeds"], reference)
    for cost in dict.fromkeys(line.cost for line in lines):
        here = [line for line in lines if line.cost == cost]
        asked = sorted({line.asked for line in here if line.method != "dense"})
        names = ("method", *(f"{100 * sparsity:g} %" for sparsity in asked), "steps", "s a run")
        title = f"Networks, {cost} cost ({RULES[cost]}): test accuracy in %, {len(run['seeds'])} seeds"
        table = paper.table(title, NETWORKS.format(reference), names, ("method",))
        for method in dict.fromkeys(line.method for line in here):
            own = {line.asked: line for line in here if line.method == method}
            cells = [_cell(own.get(sparsity) or own.get(0.0), " " if paper.wide else "\n") for sparsity in asked]
            steps, seconds = ([getattr(line, name) for line in own.values()] for name in ("steps", "seconds"))
            name = method if _counts_weights(own.values()) else f"{method} (of channels)"
            table.add_row(name, *cells, _span(steps, ",.0f"), _span(seconds, ".2g"))
        yield table
        if not _counts_weights(here):
            yield _left_table(here, cost, paper)


def _counts_weights(lines: Iterable[Line]) -> bool:
    return all(line.unit == "weights" for line in lines)


def _left_table(lines: Sequence[Line], cost: str, paper: Paper) -> Table:
    """What a sparsity leaves: theory (weights, operations) beside what was measured on the smaller network."""
    names = ("method", "sparsity", "of", "weights left", "FLOPs left", "dense ms", "shrunk ms")
    table = paper.table(f"What is left, {cost} cost", LEFT, names, ("method", "of"))
    for line in sorted(lines, key=lambda line: line.asked):
        shares = [_share(value) for value in (line.weights_left, line.flops_left)]
        times = ["" if math.isnan(s) else f"{1000 * s:.3g}" for s in (line.latency, line.latency_left)]
        table.add_row(line.method, f"{100 * line.sparsity:.2f} %", line.unit, *shares, *times)
    return table


def _share(value: float) -> str:
    return "" if math.isnan(value) else f"{100 * value:.1f} %"


def _cell(line: Line | None, gap: str) -> str:
    if line is None:
        return ""
    if line.missing:
        return f"seeds {', '.join(map(str, line.missing))} missing"
    value = f"{100 * line.accuracy.mean:.2f}"
    if line.accuracy.count > 1:
        value += f" ± {100 * line.accuracy.half:.2f}"
    if line.difference.count:
        value += "\n" + _styled(f"{100 * line.difference.mean:+.2f}{gap}{line.verdict}", line.verdict)
    return value


def _span(values: list[float], form: str) -> str:
    low, high = format(min(values), form), format(max(values), form)
    return low if low == high else f"{low} to {high}"
