"""Whole channels: what is left is a smaller network, not a sparse one (`nets.export.shrink`).

    nets.prune("resnet-20", data, "soft-filter-pruning", sparsity=0.4)       # 60 % of the channels stay, exactly

k counts channels, as `nets.structured.Channels` finds them in the module; a run's sparsity is the fraction of channels
removed. On a plan without channels (another `prunable`) k counts weights, and each is a channel of its own.
"""

from __future__ import annotations

from typing import Any

from nets.catalogue.thresholding import TrainOn
from nets.gates import Gate
from nets.local_models import Layerwise, LocalFit, Solve
from nets.plan import Entry, Plan
from nets.structured.contributions import Samples
from nets.structured.groups import FilterNorms, Scales, Slimming, UnitsStable, ZeroFilters
from nets.structured.rule import Channels, of_channels
from nets.structured.thinet import OWN, Eliminate, Elimination, Reweigh, layers
from nets.training import Train
from sparsopt.catalogue import hard_thresholding
from sparsopt.errors import InvalidInput
from sparsopt.fits import Clock, Exact, Fit, FreshOptimiser, Restrict
from sparsopt.judges import SupportStable
from sparsopt.method import Method, Phase, Stage
from sparsopt.moves import Everything, Keep, Move, Stay
from sparsopt.support import Structure, unit_labels

__all__ = ["METHODS", "early_bird_channels", "l1_filters", "network_slimming", "soft_filter_pruning", "thinet"]


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


@of_channels(Channels(scaled=True))
def early_bird_channels(plan: Plan, window: int = 4, tolerance: float = 0.1, strength: float = 1e-4) -> Method:
    """Early-bird tickets of whole channels: slim until the channels that one would keep have settled, cut, train on.

    every T/40:  train all on loss + strength * sum |gamma|;  look at S = the channels with the largest |gamma|
    until S differs from each of the last `window` in at most tolerance min(c, 2 k) of c channels;  cut, train to T

    As `early-bird`, but a channel goes with its shift and its filter, so that the ticket shrinks (`nets.export.shrink`)
    and can be trained as the smaller network that it is; channels that shortcuts add go together. Iterative hard
    thresholding until the support is stable. Cost: 1 training, however early the bird.
    """
    chunk, units = max(1, plan.steps // 40), int(unit_labels(plan.structure, plan.n).max(initial=0)) + 1
    judge = UnitsStable(plan.structure, SupportStable(window, tolerance * min(1.0, 2 * plan.k / units)))
    dense, look = plan.train(chunk, through=Slimming(plan.layout, strength)), plan.train(0, through=Gate())
    cycle = hard_thresholding(plan.k, dense, look, 1, plan.structure, by=Scales()).phases
    search = Stage(cycle, plan.steps // chunk, judge)
    ticket = Stage((Phase(Stay(), TrainOn(plan.steps % chunk, plan.recipe, total=plan.steps)),))
    return Method("early-bird-channels", (search, ticket), "You et al. (2020)")


@of_channels(Channels())
def thinet(plan: Plan, images: int = 10, places: int = 10, search: str = OWN, tune: float = 0.25) -> Method:
    """ThiNet: the channels without which the next layer's outputs change least; layer by layer.

    train T;  clock = 0;  for each layer l, from the first on:
        y = sum_c x_c: 10 outputs of the next layer, of random filters at random places, for 10 images of each class
        T = {};  repeat:  T += argmin_c |sum_(T + c) x_c|^2, until the same share of every layer is left
        w = argmin |y - sum_S w_c x_c|^2;  the next layer's weights of channel c *= w_c;  momentum = 0
        train T/8 / layers
    train to T/4

    The authors tune each layer for one or two epochs at a small rate; here the schedule is run through once more, the
    layers cut in its first half. search: "omp" is their later code, forward with refits, or any other convex method.
    They leave out channels that a shortcut adds; exclude them by `prunable=Channels(exclude=...)`. Single weights are
    chosen the same way for their own layer, all at once. Backward elimination with unit weights. Cost: 1.25 trainings.
    """
    if not tune >= 0:
        raise InvalidInput(f"tune = {tune}: fine-tuning takes a share of a training, 0 or more")
    steps = int(tune * plan.steps)
    move, fit, rounds = _channel_by_channel(plan, Samples(images, places), search)
    chunk = steps // (2 * rounds)
    again = (Phase(Stay(), FreshOptimiser()), Phase(Stay(), Train(chunk, plan.recipe, total=max(steps, 1))))
    rest = Train(steps - rounds * chunk, plan.recipe, total=max(steps, 1))
    stages = (
        Stage((Phase(Everything(), plan.train(plan.steps)), Phase(Stay(), Clock(0)))),
        Stage((Phase(move, fit), *again), rounds),
        Stage((Phase(Stay(), rest),)),
    )
    return Method("thinet", stages, "Luo, Wu, Lin (2017)")


def _channel_by_channel(plan: Plan, samples: Samples, search: str) -> tuple[Move, Fit, int]:
    """How a layer's channels are chosen and made up for, and in how many layers; single weights: all in one."""
    if hasattr(plan.structure, "by_layer"):
        channels: Any = plan.structure
        return Eliminate(plan.k, channels, samples, search), Reweigh(channels, samples), layers(channels)
    own = Layerwise(samples.images * samples.places)
    return Solve(plan.k, own, Elimination() if search == OWN else search), LocalFit(Exact(), own), 1


METHODS: dict[str, Entry] = {
    "l1-filters": l1_filters,
    "network-slimming": network_slimming,
    "soft-filter-pruning": soft_filter_pruning,
    "early-bird-channels": early_bird_channels,
    "thinet": thinet,
}
