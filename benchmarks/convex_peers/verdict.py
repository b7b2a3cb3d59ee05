"""How `auto` stands against the peers: is anything better, and how much time does it need beside what is as good?

A peer is as good on a draw if its objective is at most 1e-6 above. The fastest of these meets `auto` in a duel, both
timed in turns in one process; the ratio of a problem is the geometric mean over its duels, with Student's interval,
and "faster" or "slower" only where that holds after Holm's adjustment for all problems.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.convex_peers.methods import OURS
from benchmarks.convex_peers.tables import EQUAL, REFERENCE, Record, faster, ratio_of, spanned, table
from benchmarks.statistics import Interval, holm

HEAD = (
    "problem",
    "auto is best",
    "fastest peer as good",
    "auto's time / its",
    "at worst",
    "auto is",
    "best value of a peer, %",
)
TARGET = 1 / 3


@dataclass(frozen=True)
class Comparison:
    """`auto` on a problem. peers: the fastest as good, where some is; worst: the largest ratio of a duel.

    ahead: the objective of the best peer over that of auto, less 1, %: the median over draws.
    """

    problem: str
    best: int
    draws: int
    peers: tuple[str, ...]
    ratio: Interval
    worst: float
    ahead: float
    ahead_by: str
    word: str = ""

    def cells(self) -> tuple[str, ...]:
        """As in `HEAD`."""
        ahead = "0" if abs(self.ahead) <= 100 * EQUAL else f"{self.ahead:+.3g}"
        margin = f"{ahead} ({self.ahead_by})" if self.ahead_by else ""
        met = " or ".join(self.peers) or "none as good"
        worst = "" if math.isnan(self.worst) else f"{self.worst:.2g}"
        return (self.problem, f"{self.best}/{self.draws}", met, spanned(self.ratio), worst, self.word, margin)


def rivals(records: Sequence[Record]) -> dict[tuple[str, int], str]:
    """The fastest peer that is as good as `auto`, by problem and seed, where there is one."""
    found: dict[tuple[str, int], Record] = {}
    autos = {(r["problem"], r["seed"]): r for r in records if r["method"] == REFERENCE and "value" in r}
    for r in _peers(records):
        place = (r["problem"], r["seed"])
        good = place in autos and r["value"] <= autos[place]["value"] * (1 + EQUAL)
        if good and (place not in found or r["seconds"] < found[place]["seconds"]):
            found[place] = r
    return {place: r["method"] for place, r in found.items()}


def comparisons(records: Sequence[Record], duels: Sequence[Record]) -> list[Comparison]:
    """One for every problem on which `auto` ran."""
    names = dict.fromkeys(r["problem"] for r in records if r["method"] == REFERENCE and "value" in r)
    made = [_comparison(records, duels, name) for name in names]
    adjusted = holm([c.ratio.p for c in made])
    return [
        Comparison(**{**vars(c), "word": faster(c.ratio, p) if c.ratio.count > 1 else ""})
        for c, p in zip(made, adjusted, strict=True)
    ]


def _comparison(records: Sequence[Record], duels: Sequence[Record], problem: str) -> Comparison:
    here = [r for r in records if r["problem"] == problem and "value" in r]
    autos = {r["seed"]: r["value"] for r in here if r["method"] == REFERENCE}
    met = [d for d in duels if d["problem"] == problem and "ratio" in d]
    low = {seed: min(r["value"] for r in here if r["seed"] == seed) for seed in autos}
    best = sum(value <= low[seed] * (1 + EQUAL) for seed, value in autos.items())
    peers = tuple(dict.fromkeys(d["rival"] for d in met))
    margins = _margins(here, autos)
    name = min(margins, key=lambda peer: margins[peer], default="")
    return Comparison(
        *(problem, best, len(autos), peers, ratio_of([d["ratio"] for d in met]) if met else _nothing()),
        max((d["ratio"] for d in met), default=math.nan),
        *(100 * margins.get(name, math.nan), name),
    )


def _margins(here: Sequence[Record], autos: Mapping[int, float]) -> dict[str, float]:
    """Median relative difference of every peer's objective to `auto`'s."""
    theirs: dict[str, list[float]] = {}
    for r in _peers(here):
        if r["seed"] in autos:
            theirs.setdefault(r["method"], []).append(r["value"] / autos[r["seed"]] - 1)
    return {name: statistics.median(gaps) for name, gaps in theirs.items()}


def _nothing() -> Interval:
    return Interval(math.nan, math.nan, math.nan, 0)


def _peers(records: Sequence[Record]) -> list[Record]:
    return [r for r in records if r["method"] not in OURS and "value" in r]


def beaten(records: Sequence[Record]) -> list[str]:
    """Every draw on which a peer has a better objective than `auto`, the best of them."""
    autos = {(r["problem"], r["seed"]): r["value"] for r in records if r["method"] == REFERENCE and "value" in r}
    least: dict[tuple[str, int], Record] = {}
    for r in _peers(records):
        place = (r["problem"], r["seed"])
        if place in autos and (place not in least or r["value"] < least[place]["value"]):
            least[place] = r
    return [
        f"{problem}, seed {seed}: {r['method']} {r['value']:.8g}, auto {autos[problem, seed]:.8g}, "
        f"{100 * (1 - r['value'] / autos[problem, seed]):.2g} % better"
        for (problem, seed), r in least.items()
        if r["value"] < autos[problem, seed] * (1 - EQUAL)
    ]


def markdown(records: Sequence[Record], duels: Sequence[Record]) -> str:
    """One line a problem, then what holds of all."""
    found = comparisons(records, duels)
    if not found:
        return ""
    return "\n".join([*table(HEAD, [c.cells() for c in found]), "", *_sentences(found, beaten(records))]) + "\n"


def _sentences(found: Sequence[Comparison], ahead: Sequence[str]) -> list[str]:
    ratios = {c.problem: c.ratio.mean for c in found if not math.isnan(c.ratio.mean)}
    best, runs = sum(c.best for c in found), sum(c.draws for c in found)
    said = [f"auto has the best objective found in {best} of {runs} runs."]
    if ratios:
        short = [name for name, ratio in ratios.items() if ratio <= TARGET]
        said.append(
            f"Its time over that of the fastest peer as good: median {statistics.median(ratios.values()):.2f} over "
            f"{len(ratios)} problems; at most a third on {_names(short)}; slower on "
            f"{_names([c.problem for c in found if c.word == 'slower'])}; not separable on "
            f"{_names([c.problem for c in found if c.word == 'not separable'])}."
        )
    none = [c.problem for c in found if math.isnan(c.ratio.mean)]
    if none:
        said.append(f"No peer is as good on {_names(none)}.")
    return said + [f"A peer is better: {line}." for line in ahead]


def _names(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
