"""Train, prune, retrain: backward elimination with different ways of refitting.

Most of the family are one function, `_train_prune_retrain`: they differ in what a pruned network goes back to, and in
whether the layers compete or each loses its own share. Gradual pruning (`gmp`) stands with them in its layerwise forms,
with its control that prunes at random.
"""

from __future__ import annotations

import dataclasses
import math

from nets.catalogue.thresholding import gmp
from nets.controls import reinitialised
from nets.plan import Entry, Plan
from nets.training import Train
from sparsopt.errors import InvalidInput
from sparsopt.fits import Clock, FreshOptimiser, Remember, Rewind
from sparsopt.method import Method, Phase, Stage
from sparsopt.moves import Keep, Magnitude, Random, Stay
from sparsopt.schedules import Geometric, RatesTo, Schedule, times
from sparsopt.state import Layout

__all__ = [
    "METHODS",
    "fine_tuning",
    "gmp_erk",
    "gmp_uniform",
    "imp",
    "imp_layerwise",
    "imp_reinit",
    "imp_rewind",
    "lr_rewinding",
    "one_shot",
    "one_shot_layerwise",
    "random_pruning",
]


WHOLE = 0.01  # rounds


def _train_prune_retrain(
    plan: Plan, name: str, rounds: int, back: tuple[Phase, ...], retrain: Train, source: str, early: int = 0,
    counts: Schedule | None = None,
) -> Method:  # fmt: skip
    """Train `early` steps and remember, train on to T; then in each round keep the largest, go back, train again.

    `back` follows the pruning `Keep`: its first phase carries the move's fit. counts: default the same share of all
    weights each round, whatever layer they are in.
    """
    if rounds < 1 and plan.k < plan.n:
        raise InvalidInput(f"rounds = {rounds}: at least 1 is needed to prune at all")
    keep = Keep(Geometric(plan.n, plan.k, max(rounds, 1)) if counts is None else counts, Magnitude())
    warm = (Phase(Stay(), plan.train(early)),) if early else ()
    stages = (
        Stage((*warm, Phase(Stay(), Remember("early")))),
        Stage((Phase(Stay(), plan.train(plan.steps - early)),)),
        Stage((Phase(keep, back[0].fit), *back[1:], Phase(Stay(), retrain)), rounds=rounds),
    )
    return Method(name, stages, source)


def imp(plan: Plan, early: int = 0, rounds: int | None = None) -> Method:
    """Iterative magnitude pruning with rewinding to step `early` (0: to the initial weights, the lottery ticket).

    train to `early`, remember;  train to T
    for r = 1..R:  S = the k_r largest |w| of S (at most 20 % go);  w, optimiser, clock as remembered;  train to T

    Backward elimination with each refit started from an early iterate. Cost: R + 1 trainings (less the rewound part).
    """
    rounds = plan.rounds if rounds is None else rounds
    back = (Phase(Stay(), Rewind("early")),)
    retrain = plan.train(plan.steps - early)
    return _train_prune_retrain(
        plan, "imp", rounds, back, retrain, "Frankle, Carbin (2019); Frankle et al. (2020)", early
    )


def imp_layerwise(
    plan: Plan, early: int = 0, rounds: int | None = None, convolution: float = 0.1, hidden: float = 0.2,
    output: float | None = None,
) -> Method:  # fmt: skip
    """IMP with a rate for each layer, as the lottery ticket's small networks were pruned.

    as imp, but in each round every layer loses its own share of its smallest weights: convolutions 10 %, hidden linear
    layers 20 %, the output layer half of that (the last prunable tensor).       Cost: R + 1 trainings.

    The rates are those of LeNet-300-100, Conv-2 and Conv-4; Conv-6 has `convolution` = 0.15. Rates fix layer sizes
    after each round, and no whole number of rounds may come to k: R is the fewest rounds in which no layer loses more
    than its rate, and all rates are shrunk alike so that the last one ends on k exactly (`RatesTo`). (A hundredth of a
    round too many is rounding: the sizes of a paper give the paper's rounds.)
    """
    rates = _rates(plan.layout, convolution, hidden, hidden / 2 if output is None else output)
    if rounds is None:
        rounds = max(int(plan.k < plan.n), math.ceil(times(plan.k, rates, plan.layout) - WHOLE))
    counts = RatesTo(plan.k, rates, max(rounds, 1))
    back, retrain = (Phase(Stay(), Rewind("early")),), plan.train(plan.steps - early)
    source = "Frankle, Carbin (2019), Figure 2"
    return _train_prune_retrain(plan, "imp-layerwise", rounds, back, retrain, source, early, counts)


def _rates(layout: Layout, convolution: float, hidden: float, output: float) -> tuple[float, ...]:
    """By shape: what has more than two dimensions is a convolution, and the last block the output layer."""
    return (*(convolution if len(shape) > 2 else hidden for shape in layout.shapes[:-1]), output)


def imp_rewind(plan: Plan) -> Method:
    """IMP with rewinding to 5 % of training, which larger networks need. Cost: as IMP."""
    return dataclasses.replace(imp(plan, early=plan.steps // 20), name="imp-rewind")


def imp_reinit(plan: Plan) -> Method:
    """IMP's control: its final mask with fresh random weights, trained once more. Cost: R + 2 trainings."""
    return dataclasses.replace(imp(plan) + reinitialised(plan.steps, plan.recipe), name="imp-reinit")


def one_shot(plan: Plan) -> Method:
    """One-shot magnitude pruning with rewinding to the start: IMP in a single round. Cost: 2 trainings."""
    return dataclasses.replace(imp(plan, rounds=1 if plan.k < plan.n else 0), name="one-shot")


def one_shot_layerwise(plan: Plan, convolution: float = 0.1, hidden: float = 0.2) -> Method:
    """One-shot pruning to the layer sizes that imp-layerwise ends on. Cost: 2 trainings."""
    method = imp_layerwise(plan, 0, 1 if plan.k < plan.n else 0, convolution, hidden)
    return dataclasses.replace(method, name="one-shot-layerwise")


def lr_rewinding(plan: Plan, rounds: int | None = None) -> Method:
    """Learning-rate rewinding: after pruning the weights stay, the learning-rate schedule starts over.

    train T;  for r = 1..R:  S = the k_r largest |w| of S;  clock = 0;  train T

    Backward elimination with a warm refit. Cost: R + 1 trainings.
    """
    back = (Phase(Stay(), Clock(0)), Phase(Stay(), FreshOptimiser()))
    source = "Renda, Frankle, Carbin (2020)"
    rounds = plan.rounds if rounds is None else rounds
    return _train_prune_retrain(plan, "lr-rewinding", rounds, back, plan.train(plan.steps), source)


def fine_tuning(plan: Plan, rounds: int | None = None) -> Method:
    """Fine-tuning: after pruning the weights stay and train on at the final learning rate.

    train T;  for r = 1..R:  S = the k_r largest |w| of S;  train T at the last rate         Cost: R + 1 trainings.
    """
    back = (Phase(Stay(), Clock(plan.steps)), Phase(Stay(), FreshOptimiser()))
    source = "Han et al. (2015); as Renda et al. (2020)"
    rounds = plan.rounds if rounds is None else rounds
    return _train_prune_retrain(plan, "fine-tuning", rounds, back, plan.train(plan.steps), source)


# ---- while training: gradual pruning a layer -----------------------------------------------------------------------


def gmp_uniform(plan: Plan, rounds: int = 20, until: float = 0.75) -> Method:
    """Gradual magnitude pruning, every layer at the same density: GMP as published. Cost: 1 training."""
    return dataclasses.replace(gmp(plan, rounds, until, "uniform"), name="gmp-uniform")


def gmp_erk(plan: Plan, rounds: int = 20, until: float = 0.75) -> Method:
    """Gradual magnitude pruning with Erdos-Renyi-kernel densities, as RigL's baseline. Cost: 1 training."""
    source = "Zhu, Gupta (2017), with the densities of Evci et al. (2020)"
    return dataclasses.replace(gmp(plan, rounds, until, "erk"), name="gmp-erk", source=source)


def random_pruning(plan: Plan, rounds: int = 20, until: float = 0.75, scope: str = "uniform") -> Method:
    """GMP's control: at the same steps as many weights of each layer go, drawn at random. Cost: 1 training."""
    method = gmp(plan, rounds, until, scope, Random())
    return dataclasses.replace(method, name="random-pruning", source="Gale, Elsen, Hooker (2019)")


METHODS: dict[str, Entry] = {
    "one-shot": one_shot,
    "one-shot-layerwise": one_shot_layerwise,
    "imp": imp,
    "imp-layerwise": imp_layerwise,
    "imp-rewind": imp_rewind,
    "imp-reinit": imp_reinit,
    "lr-rewinding": lr_rewinding,
    "fine-tuning": fine_tuning,
    "gmp-uniform": gmp_uniform,
    "gmp-erk": gmp_erk,
    "random-pruning": random_pruning,
}
