"""The tables of a run on the terminal: coloured there, plain where the output is a file or a pipe."""

from __future__ import annotations

from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks import networks, results, summary
from benchmarks.summary import Line

STYLES = {"better": "green", "worse": "red", "not separable": "dim", "": ""}
RULES = {"equal": "the same number of training steps for all", "own": "each method's own number of trainings"}


def show(folder: Path) -> None:
    """Print the tables of a run folder."""
    run, found = results.load(folder)
    console = Console()
    if not console.is_terminal:
        console = Console(width=150, no_color=True)
    for table in _network_tables(run, found.get("networks", []), plain=not console.is_terminal):
        console.print(table)
    for failure in run["failures"]:
        cell = failure["cell"]
        console.print(f"refused: {cell['method']} seed {cell.get('seed')}: {failure['reason']}", highlight=False)


def _network_tables(run: dict, records: list, plain: bool) -> list[Table]:
    lines = summary.lines(records, run["seeds"], networks.REFERENCE)
    made = []
    for cost in dict.fromkeys(line.cost for line in lines):
        title = f"Networks, {cost} cost ({RULES[cost]}): test accuracy in %, {len(run['seeds'])} seeds"
        caption = f"± 95 % interval of the mean; below, difference to {networks.REFERENCE} paired by seed"
        table = Table(title=title, caption=caption, box=box.ASCII2 if plain else box.SIMPLE_HEAD, title_justify="left")
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
