"""Where the time goes: training steps, whole runs and several runs at once, as ratios measured in one sitting.

    python -m benchmarks speed                     # LeNet-300-100 on the CPU, three minutes
    python -m benchmarks speed --quick             # the same on a fiftieth of the data: does it run?
    python -m benchmarks speed --all-levels        # no level of the loop by sample is inferred
    python -m benchmarks speed --convolutions      # instead: sparse convolutions on the CPU, a minute and a half
    python -m benchmarks speed --scaling           # instead: what grows with weights, steps and cells, a minute
    python -m benchmarks speed --device cuda       # instead: residual networks on a GPU, less than eight minutes

Every table is one process and one thread, unless it says otherwise, so its seconds are those of the processor: what
else the machine does counts less. The comparison of whole runs is iterative magnitude pruning, 16 levels of 20 %,
2 epochs each; what it is compared with is in `peers.py`.

On MNIST and one core of an AMD EPYC with AVX-512, one seed: the loop by sample takes 123 s, the resident one 32 s,
`explicit`, without a compiler, 15.8 s (7.8 times as fast as by sample), `auto` 6.9 s (18 times; 36 times in the
levels at 10 % density and below). Eight seeds on two such cores go 1.97 times as fast as on one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from benchmarks import cells, environment


@dataclass(frozen=True)
class Speed:
    """Time training steps, whole pruning runs and several at once."""

    quick: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """A fiftieth of the data, three levels: a test that everything runs."""
    all_levels: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Time every level of the loop by sample too, which takes minutes."""
    convolutions: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Measure sparse convolutions instead: the layers of ResNet-20, and its training step."""
    scaling: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Measure what grows with weights, steps and cells instead, and how fast."""
    seeds: int = 8
    """Runs at once."""
    jobs: int = 0
    """Processes for these. Default: one a core."""
    device: str = ""
    """Measure residual networks on this device instead: cuda, or cpu with --quick to see that it runs."""
    budget: float = 450.0
    """Seconds that --device may take; rows that no longer fit are skipped, and the table says so."""
    out: Path = Path("results/speed")
    """Folder for the numbers as JSON."""


def main(config: Speed) -> int:
    """Measure, print, write."""
    if config.device:
        return on_device(config)
    if config.convolutions:
        return of_convolutions(config)
    if config.scaling:
        return of_scaling(config)
    import torch

    from benchmarks.speed import imp, pipeline, replicas, report, steps

    torch.set_num_threads(1)
    share, levels, epochs = (0.02, 3, 1) if config.quick else (1.0, 16, 2)
    data, engines = imp.images(share), _engines()
    by_density = list(steps.table(data, tuple(engines), 5 if config.quick else 40, 2 if config.quick else 5))
    report.steps(by_density)
    for engine in engines.values():
        imp.ours(imp.images(0.005), engine, 2, 1)  # compiles
    runs = [imp.ours(data, engine, levels, epochs) for engine in dict.fromkeys(engines.values())]
    runs.append(imp.plain(data, "resident", levels, epochs, levels))
    runs.append(imp.plain(data, "by sample", levels, epochs, levels if config.all_levels else 1))
    sample = pipeline.microseconds(pipeline.samples(data), 200 if config.quick else 2000)
    report.runs(runs, sample)
    jobs = config.jobs or environment.cores()
    rates = replicas.throughput(share, levels, epochs, list(engines.values())[-1], config.seeds, jobs)
    report.replicas(rates, config.seeds, jobs)
    cells.write(config.out / "speed.json", _content(by_density, runs, rates, jobs) | {"microseconds a sample": sample})
    return 0


def of_convolutions(config: Speed) -> int:
    """Sparse convolutions against dense ones."""
    from benchmarks.speed import convolutions

    convolutions.report(config.quick, config.out)
    return 0


def of_scaling(config: Speed) -> int:
    """Costs by size, with slopes."""
    from benchmarks.speed import scaling

    scaling.report(config.quick, config.out)
    return 0


def on_device(config: Speed) -> int:
    """The table of residual networks on a device: numbers as JSON, a figure, and what was skipped."""
    from benchmarks.speed import cuda, cuda_report

    bench = cuda.Bench(config.device, cuda.TINY if config.quick else cuda.Sizes())
    print(cuda_report.plan(list(cuda.rows(bench)), config.budget))
    found = cuda.measured(bench, config.budget, said=lambda line: print(line, flush=True))
    machine = environment.machine(config.device)
    where = str(machine.get("accelerator", machine["processor"]))
    cuda_report.tables(found, where, bench.data.name)
    written = {"rows": found, "machine": machine, "data": bench.data.name, "sizes": cells.fields(bench.sizes)}
    versions = environment.versions(("numpy", "torch"))
    cells.write(config.out / f"{config.device}.json", written | {"versions": versions, "budget": config.budget})
    cuda_report.figure(found, where, config.out / f"{config.device}.svg")
    return 0


def _engines() -> dict[str, str]:
    """Engine for single steps -> engine for whole runs."""
    try:
        import numba  # noqa: F401
    except ImportError:
        return {"dense": "dense", "explicit": "explicit"}
    return {"dense": "dense", "explicit": "explicit", "skipping": "auto", "sparse": "auto"}


def _content(by_density: list[Any], runs: list[Any], rates: tuple[float, float], jobs: int) -> dict[str, Any]:
    return {
        "milliseconds": {f"{density:g}": row for density, row in by_density},
        "seconds": {run.name: {"levels": list(run.levels), "timed": run.timed} for run in runs},
        "runs a second": {"1 process": rates[0], f"{jobs} processes": rates[1]},
        "machine": environment.machine(),
        "versions": environment.versions(("numpy", "torch")),
    }
