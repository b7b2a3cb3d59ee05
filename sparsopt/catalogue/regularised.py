"""Methods that learn which coordinates to regularise, and so reach what plain ones need more coordinates for.

>>> [type(phase.fit).__name__ for phase in regularised_iht(4).stages[0].phases]
['PenalisedStep', 'Restrict', 'Reweigh']
>>> arht(4, target=0.1).stages[-1].judge
Unregularise(target=0.1, share=0.25)
"""

from __future__ import annotations

from sparsopt.catalogue.forward import fully_corrective
from sparsopt.catalogue.names import Entry
from sparsopt.fits import Exact, Restrict
from sparsopt.method import Method, Phase, Stage
from sparsopt.moves import Everything, Gradient, Keep, Magnitude, Stay, Swap
from sparsopt.regularised import PenalisedStep, Reweigh, Unregularise

__all__ = ["arht", "regularised_iht"]


def arht(k: int, target: float, share: float | None = None, rounds: int = 1000) -> Method:
    """Adaptively regularised hard thresholding (ARHT), for `Regularised(problem, rho)`.

    R = all;  x = argmin g_R on S,  g_R = f + rho/2 |x_R|^2
    repeat until f(x) <= target:  S' = S - {argmin_S |x_i|} + {argmax |grad_j g_R|};  x' = argmin g_R on S'
        if g_R(x) - g_R(x') < share (g_R(x) - target):  i ~ x_i^2 in R and S;  R -= {i};  x = argmin g_R on S
        else:  S, x = S', x'

    share = 1/k*, rho = beta*: k = O(s kappa) coordinates reach f(x*) + eps if target = f(x*) (abstract of the source),
    where replacement and IHT need O(s kappa^2). The target is not known: `Arht` searches for it. rho = 0 and
    share = 0 is replacement by gradient and magnitude.
    """
    judge = Unregularise(target, 1 / k if share is None else share)
    swaps = Stage((Phase(Swap(1, Magnitude(), Gradient()), Exact()),), rounds, judge)
    source = "Axiotis, Sviridenko (2021), Sparse convex optimization via adaptively regularized hard thresholding"
    return Method("arht", (*fully_corrective(k, by=Gradient()).stages, swaps), source)


def regularised_iht(k: int, rounds: int = 500, rate: float | None = None) -> Method:
    """Regularised IHT: hard thresholding of f plus a weighted ridge, whose weights fade where x is large.

    w = 1
    repeat:  x <- H_k((1 - w/2) x - g / (2 L))
             w_i <- w_i (1 - rate w_i x_i^2 / sum_j w_j x_j^2);  w_i = 0 where below 1/2
    at the end  x = argmin f on its support

    rate = k / (4 rounds)*, so that at most k / 2 weights vanish. k = O(s kappa) in place of the O(s kappa^2) of IHT
    (abstract of the source); the last refit is added here, it can only lower f. With weights 0 it is IHT with step
    1 / (2 L).
    """
    keep = Phase(Keep(k, Magnitude()), Restrict())
    reweigh = Phase(Stay(), Reweigh(k / (4 * rounds) if rate is None else rate))
    stage = Stage((Phase(Everything(), PenalisedStep()), keep, reweigh), rounds)
    source = "Axiotis, Sviridenko (2022), Iterative hard thresholding with adaptive regularization"
    return Method("regularised-iht", (stage, Stage((Phase(Stay(), Exact()),))), source)


METHODS: dict[str, Entry] = {"regularised-iht": lambda k, f: regularised_iht(k)}
