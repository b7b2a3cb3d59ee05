"""What a reproduction says: on the terminal, and as a page with one figure.

The figure has a line an arm: the source's number as an open circle with its spread, ours as a dot with its interval.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks import page, style
from benchmarks.cells import read, write_text
from benchmarks.page import text
from benchmarks.reproduce.claims import FAILED, OPEN, REPRODUCED
from benchmarks.reproduce.estimate import said
from benchmarks.reproduce.target import Published, Target
from benchmarks.statistics import Interval, interval

STYLES = {REPRODUCED: "green", FAILED: "red", OPEN: "dim"}
CLASSES = {REPRODUCED: "better", FAILED: "worse", OPEN: "none"}
Found = Mapping[str, Any]


def accuracies(found: Found) -> dict[str, Interval]:
    """Arm -> interval of its accuracy in %, over the seeds that are there."""
    made = {}
    for arm, records in found["arms"].items():
        values = [100 * record["accuracy"] for record in records.values()]
        made[arm] = interval(values, 100 / next(iter(records.values()))["samples"])
    return made


def _with_interval(m: Interval) -> str:
    return f"{m.mean:.2f}" if m.count < 2 else f"{m.mean:.2f} ± {m.half:.2f}"


def _number(p: Published | None) -> str:
    if p is None:
        return ""
    return f"{p.value:.2f}" if p.spread is None else f"{p.value:.2f} ± {p.spread:.2f}"


def _rows(target: Target, found: Found) -> Iterator[tuple[str, str, str, str, str]]:
    """(arm, published, measured, runs that lost a layer, seconds a run)."""
    for arm, m in accuracies(found).items():
        records = found["arms"][arm].values()
        lost = sum(bool(record["collapsed"]) for record in records)
        seconds = sum(record["seconds"] for record in records) / len(records)
        yield arm, _number(target.published.get(arm)), _with_interval(m), str(lost or ""), f"{seconds:.3g}"


def _verdicts(found: Found) -> Iterator[tuple[str, str, str]]:
    for claim in found["claims"]:
        mean, low, high, count = claim["measured"]
        value = f"{mean:.2f} [{low:.2f}, {high:.2f}]" if count > 1 else f"{mean:.2f}" if count else "no seed"
        yield claim["says"], value, claim["verdict"]


def _lead(target: Target, found: Found) -> str:
    note = " Shorter than the source's protocol: only orders can be compared." if target.shortened else ""
    return (
        f"{target.source}. {found['epochs']:g} epochs a training, {len(found['seeds'])} seeds; "
        f"test accuracy of the last step in %, mean and 95 % interval.{note}"
    )


# ---- on the terminal -----------------------------------------------------------------------------------------------


def _console() -> tuple[Console, box.Box]:
    console = Console()
    return (console, box.SIMPLE_HEAD) if console.is_terminal else (Console(width=150, no_color=True), box.ASCII2)


def announce(target: Target, cells: int, todo: int, jobs: int, seconds: float) -> None:
    """What is going to happen, and how long it will take."""
    console, _ = _console()
    console.print(
        f"{target.name}: {todo} of {cells} runs to compute, {jobs} at a time: {said(seconds)}", highlight=False
    )


def show(target: Target, found: Found) -> None:
    """The arms and the claims of one target."""
    console, shape = _console()
    arms = Table(title=target.title, caption=_lead(target, found), box=shape, title_justify="left")
    for name in ("arm", "published", "measured", "lost a layer", "s a run"):
        arms.add_column(name, justify="left" if name == "arm" else "right")
    for row in _rows(target, found):
        arms.add_row(*row)
    claims = Table(box=shape)
    for name in ("claim", "measured", "verdict"):
        claims.add_column(name, justify="right" if name == "measured" else "left")
    for says, value, verdict in _verdicts(found):
        claims.add_row(says, value, f"[{STYLES[verdict]}]{verdict}[/]")
    console.print(arms, claims)
    for failure in found["failures"]:
        console.print(f"no result: {failure['cell']['method']}: {failure['reason']}", style="red", highlight=False)


def listing(targets: Iterable[Target], records: Path) -> None:
    """Every target with its source, and the verdicts on record."""
    console, shape = _console()
    table = Table(box=shape, caption="python -m benchmarks reproduce TARGET; --budgeted for two cores")
    for name in ("target", "what", "source", "on record"):
        table.add_column(name)
    for target in targets:
        table.add_row(target.name, target.title, target.source, _on_record(target, records))
    console.print(table)


def _on_record(target: Target, records: Path) -> str:
    lines = []
    for suffix, how in (("", ""), ("-short", " (budgeted)")):
        found = read(records / f"{target.name}{suffix}.json")
        if found is not None:
            verdicts = [claim["verdict"] for claim in found["claims"]]
            counts = [f"{verdicts.count(word)} {word}" for word in STYLES if word in verdicts]
            lines.append(f"{', '.join(counts)}{how}; {len(found['seeds'])} seeds")
    return "\n".join(lines)


# ---- as a page -----------------------------------------------------------------------------------------------------


def write(target: Target, found: Found, folder: Path) -> Path:
    """report.html in the folder."""
    written = folder / "report.html"
    write_text(written, page.page(target.title, _body(target, found)))
    return written


def _body(target: Target, found: Found) -> Iterator[str]:
    yield f"<h1>{text(target.title)}</h1>"
    yield page.paragraph(text(_lead(target, found)), "lead")
    rows = (
        (text(says), text(value), f'<span class="{CLASSES[verdict]}">{verdict}</span>')
        for says, value, verdict in _verdicts(found)
    )
    yield page.table(("claim", "measured, 95 % interval", "verdict"), rows)
    yield page.figure(figure(target, found), "Open circles: published, with its spread. Dots: measured, 95 % interval.")
    head = ("arm", "published, %", "measured, %", "lost a layer", "s a run")
    yield page.table(head, (tuple(map(text, row)) for row in _rows(target, found)))
    yield "<h2>How</h2>"
    yield from (page.paragraph(text(line)) for line in target.protocol)
    yield page.facts([
        ("recipe", found["recipe"]),
        ("versions", ", ".join(f"{name} {version}" for name, version in found["versions"].items())),
        ("source code", found["source"]),
        ("machine", ", ".join(f"{name}: {value}" for name, value in found["machine"].items())),
    ])  # fmt: skip


def figure(target: Target, found: Found) -> str:
    """One line an arm, top to bottom in the target's order."""
    measured = accuracies(found)
    with style.figure(8.4, 0.6 + 0.3 * len(measured), target.name) as (_, grid, drawn):
        axes = grid[0][0]
        for y, (arm, m) in enumerate(measured.items()):
            p, color = target.published.get(arm), style.look(target.arms[arm].method).color
            if p is not None and not target.shortened:
                axes.errorbar(p.value, y - 0.16, xerr=p.spread, fmt="o", mfc="none", color=style.SOFT, lw=1)
            axes.errorbar(m.mean, y, xerr=None if m.count < 2 else m.half, fmt="o", color=color, lw=1.4)
        axes.set_yticks(range(len(measured)), list(measured))
        axes.invert_yaxis()
        axes.set_xlabel("test accuracy, %")
    return drawn[0]
