"""Whole channels: what is left is a smaller network, not a sparse one (`nets.export.shrink`).

    nets.prune("resnet-20", data, "soft-filter-pruning", sparsity=0.4)       # 60 % of the channels stay, exactly

k counts channels, as `nets.structured.Channels` finds them in the module; a run's sparsity is the fraction of channels
removed. On a plan without channels (another `prunable`) k counts weights, and each is a channel of its own.
"""

from __future__ import annotations

from nets.catalogue.plan import Entry, Plan
from nets.structured.groups import FilterNorms, Scales, Slimming, ZeroFilters
from nets.structured.rule import Channels, of_channels
from nets.training import Train
from sparsopt.errors import InvalidInput
from sparsopt.fits import Clock, FreshOptimiser, Restrict
from sparsopt.method import Method, Phase, Stage
from sparsopt.moves import Everything, Keep, Stay
from sparsopt.support import Structure

__all__ = ["METHODS", "l1_filters", "network_slimming", "soft_filter_pruning"]


def _by_layer(plan: Plan) -> Structure:
    return getattr(plan.structure, "by_layer", plan.structure)


def _cut_and_tune(plan: Plan, dense: Train, keep: Keep, share: float) -> tuple[Stage, ...]:
    """Train all, cut once, train what is left for a share of T on a schedule of its own."""
    if not share >= 0:
        raise InvalidInput(f"tune = {share}: fine-tuning takes a share of a training, 0 or more")
    steps = int(share * plan.steps)
    tuned = Train(steps, plan.recipe, total=max(steps, 1))
    cut = (Phase(keep, Clock(0)), Phase(Stay(), FreshOptimiser()), Phase(Stay(), tuned))
    return Stage((Phase(Everything(), dense),)), Stage(cut)


@of_channels(Channels())
def l1_filters(plan: Plan, tune: float = 0.25) -> Method:
    """The filters with the largest sums of |w|, the same share of every layer; fine-tuning.

    train T;  S = in each layer the channels with the largest sum |w| over their filters;  clock = 0;  train T/4

    Filters that a shortcut adds are one channel and are ranked by their common sum; the authors prune the first layer
    of each block only, by rates of its stage (ResNet-56-B: 60, 30 and 10 %). They fine-tune 40 epochs at a small rate;
    here the schedule is run through again, in T/4. One round of backward elimination. Cost: 1.25 trainings.
    """
    keep = Keep(plan.k, FilterNorms(1.0), _by_layer(plan))
    stages = _cut_and_tune(plan, plan.train(plan.steps), keep, tune)
    return Method("l1-filters", stages, "Li, Kadav, Durdanovic, Samet, Graf (2017)")


@of_channels(Channels(scaled=True))
def network_slimming(plan: Plan, strength: float = 1e-4, tune: float = 0.25) -> Method:
    """Channels with the largest scales of batch norm, which an l1 penalty has told apart; fine-tuning.

    train T on loss + strength * sum |gamma|;  S = the channels with the largest |gamma|, over all layers;  clock = 0;
    train T/4

    strength 1e-4 is the authors' for VGG-19 (1e-5 for ResNet-164 and DenseNet-40), and 40 epochs follow their 160. Only
    channels that have a scale compete, and those that shortcuts add by the norm of their scales together. The lasso,
    closed by a hard threshold: one round of backward elimination. Cost: 1.25 trainings.
    """
    dense = plan.train(plan.steps, through=Slimming(plan.layout, strength))
    stages = _cut_and_tune(plan, dense, Keep(plan.k, Scales(), plan.structure), tune)
    return Method("network-slimming", stages, "Liu, Li, Shen, Huang, Yan, Zhang (2017)")


@of_channels(Channels())
def soft_filter_pruning(plan: Plan, rounds: int = 20) -> Method:
    """Soft filter pruning: filters are set to zero again and again, and go on training.

    R times:  train all T/R steps;  S = in each layer the channels with the largest |filter|_2;  filters = 0 off S
    (the last time with their biases, scales and shifts)

    The authors set filters to zero after every epoch, and keep their momentum; here it is cleared with the weight: what
    comes back does so by its gradient. Iterative hard thresholding of groups, with long phases. Cost: 1 training.
    """
    rounds = max(1, min(rounds, plan.steps))
    period, keep = plan.steps // rounds, Keep(plan.k, FilterNorms(2.0), _by_layer(plan))
    last = plan.steps - (rounds - 1) * period
    cycle = Stage((Phase(Everything(), plan.train(period)), Phase(keep, ZeroFilters(plan.layout))), rounds - 1)
    close = Stage((Phase(Everything(), plan.train(last)), Phase(keep, Restrict())))
    return Method("soft-filter-pruning", (cycle, close), "He, Kang, Dong, Fu, Yang (2018)")


METHODS: dict[str, Entry] = {
    "l1-filters": l1_filters,
    "network-slimming": network_slimming,
    "soft-filter-pruning": soft_filter_pruning,
}
