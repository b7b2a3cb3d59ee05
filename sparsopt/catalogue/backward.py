"""Shrinking from the full support.

>>> from sparsopt.problems import Quadratic
>>> H = np.array([[1.0, 0.0, 0.7], [0.0, 1.0, 0.7], [0.7, 0.7, 1.0]])  # the third column resembles the first two
>>> problem = Quadratic(H, H @ [1.0, 1.0, 0.0])
>>> result = sparsopt.solve(problem, 2, "backward-elimination")
>>> result.support, result.trace.column("size")
(array([ True,  True, False]), [3, 2])
"""

from __future__ import annotations

from sparsopt.catalogue.names import Entry
from sparsopt.fits import Exact, Fit
from sparsopt.method import Method, Phase, Stage
from sparsopt.moves import Everything, Keep, Removal, Score
from sparsopt.schedules import Decay, Falling, Linear
from sparsopt.support import Elements, Structure, units

__all__ = ["backward_elimination"]


def backward_elimination(
    schedule: Decay | Falling, by: Score = Removal(), fit: Fit = Exact(), structure: Structure = Elements()
) -> Method:
    """Backward elimination: from everything, keep k_r and refit, until the schedule's end is reached.

    S = all, x = argmin f;  for r = 1..R:  S = the k_r coordinates whose removal costs most;  x = argmin f on S

    `Linear(n, k, n - k)` removes one coordinate at a time; `Geometric` with a rate of 20 % is iterative magnitude
    pruning with a warm refit. Needs an f whose unrestricted minimiser means something (n >= p, or a ridge).
    """
    keep = Keep(schedule, by, structure)
    stages = (Stage((Phase(Everything(), fit),)), Stage((Phase(keep, fit),), rounds=schedule.rounds))
    return Method("backward-elimination", stages, "Couvreur, Bresler (2000); classical")


METHODS: dict[str, Entry] = {
    "backward-elimination": lambda k, f: backward_elimination(Linear(units(f), k, units(f) - k)),
}
