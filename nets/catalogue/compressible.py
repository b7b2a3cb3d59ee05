"""During training: all weights train, such that one hard threshold at the end costs little.

One round of iterative hard thresholding, as long as a training, whose dense half knows what is coming: weights that do
not matter decay (GSM), the gradient is taken after a cut (CrAM), or a trained threshold shrinks them (STR).
"""

from __future__ import annotations

import dataclasses
import math

from nets.gates import CompressionAware, SoftThreshold, TopProducts
from nets.plan import Entry, Plan
from nets.recipe import SGD, Recipe
from nets.training import Network, Train
from sparsopt import catalogue as convex
from sparsopt import support as sp
from sparsopt.fits import Clock, FreshOptimiser, Remember, Restrict, Rewind
from sparsopt.method import Method, Phase, Stage, run
from sparsopt.moves import Everything, Stay

__all__ = ["METHODS", "cram", "decay_for", "gsm", "gsm_rewind", "soft_threshold"]


def _distance(recipe: Recipe, steps: int) -> float:
    """The sum of the learning rates of a training (of a thousand of them, scaled up)."""
    points = min(steps, 1000)
    return sum(recipe.rate(t, points) for t in range(points)) * steps / points


def gsm(plan: Plan, shrink: float = 8.0, momentum: float = 0.99, learning_rate: float = 1e-2) -> Method:
    """Global sparse momentum SGD: of a trained network, only the k weights with the largest |g w| see their gradient.

    train T;  clock = 0;  T steps of SGD:  B = the k largest |g w|
        z <- momentum z + decay w + g_B,   w <- w - rate z;     S = the k largest |w|,  w = w_S

    momentum and rate are the authors' for LeNet-300-100; ResNet-56 has 0.98 and 5e-3, 500 + 600 epochs, decay 1e-4. By
    that a weight that is never chosen shrinks to exp(-8) (LeNets: exp(-19)), and this factor is what carries over to
    another T: decay = shrink (1 - momentum) / sum of rates. No fine-tuning. Cost: 2 trainings.

    Hard thresholding of an f with an l2 penalty that only matters off the selected weights: of the convex family, ARHT.
    """
    base = dataclasses.replace(plan.recipe, learning_rate=learning_rate)
    decay = shrink * (1 - momentum) / _distance(base, plan.steps)
    recipe = dataclasses.replace(base, optimiser=SGD(momentum, weight_decay=decay))
    sparse = Train(plan.steps, recipe, TopProducts(plan.k), total=plan.steps)
    stages = (
        Stage((Phase(Everything(), plan.train(plan.steps)),)),
        Stage((Phase(Stay(), Clock(0)), Phase(Stay(), FreshOptimiser()))),
        convex.hard_thresholding(plan.k, sparse, Restrict(), rounds=1),
    )
    return Method("gsm", stages, "Ding, Ding, Zhou, Guo, Han, Liu (2019)")


def gsm_rewind(plan: Plan) -> Method:
    """Lottery tickets found by GSM: its mask on the initial weights, trained once more. Cost: 3 trainings."""
    remember = Stage((Phase(Everything(), Remember("early")),))
    again = Stage((Phase(Stay(), Rewind("early")), Phase(Stay(), plan.train(plan.steps))))
    found = gsm(plan)
    return Method("gsm-rewind", (remember, *found.stages, again), found.source)


def cram(plan: Plan, radius: float = 0.05, dense: float = 1.0, calibration: int = 16) -> Method:
    """Compression-aware minimisation: gradients are taken after an ascent step and a cut to k, then one cut at the end.

    T steps:  w' = C(w + radius g(w)),   w <- w - rate (g(w') on the support of w' + dense g(w));     S = k largest |w|
    the last `calibration` steps (at most T/20): w_S stays, batch norm's statistics follow

    C keeps the k largest |w|. radius 0.05 and dense = 1 (CrAM+) are the authors', who calibrate on 1,000 samples, and
    may train with several k. Iterative hard thresholding on a loss made robust to it. Cost: 1 training, whose steps
    take two gradients each.
    """
    last = min(calibration, plan.steps // 20)
    aware = plan.train(plan.steps - last, through=CompressionAware(plan.k, radius, dense))
    still = Train(last, dataclasses.replace(plan.recipe, learning_rate=0.0))
    stage = convex.hard_thresholding(plan.k, aware, still, rounds=1)
    return Method("cram", (stage,), "Peste, Vladu, Kurtic, Lampert, Alistarh (2022)")


def soft_threshold(plan: Plan, start: float = -10.0, end: float = -2.0, decay: float | None = None) -> Method:
    """STR: soft thresholds, one a layer, are trained with the weights; what is left is cut to k.

    T steps on v and s:  w = sign(v) max(|v| - sigmoid(s_l), 0),   s_l decays;     S = the k largest |w|,  w = w_S

    The decay of s decides how sparse w becomes, and k does not: the authors tune it for each sparsity, as `decay_for`
    does. Without one it is what would take s from `start` to `end` if the loss did not resist: log(start / end)
    (1 - momentum) / sum of rates. More weights than k are cut; fewer, and S has zeros. Iterative soft thresholding with
    a learned threshold, closed by a hard one. Cost: 1 training.
    """
    momentum = getattr(plan.recipe.optimiser, "momentum", 0.9)
    distance = _distance(plan.recipe, plan.steps)
    unresisted = math.log(start / end) * (1 - momentum) / distance if distance else 0.0
    gate = SoftThreshold(plan.layout, start, unresisted if decay is None else decay, momentum)
    soft = plan.train(plan.steps, through=gate)
    return Method("str", (convex.hard_thresholding(plan.k, soft, Restrict(), rounds=1),), "Kusupati et al. (2020)")


def decay_for(network: Network, plan: Plan, seed: int = 0, trainings: int = 8, span: float = 10.0) -> float:
    """The decay at which STR's soft thresholds leave about k weights, by bisection of its logarithm.

    Looks between 1 / span and span times what the entry would take. Each look is a training.
    """
    soft = soft_threshold(plan).stages[0].phases[0]
    assert isinstance(soft.fit, Train) and isinstance(soft.fit.through, SoftThreshold)
    gate = soft.fit.through
    low, high = gate.decay / span, gate.decay * span
    for _ in range(trainings):
        decay = math.sqrt(low * high)
        fit = dataclasses.replace(soft.fit, through=dataclasses.replace(gate, decay=decay))
        end = run(Method("str", (Stage((Phase(soft.move, fit),)),)), network, network.start(seed))
        low, high = (decay, high) if sp.count(end.x != 0) > plan.k else (low, decay)
    return math.sqrt(low * high)


METHODS: dict[str, Entry] = {
    "gsm": gsm,
    "gsm-rewind": gsm_rewind,
    "cram": cram,
    "str": soft_threshold,
}
