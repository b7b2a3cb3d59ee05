"""Lottery tickets, deconstructed: any mask criterion with any treatment of kept and of pruned weights.

    nets.prune(model, data, "deconstructed", settings={"criterion": "magnitude_increase", "mask1": "signed_constant"})
    python -m nets prune --method deconstructed --set criterion=movement mask0=freeze_init

Criteria and actions are in `nets.deconstruction`.
"""

from __future__ import annotations

from nets.catalogue.retraining import imp_layerwise
from nets.deconstruction import EARLY, START, Criterion, Frozen, NonZero, TreatAs
from nets.plan import Entry, Plan
from sparsopt.fits import Remember, Restrict
from sparsopt.method import Method, Phase, Stage
from sparsopt.moves import Keep, Stay

__all__ = ["METHODS", "deconstructed", "untrained_mask"]

SOURCE = "Zhou, Lan, Liu, Yosinski (2019)"


def deconstructed(
    plan: Plan, criterion: str = "large_final", mask1: str = "rewind", mask0: str = "zero", alpha: float = 1.0,
    rounds: int | None = None,
) -> Method:  # fmt: skip
    """Iterative pruning with a mask criterion, a mask-1 action and a mask-0 action of one's choice.

    w_i = w_0;  train to T, w_f = w
    for r = 1..R:  S = the k_rb best of S by criterion(w_i, w_f), in each layer b;
        w = mask1(w_0, w_i) on S, mask0(w_i, w_f) elsewhere;  w_i = w, clock = 0;  train w_S for T, w_f = w

    The defaults are IMP with the rate of each layer (`imp-layerwise`, the same numbers to the bit). With a mask-0
    action other than zero little is sparse: the run closes with the support of all that is not zero, which is the
    sparsity it reports. Backward elimination with another score. Cost: R + 1 trainings.
    """
    layerwise = imp_layerwise(plan, 0, rounds).stages[-1]
    through = {} if mask0 == "zero" else {"through": Frozen()}
    keep = layerwise.phases[0].move
    cycle = (
        Phase(Keep(keep.k, Criterion(criterion)), TreatAs(plan.layout, mask1, mask0, alpha)),  # type: ignore[union-attr]
        Phase(Stay(), Remember(START)),
        Phase(Stay(), plan.train(plan.steps, **through)),
    )
    close = () if mask0 == "zero" else (Stage((Phase(NonZero(), Restrict()),)),)
    return Method("deconstructed", (*_trained(plan), Stage(cycle, layerwise.rounds), *close), SOURCE)


def _trained(plan: Plan) -> tuple[Stage, ...]:
    remember = (Phase(Stay(), Remember(EARLY)), Phase(Stay(), Remember(START)))
    return (Stage(remember), Stage((Phase(Stay(), plan.train(plan.steps)),)))


def untrained_mask(
    plan: Plan, criterion: str = "large_final_same_sign", mask1: str = "signed_constant", alpha: float = 1.0
) -> Method:
    """A mask from a training on weights that have seen none: supermasks by criterion.

    train to T;  S = the k_b best by criterion(w_0, w_T), in each layer b;  w = mask1(w_0) on S, and no training.

    Better than chance by far where the criterion keeps signs. Layer counts are those that imp-layerwise ends on. One
    round of backward elimination whose weights are not refitted. Cost: 1 training, of which only the mask is kept.
    """
    counts = imp_layerwise(plan, 0, 1 if plan.k < plan.n else 0).stages[-1].phases[0].move.k  # type: ignore[union-attr]
    cut = Stage((Phase(Keep(counts, Criterion(criterion)), TreatAs(plan.layout, mask1, "zero", alpha)),))
    return Method("untrained-mask", (*_trained(plan), cut), SOURCE)


METHODS: dict[str, Entry] = {"deconstructed": deconstructed, "untrained-mask": untrained_mask}
