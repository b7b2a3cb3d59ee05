"""Who finds the answer of the hard instances: every method on every instance, over seeds and sizes.

A seed gives the columns another order and other signs, and is the methods' own. Where a proof says that a method fails,
or does not, the count has to agree.

>>> row = recovery(seeds=2, cases={"decoys": lambda seed: decoys(3, seed=seed)}, methods=("auto", "omp"))
>>> [(cell.found, cell.proved) for cell in row["decoys"].values()]
[(2, None), (0, False)]

`python -m sparsopt hard` prints the table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sparsopt import catalogue
from sparsopt.hard_instances import HardInstance, coherent_triples, decoys, diagonal, diagonal_start, sharp, sharp_below
from sparsopt.moves import Gradient
from sparsopt.solvers import SOLVERS, solve

__all__ = ["CASES", "LARGE", "METHODS", "Cell", "recovery", "table"]

Make = Callable[[int], HardInstance]

CASES: dict[str, Make] = {
    "diagonal p=51 k=3": lambda seed: diagonal(3, 16.0, seed=seed),
    "diagonal p=410 k=10": lambda seed: diagonal(10, 40.0, seed=seed),
    "decoys p=30 k=6": lambda seed: decoys(6, 24, seed=seed),
    "decoys p=206 k=6": lambda seed: decoys(6, 200, seed=seed),
    "decoys p=120 k=20": lambda seed: decoys(20, 100, seed=seed),
    "triples p=9 k=6": lambda seed: coherent_triples(3, seed=seed),
    "triples p=90 k=60": lambda seed: coherent_triples(30, seed=seed),
    "sharp p=5 k=4": lambda seed: sharp(4, seed=seed),
    "sharp p=101 k=100": lambda seed: sharp(100, seed=seed),
    "sharp-below p=101 k=100": lambda seed: sharp_below(100, seed=seed),
    "start p=70 k=67": lambda seed: diagonal_start(2, 6.0, seed=seed),
}
LARGE: dict[str, Make] = {
    "decoys p=506 k=6": lambda seed: decoys(6, 500, seed=seed),
    "decoys p=2006 k=6": lambda seed: decoys(6, 2000, seed=seed),
    "decoys p=2020 k=20": lambda seed: decoys(20, 2000, seed=seed),
    "triples p=600 k=400": lambda seed: coherent_triples(200, seed=seed),
}
PLAIN: dict[str, Callable[[int], Any]] = {
    "omp, by gradient": lambda k: catalogue.omp(k, by=Gradient()),
    "iht, 1/L": catalogue.iht,
    "niht, plain": catalogue.niht,
    "htp, 1/L": catalogue.htp,
}
METHODS = (
    *("auto", "omp", "ols", "forward-greedy", "foba", "replacement", "best-swap", "splicing", "oscillation"),
    *("cosamp", "subspace-pursuit", "iht", "niht", "htp", *PLAIN),
)
FAST = ("auto", "omp", "replacement", "splicing", "cosamp", "htp")  # for instances that are large


@dataclass(frozen=True)
class Cell:
    """In how many of the seeds f came down to the target; proved: whether a proof says that it does, or does not."""

    found: int
    seeds: int
    proved: bool | None

    @property
    def agrees(self) -> bool:
        """Whether that is what is proved."""
        return self.proved is None or self.found == (self.seeds if self.proved else 0)

    def __str__(self) -> str:
        mark = {None: "", True: "+", False: "-"}[self.proved]
        return f"{self.found}{mark}{'' if self.agrees else ' WRONG'}"


def recovery(
    seeds: int = 20, cases: Mapping[str, Make] = CASES, methods: Sequence[str] = METHODS
) -> dict[str, dict[str, Cell]]:
    """For each case and method the count over seeds 0, 1, ..."""
    return {case: {method: _cell(make, method, seeds) for method in methods} for case, make in cases.items()}


def _cell(make: Make, name: str, seeds: int) -> Cell:
    found, proved = 0, None
    for seed in range(seeds):
        hard = make(seed)
        method = _built(name, hard)
        proved = True if method in hard.succeeds else False if method in hard.fails else None
        run = (
            hard.run(method) if name in catalogue.METHODS or name in PLAIN else solve(hard.problem, hard.k, name, seed)
        )
        found += hard.solved(run.x)
    return Cell(found, seeds, proved)


def _built(name: str, hard: HardInstance) -> Any:
    if name in PLAIN:
        return PLAIN[name](hard.k)
    return catalogue.METHODS[name](hard.k, hard.problem) if name in catalogue.METHODS else SOLVERS[name]


def table(rows: Mapping[str, Mapping[str, Cell]]) -> str:
    """Methods down, instances across."""
    seeds = max(cell.seeds for row in rows.values() for cell in row.values())
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    lines = [f"| recovered of {seeds} | " + " | ".join(rows) + " |", "|---|" + "---|" * len(rows)]
    lines += [f"| {name} | " + " | ".join(str(row.get(name, "")) for row in rows.values()) + " |" for name in names]
    return "\n".join(
        [*lines, "- a proof says that it fails, + that it does not; by gradient, 1/L, plain: in the columns' units"]
    )
