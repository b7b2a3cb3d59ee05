"""Moving densely, keeping the k largest: IHT and its family; support identification by thresholding.

The functions here step by one length and compare |x_j|, as their sources do, on columns of whatever scale. By name
(`METHODS`, `solve(problem, k, "htp")`) they run in units in which every coordinate has curvature 1 (`sparsopt.units`),
which is what the sources assume when they ask for columns of norm 1: steps are divided by h_j, and the k largest
x_j^2 h_j are kept. Problems without curvature keep their own units.
"""

from __future__ import annotations

from typing import Any

from sparsopt.catalogue.names import Entry
from sparsopt.fits import (
    Exact,
    Extrapolate,
    Feedback,
    Fit,
    GradientSteps,
    InverseSmoothness,
    LineSearch,
    Normalised,
    PerCurvature,
    Restrict,
    StepSize,
)
from sparsopt.judges import Judge, ShrinkStep, WhileDecreasing
from sparsopt.method import Method, Phase, Stage
from sparsopt.moves import Add, Choose, Everything, Gain, Gradient, Keep, Magnitude, Removal, Score, Stay
from sparsopt.schedules import Held, Schedule
from sparsopt.support import Elements, Structure


def hard_thresholding(
    k: int | Schedule,
    dense: Fit,
    sparse: Fit,
    rounds: int,
    structure: Structure = Elements(),
    reopen: Fit | None = None,
    by: Score = Magnitude(),
) -> Stage:
    """The stage that all of the family share: move densely, keep the k largest, correct on what was kept.

    IHT: a gradient step, then `Restrict`. HTP: a gradient step, then `Exact`. AC/DC: `Train`, then `Train`, and where
    everything is reopened, `reopen` forgets the momentum.
    """
    first = (Phase(Everything(), dense),) if reopen is None else (Phase(Everything(), reopen), Phase(Stay(), dense))
    return Stage((*first, Phase(Keep(k, by, structure), sparse)), rounds=rounds)


def iht(
    k: int | Schedule,
    step_size: float | StepSize = InverseSmoothness(),
    rounds: int = 1000,
    judge: Judge | None = None,
    structure: Structure = Elements(),
    by: Score = Magnitude(),
) -> Method:
    """Iterative hard thresholding: projected gradient on the vectors with k non-zeros.

    repeat:  x <- H_k(x - step g)

    step <= 1/L: f decreases by at least (1/step - L)/2 |dx|^2 a round (Blumensath, Davies 2008; Bertsimas et al. 2016).
    k >= 32* kappa^2 s, step 2/(3L)*: f <= f(x*) + eps in O(kappa log(D_0/eps)) rounds (Jain, Tewari, Kar 2014).
    Least squares, step 1: recovery if delta_{2s} < 0.3568 (Xie 2023).
    """
    stage = hard_thresholding(k, GradientSteps(1, step_size), Restrict(), rounds, structure, by=by)
    return Method("iht", (Stage(stage.phases, rounds, judge),), "Blumensath, Davies (2008)")


def niht(k: int, rounds: int = 1000, step_size: StepSize | None = None, by: Score = Magnitude()) -> Method:
    """Normalised IHT: the step is the exact line search on the current support, shortened when the support changes.

    repeat:  step = |g_S|^2 / g_S'H g_S;  x' = H_k(x - step g)
             while the support changed and step > (1 - c) |x' - x|^2 / (x' - x)'H(x' - x):  step *= 1/2, again

    Needs no smoothness constant, and does not depend on the scale of f. A quadratic f never increases. Undone rounds
    count: near a fixed point that a long step would leave, most are.
    """
    step = Normalised(k) if step_size is None else step_size
    stage = hard_thresholding(k, GradientSteps(1, step), Restrict(), rounds, by=by)
    return Method("niht", (Stage(stage.phases, rounds, ShrinkStep(step)),), "Blumensath, Davies (2010)")


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


def iht_with_feedback(
    k: int | Schedule,
    step_size: float | StepSize = InverseSmoothness(),
    rounds: int = 1000,
    steps: int = 1,
    fit: Fit | None = None,
    structure: Structure = Elements(),
    by: Score = Magnitude(),
) -> Method:
    """IHT with feedback (lazy projection, dual averaging): the dense point keeps what thresholding cut off.

    repeat:  S = the k largest |z|;  z <- z - step grad f(z_S), `steps` times;     at the end x = z_S

    Its stochastic form is DPF (dynamic pruning with feedback, Lin et al. 2020). It need not settle: supports can
    oscillate, and then the last one is returned.
    """
    train = Feedback(steps, step_size) if fit is None else fit
    choose = Choose(k, by, structure)
    last = Choose(Held(k, rounds) if callable(k) else k, by, structure)
    stages = (Stage((Phase(choose, train),), rounds=rounds), Stage((Phase(last, Restrict()),)))
    return Method("iht-with-feedback", stages, "Lin, Stich, Barba, Dmitriev, Jaggi (2020), convex form")


def momentum_iht(
    k: int,
    momentum: float = 0.5,
    step_size: float | StepSize = InverseSmoothness(),
    rounds: int = 1000,
    by: Score = Magnitude(),
) -> Method:
    """IHT with momentum: the gradient step starts from a point beyond the last move.

    repeat:  z = x + momentum (x - x_before);  x_before = x;  x <- H_k(z - step grad f(z))

    momentum = 0 is IHT. f need not fall in every round; a fixed momentum keeps the linear rate of IHT under restricted
    isometry conditions*.
    """
    first = (Phase(Everything(), Extrapolate(momentum)), Phase(Stay(), GradientSteps(1, step_size)))
    stage = Stage((*first, Phase(Keep(k, by), Restrict())), rounds)
    return Method("momentum-iht", (stage,), "Khanna, Kyrillidis (2018), IHT dynamics; Cevher (2011)")


def aiht(
    k: int,
    steps: int = 3,
    step_size: float | StepSize = InverseSmoothness(),
    rounds: int = 1000,
    by: Score = Magnitude(),
    polish: StepSize = LineSearch(),
) -> Method:
    """Accelerated IHT: every IHT step is improved on its own support before the next.

    repeat:  x <- H_k(x - step g);  S = its support;  `steps` times  x -= a g_S,  a = |g_S|^2 / g_S'H g_S

    Any correction on S that does not raise f keeps the guarantees of IHT*; exact line searches never raise a
    quadratic. steps = 0 is IHT, many steps are HTP.
    """
    stage = hard_thresholding(k, GradientSteps(1, step_size), Restrict(), rounds, by=by)
    corrections = Phase(Stay(), GradientSteps(steps, polish))
    return Method("aiht", (Stage((*stage.phases, corrections), rounds),), "Blumensath (2012), Accelerated IHT")


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


# ---- by name -------------------------------------------------------------------------------------------------------


def _curved(f: Any) -> bool:
    """Whether a problem has units of its own: a curvature for each coordinate."""
    return hasattr(f, "curvature") or hasattr(f, "curvature_at")


def _steps(f: Any, rule: float | StepSize, **more: Any) -> dict[str, Any]:
    """The step and the comparison in the problem's units."""
    return {"step_size": PerCurvature(rule), "by": Removal(), **more} if _curved(f) else {}


def _sizes(f: Any) -> Score:
    return Removal() if _curved(f) else Magnitude()


METHODS: dict[str, Entry] = {
    "iht": lambda k, f: iht(k, **_steps(f, InverseSmoothness())),
    "niht": lambda k, f: niht(k, **_steps(f, Normalised(k))),
    "momentum-iht": lambda k, f: momentum_iht(k, **_steps(f, InverseSmoothness())),
    "aiht": lambda k, f: aiht(k, **_steps(f, InverseSmoothness(), polish=PerCurvature(LineSearch()))),
    "htp": lambda k, f: htp(k, **_steps(f, 1.0)),
    "partial-hard-thresholding": lambda k, f: partial_hard_thresholding(k, **_steps(f, 1.0, into=Gain())),
    "cosamp": lambda k, f: cosamp(k, keep=_sizes(f)),
    "subspace-pursuit": lambda k, f: subspace_pursuit(k, keep=_sizes(f)),
    "iht-with-feedback": lambda k, f: iht_with_feedback(k, **_steps(f, InverseSmoothness())),
}
