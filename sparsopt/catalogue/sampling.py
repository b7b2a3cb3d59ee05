"""Randomised sparsification of a dense minimiser.

>>> from sparsopt.problems import Quadratic
>>> problem = Quadratic(np.eye(4), np.array([4.0, 3.0, 2.0, 1.0]))
>>> x = sparsopt.solve(problem, 2, "randomised", seed=1).x             # two draws: each stands for half of |w|_1
>>> float(abs(x).sum()), int(np.count_nonzero(x)) <= 2
(10.0, True)
"""

from __future__ import annotations

from sparsopt.catalogue.names import SSZ, Entry
from sparsopt.fits import Average, Exact
from sparsopt.method import Method, Phase, Stage
from sparsopt.moves import Everything, Sample

__all__ = ["randomised"]


def randomised(k: int) -> Method:
    """Randomised sparsification: k draws j ~ |w_j| from a dense minimiser w, averaged (unbiased), then nothing more.

    w = argmin f;  j_1..j_k ~ |w_j|/|w|_1;  x = (|w|_1/k) sum_i sign(w_{j_i}) e_{j_i};  |S| <= k

    Quadratic f: E f(x) - f(w) = (|w|_1 sum_j |w_j| H_jj - w'Hw) / (2k) exactly; k >= beta |w|_1^2 / (2 eps) suffices.
    """
    stages = (Stage((Phase(Everything(), Exact()),)), Stage((Phase(Sample(k), Average(k)),)))
    return Method("randomised", stages, f"{SSZ}, section 2.1*")


METHODS: dict[str, Entry] = {"randomised": lambda k, f: randomised(k)}
