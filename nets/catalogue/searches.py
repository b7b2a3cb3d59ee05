"""Searches for masks: the weights stay as they were drawn, what trains is a score for each of them.

    nets.prune(model, data, method="edge-popup", sparsity=0.5)

They look for the subnetworks of a random network whose existence subset sums prove (`nets.strong_tickets`, where the
same entries search the sources of constructions). Biases and norms stay as they were drawn too. Scores train by the
rates of `SCORES`, weights by the plan's recipe: a rate that is right for one means nothing for the other. While a
search runs, the trace's accuracy is that of all weights that have not been ruled out, not of the mask.
"""

from __future__ import annotations

import dataclasses

from nets.plan import Entry, Plan
from nets.recipe import SGD, Adam, Cosine, Recipe
from nets.relaxations import EdgePopup, GemMiner, Rescaled, Scale, Scores, Supermask, TopScores
from sparsopt.fits import Clock, FreshOptimiser, Restrict
from sparsopt.method import Method, Phase, Stage
from sparsopt.moves import Everything, Keep, Stay
from sparsopt.names import lookup
from sparsopt.schedules import Geometric, Uniform

__all__ = ["METHODS", "SCORES", "edge_popup", "gem_miner", "mining", "supermask"]

# edge-popup's are its authors'; in wide layers all bits of a row move together, so Adam's must be small
SCORES = {
    "edge-popup": Recipe(0.1, Cosine(), SGD(0.9, weight_decay=1e-4), name="scores: sgd-cosine"),
    "supermask": Recipe(0.1, Cosine(), Adam(), name="scores: adam-cosine"),
    "gem-miner": Recipe(2e-3, Cosine(), Adam(), name="scores: slow-adam-cosine"),
}


def _of_scores(plan: Plan, scores: Recipe | None, name: str) -> Plan:
    """The plan with rate, schedule and optimiser of scores; batch, smoothing, precision stay its own."""
    s = SCORES[name] if scores is None else scores
    rates = {"learning_rate": s.learning_rate, "schedule": s.schedule, "optimiser": s.optimiser, "name": s.name}
    return dataclasses.replace(plan, recipe=dataclasses.replace(plan.recipe, **rates))  # type: ignore[arg-type]


def edge_popup(plan: Plan, scores: Recipe | None = None, scale: float = 0.0) -> Method:
    """Edge-popup: train scores through the k largest |score| (the same share of each layer), weights frozen.

    s = U[-1, 1] / sqrt(fan in);  T times: s <- s - rate * d/ds f(w * top_k |s|);  S = top_k |s|

    All of the authors' configurations draw weights larger, by 1 / sqrt(density): scale = 1/2 multiplies each layer's by
    density^-scale before the search. With 0, as the model has them: strong tickets have to stay what they were drawn.
    Iterative hard thresholding in score space. Cost: 1 training, of scores.
    """
    counts = Uniform(plan.k)(0, plan.layout)
    search = _of_scores(plan, scores, "edge-popup").train(plan.steps, through=EdgePopup(counts, plan.layout))
    larger = (Phase(Everything(), Scale(counts, plan.layout, scale)),) if scale else ()
    phases = (*larger, Phase(Everything(), search), Phase(Keep(Uniform(plan.k), Scores(absolute=True)), Restrict()))
    return Method("edge-popup", (Stage(phases),), "Ramanujan et al. (2020)")


def supermask(
    plan: Plan, scores: Recipe | None = None, last: float = 0.25, size: float = 2.0, bits: str = "bernoulli"
) -> Method:
    """Supermasks: train the probabilities of Bernoulli masks, weights frozen; keep the k most probable.

    s = 2 or -2 (`size`), at random;  T (1 - last) times: m ~ Bernoulli(sigmoid(s)), s <- s - rate * d/ds f(w * m);
    T last times: through top_k s;  S = top_k s

    bits = "rescaled": with dynamic weight rescaling, f(w * m n_l / |m_l|) in each layer l, until the last stretch. (The
    network that is returned has no factor; the gate `Rescaled` says when that is the same classifier.)

    Cost: 1 training, of scores. The paper has last = 0, size = 0 (see the gate `Supermask`), no control of k, and
    trains s by SGD with momentum at a rate of 100.
    """
    ours, ending = _of_scores(plan, scores, "supermask"), round(last * plan.steps)
    gates = {"bernoulli": Supermask(size), "rescaled": Rescaled(size, plan.layout)}
    search = ours.train(plan.steps - ending, through=lookup(gates, bits, "kind of bits"))
    return Method("supermask", (Stage((Phase(Everything(), search),)), *_through_k(ours, ending)), "Zhou et al. (2019)")


def gem_miner(plan: Plan, scores: Recipe | None = None, penalty: float = 1e-4) -> Method:
    """Gem-Miner: find a mask of k weights by mining scores, then train these weights from where they were drawn.

    s = U[0, 1];  for r = 1..29:  train s for T / 30 through s >= 1/2, clamped to [0, 1];  S = the k_r largest s of S;
    train s for T / 30;  then all of S, also s < 1/2:  w as drawn, a fresh optimiser, clock = 0;  train w for T

    Backward elimination by scores. Cost: 2 trainings, the first of scores. As in the authors' code, where scores and
    weights train for as many epochs; it trains s by SGD at 0.1 with a cosine, and w at 0.01. The penalty on s^2 is
    1e-4 there for densities of 0.59 and 1.44 %, 3e-5 for 3.72 %.
    """
    mined = mining(plan, scores, rounds=29, last=0.0, spare=1, penalty=penalty)
    refresh = Stage((Phase(Stay(), Restrict()), Phase(Stay(), Clock(0)), Phase(Stay(), FreshOptimiser())))
    train = Stage((Phase(Stay(), plan.train(plan.steps)),))
    return Method("gem-miner", (*mined.stages, refresh, train), "Sreenivasan et al. (2022)")


def mining(
    plan: Plan, scores: Recipe | None = None, rounds: int = 29, last: float = 0.25, spare: float = 2,
    penalty: float = 1e-4,
) -> Method:  # fmt: skip
    """Gem-Miner's search alone, for frozen weights.

    As `gem_miner`, but k_R = spare * k, and for the last T last steps through top_k s;  S = top_k s.

    Cost: 1 training, of scores. With last = 0 and spare = 1, the paper's: those of S with s < 1/2 were off in mining,
    so that these k weights are no mask that was trained; hence the last stretch where weights stay frozen.
    """
    ours, ending = _of_scores(plan, scores, "gem-miner"), round(last * plan.steps)
    rounds = max(1, min(rounds, plan.steps - ending - 1))
    period = (plan.steps - ending) // (rounds + 1)
    left = plan.steps - ending - rounds * period
    gate = GemMiner(penalty)
    freeze = Keep(Geometric(plan.n, min(plan.n, round(spare * plan.k)), rounds), Scores())
    mine = (Phase(Stay(), ours.train(period, through=gate)), Phase(freeze, ours.train(0, through=gate)))
    rest = Stage((Phase(Stay(), ours.train(left, through=gate)),))
    return Method(
        "gem-miner", (Stage(mine, rounds=rounds), rest, *_through_k(ours, ending)), "Sreenivasan et al. (2022)"
    )


def _through_k(plan: Plan, steps: int) -> tuple[Stage, ...]:
    """The last stretch, through exactly k weights, and the mask."""
    train = plan.train(steps, through=TopScores(plan.k))
    return (Stage((Phase(Stay(), train), Phase(Keep(plan.k, Scores()), Restrict()))),)


METHODS: dict[str, Entry] = {
    "edge-popup": edge_popup,
    "supermask": supermask,
    "gem-miner": gem_miner,
}
