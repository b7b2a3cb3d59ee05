"""A theorem as an experiment: what it claims, how it draws, and how the claim meets the draws.

The theorems say "n >= C g(case) items suffice with probability 1 - delta", with a constant C that the papers leave
open. So C is fitted on the first half of the draws and on all cases *but the last and hardest*, as the smallest that
serves those; the claim is then tested on the second half of the draws, in every case at n = C g(case): the upper
Clopper-Pearson limit of the failures must not exceed delta. A g that grows too slowly fails in the last case.
Where C g exceeds the largest n tried, that n is tested: a prefix that succeeds proves success of what extends it.
The failures of every n are also set against the Poisson predictor of `predict`, which solves nothing.

The unit of replication is one draw of a source; larger n are longer prefixes of the same draw; every miss counts.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from sparsopt.subset_sum.statistics import clopper_pearson

Floats = NDArray[np.float64]
SPARE = 5  # the constant is fitted where failures are this many times rarer than claimed
PREDICTOR = 1.5  # what the saddlepoint intensity may be off by, as a factor of the failure probability


@dataclass(frozen=True)
class Row:
    """Failures at one case and n among the draws that tested (or, before the constant, all draws)."""

    case: str
    n: int
    failures: int
    draws: int
    low: float
    high: float
    predicted: float


@dataclass(frozen=True)
class Check:
    """One thing that had to hold, and the numbers that decided."""

    what: str
    holds: bool
    detail: str


@dataclass(frozen=True)
class Verdict:
    """The outcome of one theorem's experiment; `convention` fixes what error and which targets were meant."""

    theorem: str
    claim: str
    convention: str
    constant: float
    rows: tuple[Row, ...]
    checks: tuple[Check, ...]

    @property
    def holds(self) -> bool:
        return all(check.holds for check in self.checks)

    @property
    def sentence(self) -> str:
        failed = [check.what for check in self.checks if not check.holds]
        return f"{self.theorem}: " + ("consistent with the claim" if not failed else "NOT met: " + "; ".join(failed))


@dataclass(frozen=True)
class Theorem:
    """Base of the theorems: subclasses say what is claimed, what is drawn, and which errors come out.

    draws  sources drawn (the first half fits the constant, the second tests it)
    delta  the failure probability that the claim allows
    """

    draws: int = 400
    delta: float = 0.1
    seed: int = 0

    name: ClassVar[str] = ""
    claim: ClassVar[str] = ""
    convention: ClassVar[str] = ""
    dense: ClassVar[int] = 10  # the predictor is compared from this n on: fewer items have no density to speak of

    def cases(self) -> tuple[Hashable, ...]:
        """The parameters the one constant has to serve: epsilon, or (d, epsilon), or M; the hardest last."""
        raise NotImplementedError

    def sizes(self, case: Hashable) -> tuple[int, ...]:
        """The n tried, ascending."""
        raise NotImplementedError

    def scale(self, case: Hashable) -> float:
        """g(case): the n that the theorem asks for at C = 1."""
        raise NotImplementedError

    def errors(self, case: Hashable) -> Floats:
        """The error of every draw at every size, (draws, len(sizes))."""
        raise NotImplementedError

    def tolerance(self, case: Hashable) -> float:
        """The error that counts as success."""
        raise NotImplementedError

    def predicted(self, case: Hashable, n: int) -> float:
        """The failure probability that the Poisson predictor gives; nan where there is none."""
        return math.nan

    def label(self, case: Hashable) -> str:
        return f"epsilon = {case}"

    def checks(self) -> tuple[Check, ...]:
        """What else must hold for this theorem."""
        return ()

    def verify(self) -> Verdict:
        """Run the experiment."""
        constant = max(self._suffices(case) / self.scale(case) for case in self.cases()[:-1])
        tests = tuple(self._test(case, constant) for case in self.cases())
        rows = tuple(self.row(case, n) for case in self.cases() for n in self.sizes(case))
        return Verdict(
            self.name, self.claim, self.convention, constant, rows, (*tests, *self._predictor(rows), *self.checks())
        )

    def failed(self, case: Hashable, n: int) -> NDArray[np.bool_]:
        """Which draws fail at n, (draws,)."""
        return self.errors(case)[:, self.sizes(case).index(n)] > self.tolerance(case)

    def row(self, case: Hashable, n: int) -> Row:
        failures = int(self.failed(case, n).sum())
        low, high = clopper_pearson(failures, self.draws)
        predicted = self.predicted(case, n) if n >= self.dense else math.nan
        return Row(self.label(case), n, failures, self.draws, low, high, predicted)

    def _suffices(self, case: Hashable) -> float:
        """The least n from which on the fitting draws fail SPARE times less often than claimed."""
        half = self.draws // 2
        enough = [self.failed(case, n)[:half].mean() <= self.delta / SPARE for n in self.sizes(case)]
        late = [n for k, n in enumerate(self.sizes(case)) if all(enough[k:])]
        return late[0] if late else math.inf

    def _test(self, case: Hashable, constant: float) -> Check:
        """The claim at n = C g(case), on the draws that did not fit C."""
        wanted = constant * self.scale(case)
        what = f"success >= {1 - self.delta:g} at n = C g, {self.label(case)}"
        if not math.isfinite(wanted):
            return Check(what, False, f"no n up to {self.sizes(case)[-1]} sufficed in the fitting draws")
        n = next((n for n in self.sizes(case) if n >= wanted - 1e-9), self.sizes(case)[-1])
        test = self.failed(case, n)[self.draws // 2 :]
        high = clopper_pearson(int(test.sum()), len(test))[1]
        found = f"C g = {wanted:.1f}, n = {n}: {test.sum()} of {len(test)} failed, upper limit {high:.3f}"
        return Check(what, high <= self.delta, found)

    def _predictor(self, rows: Sequence[Row]) -> tuple[Check, ...]:
        """The predictor within the 99.9 % interval of the failures, widened by its own known inaccuracy."""
        known = [row for row in rows if math.isfinite(row.predicted) and 1e-3 < row.predicted < 0.9]
        if not known:
            return ()
        off = [row for row in known if not _compatible(row)]
        worst = "; ".join(
            f"{row.case} n = {row.n}: {row.failures / row.draws:.3f} against {row.predicted:.3f}" for row in off
        )
        return (Check("the Poisson predictor agrees", not off, worst or f"at all {len(known)} cases and sizes"),)


def _compatible(row: Row) -> bool:
    low, high = clopper_pearson(row.failures, row.draws, 0.999)
    return low / PREDICTOR <= row.predicted <= high * PREDICTOR
