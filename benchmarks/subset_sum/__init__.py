"""Random subset sums: figures A to F and the throughput table.

    python -m benchmarks subset-sum                                    everything, about 3 minutes on one core
    python -m benchmarks subset-sum --figures F --peer LT-existence    only the speed, with a public code beside ours

What it reaches: the transition, thresholds and tails of the published theorems (A-D, all over independent source
draws with Clopper-Pearson or bootstrap intervals), whole random networks over seeds (E), and instances a second with
ratios measured in one run (F). `results.json` keeps every number, `summary.md` the tables.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.subset_sum import curves, figures, networks, throughput


@dataclass(frozen=True)
class Config:
    """Figures and tables of the random subset sum solvers."""

    out: Path = Path("results/subset-sum")
    """Folder for the figures, results.json and summary.md."""
    figures: str = "ABCDEF"
    """Which to make: any of the letters A B C D E F."""
    draws: int = 400
    """Sources drawn for A, B and D (C takes 250 times as many, of one target each)."""
    seeds: int = 10
    """Networks drawn for E."""
    seconds: float = 1.0
    """Time given to each point of F."""
    peer: Path | None = None
    """A checkout of RelationalML/LT-existence, to time its search beside ours; skipped when absent."""
    weights: int = 397_000
    """Weights of the whole network of F; the default is that of 784-500-10."""
    seed: int = 0
    """Every draw is a function of (seed, position)."""


def main(config: Config) -> int:
    """Make the figures asked for and write what was measured."""
    config.out.mkdir(parents=True, exist_ok=True)
    data: dict[str, Any] = {"config": {key: str(value) for key, value in asdict(config).items()}}
    for letter, parts in _parts(config).items():
        for name, make in parts.items() if letter in config.figures.upper() else ():
            start = time.perf_counter()
            data[name] = make()
            print(f"{letter}  {name}: {time.perf_counter() - start:.1f} s", flush=True)
    (config.out / "results.json").write_text(json.dumps(data, indent=1))
    (config.out / "summary.md").write_text(summary(data))
    made = figures.draw(data, config.out)
    print(summary(data) + "\n" + "\n".join(str(path) for path in made))
    return 0


def _parts(config: Config) -> dict[str, dict[str, Callable[[], Any]]]:
    """What each letter measures."""
    peer = config.peer if config.peer is not None and config.peer.exists() else None
    draws, seed = config.draws, config.seed
    return {
        "A": {"all targets": lambda: curves.all_targets(draws, seed)},
        "B": {"thresholds": lambda: curves.thresholds(draws, seed)},
        "C": {"tails": lambda: curves.tails(250 * draws, seed)},
        "D": {"dimensions": lambda: curves.dimensions(draws, seed)},
        "E": {"networks": lambda: networks.study(config.seeds)},
        "F": {
            "throughput": lambda: throughput.throughput(config.seconds, peer, seed),
            "agreement": lambda: throughput.agreement(peer, 300, seed),
            "miss rates": lambda: throughput.miss_rates(250 * draws, seed),
            "whole network": lambda: throughput.whole_network(seed, config.weights),
        },
    }


def summary(data: dict[str, Any]) -> str:
    """The tables as Markdown."""
    lines = ["# Random subset sums", ""]
    if "throughput" in data:
        lines += ["Instances a second on one core; times = over the plain exhaustive search at the same n.", ""]
        lines += _speed_table(data["throughput"])
        whole = data["whole network"]
        lines += ["", f"{whole['weights']:,} weights at n = {whole['n']}, best: {whole['seconds']:.1f} s CPU, "
                  f"median error {whole['median error']:.1e}, {whole['missed']} beyond .01."]  # fmt: skip
        lines += [f"Misses ({row['law']}): {row['missed']:,} of {row['draws']:,}; published {row['published']:,} of "
                  "100,000." for row in data["miss rates"]]  # fmt: skip
        lines += [f"Disagreements with the {name} search on 300 instances: {count}."
                  for name, count in data["agreement"].items()]  # fmt: skip
    for row in {row["law"]: row for row in data.get("tails", ())}.values():
        lines += [f"Tail ({row['law']}): failures fall by e^-{row['rate']:.2f} an item."]
    for row in data.get("dimensions", ()):
        lines += [f"d = {row['d']}: n50 = {row['n']:.1f} [{row['low']:.1f}, {row['high']:.1f}], "
                  f"predicted {row['predicted']:.1f}."]  # fmt: skip
    return "\n".join(lines) + "\n"


def _speed_table(rows: list[dict[str, Any]]) -> list[str]:
    plain = {row["n"]: row["rate"] for row in rows if row["method"].startswith("plain")}
    lines = ["| method | tolerance | n | instances/s | times |", "|---|---|---|---|---|"]
    for row in rows:
        times = f"{row['rate'] / plain[row['n']]:.3g}" if row["n"] in plain else ""
        lines.append(f"| {row['method']} | {row['tolerance']:g} | {row['n']} | {row['rate']:,.0f} | {times} |")
    return lines
