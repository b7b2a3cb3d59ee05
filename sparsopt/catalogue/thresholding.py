"""Moving densely, keeping the k largest: IHT and its family; support identification by thresholding."""

from __future__ import annotations

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
    Restrict,
    StepSize,
)
from sparsopt.judges import Judge, ShrinkStep, WhileDecreasing
from sparsopt.method import Method, Phase, Stage
from sparsopt.moves import Add, Choose, Everything, Gain, Gradient, Keep, Magnitude, Score, Stay
from sparsopt.schedules import Held, Schedule
from sparsopt.support import Elements, Structure


def hard_thresholding(
    k: int | Schedule,
    dense: Fit,
    sparse: Fit,
    rounds: int,
    structure: Structure = Elements(),
    reopen: Fit | None = None,
) -> Stage:
    """The stage that all of the family share: move densely, keep the k largest, correct on what was kept.

    IHT: a gradient step, then `Restrict`. HTP: a gradient step, then `Exact`. AC/DC: `Train`, then `Train`, and where
    everything is reopened, `reopen` forgets the momentum.
    """
    first = (Phase(Everything(), dense),) if reopen is None else (Phase(Everything(), reopen), Phase(Stay(), dense))
    return Stage((*first, Phase(Keep(k, Magnitude(), structure), sparse)), rounds=rounds)


def iht(
    k: int | Schedule,
    step_size: float | StepSize = InverseSmoothness(),
    rounds: int = 1000,
    judge: Judge | None = None,
    structure: Structure = Elements(),
) -> Method:
    """Iterative hard thresholding: projected gradient on the vectors with k non-zeros.

    repeat:  x <- H_k(x - step g)

    step <= 1/L: f decreases by at least (1/step - L)/2 |dx|^2 a round (Blumensath, Davies 2008; Bertsimas et al. 2016).
    k >= 32* kappa^2 s, step 2/(3L)*: f <= f(x*) + eps in O(kappa log(D_0/eps)) rounds (Jain, Tewari, Kar 2014).
    Least squares, step 1: recovery if delta_{2s} < 0.3568 (Xie 2023).
    """
    stage = hard_thresholding(k, GradientSteps(1, step_size), Restrict(), rounds, structure)
    return Method("iht", (Stage(stage.phases, rounds, judge),), "Blumensath, Davies (2008)")


def niht(k: int, rounds: int = 1000) -> Method:
    """Normalised IHT: the step is the exact line search on the current support, shortened when the support changes.

    repeat:  step = |g_S|^2 / g_S'H g_S;  x' = H_k(x - step g)
             while the support changed and step > (1 - c) |x' - x|^2 / (x' - x)'H(x' - x):  step *= 1/2, again

    Needs no smoothness constant, and does not depend on the scale of f. A quadratic f never increases. Undone rounds
    count: near a fixed point that a long step would leave, most are.
    """
    step = Normalised(k)
    stage = hard_thresholding(k, GradientSteps(1, step), Restrict(), rounds)
    return Method("niht", (Stage(stage.phases, rounds, ShrinkStep(step)),), "Blumensath, Davies (2010)")


def htp(
    k: int,
    step_size: float | StepSize = InverseSmoothness(),
    rounds: int = 200,
    judge: Judge | None = None,
) -> Method:
    """Hard thresholding pursuit (GraHTP for general f): a gradient step chooses S, the weights are refitted on it.

    repeat:  S = support of H_k(x - step g);  x = argmin f on S      until S repeats

    With step <= 1/L, f decreases until S repeats; with longer steps supports can cycle. Least squares, step 1:
    recovery if delta_{3s} < 1/sqrt(3)* (Foucart 2011), delta_{2s} < 0.3780 (Xie 2023).
    """
    stage = hard_thresholding(k, GradientSteps(1, step_size), Exact(), rounds)
    return Method("htp", (Stage(stage.phases, rounds, judge),), "Foucart (2011); Yuan, Li, Zhang (2018)")


def cosamp(k: int, rounds: int = 200, judge: Judge | None = WhileDecreasing(), by: Score = Gain()) -> Method:
    """CoSaMP; for general f gradient support pursuit (GraSP).

    repeat:  T = S + the 2k largest gains;  b = argmin f on T;  S = the k largest |b|;  x = argmin f on S
             stop unless f fell

    Least squares: recovery if delta_{4k} < 1/2 (Song, Xia, Liu 2013; the source asked for 0.1). The source keeps b_S
    without the last refit, and runs a fixed number of rounds.
    """
    stage = Stage((Phase(Add(2 * k, by), Exact()), Phase(Keep(k), Exact())), rounds=rounds, judge=judge)
    return Method("cosamp", (stage,), "Needell, Tropp (2009); Bahmani, Raj, Boufounos (2013)")


def iht_with_feedback(
    k: int | Schedule,
    step_size: float | StepSize = InverseSmoothness(),
    rounds: int = 1000,
    steps: int = 1,
    fit: Fit | None = None,
    structure: Structure = Elements(),
) -> Method:
    """IHT with feedback (lazy projection, dual averaging): the dense point keeps what thresholding cut off.

    repeat:  S = the k largest |z|;  z <- z - step grad f(z_S), `steps` times;     at the end x = z_S

    Its stochastic form is DPF (dynamic pruning with feedback, Lin et al. 2020). It need not settle: supports can
    oscillate, and then the last one is returned.
    """
    train = Feedback(steps, step_size) if fit is None else fit
    choose = Choose(k, Magnitude(), structure)
    last = Choose(Held(k, rounds) if callable(k) else k, Magnitude(), structure)
    stages = (Stage((Phase(choose, train),), rounds=rounds), Stage((Phase(last, Restrict()),)))
    return Method("iht-with-feedback", stages, "Lin, Stich, Barba, Dmitriev, Jaggi (2020), convex form")


def momentum_iht(
    k: int, momentum: float = 0.5, step_size: float | StepSize = InverseSmoothness(), rounds: int = 1000
) -> Method:
    """IHT with momentum: the gradient step starts from a point beyond the last move.

    repeat:  z = x + momentum (x - x_before);  x_before = x;  x <- H_k(z - step grad f(z))

    momentum = 0 is IHT. f need not fall in every round; a fixed momentum keeps the linear rate of IHT under restricted
    isometry conditions*.
    """
    first = (Phase(Everything(), Extrapolate(momentum)), Phase(Stay(), GradientSteps(1, step_size)))
    stage = Stage((*first, Phase(Keep(k), Restrict())), rounds)
    return Method("momentum-iht", (stage,), "Khanna, Kyrillidis (2018), IHT dynamics; Cevher (2011)")


def aiht(k: int, steps: int = 3, step_size: float | StepSize = InverseSmoothness(), rounds: int = 1000) -> Method:
    """Accelerated IHT: every IHT step is improved on its own support before the next.

    repeat:  x <- H_k(x - step g);  S = its support;  `steps` times  x -= a g_S,  a = |g_S|^2 / g_S'H g_S

    Any correction on S that does not raise f keeps the guarantees of IHT*; exact line searches never raise a
    quadratic. steps = 0 is IHT, many steps are HTP.
    """
    stage = hard_thresholding(k, GradientSteps(1, step_size), Restrict(), rounds)
    polish = Phase(Stay(), GradientSteps(steps, LineSearch()))
    return Method("aiht", (Stage((*stage.phases, polish), rounds),), "Blumensath (2012), Accelerated IHT")


def partial_hard_thresholding(
    k: int,
    r: int = 1,
    step_size: float | StepSize = InverseSmoothness(),
    rounds: int = 1000,
    judge: Judge | None = WhileDecreasing(),
) -> Method:
    """Partial hard thresholding pursuit: HTP that lets in at most r coordinates a round.

    S = the k largest |g| at 0, refit
    repeat:  J = S + the r largest |g| outside;  z = x - step g on J;  S = the k largest |z|;  x = argmin f on S
             stop unless f fell

    r = k is HTP, r = 1 OMPR (Jain, Tewari, Dhillon 2011). Needs O(s kappa log kappa) rounds to find a support under
    restricted strong convexity (Shen, Li 2017, abstract).
    """
    first = Stage((Phase(Add(k, Gradient()), Exact()),))
    phases = (Phase(Add(r, Gradient()), GradientSteps(1, step_size)), Phase(Keep(k), Exact()))
    source = "Jain, Tewari, Dhillon (2017), Partial hard thresholding"
    return Method("partial-hard-thresholding", (first, Stage(phases, rounds, judge)), source)


def subspace_pursuit(k: int, rounds: int = 200, judge: Judge | None = WhileDecreasing(), by: Score = Gain()) -> Method:
    """Subspace pursuit: k candidates join the k members, and the k largest of the refit stay.

    S = the k largest gains at 0, refit
    repeat:  T = S + the k largest gains;  b = argmin f on T;  S = the k largest |b|;  x = argmin f on S
             stop unless f fell

    Least squares: recovery if delta_{3k} < 0.4859 (Song, Xia, Liu 2013).
    """
    grow = Phase(Add(k, by), Exact())
    stages = (Stage((grow,)), Stage((grow, Phase(Keep(k), Exact())), rounds, judge))
    return Method("subspace-pursuit", stages, "Dai, Milenkovic (2009)")


METHODS: dict[str, Entry] = {
    "iht": lambda k, f: iht(k),
    "niht": lambda k, f: niht(k),
    "momentum-iht": lambda k, f: momentum_iht(k),
    "aiht": lambda k, f: aiht(k),
    "htp": lambda k, f: htp(k),
    "partial-hard-thresholding": lambda k, f: partial_hard_thresholding(k),
    "cosamp": lambda k, f: cosamp(k),
    "subspace-pursuit": lambda k, f: subspace_pursuit(k),
    "iht-with-feedback": lambda k, f: iht_with_feedback(k),
}
