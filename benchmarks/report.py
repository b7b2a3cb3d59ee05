"""One HTML file a run, which needs no network and can be written again from the run's results.

python -m benchmarks report results/digits-lenet-300-100-1a2b3c4d
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from benchmarks import convex, environment, figures, networks, page, reading, results, summary
from benchmarks.cells import digest, write_text
from benchmarks.designs import PROBLEMS
from benchmarks.page import text
from benchmarks.statistics import Interval
from benchmarks.style import FAMILIES
from benchmarks.summary import Line, Point

HTML = "report.html"
CLASSES = {"better": "better", "worse": "worse", "not separable": "none"}


@dataclass(frozen=True)
class Report:
    """Write a run's report again from its results."""

    run: Annotated[Path, tyro.conf.Positional]
    """Folder of the run, results/NAME-HASH."""


def main(config: Report) -> int:
    """Render, and say where."""
    print(f"report: {write(config.run)}")
    return 0


def write(folder: Path) -> Path:
    """report.html and the CSV files of a finished run. Raises DataError where there is none."""
    run, found = results.load(folder)
    for name, records in found.items():
        write_text(folder / f"{name}.csv", results.as_csv(records))
    write_text(folder / HTML, page.page(_title(run, found), _body(run, found)) + _ending(run, found))
    return folder / HTML


def up_to_date(folder: Path) -> Path:
    """The same, but a report that was made of these results by this code stays as it is."""
    with contextlib.suppress(FileNotFoundError):
        if (folder / HTML).read_text().endswith(_ending(*results.load(folder))):
            return folder / HTML
    return write(folder)


def _ending(run: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    """A report's last line: a hash of all that decides what it looks like."""
    code = environment.versions(("matplotlib",)), environment.source_digest(("benchmarks/*.py",))
    return f"<!-- {digest([run, found, *code])} -->\n"


def _title(run: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    if run["configuration"]["panel"] == "convex":
        return "Sparse-constrained solvers compared"
    if _reference(found) != networks.REFERENCE:
        return "Pruning methods compared"
    return "Greedy pruning against iterative magnitude pruning"


def _reference(found: Mapping[str, Any]) -> str:
    return networks.reference([record["method"] for record in found.get("networks", [])])


def _body(run: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[str]:
    reference = _reference(found)
    lines = summary.lines(found.get("networks", []), run["seeds"], reference)
    points = summary.points(found.get("convex", []), convex.REFERENCE)
    yield f"<h1>{text(_title(run, found))}</h1>"
    yield page.paragraph(_lead(run), "lead")
    yield from _failures(run, lines)
    yield page.families(FAMILIES.values())
    yield page.paragraph("One colour is one family of algorithms, on convex functions and on networks alike.", "note")
    if lines:
        yield from _networks(run, lines, reference)
    if points:
        yield from _convex(points)
    yield from _method(run)


def _lead(run: Mapping[str, Any]) -> str:
    machine, count, c = run["machine"], len(run["seeds"]), run["configuration"]
    what = "" if c["panel"] == "convex" else f"{c['model']} on {c['data']}, "
    where = f"{machine['cores']} cores of {machine['processor']}" + (
        f", {machine['accelerator']}" if "accelerator" in machine else ""
    )
    return text(f"{what}{count} seed{'s' * (count > 1)}; {_duration(run['seconds'])} of computing on {where}.")


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} seconds" if seconds < 120 else f"{seconds / 60:.0f} minutes"


def _failures(run: Mapping[str, Any], lines: Sequence[Line]) -> Iterator[str]:
    """What has no result, at the top of the page; lines without all seeds have no mean."""
    if not run["failures"]:
        return
    reasons = [text(f"{_asked(failure['cell'])}: {failure['reason']}") for failure in run["failures"]]
    yield page.paragraph(f"{len(reasons)} runs gave no result. Means over the seeds that are left are refused.", "warn")
    yield page.bullets(reasons)


def _asked(cell: Mapping[str, Any]) -> str:
    names = ("problem", "method", "sparsity", "seed", "trainings")
    return ", ".join(f"{name} {cell[name]}" for name in names if name in cell)


# ---- networks ------------------------------------------------------------------------------------------------------


def _networks(run: Mapping[str, Any], lines: Sequence[Line], reference: str) -> Iterator[str]:
    c = run["configuration"]
    yield "<h2>Networks</h2>"
    yield page.bullets(text(sentence) for sentence in reading.networks(lines, reference))
    if any(not line.missing for line in lines):
        yield page.figure(
            figures.accuracy(lines),
            f"Accuracy of the last step on the {c['part']} split: mean over seeds and its 95 % interval. Equal cost: "
            f"every run trains for as many steps as {c['trainings']:g} trainings of {c['epochs']:g} epochs, which "
            f"a method shares out among its rounds. Own cost: a training has {c['epochs']:g} epochs, and "
            "a method takes as many as it is defined with (imp and its controls one a round). Both axes are "
            "logarithmic in what is left, errors and weights.",
        )
    if any(line.difference.count for line in lines):
        yield page.figure(
            figures.differences(lines, reference),
            f"Difference to {reference}, paired by seed: same initial weights, same batches. Bars are 95 % "
            "intervals of each difference by itself; a filled point is separable after adjusting for all "
            "questions of its table, a hollow one is not.",
        )
    head = ("method", "sparsity", "effective", "kept", "accuracy", f"minus {reference}", *NETWORK_HEAD)
    yield page.table(head, _network_rows(lines), words=1)
    yield page.paragraph(
        f"Accuracy and differences in points, with 95 % intervals. Sparsity is exact: {_counted(lines)}. "
        "Effective: weights that lie on no path from input to output count as removed. Steps, FLOPs (two a "
        "multiply-add, with the masks of their time) and seconds are medians over seeds of everything that was trained "
        "to get there.",
        "note",
    )
    if any(line.unit != "weights" for line in lines):
        yield "<h3>What is left</h3>"
        yield page.table(LEFT_HEAD, _left_rows(lines), words=1)
        yield page.paragraph(
            "A share of the channels is another share of the weights and of the operations of a forward pass, and "
            "none of them is time: weights and FLOPs are theory, milliseconds were measured, for a batch of 64 on this "
            "machine, beside other processes, on the network before and after its channels were taken out. Zeros among "
            "single weights save no time in dense tensors: such methods have nothing to measure here.",
            "note",
        )
    yield "<details><summary>Densities of each layer</summary>"
    names = tuple(dict.fromkeys(name for line in lines for name in line.densities))
    yield page.table(("method", "sparsity", *map(text, names)), _density_rows(lines, names))
    yield "</details>"


def _counted(lines: Sequence[Line]) -> str:
    """What sparsity means on this page."""
    units: dict[str, int] = {}
    for line in lines:
        units.setdefault(line.unit, line.prunable)
    what = {"weights": "prunable weights (convolutions and linear layers; no biases, no normalisation)"}
    told = [f"of {count:,} {what.get(unit, unit)}" for unit, count in units.items()]
    return ", for methods that remove whole channels ".join(told)


LEFT_HEAD = ("method", "sparsity", "of", "weights left", "FLOPs left", "dense ms", "shrunk ms", "seeds")


def _left_rows(lines: Sequence[Line]) -> Iterator[Sequence[str]]:
    for line in lines:
        shares = ["" if math.isnan(x) else f"{100 * x:.2f} %" for x in (line.weights_left, line.flops_left)]
        times = ["" if math.isnan(s) else f"{1000 * s:.3g}" for s in (line.latency, line.latency_left)]
        where = (text(f"{line.method}, {COSTS[line.cost].lower()}"), f"{100 * line.sparsity:.2f} %", line.unit)
        yield (*where, *shares, *times, str(len(line.seeds)))


NETWORK_HEAD = ("verdict", "steps", "FLOPs", "seconds", "seeds")
COSTS = {"equal": "Equal cost", "own": "Own cost"}


def _network_rows(lines: Sequence[Line]) -> Iterator[Sequence[str] | str]:
    place = None
    for line in sorted(
        lines, key=lambda x: (x.cost, x.asked)
    ):  # stable: methods stay in the order of the configuration
        if (line.cost, line.asked) != place:
            place = (line.cost, line.asked)
            yield (
                f"{COSTS[line.cost]}, {100 * line.asked:g} %" if line.asked else f"{COSTS[line.cost]}, nothing removed"
            )
        yield (
            text(line.method),
            f"{100 * line.sparsity:.4f} %",
            "" if math.isnan(line.effective) else f"{100 * line.effective:.4f} %",
            f"{line.kept:,}",
            _refused(line) if line.missing else _points(line.accuracy),
            _points(line.difference, "+"),
            _verdict(line.verdict),
            f"{line.steps:,.0f}",
            "" if math.isnan(line.flops) else f"{line.flops:.3g}",
            f"{line.seconds:.2f}",
            str(len(line.seeds)),
        )


def _refused(line: Line) -> str:
    return f'<span class="worse">refused: no seed {", ".join(map(str, line.missing))}</span>'


def _points(interval: Interval, sign: str = "", scale: float = 100.0) -> str:
    if interval.count == 0:
        return ""
    mean = f"{scale * interval.mean:{sign}.2f}"
    return mean if interval.count == 1 else f"{mean} ± {scale * interval.half:.2f}"


def _verdict(word: str) -> str:
    return f'<span class="{CLASSES[word]}">{word}</span>' if word else ""


def _density_rows(lines: Sequence[Line], names: Sequence[str]) -> Iterator[Sequence[str] | str]:
    for cost in dict.fromkeys(line.cost for line in lines):
        yield COSTS[cost]
        for line in lines:
            if line.cost == cost and line.densities:
                known = line.densities
                shares = [f"{100 * known[name]:.2f} %" if name in known else "" for name in names]
                yield (text(line.method), f"{100 * line.asked:g} %", *shares)


# ---- convex --------------------------------------------------------------------------------------------------------


def _convex(points: Sequence[Point]) -> Iterator[str]:
    yield "<h2>Convex problems</h2>"
    yield page.paragraph(
        "Least squares |y − Xw|² / 2n over vectors with at most k non-zeros. The objective is that of one refit "
        "on the support that a solver returned, by the same code for all."
    )
    yield page.bullets(text(sentence) for sentence in reading.convex(points, convex.REFERENCE))
    for problem in dict.fromkeys(point.problem for point in points):
        here = [point for point in points if point.problem == problem and point.k == PROBLEMS[problem].k]
        yield f"<h3>{text(problem)}</h3>" + page.paragraph(text(PROBLEMS[problem]), "note")
        yield page.figure(
            figures.convex(points, problem),
            "Left: how far the objective is above the best that any of these solvers found, mean over seeds. "
            "Right: the best objective so far of the first seed, against gradients and against seconds; the marks "
            "are where each solver ends after the refit. Scikit-learn's and auto's iterates are not seen.",
        )
        yield page.table(CONVEX_HEAD, _convex_rows(sorted(here, key=lambda point: point.refit)))
    yield page.paragraph(
        f"k is the size at which each problem is looked at closely. Below {convex.REFERENCE}: by how many % the "
        "objective is lower, in logarithms, paired by seed. Found: share of the true support. Gradients count "
        "products with all of X, refits solves on a support; seconds are the best of up to five uncounted runs, "
        "the median over seeds.",
        "note",
    )


CONVEX_HEAD = ("method", "objective", "as returned", "% above best", f"% below {convex.REFERENCE}", "verdict", "found",
               "gradients", "refits", "ms")  # fmt: skip


def _convex_rows(points: Sequence[Point]) -> Iterator[Sequence[str]]:
    for point in points:
        yield (
            text(point.method),
            f"{point.refit:.6g}",
            f"{point.value:.6g}",
            "refused: seeds missing" if point.missing else _points(point.excess, "", 1.0),
            _points(point.gain, "+", 1.0),
            _verdict(point.verdict),
            "" if math.isnan(point.found) else f"{point.found:.0%}",
            f"{point.gradients:,.0f}",
            f"{point.refits:,.0f}",
            f"{1000 * point.seconds:.3g}",
        )


# ---- how -----------------------------------------------------------------------------------------------------------


def _method(run: Mapping[str, Any]) -> Iterator[str]:
    yield "<h2>How this was measured</h2>"
    yield page.bullets(
        (
            "Nothing was selected: no epoch, no hyper-parameter, no seed. Recipes are those of the sources named "
            "below; the accuracy is that of the last step on the test split. A choice, were there one, would be "
            "made on a validation split.",
            "Intervals are Student's t, because bootstrap intervals of a handful of seeds are too narrow. "
            "Differences are paired by seed. “Better” and “worse” hold after Holm's adjustment over all "
            "differences of one table (one rule of cost, or the convex problems together) at 5 %, with at least "
            "three seeds; everything else is “not separable”.",
            "A method whose seeds are not all there is refused a mean.",
            "Seconds are wall time of processes that run side by side, one a core, and include no evaluation; "
            "compare them within this page only.",
        )
    )
    yield page.facts(_facts(run))


def _facts(run: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    c = run["configuration"]
    for name, value in c.items():
        yield name, ", ".join(map(str, value)) if isinstance(value, list) else value
    if c["panel"] != "convex":
        from benchmarks.recipes import setting

        how = setting(c["data"], c["model"])
        yield "recipe", repr(how.recipe)
        yield "recipe's source", how.source
        yield "prunable weights", repr(how.prunable)
    yield "versions", ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    yield "source code", ", ".join(f"{name} {digest}" for name, digest in run["source"].items())
    yield "machine", ", ".join(f"{name}: {value}" for name, value in run["machine"].items())
