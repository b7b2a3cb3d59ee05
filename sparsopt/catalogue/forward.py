"""Growing from the empty support: matching pursuits, fully corrective and not.

>>> from sparsopt.problems import Quadratic
>>> H = np.array([[1.0, 0.0, 0.7], [0.0, 1.0, 0.7], [0.7, 0.7, 1.0]])  # the third column resembles the first two
>>> problem = Quadratic(H, H @ [1.0, 1.0, 0.0])
>>> sparsopt.solve(problem, 2, "omp").support                          # it comes in first, and stays
array([ True, False,  True])
>>> omp(2).stages
(Stage(phases=(Phase(move=Add(m=1, by=Gain(), structure=Elements()), fit=Exact()),), rounds=2, judge=None),)
"""

from __future__ import annotations

from typing import Any

from sparsopt.catalogue.names import SSZ, Entry
from sparsopt.errors import InvalidInput, MissingCapability
from sparsopt.fits import CoordinateStep, Exact, Fit, FrankWolfeStep, GradientSteps, LineSearch, PerCurvature
from sparsopt.method import Method, Phase, Stage
from sparsopt.moves import Add, Everything, Gain, Score, Visit
from sparsopt.moves import Entry as EntryGain
from sparsopt.support import Elements, Structure

__all__ = ["forward_greedy", "frank_wolfe", "fully_corrective", "gradient_pursuit", "ols", "omp"]


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


def ols(k: int) -> Method:
    """Orthogonal least squares: the coordinate whose refit is lowest comes in.

    repeat k times:  j = argmin_j min f on S + {j};  S += {j};  x = argmin f on S

    OMP asks how much f falls along j alone, OLS how much after the refit: c_j^2 / 2 d_j with d_j the curvature that S
    has left of j. The first two steps of a run agree only where columns are uncorrelated. Unit columns, least squares:
    recovery in s steps if delta_{s+1} < 1/sqrt(s) from s = 4 on, sharp (Kim, Wang, Shim 2019). f that are not
    quadratic: to second order, the score test.
    """
    return Method("ols", (Stage((Phase(Add(1, EntryGain()), Exact()),), rounds=k),), "Chen, Billings, Luo (1989)")


def gradient_pursuit(k: int, by: Score = Gain()) -> Method:
    """Gradient pursuit: OMP with one exact line search along the gradient on S in place of the refit.

    repeat k times:  j = argmax gain;  S += {j};  x -= a d,  d_i = g_i / h_i on S,  a = g_S'd / d'H d

    The gradient is that in units of curvature 1, as the source has columns of norm 1. Each step lowers a quadratic f by
    a g_S'd / 2 >= a gain_j. Needs no factorisation.
    """
    stage = Stage((Phase(Add(1, by), GradientSteps(1, PerCurvature(LineSearch()))),), rounds=k)
    return Method("gradient-pursuit", (stage,), "Blumensath, Davies (2008), Gradient pursuits")


def _radius(problem: Any) -> float:
    """The l1 norm of the unrestricted minimiser: the smallest ball that loses nothing."""
    if not hasattr(problem, "minimise_on"):
        raise MissingCapability(
            f"frank-wolfe by name takes its radius from minimise_on(), which {type(problem).__name__} does not have; "
            "give a radius: method=sparsopt.catalogue.frank_wolfe(k, radius)"
        )
    everywhere = Everything()(problem, problem.start(0))
    return float(abs(problem.minimise_on(everywhere, None)[0]).sum())


METHODS: dict[str, Entry] = {
    "forward-greedy": lambda k, f: forward_greedy(k),
    "frank-wolfe": lambda k, f: frank_wolfe(k, _radius(f)),
    "gradient-pursuit": lambda k, f: gradient_pursuit(k),
    "fully-corrective": lambda k, f: fully_corrective(k),
    "omp": lambda k, f: omp(k),
    "ols": lambda k, f: ols(k),
}
