"""What the side-by-side says: one line a problem and method, and how `auto` compares with the peers that are as good.

excess: how far the objective is above the best that any method found on the same data, %. A peer is as good as `auto`
on a problem if its objective is at most 1e-6 above; ratios are taken within a seed, then the median over seeds.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.convex_peers.methods import OURS
from benchmarks.convex_peers.reach import BESIDE, METHOD

EQUAL = 1e-6
REFERENCE = "auto"
HEAD = ("problem", "method", "objective", "% above best", "best in", "F1", "ms", "x auto", "x floor", "MB")
Record = dict[str, Any]


@dataclass(frozen=True)
class Line:
    """A method on a problem over its seeds: medians; best: seeds at which nothing was better."""

    problem: str
    method: str
    objective: float
    excess: float
    best: int
    seeds: int
    f1: float
    seconds: float
    times: float
    floors: float
    memory: float
    failure: str = ""

    def cells(self) -> tuple[str, ...]:
        """As in `HEAD`."""
        if self.failure:
            return (self.problem, self.method, self.failure, *[""] * 7)
        found = "" if math.isnan(self.f1) else f"{self.f1:.2f}"
        return (
            *(self.problem, self.method, f"{self.objective:.6g}", f"{self.excess:.2f}", f"{self.best}/{self.seeds}"),
            *(found, f"{1000 * self.seconds:.3g}", f"{self.times:.2g}", f"{self.floors:.2g}", f"{self.memory:.0f}"),
        )


@dataclass(frozen=True)
class Comparison:
    """`auto` on a problem beside the fastest peer that is as good at each seed (nan, "": none is, at some seed)."""

    problem: str
    best: int
    seeds: int
    peer: str
    ratio: float


def lines(records: Sequence[Record]) -> list[Line]:
    """In the order of the records, within a problem the best first."""
    found = []
    for problem in dict.fromkeys(r["problem"] for r in records):
        here = [r for r in records if r["problem"] == problem]
        made = [_line(here, problem, method) for method in dict.fromkeys(r["method"] for r in here if "method" in r)]
        found += sorted(made, key=lambda line: (line.failure != "", round(line.excess, 4), line.seconds))
    return found


def _line(here: Sequence[Record], problem: str, method: str) -> Line:
    own = [r for r in here if r.get("method") == method]
    done = [r for r in own if "value" in r]
    if not done:
        nan = math.nan
        return Line(problem, method, nan, math.inf, 0, len(own), nan, nan, nan, nan, nan, own[0]["failure"])
    low, auto = _lowest(here), {r["seed"]: r["seconds"] for r in here if r.get("method") == REFERENCE and "value" in r}
    excess = [r["value"] / low[r["seed"]] - 1 for r in done]
    ratios = [r["seconds"] / auto[r["seed"]] for r in done if r["seed"] in auto]
    return Line(
        problem,
        method,
        objective=done[0]["value"],
        excess=100 * statistics.median(excess),
        best=sum(e <= EQUAL for e in excess),
        seeds=len(own),
        f1=statistics.fmean(_f1(r) for r in done),
        seconds=statistics.median(r["seconds"] for r in done),
        times=statistics.median(ratios or [math.nan]),
        floors=statistics.median(r["seconds"] / r["floor"] for r in done),
        memory=statistics.median(r["memory"] for r in done),
    )


def _f1(record: Record) -> float:
    """2 |S and T| / (|S| + |T|) with T the true support of size k."""
    hits = record.get("hits")
    return math.nan if hits is None else 2 * hits / (record["size"] + record["k"])


def _lowest(here: Sequence[Record]) -> dict[int, float]:
    """The best objective at each seed."""
    values: dict[int, float] = {}
    for r in here:
        if "value" in r:
            values[r["seed"]] = min(r["value"], values.get(r["seed"], math.inf))
    return values


def comparisons(records: Sequence[Record]) -> list[Comparison]:
    """One for every problem on which `auto` ran."""
    names = dict.fromkeys(r["problem"] for r in records if r.get("method") == REFERENCE and "value" in r)
    return [_comparison([r for r in records if r["problem"] == name], name) for name in names]


def _comparison(here: Sequence[Record], problem: str) -> Comparison:
    autos = {r["seed"]: r for r in here if r.get("method") == REFERENCE and "value" in r}
    low = _lowest(here)
    best = sum(auto["value"] <= low[seed] * (1 + EQUAL) for seed, auto in autos.items())
    ratios, peers = [], []
    for seed, auto in autos.items():
        rivals = [r for r in here if r["seed"] == seed and "value" in r and r["method"] not in OURS]
        good = [r for r in rivals if r["value"] <= auto["value"] * (1 + EQUAL)]
        if not good:
            return Comparison(problem, best, len(autos), "", math.nan)
        fastest = min(good, key=lambda r: r["seconds"])
        ratios.append(auto["seconds"] / fastest["seconds"])
        peers.append(fastest["method"])
    return Comparison(problem, best, len(autos), statistics.mode(peers), statistics.median(ratios))


def reaches(records: Sequence[Record]) -> list[tuple[str, ...]]:
    """Problem, milliseconds until `auto` first stands at what it returns, those of OMP, and their ratio: medians."""
    rows = []
    for name in dict.fromkeys(r["problem"] for r in records):
        here = [r for r in records if r["problem"] == name]
        first = {r["seed"]: r["reach"] for r in here if r.get("method") == METHOD and "reach" in r}
        other = {r["seed"]: r["cpu"] for r in here if r.get("method") == BESIDE and "cpu" in r}
        both = [(first[seed], other[seed]) for seed in first if seed in other]
        if both:
            a, b = (1000 * statistics.median(times) for times in zip(*both, strict=True))
            rows.append((name, f"{a:.3g}", f"{b:.3g}", f"{statistics.median(x / y for x, y in both):.2f}"))
    return rows


def markdown(records: Sequence[Record]) -> str:
    """The table, the comparison, and how soon `auto` is where it ends, in processor time."""
    parts = [*_table(HEAD, [line.cells() for line in lines(records)]), "", *verdict(records)]
    soon = reaches(records)
    if soon:
        parts += ["", *_table(("problem", "auto first there, ms", f"{BESIDE}, ms", "ratio"), soon)]
    return "\n".join(parts) + "\n"


def verdict(records: Sequence[Record]) -> list[str]:
    """How `auto` stands against the peers, one line a problem and one for all."""
    found = comparisons(records)
    rows = [
        (c.problem, f"{c.best}/{c.seeds}", c.peer or "none as good", "" if math.isnan(c.ratio) else f"{c.ratio:.2f}")
        for c in found
    ]
    ratios = [c.ratio for c in found if not math.isnan(c.ratio)]
    middle = f"{statistics.median(ratios):.2f}" if ratios else "none"
    best, runs = sum(c.best for c in found), sum(c.seeds for c in found)
    ends = (
        f"auto: best found in {best} of {runs} runs; time over that of the "
        f"fastest peer that is as good: median {middle} over {len(ratios)} problems; on {len(found) - len(ratios)} "
        "problems no peer is as good."
    )
    return [*_table(("problem", "auto is best", "fastest peer as good", "auto's time / its"), rows), "", ends]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [_row(head), _row(["---"] * len(head)), *map(_row, rows)]


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
