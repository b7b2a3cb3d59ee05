"""During training: hard thresholding, again and again.

Backward elimination with short refits (GMP), iterative hard thresholding with long phases (AC/DC), and with feedback
(DPF).
"""

from __future__ import annotations

from nets.catalogue.plan import Entry, Plan, finish, scoped
from nets.gates import StraightThrough
from sparsopt import catalogue as convex
from sparsopt.fits import FreshOptimiser
from sparsopt.method import Method
from sparsopt.moves import Magnitude, Score
from sparsopt.schedules import Cubic

__all__ = ["METHODS", "acdc", "dpf", "gmp"]


def gmp(plan: Plan, rounds: int = 20, until: float = 0.75, scope: str = "global", by: Score = Magnitude()) -> Method:
    """Gradual magnitude pruning: k_r falls on a cubic during the first `until` of one training.

    train;  for r = 1..R:  S = the k_r largest |w| of S;  train T until / (R + 1);   train to T

    Backward elimination with a few steps in place of each refit. Cost: 1 training.
    """
    rounds = min(rounds, max(1, int(until * plan.steps) - 1))
    chunk = int(until * plan.steps) // (rounds + 1)
    counts = scoped(Cubic(plan.n, plan.k, rounds), scope)
    main = convex.backward_elimination(counts, by, plan.train(chunk))
    return Method("gmp", main.stages + finish(plan, chunk * (rounds + 1)), "Zhu, Gupta (2017)")


def acdc(plan: Plan) -> Method:
    """AC/DC: alternating compressed and decompressed phases, ending compressed.

    train densely 5 %;  5 times:  S = the k largest |w|, train 10 % of T;  S = all, momentum = 0, train 10 %
        (the last compressed phase runs to the end, 15 %)

    Iterative hard thresholding with long phases; the schedule is the authors' for ResNet-20. Cost: 1 training.
    """
    warm, phase = plan.steps // 20, plan.steps // 10
    first = convex.hard_thresholding(plan.k, plan.train(warm), plan.train(phase), rounds=1)
    main = convex.hard_thresholding(plan.k, plan.train(phase), plan.train(phase), rounds=4, reopen=FreshOptimiser())
    done = warm + 9 * phase
    return Method("acdc", (first, main, *finish(plan, done)), "Peste, Iofinova, Vladu, Alistarh (2021)")


def dpf(plan: Plan, period: int = 16, until: float = 0.75) -> Method:
    """Dynamic pruning with feedback: gradients are taken at the masked weights and applied to the dense ones.

    every 16 steps:  S = the k_t largest |w| of all (k_t falls on a cubic);  w <- w - rate * g(w_S);  at the end w = w_S

    Iterative hard thresholding with feedback. Cost: 1 training.
    """
    period = max(1, min(period, plan.steps // 10))
    rounds = plan.steps // period
    schedule = Cubic(plan.n, plan.k, max(1, int(until * rounds)))
    fit = plan.train(period, through=StraightThrough())
    feedback, close = convex.iht_with_feedback(schedule, rounds=rounds, fit=fit).stages
    rest = finish(plan, period * rounds, through=StraightThrough())
    return Method("dpf", (feedback, *rest, close), "Lin, Stich, Barba, Dmitriev, Jaggi (2020)")


METHODS: dict[str, Entry] = {
    "gmp": gmp,
    "acdc": acdc,
    "dpf": dpf,
}
