"""The default search for a sparse minimiser of a local model: from the best of several supports, downhill.

>>> Pursuit(rounds=5)
Pursuit(starts=(Magnitude(), Surgeon()), rounds=5, shares=(0.1, 0.03, 0.01), structure=Elements())
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from nets.local_models.surgeon import Surgeon
from sparsopt import catalogue
from sparsopt.fits import Exact, GradientSteps, LineSearch
from sparsopt.judges import WhileDecreasing
from sparsopt.method import Method, Phase, Stage, run
from sparsopt.moves import Gain, Keep, Magnitude, Removal, Score, Swap
from sparsopt.result import Result
from sparsopt.support import Elements, Structure

__all__ = ["Pursuit"]


@dataclass(frozen=True)
class Pursuit:
    """A solver for problems that know a point near which they are good (`here`), as local models do.

    for each of `starts`:  S = its k best at x0;  x = argmin f on S;      go on from the lowest f
    while f falls, at most `rounds` times:  S = the k largest |x - step g|;  x = argmin f on S       (HTP)
    for each of `shares`, while f falls:  share k cheapest out, as many of largest gain in;  x = argmin f on S

    By construction its value is at most that of magnitude and of the surgeon's choice, each refitted: CHITA's guarantee
    over both. CHITA's own search is thresholding with a line search, then coordinate descent and swaps.
    """

    starts: tuple[Score, ...] = (Magnitude(), Surgeon())
    rounds: int = 10
    shares: tuple[float, ...] = (0.1, 0.03, 0.01)
    structure: Structure = Elements()

    @property
    def name(self) -> str:
        return "pursuit"

    def solve(self, problem: Any, k: int, seed: int) -> Result:
        best = min((self._start(by, problem, k, seed) for by in self.starts), key=lambda result: result.state.value)
        longer = Method(self.name, (*best.method.stages, self._thresholding(k), *self._swaps(k)))
        return dataclasses.replace(run(longer, problem, best.state, trace=best.trace), method=self)

    def _start(self, by: Score, problem: Any, k: int, seed: int) -> Result:
        stage = Stage((Phase(Keep(k, by, self.structure), Exact()),))
        return run(Method("start", (stage,)), problem, problem.here(seed))

    def _thresholding(self, k: int) -> Stage:
        stage = catalogue.hard_thresholding(k, GradientSteps(1, LineSearch()), Exact(), self.rounds, self.structure)
        return dataclasses.replace(stage, judge=WhileDecreasing())

    def _swaps(self, k: int) -> list[Stage]:
        sizes = [max(1, int(share * k)) for share in self.shares]
        return [
            Stage((Phase(Swap(m, Removal(), Gain(), self.structure), Exact()),), self.rounds, WhileDecreasing())
            for m in sizes
        ]
