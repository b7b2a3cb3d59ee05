"""From records, one a seed, to the lines of a table, one a method and sparsity.

A line whose seeds are not all there is *refused*: it has no mean, and says which seeds are missing.
"""

from __future__ import annotations

import dataclasses
import math
import statistics as plain
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.designs import PROBLEMS
from benchmarks.statistics import Interval, holm, interval, paired, verdict

Record = Mapping[str, Any]
NONE = Interval(math.nan, math.nan, math.nan, 0)
LEFT = ("weights_left", "flops_left", "latency", "latency_left")


@dataclass(frozen=True)
class Line:
    """A method at one sparsity under one rule of cost. difference: to the reference, paired by seed.

    unit: what sparsity, asked and prunable count. weights_left, flops_left: shares, by theory; latency, latency_left:
    measured seconds of a batch before, and after shrinking.
    """

    cost: str
    method: str
    asked: float
    seeds: tuple[int, ...]
    missing: tuple[int, ...]
    accuracy: Interval
    difference: Interval
    adjusted: float
    verdict: str
    sparsity: float
    kept: int
    prunable: int
    effective: float
    steps: float
    flops: float
    seconds: float
    densities: Mapping[str, float]
    collapsed: int
    unit: str = "weights"
    weights_left: float = math.nan
    flops_left: float = math.nan
    latency: float = math.nan
    latency_left: float = math.nan
    values: Mapping[int, float] = field(default_factory=dict)


def lines(records: Iterable[Record], seeds: Sequence[int], reference: str) -> list[Line]:
    """One line for every (cost, method, sparsity) in the order of the records; verdicts adjusted within each cost."""
    groups: dict[tuple[str, str, float], list[Record]] = {}
    for record in records:
        groups.setdefault((record["cost"], record["method"], record["asked"]), []).append(record)
    made = [_line(key, found, groups.get((key[0], reference, key[2]), []), seeds) for key, found in groups.items()]
    return [line for cost in dict.fromkeys(line.cost for line in made) for line in _judged(made, cost)]


def _line(key: tuple[str, str, float], found: list[Record], reference: list[Record], seeds: Sequence[int]) -> Line:
    ours, theirs = _accuracies(found), _accuracies(reference)
    missing = tuple(seed for seed in seeds if seed not in ours)
    whole = [record for record in found if "accuracy" in record]
    first = whole[0] if whole else {}
    resolution = 1 / first["samples"] if first else 0.0
    comparable = not missing and set(ours) == set(theirs) and found is not reference
    return Line(
        *key,
        seeds=tuple(ours),
        missing=missing,
        accuracy=NONE if missing else interval(list(ours.values()), resolution),
        difference=paired(ours, theirs, resolution) if comparable else NONE,
        adjusted=math.nan,
        verdict="",
        sparsity=first.get("sparsity", math.nan),
        kept=first.get("kept", 0),
        prunable=first.get("prunable", 0),
        effective=_median(whole, "effective_sparsity"),
        steps=_median(whole, "steps"),
        flops=_median(whole, "flops"),
        seconds=_median(whole, "seconds"),
        densities=_mean_densities(whole),
        collapsed=sum(bool(record["collapsed"]) for record in whole),
        unit=first.get("unit", "weights"),
        **{name: _median(whole, name) for name in LEFT},
        values=ours,
    )


def _accuracies(records: list[Record]) -> dict[int, float]:
    return {record["seed"]: record["accuracy"] for record in records if "accuracy" in record}


def _judged(made: list[Line], cost: str) -> list[Line]:
    """The lines of one rule of cost, with p-values adjusted together and verdicts."""
    family = [line for line in made if line.cost == cost]
    adjusted = holm([line.difference.p for line in family])
    return [
        dataclasses.replace(line, adjusted=p, verdict=verdict(line.difference, p) if line.difference.count else "")
        for line, p in zip(family, adjusted, strict=True)
    ]


def _median(records: list[Record], name: str) -> float:
    known = [record[name] for record in records if record.get(name) is not None]
    return plain.median(known) if known else math.nan


def _mean_densities(records: list[Record]) -> dict[str, float]:
    names = records[0]["densities"] if records else {}
    return {name: plain.fmean(record["densities"][name] for record in records) for name in names}


# ---- the convex panel ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Point:
    """A solver on one problem at one size. excess: % above the best refit objective that any solver here found.

    gain: % by which the objective is lower than the reference's (in logarithms), paired by seed. The verdict is for
    the size that the design looks at closely, adjusted over all of these. first: (gradients, seconds, refit) of the
    first seed, and curve its way there.
    """

    problem: str
    method: str
    k: int
    missing: tuple[int, ...]
    refit: float
    value: float
    excess: Interval
    gain: Interval
    verdict: str
    found: float
    gradients: float
    refits: float
    seconds: float
    first: tuple[float, float, float]
    curve: Sequence[Sequence[float]] = ()


def points(records: Sequence[Record], reference: str) -> list[Point]:
    """One point for every (problem, method, size); a method with missing seeds has one point without numbers."""
    whole = [record for record in records if "refit" in record]
    best: dict[tuple[str, int, int], float] = {}
    groups: dict[tuple[str, str, int], dict[int, Record]] = {}
    for record in whole:
        place = (record["problem"], record["seed"], record["k"])
        best[place] = min(best.get(place, math.inf), record["refit"])
        groups.setdefault((record["problem"], record["method"], record["k"]), {})[record["seed"]] = record
    seeds = {record["problem"]: _seeds(records, record["problem"]) for record in records}
    made = [
        _point(key, found, groups.get((key[0], reference, key[2]), {}), best, seeds[key[0]])
        for key, found in groups.items()
    ]
    looked = [p for p in made if p.k == PROBLEMS[p.problem].k and PROBLEMS[p.problem].random]
    adjusted = dict(zip(map(id, looked), holm([point.gain.p for point in looked]), strict=True))
    return [
        dataclasses.replace(point, verdict=verdict(point.gain, adjusted[id(point)]))
        if id(point) in adjusted and point.gain.count
        else point
        for point in made
    ]


def _seeds(records: Sequence[Record], problem: str) -> tuple[int, ...]:
    return tuple(sorted({record["seed"] for record in records if record["problem"] == problem}))


def _point(
    key: tuple[str, str, int],
    found: dict[int, Record],
    reference: dict[int, Record],
    best: Mapping[tuple[str, int, int], float],
    seeds: Sequence[int],
) -> Point:
    problem, method, k = key
    records = list(found.values())
    missing = tuple(seed for seed in seeds if seed not in found)
    excess = [100 * (record["refit"] / best[problem, seed, k] - 1) for seed, record in found.items()]
    comparable = not missing and set(found) == set(reference) and found is not reference
    hits = [record["hits"] / k for record in records if record["hits"] is not None]
    return Point(
        problem,
        method,
        k,
        missing,
        refit=plain.fmean(record["refit"] for record in records),
        value=plain.fmean(record["value"] for record in records),
        excess=NONE if missing else interval(excess),
        gain=paired(_logs(reference), _logs(found)) if comparable else NONE,
        verdict="",
        found=plain.fmean(hits) if hits else math.nan,
        gradients=_median(records, "gradients"),
        refits=_median(records, "refits"),
        seconds=_median(records, "seconds"),
        first=(records[0]["gradients"], records[0]["seconds"], records[0]["refit"]),
        curve=records[0]["curve"],
    )


def _logs(found: Mapping[int, Record]) -> dict[int, float]:
    return {seed: 100 * math.log(record["refit"]) for seed, record in found.items()}
