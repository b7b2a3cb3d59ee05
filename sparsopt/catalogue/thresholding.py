"""Moving densely, keeping the k largest: IHT and its family.

The functions here step by one length and compare |x_j|, as their sources do, on columns of whatever scale. By name
(`METHODS`, `solve(problem, k, "iht")`) they run in units in which every coordinate has curvature 1, which is what the
sources assume when they ask for columns of norm 1.

>>> [(type(phase.move).__name__, type(phase.fit).__name__) for phase in iht(5).stages[0].phases]
[('Everything', 'GradientSteps'), ('Keep', 'Restrict')]
>>> from sparsopt.problems import Quadratic
>>> sparsopt.solve(Quadratic(np.diag([1.0, 2.0, 4.0]), np.array([3.0, 2.0, 2.0])), 1, iht(1)).x.round(6)
array([3., 0., 0.])
"""

from __future__ import annotations

from sparsopt.catalogue.names import Entry, own_units
from sparsopt.fits import (
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
from sparsopt.judges import Judge, ShrinkStep
from sparsopt.method import Method, Phase, Stage
from sparsopt.moves import Choose, Everything, Keep, Magnitude, Score, Stay
from sparsopt.schedules import Held, Schedule
from sparsopt.support import Elements, Structure

__all__ = ["aiht", "hard_thresholding", "iht", "iht_with_feedback", "momentum_iht", "niht"]


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


METHODS: dict[str, Entry] = {
    "iht": lambda k, f: iht(k, **own_units(f, InverseSmoothness())),
    "niht": lambda k, f: niht(k, **own_units(f, Normalised(k))),
    "momentum-iht": lambda k, f: momentum_iht(k, **own_units(f, InverseSmoothness())),
    "aiht": lambda k, f: aiht(k, **own_units(f, InverseSmoothness(), polish=PerCurvature(LineSearch()))),
    "iht-with-feedback": lambda k, f: iht_with_feedback(k, **own_units(f, InverseSmoothness())),
}
