"""All theorems on random instances: how often they apply, whether they hold, how close they come.

>>> row = verify(instances=10, seed=1, theorems=[FrankWolfeRate()])[0]
>>> row.applied, row.violations
(10, 0)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sparsopt.guarantees.base import Theorem, Verdict
from sparsopt.guarantees.certified import CertifiedGap
from sparsopt.guarantees.forward import FrankWolfeRate, FullyCorrectiveL1, FullyCorrectiveRate
from sparsopt.guarantees.recovering import ExactRecovery, UnitRecovery
from sparsopt.guarantees.sampling import RandomisedIdentity
from sparsopt.guarantees.stepwise import StepwiseRatio
from sparsopt.guarantees.swaps import ReplacementRate, ReplacementRecovery
from sparsopt.guarantees.thresholding import HardThresholding, PursuitDescent, ThresholdingDescent, ThresholdingRate

__all__ = ["THEOREMS", "Row", "table", "verify"]

THEOREMS: tuple[Theorem, ...] = (
    RandomisedIdentity(),
    FullyCorrectiveRate(),
    FullyCorrectiveL1(),
    FrankWolfeRate(),
    ReplacementRate(),
    ReplacementRecovery(),
    ThresholdingDescent(),
    PursuitDescent(),
    HardThresholding(),
    ExactRecovery(),
    UnitRecovery(),
    StepwiseRatio(),
    ThresholdingRate(),
    CertifiedGap(),
)


@dataclass(frozen=True)
class Row:
    """One theorem: instances tried, those that met its assumptions, violations (the tight instance included), the
    verdict that came closest, and the one on the instance on which the bound is known to be (nearly) met."""

    theorem: Theorem
    instances: int
    applied: int
    violations: int
    closest: Verdict | None
    tight: Verdict | None = None


def verify(instances: int = 100, seed: int = 0, theorems: Sequence[Theorem] = THEOREMS) -> list[Row]:
    """Each theorem on `instances` random instances; instance i is a function of (seed, i)."""
    return [_row(theorem, instances, seed) for theorem in theorems]


def _row(theorem: Theorem, instances: int, seed: int) -> Row:
    tried = (theorem.instance(seed * 1_000_000 + i) for i in range(instances))
    verdicts = [verdict for verdict in tried if verdict is not None]
    tight = theorem.tight()
    broken = [verdict for verdict in (*verdicts, tight) if verdict is not None and verdict.violated]
    meaningful = broken or [verdict for verdict in verdicts if verdict.promised > verdict.rounding]
    closest = max(meaningful, key=lambda verdict: verdict.ratio, default=None)
    return Row(theorem, instances, len(verdicts), len(broken), closest, tight)


LEGEND = (
    "tightest: the largest achieved / promised; 1 is a bound that is met with equality. built: the same on an\n"
    "instance that was made to come close"
)


def table(rows: Sequence[Row]) -> str:
    """The rows as text."""
    lines = [f"{'':5} {'instances':>9} {'applied':>8} {'violations':>10} {'tightest':>9} {'built':>7}  statement"]
    for row in rows:
        tightest, built = ("-" if v is None else f"{v.ratio:.4f}" for v in (row.closest, row.tight))
        how = "" if row.theorem.proof.name == "DERIVED" else f" [{row.theorem.proof.name.lower()}]"
        lines.append(
            f"{row.theorem.name:5} {row.instances:9} {row.applied:8} {row.violations:10} {tightest:>9} {built:>7}  "
            f"{row.theorem.statement}{how}"
        )
    return "\n".join([*lines, LEGEND])
