"""Published claims, run again: what a paper says, what was measured here, and the verdict.

    python -m benchmarks reproduce                                    # the targets, and what is on record
    python -m benchmarks reproduce lenet-tickets --seeds 5
    python -m benchmarks reproduce resnet-20-retraining --device cuda
    python -m benchmarks reproduce resnet-20-retraining --budgeted    # fewer epochs, for two cores: orders only

A target is an entry of `mnist.py`, `masks.py`, `extrusion.py` or `cifar.py`: arms, claims, recipe, source. A verdict is
*reproduced*, *not reproduced* or *not separable*, from the 95 % interval over seeds; every claim has its own interval,
so of twenty true claims one may fall outside. How long it will take is said before it starts; what was finished is
found again. `--record` keeps a finished run in `benchmarks/results/`: seeds, versions and machine.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from benchmarks import cells, environment
from benchmarks.cells import Failure, Store
from benchmarks.reproduce import channels, cifar, estimate, extrusion, masks, mnist, report
from benchmarks.reproduce.target import Target
from benchmarks.runner import commands, execute
from benchmarks.where import Here, Where
from sparsopt.errors import InvalidInput
from sparsopt.names import lookup

ROOMS = (mnist, masks, extrusion, cifar, channels)
TARGETS: dict[str, Target] = {target.name: target for room in ROOMS for target in room.TARGETS}
RECORDS = Path(__file__).resolve().parent.parent / "results"


@dataclass(frozen=True)
class Reproduce:
    """Run published claims again, and say which hold. Without a target: list them."""

    targets: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Names of targets, or all."""
    seeds: int = 0
    """Runs of each arm, with seeds 0, 1, ... Default: the target's."""
    epochs: float = 0.0
    """Length of one training instead of the target's: the report says that it was changed."""
    budgeted: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """The target's version for two cores: fewer epochs, claims about orders only."""
    record: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Keep the result in benchmarks/results/."""
    where: Here = Where()
    """Where to compute."""


def main(config: Reproduce) -> int:
    """0, or 1 if a cell failed. A claim that is not reproduced is a result, not a failure."""
    if not config.targets:
        report.listing(TARGETS.values(), RECORDS)
        return 0
    names = tuple(TARGETS) if config.targets == ("all",) else config.targets
    chosen = [asked(lookup(TARGETS, name, "target"), config) for name in names]
    return max(run(target, config) for target in chosen)


def asked(target: Target, config: Reproduce) -> Target:
    """The target as the command line changes it."""
    if config.seeds < 0 or config.epochs < 0:
        raise InvalidInput("seeds and epochs must be positive, or 0 for the target's own")
    if config.budgeted:
        target = target.budgeted()
    if config.epochs:
        target = dataclasses.replace(target, epochs=config.epochs, shortened=True)
    return dataclasses.replace(target, seeds=config.seeds or target.seeds)


def run(target: Target, config: Reproduce) -> int:
    """Compute what is missing, write the result, print it."""
    import nets

    where, store, jobs = config.where, config.where.store, config.where.resolved_jobs()
    members = target.cells(range(target.seeds), where.device)
    todo = [cell for _, cell in members if store.find(cell) is None]
    if todo:
        nets.data.load(target.data)  # refuse before anything runs
    if where.print_commands:
        print("\n".join(commands(todo, store)))
        return 0
    if todo:
        report.announce(target, len(members), len(todo), jobs, estimate.seconds(todo, jobs))
    failures = execute([cell for _, cell in members], store, jobs, target.name, where.scheduler)
    found = collect(target, members, store, failures, where.device)
    folder = where.out / f"reproduce-{target.name}{'-short' if target.shortened else ''}"
    cells.write(folder / "result.json", found)
    report.show(target, found)
    print(f"report: {report.write(target, found, folder)}")
    if config.record and not failures:
        cells.write(RECORDS / f"{target.name}{'-short' if target.shortened else ''}.json", found)
    return 1 if failures else 0


def collect(
    target: Target, members: Sequence[tuple[str, Any]], store: Store, failures: Sequence[Failure], device: str
) -> dict[str, Any]:
    """A finished run as JSON: every number of every seed, the verdicts, and where they come from."""
    records: dict[str, dict[int, Any]] = {}
    for arm, cell in members:
        result = store.find(cell)
        if result is not None:
            records.setdefault(arm, {})[cell.seed] = {**result, "collapsed": float(bool(result["collapsed"]))}
    claims = [(claim, claim.measure(records)) for claim in target.claims]
    first = members[0][1]
    return {
        "target": target.name,
        "shortened": target.shortened,
        "epochs": target.epochs,
        "recipe": repr(target.recipe),
        "seeds": list(range(target.seeds)),
        "arms": {arm: {str(seed): _kept(record) for seed, record in by.items()} for arm, by in records.items()},
        "claims": [
            {"says": claim.says, "measured": [m.mean, m.low, m.high, m.count], "verdict": claim.verdict(m)}
            for claim, m in claims
        ],
        "failures": [{"cell": cells.fields(failure.cell), "reason": failure.reason} for failure in failures],
        "machine": environment.machine(device),
        **store.provenance(first),
    }


def _kept(record: dict[str, Any]) -> dict[str, Any]:
    names = ("accuracy", "sparsity", "kept", "prunable", "steps", "seconds", "samples", "collapsed")
    return {name: record[name] for name in names}
