"""During training: growth, and replacement of some weights by others.

Forward greedy selection and its replacement variants, a few hundred steps in place of each exact refit.
"""

from __future__ import annotations

import math

from nets.gates import Averaging
from nets.moves import CosineShare, Redistribute, SwapShare
from nets.plan import Entry, Plan, finish
from sparsopt import catalogue as convex
from sparsopt.fits import Restrict
from sparsopt.judges import IfDecreasing, Judge
from sparsopt.method import Method, Phase, Stage
from sparsopt.moves import Choose, Gradient, Keep, Magnitude, Random, Score
from sparsopt.schedules import ERK, Cosine, Cubic, Uniform

__all__ = ["METHODS", "granet", "growth", "rigl", "rigl_accept", "sparse_evolution", "sparse_momentum"]


def growth(plan: Plan, rounds: int = 10, until: float = 0.5, seed_share: float = 0.2) -> Method:
    """Forward greedy growth: from a small random seed, add the weights of largest gradient, train, and again.

    S = random, ERK(k / 5);  train;  for r = 1..R:  S += the m largest |gradient|, at 0;  train;   train to T

    Fully corrective greedy selection; an empty network has no gradient, hence the seed. Cost: 1 training.
    """
    first = max(1, round(seed_share * plan.k))
    rounds = min(rounds, max(1, int(until * plan.steps) - 1))
    m = max(1, math.ceil((plan.k - first) / rounds))
    chunk = int(until * plan.steps) // (math.ceil((plan.k - first) / m) + 1)
    start = Stage((Phase(Choose(ERK(first), Random()), plan.train(chunk)),))
    grow = convex.fully_corrective(plan.k - first, m, Gradient(), plan.train(chunk))
    done = chunk * (1 + math.ceil((plan.k - first) / m))
    return Method("growth", (start, *grow.stages, *finish(plan, done)), f"{convex.SSZ}, Algorithm 2, on networks")


def _replacement(plan: Plan, name: str, into: Score, judge: Judge | None, source: str) -> Method:
    """Random ERK mask; every `chunk` steps of the first 75 % a cosine-annealed share of each layer is replaced."""
    chunk = max(1, min(100, plan.steps // 40))
    rounds = int(0.75 * plan.steps) // chunk
    counts = ERK(plan.k)
    start = Method("start", (Stage((Phase(Choose(counts, Random()), plan.train(chunk)),)),))
    swap = Cosine(counts, 0.3, max(rounds, 1))
    main = convex.replacement(plan.k, swap, rounds, start, Magnitude(), into, plan.train(chunk), judge)
    return Method(name, main.stages + finish(plan, chunk * (rounds + 1)), source)


def rigl(plan: Plan) -> Method:
    """RigL: replacement by gradient, a layer's smallest weights for those of largest gradient.

    S = random, ERK(k);  every 100 steps (or T/40) of the first 75 %:  a_t = 0.3/2 (1 + cos(pi t)) of each layer:
        S -= a_t smallest |w|;  S += a_t largest |gradient| outside, at 0;   train to T

    A weight that just left may return, with its value. The authors take no optimiser step where they replace; here all
    T are taken. Fully corrective selection with replacement, without its accept test. Cost: 1 training.
    """
    return _replacement(plan, "rigl", Gradient(), None, "Evci, Gale, Menick, Castro, Elsen (2020)")


def rigl_accept(plan: Plan) -> Method:
    """RigL with the accept test of Shalev-Shwartz et al.: a replacement that did not lower the loss is undone.

    As rigl, each round judged on 2,048 training samples; what was trained in a rejected round stays paid for.
    """
    return _replacement(
        plan, "rigl-accept", Gradient(), IfDecreasing(), f"Evci et al. (2020); {convex.SSZ}, Algorithm 3"
    )


def sparse_evolution(plan: Plan) -> Method:
    """SET: replacement at random. As rigl, but new weights are drawn uniformly. Cost: 1 training.

    With RigL's schedule, as its authors compare them. The original replaces a constant 30 % once an epoch, and takes
    the positive and the negative weights nearest to zero apart (recalled).
    """
    return _replacement(plan, "set", Random(1), None, "Mocanu et al. (2018), with RigL's schedule")


def sparse_momentum(plan: Plan, share: float = 0.5, beta: float = 0.9) -> Method:
    """Sparse momentum (SNFS): replacement by averaged gradient, and layers whose average is large gain weights.

    S = random, every layer at the same density;  every T/100, a_t from 0.5 to 0.005 by a cosine:
        S -= a_t smallest |w| of each layer;   layer l gets back a share of them all, proportional to mean |a| over S_l
        S += as many largest |a| outside, at 0;     a <- beta a + (1 - beta) gradient in every step, everywhere

    The authors replace once an epoch (of 100 on MNIST), and have a be the optimiser's momentum; here it is a vector of
    its own and new weights start at rest. Replacement with an averaged gradient. Cost: 1 training.
    """
    chunk = max(1, plan.steps // 100)
    rounds = plan.steps // chunk - 1
    fit = plan.train(chunk, through=Averaging(beta))
    start = Stage((Phase(Choose(Uniform(plan.k), Random()), fit),))
    main = Stage((Phase(Redistribute(CosineShare(share, max(1, rounds))), fit),), rounds)
    return Method("snfs", (start, main, *finish(plan, chunk * (rounds + 1))), "Dettmers, Zettlemoyer (2019)")


def granet(plan: Plan, initial: float = 0.5, share: float = 0.5, until: float = 0.6875) -> Method:
    """GraNet: gradual magnitude pruning, and after each pruning as many weights are replaced by gradient.

    S = random, ERK(n / 2);  every 1,000 steps (or T/60), k_r on a cubic during the first `until` of the training:
        S = the k_r largest |w| of S;   S -= a_r smallest |w| of each layer;   S += as many largest |gradient|, at 0

    a_r falls from 0.5 to 0.005 by a cosine over the whole training; initial = 1 is their dense-to-sparse variant.
    until is the authors' 110 of 160 epochs. Backward elimination, each round followed by a replacement. Cost: 1
    training.
    """
    chunk = max(1, min(1000, plan.steps // 60))
    rounds = plan.steps // chunk - 1
    first = max(plan.k, round(initial * plan.n)) if rounds else plan.k
    start = Stage((Phase(Choose(ERK(first), Random()), plan.train(chunk)),))
    prune = Keep(Cubic(first, plan.k, max(1, int(until * (rounds + 1)))))
    regrow = SwapShare(CosineShare(share, max(1, rounds)))
    main = Stage((Phase(prune, Restrict()), Phase(regrow, plan.train(chunk))), rounds)
    return Method("granet", (start, main, *finish(plan, chunk * (rounds + 1))), "Liu et al. (2021)")


METHODS: dict[str, Entry] = {
    "growth": growth,
    "rigl": rigl,
    "rigl-accept": rigl_accept,
    "set": sparse_evolution,
    "snfs": sparse_momentum,
    "granet": granet,
}
