"""What the side-by-side says: one line a problem and method.

excess: how far the objective is above the best that any method found on the same data, %. What is told against `auto`
is told from what is paired by seed: objectives are equal within 1e-6; otherwise, and for times, a difference counts
where Student's interval over three seeds or more excludes none, all of a problem's methods looked at together (Holm).
Real data have one draw: there an objective is simply better or worse, and times have no word.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.convex_peers.reach import BESIDE, METHOD
from benchmarks.statistics import FEWEST, Interval, holm, interval, verdict

EQUAL = 1e-6
REFERENCE = "auto"
HEAD = (
    *("problem", "method", "objective", "% above best", "best in", "objective to auto's", "F1", "ms", "x auto"),
    *("time to auto's", "passes over X", "x floor", "MB above X"),
)
Record = dict[str, Any]


@dataclass(frozen=True)
class Line:
    """A method on a problem over its seeds: medians; best: seeds at which nothing was better.

    value, speed: words against `auto`; passes: seconds over those of one product with X'; floors: over k of them.
    """

    problem: str
    method: str
    seeds: int
    objective: float = math.nan
    excess: float = math.inf
    best: int = 0
    f1: float = math.nan
    seconds: float = math.nan
    fastest: float = math.nan
    slowest: float = math.nan
    times: Interval = Interval(math.nan, math.nan, math.nan, 0)
    passes: float = math.nan
    floors: float = math.nan
    memory: float = math.nan
    value: str = ""
    speed: str = ""
    failure: str = ""

    def cells(self) -> tuple[str, ...]:
        """As in `HEAD`."""
        if math.isnan(self.objective):
            return (self.problem, self.method, self.failure.replace("|", "/"), *[""] * (len(HEAD) - 3))
        found = "" if math.isnan(self.f1) else f"{self.f1:.2f}"
        best = f"{self.best}/{self.seeds}" + (f" ({self.failure})" if self.failure else "")
        return (
            *(self.problem, self.method, f"{self.objective:.6g}", f"{self.excess:.2f}", best, self.value, found),
            *(f"{1000 * self.seconds:.3g}", spanned(self.times), self.speed),
            *(f"{self.passes:.3g}", f"{self.floors:.2g}", f"{self.memory:.0f}"),
        )


def spanned(ratio: Interval) -> str:
    """A ratio with its interval, where it has one."""
    if math.isnan(ratio.mean):
        return ""
    span = "" if ratio.count < FEWEST else f" ({ratio.low:.2g} to {ratio.high:.2g})"
    return f"{ratio.mean:.2g}{span}"


def lines(records: Sequence[Record]) -> list[Line]:
    """In the order of the records, within a problem the best first."""
    found = []
    for problem in dict.fromkeys(r["problem"] for r in records):
        here = [r for r in records if r["problem"] == problem]
        made = _told([_line(here, method) for method in dict.fromkeys(r["method"] for r in here)], here)
        found += sorted(made, key=lambda line: (round(line.excess, 4), line.seconds, line.method))
    return found


def _line(here: Sequence[Record], method: str) -> Line:
    own = [r for r in here if r["method"] == method]
    done = [r for r in own if "value" in r]
    failure = next((r["failure"] for r in own if "failure" in r), "")
    line = Line(own[0]["problem"], method, len(own), failure=failure)
    if not done:
        return line
    low = _lowest(here)
    excess = [r["value"] / low[r["seed"]] - 1 for r in done]
    return replace(
        line,
        objective=done[0]["value"],
        excess=100 * statistics.median(excess),
        best=sum(e <= EQUAL for e in excess),
        f1=statistics.fmean(_f1(r) for r in done),
        seconds=statistics.median(r["seconds"] for r in done),
        fastest=min(r["seconds"] for r in done),
        slowest=max(r["seconds"] for r in done),
        times=ratio_of([r["seconds"] / auto["seconds"] for r, auto in _paired(done, here)]),
        passes=statistics.median(r["seconds"] / r["pass"] for r in done),
        floors=statistics.median(r["seconds"] / (r["k"] * r["pass"]) for r in done),
        memory=statistics.median(r["memory"] for r in done),
    )


def ratio_of(ratios: Sequence[float]) -> Interval:
    """Geometric mean of ratios over seeds, with Student's interval of its logarithm; p: of the ratio being 1."""
    logs = interval([math.log(ratio) for ratio in ratios])
    return Interval(math.exp(logs.mean), math.exp(logs.low), math.exp(logs.high), logs.count, logs.p)


def _told(made: Sequence[Line], here: Sequence[Record]) -> list[Line]:
    """The lines with their words; p-values of one problem are adjusted together."""
    others = [line for line in made if line.method != REFERENCE and not math.isnan(line.objective)]
    gaps = {line.method: _gaps(here, line.method) for line in others}
    values = {name: interval(gap) for name, gap in gaps.items() if any(abs(g) > EQUAL for g in gap)}
    words = dict(zip(values, holm([found.p for found in values.values()]), strict=True))
    speeds = dict(zip([line.method for line in others], holm([line.times.p for line in others]), strict=True))
    return [
        line
        if line not in others
        else replace(
            line,
            value=_value(gaps[line.method], values.get(line.method), words.get(line.method, math.nan)),
            speed=faster(line.times, speeds[line.method]) if line.times.count > 1 else "",
        )
        for line in made
    ]


def _value(gaps: Sequence[float], found: Interval | None, adjusted: float) -> str:
    if not gaps:
        return ""
    if found is None:
        return "equal"
    if len(gaps) == 1:
        return "worse" if gaps[0] > 0 else "better"
    return verdict(replace(found, mean=-found.mean), adjusted)


def faster(ratio: Interval, adjusted: float) -> str:
    """The word for a ratio of times: faster, slower, or not separable."""
    words = {"better": "faster", "worse": "slower"}
    word = verdict(replace(ratio, mean=-math.log(ratio.mean)), adjusted)
    return words.get(word, word)


def _gaps(here: Sequence[Record], method: str) -> list[float]:
    """Relative differences of the objective to that of `auto`, by seed."""
    own = [r for r in here if r["method"] == method and "value" in r]
    return [r["value"] / auto["value"] - 1 for r, auto in _paired(own, here)]


def _paired(rows: Sequence[Record], here: Sequence[Record]) -> list[tuple[Record, Record]]:
    """Each row with that of `auto` at its seed."""
    autos = {r["seed"]: r for r in here if r["method"] == REFERENCE and "value" in r}
    return [(r, autos[r["seed"]]) for r in rows if r["seed"] in autos]


def _f1(record: Record) -> float:
    """2 |S and T| / (|S| + |T|) with T the true support of size k."""
    hits = record.get("hits")
    return math.nan if hits is None else 2 * hits / (record["size"] + record["k"])


def _lowest(here: Sequence[Record]) -> Mapping[int, float]:
    """The best objective at each seed."""
    values: dict[int, float] = {}
    for r in here:
        if "value" in r:
            values[r["seed"]] = min(r["value"], values.get(r["seed"], math.inf))
    return values


def reaches(records: Sequence[Record]) -> list[tuple[str, ...]]:
    """Problem, milliseconds until `auto` first stands at what it returns, those of OMP, and their ratio: medians."""
    rows = []
    for name in dict.fromkeys(r["problem"] for r in records):
        here = [r for r in records if r["problem"] == name]
        first = {r["seed"]: r["reach"] for r in here if r["method"] == METHOD and "reach" in r}
        other = {r["seed"]: r["cpu"] for r in here if r["method"] == BESIDE and "cpu" in r}
        both = [(first[seed], other[seed]) for seed in first if seed in other]
        if both:
            a, b = (1000 * statistics.median(times) for times in zip(*both, strict=True))
            rows.append((name, f"{a:.3g}", f"{b:.3g}", f"{statistics.median(x / y for x, y in both):.2f}"))
    return rows


def markdown(records: Sequence[Record]) -> str:
    """The table, and how soon `auto` is where it ends, in processor time."""
    parts = table(HEAD, [line.cells() for line in lines(records)])
    soon = reaches(records)
    if soon:
        parts += ["", *table(("problem", "auto first there, ms", f"{BESIDE}, ms", "ratio"), soon)]
    return "\n".join(parts) + "\n"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of markdown."""
    return [_row(head), _row(["---"] * len(head)), *map(_row, rows)]


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
