"""The convex methods, one short entry each.

An entry returns a `Method`: pseudo-code, guarantee, citation, and the composition. Entries that take `fit` are shared
with networks: `Exact()` minimises on the support, `nets` passes a `Train(...)` in its place, and nothing else changes.

Notation: S the support, g the gradient of f at x, h_j >= the curvature along coordinate j, L and lambda the smoothness
and strong convexity of f restricted to sparse directions, kappa = L / lambda, s = |x*|_0 of whatever one competes with,
D = f(x) - f(x*), beta = max_j h_j, delta_s the restricted isometry constants of unit-norm columns.

What is said without a mark is proved in a few lines and checked in `tests/test_theorems.py` with exact constants, or
was read in the abstract of the work that is named. A constant or number with a star (*) is quoted from memory of its
source: check it there before you rely on it.

>>> omp(3)
Method(name='omp', ...)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sparsopt.errors import InvalidInput, MissingCapability
from sparsopt.fits import (
    Average,
    CoordinateStep,
    Exact,
    Feedback,
    Fit,
    FrankWolfeStep,
    GradientSteps,
    InverseSmoothness,
    Normalised,
    Restrict,
    StepSize,
)
from sparsopt.judges import Judge, RecordGains, ShrinkStep, WhileDecreasing
from sparsopt.method import Method, Phase, Stage
from sparsopt.moves import (
    Add,
    AddOrDrop,
    Choose,
    Everything,
    Gain,
    Keep,
    Magnitude,
    Removal,
    Sample,
    Score,
    Stay,
    Swap,
    Visit,
)
from sparsopt.schedules import Decay, Held, Linear, Schedule
from sparsopt.support import Elements, Structure

__all__ = [
    "METHODS",
    "backward_elimination",
    "cosamp",
    "foba",
    "forward_greedy",
    "frank_wolfe",
    "fully_corrective",
    "hard_thresholding",
    "htp",
    "iht",
    "iht_with_feedback",
    "niht",
    "omp",
    "randomised",
    "replacement",
]

SSZ = "Shalev-Shwartz, Srebro, Zhang (2010), Trading accuracy for sparsity in optimization problems"


# ---- forward -------------------------------------------------------------------------------------------------------


def forward_greedy(k: int, by: Score = Gain()) -> Method:
    """Forward greedy selection: k coordinate steps, older weights stay as they are.

    repeat k times:  j = argmax_j gain_j;  S += {j};  x_j -= g_j / h_j

    Matching pursuit for least squares. A coordinate may be visited twice, so |S| <= k. Every step lowers f by at
    least g_j^2 / (2 h_j).
    """
    return Method("forward-greedy", (Stage((Phase(Visit(by), CoordinateStep()),), rounds=k),), "Mallat, Zhang (1993)")


def frank_wolfe(k: int, radius: float) -> Method:
    """Forward greedy selection as Frank-Wolfe on the l1 ball of the given radius B.

    repeat k times:  j = argmax |g_j|;  x <- (1 - eta) x - eta B sign(g_j) e_j

    eta = min(1, g'(x - v) / (4 beta B^2)), v = -B sign(g_j) e_j, minimises the bound of f on the segment to v (its
    l1 length is at most 2 B), so f(x_k) - f(w) <= 8 beta B^2 / (k + 2) for every |w|_1 <= B. By name, B is the l1
    norm of the unrestricted minimiser. A coordinate may be visited twice, so |S| <= k.
    """
    return Method("frank-wolfe", (Stage((Phase(Visit(), FrankWolfeStep(radius)),), rounds=k),), f"{SSZ}, Algorithm 1*")


def fully_corrective(
    k: int, m: int = 1, by: Score = Gain(), fit: Fit = Exact(), structure: Structure = Elements()
) -> Method:
    """Fully corrective forward greedy selection: grow by m, refit everything that is selected.

    until |S| = k:  S += the m coordinates of largest gain;  x = argmin f on S

    m = 1: each step D+ <= (1 - lambda / (beta |S* minus S|)) D, so k >= s (beta/lambda) log(D_0/eps) reaches eps, and
    k = s gains at least 1 - exp(-lambda/beta) of what the best s coordinates do. For every w, k >= 2 beta |w|_1^2 /
    eps reaches f(w) + eps, too.
    """
    if m < 1:
        raise InvalidInput(f"fully_corrective: m = {m} adds nothing; give m >= 1")
    sizes = [(m, k // m), (k % m, 1)]
    stages = tuple(Stage((Phase(Add(size, by, structure), fit),), rounds) for size, rounds in sizes if size * rounds)
    return Method("fully-corrective", stages, f"{SSZ}, Algorithm 2*")


def omp(k: int, by: Score = Gain()) -> Method:
    """Orthogonal matching pursuit: fully corrective greedy, one coordinate at a time.

    repeat k times:  j = argmax_j g_j^2 / h_j;  S += {j};  x = argmin f on S

    Least squares: exact recovery in s steps if delta_{s+1} < 1/sqrt(s+1), sharp for columns of any norm and the rule
    by gradient (Wen et al. 2017); for unit columns < 1/sqrt(s) from s = 4 on, sharp (Kim, Wang, Shim 2019).
    """
    method = fully_corrective(k, by=by)
    return Method("omp", method.stages, "Pati, Rezaiifar, Krishnaprasad (1993); " + method.source)


def replacement(
    k: int,
    m: int | Schedule = 1,
    rounds: int = 1000,
    start: Method | None = None,
    out: Score = Removal(),
    into: Score = Gain(),
    fit: Fit = Exact(),
    judge: Judge | None = WhileDecreasing(),
    structure: Structure = Elements(),
) -> Method:
    """Fully corrective greedy selection with replacement, from a start with k coordinates (default: fully corrective).

    repeat:  S' = S - {argmin_S x_i^2 h_i} + {argmax g_j^2 / h_j};  x' = argmin f on S'
             stop unless f(x') < f(x);  S = S'

    k >= s + m (kappa^2 - 1), m = |S* minus S| <= s, kappa = beta_2 / lambda_{k+s}: D+ <= (1 - 1/(kappa m)) D
    (for unit h, or with out=Magnitude(), into=Gradient(); the source has k >= s (1 + 16 kappa^2)*). With g(x*) = 0,
    k > s kappa^2 / 4 recovers x*. For least squares its relative is OMPR (Jain, Tewari, Dhillon 2011).
    """
    first = fully_corrective(k, fit=fit, structure=structure) if start is None else start
    swaps = Stage((Phase(Swap(m, out, into, structure), fit),), rounds=rounds, judge=judge)
    return Method("replacement", (*first.stages, swaps), f"{SSZ}, Algorithm 3*")


def foba(k: int, share: float = 0.5, rounds: int | None = None) -> Method:
    """Forward-backward greedy selection (FoBa).

    repeat:  if removing the cheapest i in S costs at most share * (what the last addition at |S| gained): S -= {i}
             elif |S| < k: S += {argmax gain};   x = argmin f on S

    Quadratic f: whenever it is back at a size, f has fallen by (1 - share) of the gain that was undone, so it ends
    (`rounds`, default 50 k + 100, is a guard). The source stops at a threshold on the gain instead of at k, and has
    share = 1/2*. Sound under restricted strong convexity, by gradients as here, too (Liu, Fujimaki, Ye 2014).
    """
    stage = Stage((Phase(AddOrDrop(k, share), Exact()),), 50 * k + 100 if rounds is None else rounds, RecordGains(k))
    return Method("foba", (stage,), "Zhang (2011), Adaptive forward-backward greedy algorithm")


# ---- backward ------------------------------------------------------------------------------------------------------


def backward_elimination(
    schedule: Decay, by: Score = Removal(), fit: Fit = Exact(), structure: Structure = Elements()
) -> Method:
    """Backward elimination: from everything, keep k_r and refit, until the schedule's end is reached.

    S = all, x = argmin f;  for r = 1..R:  S = the k_r coordinates whose removal costs most;  x = argmin f on S

    `Linear(n, k, n - k)` removes one coordinate at a time; `Geometric` with a rate of 20 % is iterative magnitude
    pruning with a warm refit. Needs an f whose unrestricted minimiser means something (n >= p, or a ridge).
    """
    keep = Keep(schedule, by, structure)
    stages = (Stage((Phase(Everything(), fit),)), Stage((Phase(keep, fit),), rounds=schedule.rounds))
    return Method("backward-elimination", stages, "Couvreur, Bresler (2000); classical")


# ---- hard thresholding ---------------------------------------------------------------------------------------------


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


# ---- randomised ----------------------------------------------------------------------------------------------------


def randomised(k: int) -> Method:
    """Randomised sparsification: k draws j ~ |w_j| from a dense minimiser w, averaged (unbiased), then nothing more.

    w = argmin f;  j_1..j_k ~ |w_j|/|w|_1;  x = (|w|_1/k) sum_i sign(w_{j_i}) e_{j_i};  |S| <= k

    Quadratic f: E f(x) - f(w) = (|w|_1 sum_j |w_j| H_jj - w'Hw) / (2k) exactly; k >= beta |w|_1^2 / (2 eps) suffices.
    """
    stages = (Stage((Phase(Everything(), Exact()),)), Stage((Phase(Sample(k), Average(k)),)))
    return Method("randomised", stages, f"{SSZ}, section 2.1*")


# ---- by name -------------------------------------------------------------------------------------------------------


def _radius(problem: Any) -> float:
    """The l1 norm of the unrestricted minimiser: the smallest ball that loses nothing."""
    if not hasattr(problem, "minimise_on"):
        raise MissingCapability(
            f"frank-wolfe by name takes its radius from minimise_on(), which {type(problem).__name__} does not have; "
            "give a radius: method=sparsopt.catalogue.frank_wolfe(k, radius)"
        )
    everywhere = Everything()(problem, problem.start(0))
    return float(abs(problem.minimise_on(everywhere, None)[0]).sum())


METHODS: dict[str, Callable[[int, Any], Method]] = {
    "forward-greedy": lambda k, f: forward_greedy(k),
    "frank-wolfe": lambda k, f: frank_wolfe(k, _radius(f)),
    "fully-corrective": lambda k, f: fully_corrective(k),
    "omp": lambda k, f: omp(k),
    "replacement": lambda k, f: replacement(k),
    "foba": lambda k, f: foba(k),
    "backward-elimination": lambda k, f: backward_elimination(Linear(f.layout.n, k, f.layout.n - k)),
    "iht": lambda k, f: iht(k),
    "niht": lambda k, f: niht(k),
    "htp": lambda k, f: htp(k),
    "cosamp": lambda k, f: cosamp(k),
    "iht-with-feedback": lambda k, f: iht_with_feedback(k),
    "randomised": lambda k, f: randomised(k),
}
