"""Finding a support by thresholding, and refitting on it: HTP, CoSaMP, subspace pursuit.

As in `thresholding`, the functions step by one length and compare |x_j|; by name they run in units of curvature 1.

>>> from sparsopt.problems import Quadratic
>>> H = np.array([[1.0, 0.0, 0.7], [0.0, 1.0, 0.7], [0.7, 0.7, 1.0]])  # the third column resembles the first two
>>> problem = Quadratic(H, H @ [1.0, 1.0, 0.0])
>>> sparsopt.solve(problem, 2, "cosamp").support                       # all three come in, the weakest goes
array([ True,  True, False])
"""

from __future__ import annotations

from sparsopt.catalogue.names import Entry, own_size, own_units
from sparsopt.catalogue.thresholding import hard_thresholding
from sparsopt.fits import (
    Exact,
    GradientSteps,
    InverseSmoothness,
    StepSize,
)
from sparsopt.judges import Judge, WhileDecreasing
from sparsopt.method import Method, Phase, Stage
from sparsopt.moves import Add, Gain, Gradient, Keep, Magnitude, Score

__all__ = ["cosamp", "htp", "partial_hard_thresholding", "subspace_pursuit"]


def htp(
    k: int,
    step_size: float | StepSize = InverseSmoothness(),
    rounds: int = 200,
    judge: Judge | None = None,
    by: Score = Magnitude(),
) -> Method:
    """Hard thresholding pursuit (GraHTP for general f): a gradient step chooses S, the weights are refitted on it.

    repeat:  S = support of H_k(x - step g);  x = argmin f on S      until S repeats

    With step <= 1/L, f decreases until S repeats; with longer steps supports can cycle. By name the step is 1/h_j, the
    source's step 1 on columns of norm 1: far longer than 1/L where columns are many. Least squares, step 1: recovery
    if delta_{3s} < 1/sqrt(3)* (Foucart 2011), delta_{2s} < 0.3780 (Xie 2023).
    """
    stage = hard_thresholding(k, GradientSteps(1, step_size), Exact(), rounds, by=by)
    return Method("htp", (Stage(stage.phases, rounds, judge),), "Foucart (2011); Yuan, Li, Zhang (2018)")


def cosamp(
    k: int,
    rounds: int = 200,
    judge: Judge | None = WhileDecreasing(),
    by: Score = Gain(),
    keep: Score = Magnitude(),
) -> Method:
    """CoSaMP; for general f gradient support pursuit (GraSP).

    repeat:  T = S + the 2k largest gains;  b = argmin f on T;  S = the k largest |b|;  x = argmin f on S
             stop unless f fell

    Least squares: recovery if delta_{4k} < 1/2 (Song, Xia, Liu 2013; the source asked for 0.1). The source keeps b_S
    without the last refit, and runs a fixed number of rounds.
    """
    stage = Stage((Phase(Add(2 * k, by), Exact()), Phase(Keep(k, keep), Exact())), rounds=rounds, judge=judge)
    return Method("cosamp", (stage,), "Needell, Tropp (2009); Bahmani, Raj, Boufounos (2013)")


def subspace_pursuit(
    k: int,
    rounds: int = 200,
    judge: Judge | None = WhileDecreasing(),
    by: Score = Gain(),
    keep: Score = Magnitude(),
) -> Method:
    """Subspace pursuit: k candidates join the k members, and the k largest of the refit stay.

    S = the k largest gains at 0, refit
    repeat:  T = S + the k largest gains;  b = argmin f on T;  S = the k largest |b|;  x = argmin f on S
             stop unless f fell

    Least squares: recovery if delta_{3k} < 0.4859 (Song, Xia, Liu 2013).
    """
    grow = Phase(Add(k, by), Exact())
    stages = (Stage((grow,)), Stage((grow, Phase(Keep(k, keep), Exact())), rounds, judge))
    return Method("subspace-pursuit", stages, "Dai, Milenkovic (2009)")


def partial_hard_thresholding(
    k: int,
    r: int = 1,
    step_size: float | StepSize = InverseSmoothness(),
    rounds: int = 1000,
    judge: Judge | None = WhileDecreasing(),
    into: Score = Gradient(),
    by: Score = Magnitude(),
) -> Method:
    """Partial hard thresholding pursuit: HTP that lets in at most r coordinates a round.

    S = the k largest |g| at 0, refit
    repeat:  J = S + the r largest |g| outside;  z = x - step g on J;  S = the k largest |z|;  x = argmin f on S
             stop unless f fell

    r = k is HTP, r = 1 OMPR (Jain, Tewari, Dhillon 2011). Needs O(s kappa log kappa) rounds to find a support under
    restricted strong convexity (Shen, Li 2017, abstract).
    """
    first = Stage((Phase(Add(k, into), Exact()),))
    phases = (Phase(Add(r, into), GradientSteps(1, step_size)), Phase(Keep(k, by), Exact()))
    source = "Jain, Tewari, Dhillon (2017), Partial hard thresholding"
    return Method("partial-hard-thresholding", (first, Stage(phases, rounds, judge)), source)


METHODS: dict[str, Entry] = {
    "htp": lambda k, f: htp(k, **own_units(f, 1.0)),
    "partial-hard-thresholding": lambda k, f: partial_hard_thresholding(k, **own_units(f, 1.0, into=Gain())),
    "cosamp": lambda k, f: cosamp(k, keep=own_size(f)),
    "subspace-pursuit": lambda k, f: subspace_pursuit(k, keep=own_size(f)),
}
