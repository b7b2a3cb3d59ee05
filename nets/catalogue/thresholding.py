"""During training: hard thresholding, again and again.

Backward elimination with short refits (GMP), iterative hard thresholding with long phases (AC/DC), with feedback
(DPF), with feedback from a larger support only (Top-KAST), and until the support is stable (early-bird).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nets.gates import Exploring, Gate, Lasso, StraightThrough
from nets.plan import Entry, Plan, finish, scoped
from nets.training import Train
from sparsopt import catalogue as convex
from sparsopt.fits import FreshOptimiser
from sparsopt.judges import SupportStable
from sparsopt.method import Method, Phase, Stage
from sparsopt.moves import Magnitude, Score, Stay
from sparsopt.schedules import Cubic, Uniform
from sparsopt.state import State

__all__ = ["METHODS", "TrainOn", "acdc", "dpf", "early_bird", "gmp", "top_kast"]


def gmp(plan: Plan, rounds: int = 20, until: float = 0.75, scope: str = "global", by: Score = Magnitude()) -> Method:
    """Gradual magnitude pruning: k_r falls on a cubic during the first `until` of one training.

    train;  for r = 1..R:  S = the k_r largest |w| of S;  train T until / (R + 1);   train to T

    Weights compete across layers; Zhu and Gupta prune every layer alike ("uniform"). Backward elimination with a few
    steps in place of each refit. Cost: 1 training.
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

    Iterative hard thresholding with long phases; the schedule is the authors' for ResNet-20: 10 of 200 epochs densely,
    then 20 and 20, and 30 at last. What is reopened starts from 0. Cost: 1 training.
    """
    warm, phase = plan.steps // 20, plan.steps // 10
    first = convex.hard_thresholding(plan.k, plan.train(warm), plan.train(phase), rounds=1)
    main = convex.hard_thresholding(plan.k, plan.train(phase), plan.train(phase), rounds=4, reopen=FreshOptimiser())
    done = warm + 9 * phase
    return Method("acdc", (first, main, *finish(plan, done)), "Peste, Iofinova, Vladu, Alistarh (2021)")


def dpf(plan: Plan, period: int = 16, until: float = 0.75) -> Method:
    """Dynamic pruning with feedback: gradients are taken at the masked weights and applied to the dense ones.

    every 16 steps:  S = the k_t largest |w| of all (k_t falls on a cubic);  w <- w - rate * g(w_S);  at the end w = w_S

    Weights compete across layers, and nothing is retrained after the last cut. That k_t arrives after 75 % of the
    training is a choice of ours. Iterative hard thresholding with feedback. Cost: 1 training.
    """
    period = max(1, min(period, plan.steps // 10))
    rounds = plan.steps // period
    schedule = Cubic(plan.n, plan.k, max(1, int(until * rounds)))
    fit = plan.train(period, through=StraightThrough())
    feedback, close = convex.iht_with_feedback(schedule, rounds=rounds, fit=fit).stages
    rest = finish(plan, period * rounds, through=StraightThrough())
    return Method("dpf", (feedback, *rest, close), "Lin, Stich, Barba, Dmitriev, Jaggi (2020)")


def top_kast(plan: Plan, period: int = 100, explored: float = 2.0, decay: float = 1e-4) -> Method:
    """Top-KAST: forward on the largest weights, backward on a larger set around them.

    every 100 steps (or T/40):  A = the k largest |w|, B = the 2 k largest, every layer at the same density
        w_B <- w_B - rate (g(w_A) + decay w on A, + decay / density w on B minus A);       at the end w = w_A

    Weights outside B stay where they are, and compete with that. The authors refresh A every step or every 100. The
    penalty outside A is divided by A's density (so quoted by Weng 2023; sparseml multiplies): it is stronger there. Its
    size is a choice of ours, and comes on top of the recipe's weight decay.

    Hard thresholding with feedback from B only: with B = all and no decay, DPF at a fixed k. As in CoSaMP the larger
    set is twice as large. Cost: 1 training.
    """
    period = max(1, min(period, plan.steps // 40))
    rounds = plan.steps // period
    wide = Uniform(min(plan.n, round(explored * plan.k)))(0, plan.layout)
    gate = Exploring(wide, plan.layout, decay)
    fit = plan.train(period, through=gate)
    explore, close = convex.iht_with_feedback(Uniform(plan.k), rounds=rounds, fit=fit).stages
    rest = finish(plan, period * rounds, through=gate)
    return Method("top-kast", (explore, *rest, close), "Jayakumar, Pascanu, Rae, Osindero, Elsen (2020)")


@dataclass(frozen=True)
class TrainOn(Train):
    """Trains until the clock is at `total`: what is left of a training after a stage that a judge has ended early.

    `steps` is what that comes to where no judge did, for `cost`.
    """

    def __call__(self, oracle: Any, state: State) -> State:
        assert self.total is not None
        left = self.total - (state.clock - state.inner)
        return Train(max(0, left), self.recipe, self.through, self.total)(oracle, state)


def early_bird(plan: Plan, window: int = 4, tolerance: float = 0.1, strength: float = 1e-4) -> Method:
    """Early-bird tickets: train densely until the mask that one would cut has settled, cut, and train on.

    every T/40:  train densely on loss + strength |w|_1;  look at S = the k largest |w|
    until S differs from each of the last `window` in at most tolerance min(n, 2 k) weights;     w = w_S, train to T

    The authors look every epoch (of 160), at the newest mask and the four before it, with tolerance 0.1 of n; 2 k is
    what two masks can differ in at all. With `prunable=BatchNormScales()` this is their method: w are the scales of
    batch norm, k and the masks count channels, and the penalty is network slimming; by default it is the same rule for
    single weights. Iterative hard thresholding until the support is stable, whose compressed phases only look. Cost: 1
    training, however early the bird.
    """
    chunk = max(1, plan.steps // 40)
    stable = SupportStable(window, tolerance * min(1.0, 2 * plan.k / plan.n))
    dense, look = plan.train(chunk, through=Lasso(strength)), plan.train(0, through=Gate())
    phases = convex.hard_thresholding(plan.k, dense, look, rounds=1).phases
    search = Stage(phases, rounds=plan.steps // chunk, judge=stable)
    ticket = Stage((Phase(Stay(), TrainOn(plan.steps % chunk, plan.recipe, total=plan.steps)),))
    return Method("early-bird", (search, ticket), "You et al. (2020); slimming: Liu et al. (2017)")


METHODS: dict[str, Entry] = {
    "gmp": gmp,
    "acdc": acdc,
    "dpf": dpf,
    "top-kast": top_kast,
    "early-bird": early_bird,
}
