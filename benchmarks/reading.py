"""What the numbers of a run say, in sentences made from them and from nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.designs import PROBLEMS
from benchmarks.summary import Line, Point

RULES = {"equal": "At equal cost", "own": "At each method's own cost"}


def networks(lines: Sequence[Line], reference: str) -> Iterator[str]:
    """One sentence for every rule of cost and sparsity, one for costs, one for what is missing or broken."""
    for cost in dict.fromkeys(line.cost for line in lines):
        here = [line for line in lines if line.cost == cost]
        for sparsity in sorted({line.asked for line in here if line.method == reference}):
            yield _compared([line for line in here if line.asked == sparsity], reference, cost, sparsity)
    own = [line for line in lines if line.cost == "own" and line.method == reference]
    single = [line for line in lines if line.cost == "own" and line.method == "dense"]
    if own and single:
        ratios = [line.steps / single[0].steps for line in own]
        yield f"By its own rule {reference} takes {_range(ratios, '.0f')} trainings, where dense training takes one."
    broken = [line for line in lines if line.collapsed]
    if broken:
        yield (
            "Some runs lost a whole layer, so that their output is constant: "
            + _names(broken, with_sparsity=True)
            + "."
        )


def _compared(lines: Sequence[Line], reference: str, cost: str, sparsity: float) -> str:
    base = next(line for line in lines if line.method == reference)
    start = f"{RULES[cost]}, {100 * sparsity:g} % sparse"
    if base.missing:
        return f"{start}: {reference} has no result for every seed, so nothing is compared."
    told = [
        f"{word}: {_names([line for line in lines if line.verdict == verdict])}"
        for verdict, word in (
            ("better", "better"),
            ("worse", "worse"),
            ("not separable", "not separable"),
        )
        if any(line.verdict == verdict for line in lines)
    ]
    value = f"{reference} reaches {100 * base.accuracy.mean:.2f} %"
    return f"{start}, {value}. " + "; ".join(told).capitalize() + "." if told else f"{start}, {value}."


def _names(lines: Sequence[Line], with_sparsity: bool = False) -> str:
    ordered = sorted(lines, key=lambda line: -line.accuracy.mean)
    return ", ".join(
        f"{line.method} at {100 * line.asked:g} %"
        if with_sparsity
        else f"{line.method} ({100 * line.difference.mean:+.2f})"
        for line in ordered
    )


def _range(values: Sequence[float], form: str) -> str:
    low, high = format(min(values), form), format(max(values), form)
    return low if low == high else f"{low} to {high}"


def convex(points: Sequence[Point], reference: str) -> Iterator[str]:
    """For every problem: which solvers found the best objective, which are separable from the reference."""
    for problem in dict.fromkeys(point.problem for point in points):
        design = PROBLEMS[problem]
        here = [point for point in points if point.problem == problem and point.k == design.k and not point.missing]
        if not here:
            continue
        least = min(point.excess.mean for point in here)
        best = [point for point in here if point.excess.mean <= least + 1e-6]
        quickest = min(best, key=lambda point: point.seconds)
        names = ", ".join(point.method for point in best)
        yield (
            f"{problem}, k = {design.k}: closest to the best objectives found {'is' if len(best) == 1 else 'are'} "
            f"{names} ({least:.2f} % above on average); the quickest of these takes {1000 * quickest.seconds:.3g} ms"
            f" ({quickest.method}). {_against(here, reference)}"
        )


def _against(here: Sequence[Point], reference: str) -> str:
    better, worse = ([point.method for point in here if point.verdict == word] for word in ("better", "worse"))
    if not any(point.verdict for point in here):
        return "One data set: differences have no interval."
    parts = [
        f"{word} than {reference}: {', '.join(names)}"
        for word, names in (("better", better), ("worse", worse))
        if names
    ]
    rest = "the others are not separable from it" if parts else f"no solver is separable from {reference}"
    return "; ".join([*parts, rest]).capitalize().replace("Omp", "omp") + "."
