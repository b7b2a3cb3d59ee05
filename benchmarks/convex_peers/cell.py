"""Cells of the side-by-side: a method on a problem, and the duels between `auto` and the fastest peer as good.

A method has one process for all draws of a problem, so that a package that compiles does it once; a draw that it does
not finish is a row that says so. Peers' results stay valid while our code changes: their sources are their own file
and the judge. What is claimed about time is measured in duels: both methods in one process, in turns.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from benchmarks.convex_peers.process import DIED, LATE, MISSING, REFUSED, ask
from benchmarks.convex_peers.reach import METHOD
from sparsopt.errors import MissingCapability

JUDGE = (
    *(f"benchmarks/convex_peers/{name}.py" for name in ("worker", "referee", "problems")),
    "benchmarks/designs.py",
)
LIBRARY = ("sparsopt/**/*.py", "benchmarks/convex_peers/methods.py", "benchmarks/convex_peers/reach.py")
TRIES = 3  # of a draw on which the process dies: some packages do so now and then


@dataclass(frozen=True)
class Bench:
    """How a process measures. patience: seconds of repetitions; budget: seconds after which it is ended.

    python: its interpreter; versions: of the packages that it has.
    """

    patience: float = 0.3
    budget: float = 60.0
    python: str = sys.executable
    versions: tuple[str, ...] = ()


@dataclass(frozen=True)
class SideCell:
    """A peer on draws of a problem. code: a hash of the file that calls it."""

    problem: str
    method: str
    seeds: tuple[int, ...]
    bench: Bench = Bench()
    code: str = ""

    kind: ClassVar[str] = "side-by-side"
    packages: ClassVar[tuple[str, ...]] = ()
    sources: ClassVar[tuple[str, ...]] = JUDGE

    @property
    def label(self) -> str:
        return f"{self.problem}: {self.method}"

    @property
    def weight(self) -> float:
        return float(len(self.seeds))

    def compute(self, folder: Any, threads: int) -> dict[str, Any]:
        """A row for every seed. Raises `MissingCapability` if the package cannot be imported."""
        rows: dict[int, dict[str, Any]] = {}
        crashes: Counter[int] = Counter()
        while left := [seed for seed in self.seeds if seed not in rows]:
            asked = {"problem": self.problem, "seeds": left, "method": self.method, "patience": self.bench.patience}
            answer = ask(self.bench.python, asked, threads, self.bench.budget)
            if answer.failure.startswith(MISSING):
                raise MissingCapability(answer.failure)
            rows |= {line["seed"]: line for line in answer.lines if "value" in line}
            rows |= _given_up(answer.failure or "no answer", [seed for seed in left if seed not in rows], crashes)
        return {"rows": [{**rows[seed], "seed": seed, "crashes": crashes[seed]} for seed in self.seeds]}

    def records(self, result: Mapping[str, Any]) -> list[dict[str, Any]]:
        """One row of results for every seed."""
        rows = result.get("rows") or [{"seed": seed, "failure": result["failure"]} for seed in self.seeds]
        return [{"problem": self.problem, "method": self.method, **row} for row in rows]


def _given_up(failure: str, missing: Sequence[int], crashes: Counter[int]) -> dict[int, dict[str, Any]]:
    """Rows of the draws that are not tried again: all of them, or the first, which the process ended with, or none."""
    if failure.startswith((LATE, REFUSED)):  # another draw is not quicker, or smaller
        return {seed: {"failure": failure} for seed in missing}
    crashes.update(missing[:1])
    again = failure.startswith(DIED) and all(crashes[seed] < TRIES for seed in missing[:1])
    return {} if again else {seed: {"failure": failure} for seed in missing[:1]}


@dataclass(frozen=True)
class OurCell(SideCell):
    """A method of ours on draws of a problem."""

    kind: ClassVar[str] = "side-by-side, ours"
    sources: ClassVar[tuple[str, ...]] = (*JUDGE, *LIBRARY)


@dataclass(frozen=True)
class Duel:
    """`auto` and a peer in turns on one draw; real data have one draw, and every seed is another process."""

    problem: str
    rival: str
    seed: int
    bench: Bench = Bench()
    code: str = ""

    kind: ClassVar[str] = "side-by-side, duel"
    packages: ClassVar[tuple[str, ...]] = ()
    sources: ClassVar[tuple[str, ...]] = (*JUDGE, *LIBRARY)

    @property
    def weight(self) -> float:
        return 1.0

    @property
    def label(self) -> str:
        return f"{self.problem}, seed {self.seed}: {METHOD} and {self.rival} in turns"

    def compute(self, folder: Any, threads: int) -> dict[str, Any]:
        """The ratio of times, and both."""
        asked = {"problem": self.problem, "seeds": [self.seed], "method": METHOD, "rival": self.rival}
        answer = ask(self.bench.python, {**asked, "patience": self.bench.patience}, threads, self.bench.budget)
        return next((line for line in answer.lines if "ratio" in line), {"failure": answer.failure})

    def records(self, result: Mapping[str, Any]) -> list[dict[str, Any]]:
        """One row."""
        return [{"problem": self.problem, "rival": self.rival, **result, "seed": self.seed}]
