"""The command line of subset sums: `verify` the theorems, `solve` one instance.

    python -m sparsopt subset-sum verify --theorem lueker
    python -m sparsopt subset-sum solve --items 0.5 0.3 -0.2 --target 0.3 --tolerance 0.01

Both configurations are frozen dataclasses; `main` runs either, writes to standard output and returns the exit code.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from sparsopt.subset_sum.solve import solve
from sparsopt.subset_sum.theorems import THEOREMS, Theorem, Verdict


@dataclass(frozen=True)
class Verify:
    """Check the random subset sum theorems by experiment and write a verdict for each (all: some 10 seconds)."""

    theorem: Literal["all", "lueker", "da-cunha", "vectors", "structured", "fixed-size", "quantised"] = "all"
    """The theorem to check."""
    draws: int | None = None
    """Sources drawn; by default each theorem's own number (120 to 400)."""
    seed: int = 0
    """Every draw is a function of (seed, position)."""

    def run(self) -> int:
        holds = True
        for theorem in theorems(self):
            verdict = theorem.verify()
            holds &= verdict.holds
            print(report(verdict) + "\n", flush=True)
        return 0 if holds else 1


@dataclass(frozen=True)
class Solve:
    """Choose some of the items so that their sum is near the target."""

    items: tuple[float, ...]
    """The numbers to choose from."""
    target: float
    """The sum wanted."""
    mode: Literal["best", "any", "smallest", "size"] = "best"
    """Least error; any subset within the tolerance; the fewest items within it; exactly `size` items."""
    tolerance: float = 0.0
    """The error that counts as success."""
    size: int | None = None
    """The number of items, for mode size."""

    def run(self) -> int:
        answer = solve(list(self.items), self.target, self.mode, self.tolerance, self.size)
        chosen = [a for a, taken in zip(self.items, answer.masks, strict=True) if taken]
        print(f"{' + '.join(f'({a:g})' for a in chosen) or '(nothing)'} = {math.fsum(chosen):.17g}")
        print(f"error {float(answer.errors):.3g}: {answer.status.value}")
        return 0 if answer.success else 1


def main(config: Verify | Solve) -> int:
    """Run it; 0 if every verdict holds, or the target was met within the tolerance."""
    return config.run()


def theorems(config: Verify) -> list[Theorem]:
    """The experiments that a configuration asks for."""
    names = list(THEOREMS) if config.theorem == "all" else [config.theorem]
    given = {"seed": config.seed} | ({} if config.draws is None else {"draws": config.draws})
    return [THEOREMS[name](**given) for name in names]


def report(verdict: Verdict) -> str:
    """One verdict as text: the sentence, the claim, what was meant, and every check with its numbers."""
    lines = [verdict.sentence, f"  claim   {verdict.claim}", f"  meaning {verdict.convention}",
             f"  C       {verdict.constant:.3f}, the least that serves the easier cases"]  # fmt: skip
    lines += [f"  {'ok  ' if check.holds else 'FAIL'}    {check.what}: {check.detail}" for check in verdict.checks]
    return "\n".join(lines)
