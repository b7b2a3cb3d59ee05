"""Train, prune, retrain: backward elimination with different ways of refitting.

All of the family are one function, `_train_prune_retrain`: they differ in what a pruned network goes back to.
"""

from __future__ import annotations

import dataclasses

from nets.catalogue.plan import Entry, Plan
from nets.controls import reinitialised
from nets.training import Train
from sparsopt.fits import Clock, FreshOptimiser, Remember, Rewind
from sparsopt.method import Method, Phase, Stage
from sparsopt.moves import Keep, Magnitude, Stay
from sparsopt.schedules import Geometric

__all__ = ["METHODS", "fine_tuning", "imp", "imp_reinit", "imp_rewind", "lr_rewinding", "one_shot"]


def _train_prune_retrain(
    plan: Plan, name: str, rounds: int, back: tuple[Phase, ...], retrain: Train, source: str, early: int = 0
) -> Method:
    """Train `early` steps and remember, train on to T; then in each round keep the largest, go back, train again.

    `back` follows the pruning `Keep`: its first phase carries the move's fit.
    """
    keep = Keep(Geometric(plan.n, plan.k, max(rounds, 1)), Magnitude())
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


def imp_rewind(plan: Plan) -> Method:
    """IMP with rewinding to 5 % of training, which larger networks need. Cost: as IMP."""
    return dataclasses.replace(imp(plan, early=plan.steps // 20), name="imp-rewind")


def imp_reinit(plan: Plan) -> Method:
    """IMP's control: its final mask with fresh random weights, trained once more. Cost: R + 2 trainings."""
    return dataclasses.replace(imp(plan) + reinitialised(plan.steps, plan.recipe), name="imp-reinit")


def one_shot(plan: Plan) -> Method:
    """One-shot magnitude pruning with rewinding to the start: IMP in a single round. Cost: 2 trainings."""
    return dataclasses.replace(imp(plan, rounds=1 if plan.k < plan.n else 0), name="one-shot")


def lr_rewinding(plan: Plan) -> Method:
    """Learning-rate rewinding: after pruning the weights stay, the learning-rate schedule starts over.

    train T;  for r = 1..R:  S = the k_r largest |w| of S;  clock = 0;  train T

    Backward elimination with a warm refit. Cost: R + 1 trainings.
    """
    back = (Phase(Stay(), Clock(0)), Phase(Stay(), FreshOptimiser()))
    source = "Renda, Frankle, Carbin (2020)"
    return _train_prune_retrain(plan, "lr-rewinding", plan.rounds, back, plan.train(plan.steps), source)


def fine_tuning(plan: Plan) -> Method:
    """Fine-tuning: after pruning the weights stay and train on at the final learning rate.

    train T;  for r = 1..R:  S = the k_r largest |w| of S;  train T at the last rate         Cost: R + 1 trainings.
    """
    back = (Phase(Stay(), Clock(plan.steps)), Phase(Stay(), FreshOptimiser()))
    source = "Han et al. (2015); as Renda et al. (2020)"
    return _train_prune_retrain(plan, "fine-tuning", plan.rounds, back, plan.train(plan.steps), source)


METHODS: dict[str, Entry] = {
    "one-shot": one_shot,
    "imp": imp,
    "imp-rewind": imp_rewind,
    "imp-reinit": imp_reinit,
    "lr-rewinding": lr_rewinding,
    "fine-tuning": fine_tuning,
}
