"""Regularise, then remove: a growing L2 penalty presses weights out of the network before they are taken away.

In place of the exact refit of backward elimination there is a path: on the weights that have to leave, and only there,
the penalty grows until they are next to nothing, and what they knew has moved to the others ("extrusion"). The
entries differ in who has to leave (the smallest, or anyone), from where the path starts, and in how many rounds.

    nets.prune(model, data, method="unidlth", sparsity=0.9)
"""

from __future__ import annotations

import dataclasses

from nets.adaptive import Release, Ridged
from nets.catalogue.replacement import rigl_accept
from nets.early_stopping import BEST, Plateau, TrainOnPart
from nets.gates import Extruded
from nets.plan import Entry, Plan, scoped
from nets.recipe import Constant
from nets.training import Train
from sparsopt.fits import Clock, FreshOptimiser, Remember, Restrict, Rewind
from sparsopt.method import Method, Phase, Stage
from sparsopt.moves import Everything, Keep, Magnitude, Random, Score, Stay
from sparsopt.schedules import Geometric

__all__ = ["METHODS", "arht", "dlth", "growing_regularisation", "unidlth", "unilth"]

SHARE = 0.576  # 50,000 steps of growth and 40,000 more, of 64 images each, beside 200 epochs of 50,000 images


def _press(plan: Plan, steps: int, limit: float, rate: float = 1.0) -> Train:
    """`steps` steps at a constant rate, `rate` times the recipe's, while a growing penalty lies off the support."""
    recipe = dataclasses.replace(
        plan.recipe, learning_rate=rate * plan.recipe.learning_rate, schedule=Constant(), name="extrusion"
    )
    return Train(steps, recipe, Extruded(steps, limit))


def _anew(plan: Plan, rate: float = 1.0) -> tuple[Phase, ...]:
    """A whole training of the weights that are left, from where they are."""
    recipe = dataclasses.replace(plan.recipe, learning_rate=rate * plan.recipe.learning_rate)
    train = dataclasses.replace(plan, recipe=recipe).train(plan.steps)
    return (Phase(Stay(), Clock(0)), Phase(Stay(), FreshOptimiser()), Phase(Stay(), train))


def dlth(plan: Plan, share: float = SHARE, limit: float = 1.0, scope: str = "uniform") -> Method:
    """Random sparse network transformation (RST), which the dual lottery ticket hypothesis rests on.

    S = k weights at random;  share T steps on all weights:  w <- w - rate (g + penalty w off S), the penalty grows to 1
    w = w_S, a fresh optimiser, clock = 0;  train T

    The authors' schedule: 115 epochs, in 5/9 of which the penalty grows, beside 200 of training; they extrude at 0.001,
    a hundredth of their training rate, and leave the first and the last layer dense. Here all layers have the same
    density and extrusion keeps the recipe's rate: by a hundredth of it, short trainings press nothing out (but noise of
    batches then leaves some in). S is random; their printed command takes the smallest weights. Cost: 1.576 trainings.

    Backward elimination in one step, with a path in place of the refit; of regularised hard thresholding, the form
    whose support is given.
    """
    counts = scoped(Geometric(plan.n, plan.k, 1), scope)
    phases = (Phase(Keep(counts, Random()), _press(plan, round(share * plan.steps), limit)), *_anew(plan))
    return Method("dlth", (Stage(phases),), "Bai, Wang, Tao, Li, Fu (2022)")


def growing_regularisation(
    plan: Plan, share: float = SHARE, limit: float = 1.0, rate: float = 0.1, scope: str = "global"
) -> Method:
    """GReg-1: of a trained network, the smallest weights are pressed out by a growing penalty, then removed.

    train T;  S = the k largest |w|;  share T steps:  w <- w - rate (g + penalty w off S), the penalty grows to 1
    w = w_S, a fresh optimiser, clock = 0;  train T at a tenth of the rate

    Growth and the last rate are those of the authors' code (there 90,000 steps, every layer alike: scope "uniform");
    it extrudes at a hundredth of the rate, here it is a tenth. By Adam, whose steps do not grow with the penalty, that
    presses little out in a short training. Cost: 2.576 trainings.

    Backward elimination in one step, with a path in place of the refit.
    """
    counts = scoped(Geometric(plan.n, plan.k, 1), scope)
    press = Phase(Keep(counts, Magnitude()), _press(plan, round(share * plan.steps), limit, rate))
    first = Stage((Phase(Everything(), plan.train(plan.steps)),))
    return Method("growing-regularisation", (first, Stage((press, *_anew(plan, rate)))), "Wang, Qin, Zhang, Fu (2021)")


def _two_stages(
    plan: Plan, name: str, by: Score, early: float, cycles: int, patience: int, rounds: int, share: float, limit: float,
    scope: str,
) -> Method:  # fmt: skip
    """Train without penalty until the loss on held-out samples stops falling and go back to its best; then, round by
    round, choose, press out, remove; then train."""
    pressing = round(share * plan.steps)
    rounds = max(1, min(rounds, pressing))
    chunk = pressing // rounds
    free = int(early * plan.steps) + pressing - rounds * chunk
    cycles = max(1, min(cycles, free))
    cycle = free // cycles
    first = (Phase(Everything(), _part(plan, free - cycles * cycle)), Phase(Stay(), Remember(BEST)))
    watched = Stage((Phase(Stay(), _part(plan, cycle)),), rounds=cycles, judge=Plateau(patience))
    counts = scoped(Geometric(plan.n, plan.k, rounds), scope)
    remove = (Phase(Keep(counts, by), _press(plan, chunk, limit)), Phase(Stay(), Restrict()))
    back = Stage((Phase(Stay(), Rewind(BEST)),))
    stages = (Stage(first), watched, back, Stage(remove, rounds=rounds), Stage(_anew(plan)))
    return Method(name, stages, "A unified view of finding and transforming winning lottery tickets")


def _part(plan: Plan, steps: int) -> TrainOnPart:
    """Training whose progress is judged on samples that it does not see."""
    return TrainOnPart(steps, plan.recipe, total=max(plan.steps, 1))


def unilth(
    plan: Plan, early: float = 0.5, cycles: int = 5, patience: int = 2, rounds: int = 5, share: float = SHARE,
    limit: float = 1.0, scope: str = "global",
) -> Method:  # fmt: skip
    """UniLTH: train without a penalty and stop early; then press out the smallest weights and remove them, in rounds.

    until the loss on a held-out tenth has not fallen for 2 cycles, at most 5 times:  train T/10 on the other nine
    w as it was when that loss was least;  for r = 1..5:  S = the k_r largest |w| of S
        share T / 5 steps on all weights that are left:  w <- w - rate (g + penalty w off S), the penalty grows to 1
        w = w_S
    a fresh optimiser, clock = 0;  train T

    The source stops its first stage when the validation loss has not fallen for several cycles, and goes back several
    epochs: to the best cycle, here. T early is a budget: a first stage that never stops costs so much. The tenth comes
    out of the training split and joins it again afterwards. Numbers are ours (early, cycles, patience, 5 rounds with
    the same share leaving in each; extrusion's length is DLTH's): of the source only its abstract and introduction
    were at hand. Cost: at most 2.076 trainings.

    Backward elimination with a path in place of each refit, started at an early-stopped iterate.
    """
    return _two_stages(plan, "unilth", Magnitude(), early, cycles, patience, rounds, share, limit, scope)


def unidlth(
    plan: Plan, early: float = 0.5, cycles: int = 5, patience: int = 2, rounds: int = 5, share: float = SHARE,
    limit: float = 1.0, scope: str = "uniform",
) -> Method:  # fmt: skip
    """UniDLTH: as `unilth`, for weights chosen at random: a random subnetwork is transformed, in two stages.

    train until early stopping, as UniLTH;  for r = 1..5:  S = k_r weights of S at random;  extrusion as there;  w = w_S
    a fresh optimiser, clock = 0;  train T

    Against DLTH the penalty comes late and in rounds, so that it does not lead training astray from its first step.
    All layers keep the same density, as in DLTH. What is fixed by us is said there. Cost: at most 2.076 trainings.
    """
    return _two_stages(plan, "unidlth", Random(), early, cycles, patience, rounds, share, limit, scope)


def arht(plan: Plan, rho: float = 1e-3, share: float = 0.0) -> Method:
    """ARHT, adaptively regularised hard thresholding, on networks: swaps, and a penalty that learns where to stop.

    R = all;  S = random, ERK(k);  every 100 steps (or T/40) of the first 75 %:
        S' = RigL's swap;  train on S' with g = f + rho/2 |w_R|^2
        if g falls by less than share g:  undo;  as many weights of R and S as were swapped leave R, drawn by w^2
    train to T, with what is left of the penalty

    Swaps, their number and their times are those of `rigl-accept`, which this is for rho = 0. The convex method swaps
    one coordinate and refits; that rho is 1e-3, the target 0 and share 0 are choices of ours. Cost: 1 training.
    """
    method = rigl_accept(plan)
    start, swaps, *rest = method.stages
    ridged = [_ridged(stage, rho) for stage in (start, dataclasses.replace(swaps, judge=Release(rho, share)), *rest)]
    return Method("arht", tuple(ridged), f"Axiotis, Sviridenko (2021), on networks; {method.source}")


def _ridged(stage: Stage, rho: float) -> Stage:
    """The stage with its training through `Ridged`."""
    phases = (
        dataclasses.replace(phase, fit=dataclasses.replace(phase.fit, through=Ridged(rho)))
        for phase in stage.phases
        if isinstance(phase.fit, Train)
    )
    return dataclasses.replace(stage, phases=tuple(phases))


METHODS: dict[str, Entry] = {
    "dlth": dlth,
    "growing-regularisation": growing_regularisation,
    "unilth": unilth,
    "unidlth": unidlth,
    "arht": arht,
}
