"""Without pruning, and pruning before training.

A mask that is chosen before the first step costs one training and a few gradients to choose by (`scoring`). What it
must beat is `random`, and `smart-ratio`, which looks at no weight either.
"""

from __future__ import annotations

from nets.plan import Entry, Plan, finish, scoped
from nets.scores import SNIP, GraSP, SynFlow
from sparsopt.fits import Feedback, Fit, Restrict
from sparsopt.method import Method, Phase, Stage
from sparsopt.moves import Choose, Everything, Keep, Magnitude, Move, Random, Score
from sparsopt.schedules import ERK, Geometric, SmartRatio

__all__ = [
    "METHODS",
    "dense",
    "force",
    "grasp",
    "magnitude",
    "random",
    "smart_ratio",
    "snip",
    "snip_iterative",
    "synflow",
]


def dense(plan: Plan) -> Method:
    """Train all weights: what the others are measured against (k is ignored).

    S = all;  train T.       Cost: 1 training.
    """
    return Method("dense", (Stage((Phase(Everything(), plan.train(plan.steps)),)),))


# ---- without looking at the weights --------------------------------------------------------------------------------


def random(plan: Plan) -> Method:
    """A random mask with Erdos-Renyi-kernel layer densities, fixed before training.

    S = random, ERK(k);  train T.       Cost: 1 training. The baseline that any choice of mask has to beat.
    """
    stage = Stage((Phase(Choose(ERK(plan.k), Random()), plan.train(plan.steps)),))
    return Method("random", (stage,), "Mocanu et al. (2018); Evci et al. (2020), static")


def smart_ratio(plan: Plan, last: float = 0.3, steepness: float = 0.0) -> Method:
    """A random mask with densities that fall with depth: smart ratio, random tickets.

    S = random, layer l of L with density ~ (L-l+1)^2 + (L-l+1), the last layer 0.3;  train T.       Cost: 1 training.

    steepness 2, which divides by l^2, is what the authors take for VGG.
    """
    counts = SmartRatio(plan.k, last, steepness)
    stage = Stage((Phase(Choose(counts, Random()), plan.train(plan.steps)),))
    return Method("smart-ratio", (stage,), "Su, Chen, Cai, Wu, Gao, Wang, Lee (2020)")


# ---- by one score --------------------------------------------------------------------------------------------------


def _once(plan: Plan, name: str, by: Score, scope: str, source: str) -> Method:
    """Keep the k best of the first weights, train."""
    keep = Keep(scoped(Geometric(plan.n, plan.k, 1), scope), by)
    return Method(name, (Stage((Phase(keep, plan.train(plan.steps)),)),), source)


def magnitude(plan: Plan, scope: str = "global") -> Method:
    """The largest weights of the initialisation. Globally, layers with small weights die first.

    S = the k largest |w_0|;  train T.       Cost: 1 training. scope: global, uniform or erk.
    """
    return _once(plan, "magnitude-at-init", Magnitude(), scope, "as in Frankle, Dziugaite, Roy, Carbin (2021)")


def snip(plan: Plan, per_class: int = 10, scope: str = "global", mode: str = "train") -> Method:
    """SNIP: the weights whose masking would change the loss most.

    S = the k largest |w g|, g the gradient over 10 samples of each class;  train T.       Cost: 1 training, 1 gradient.

    Marginal screening by the derivative.
    """
    return _once(plan, "snip", SNIP(per_class, mode), scope, "Lee, Ajanthan, Torr (2019)")


def grasp(plan: Plan, per_class: int = 10, scope: str = "global", mode: str = "train") -> Method:
    """GraSP: the weights whose removal would lower the gradient's norm most.

    S = the k largest w (H g), 10 samples of each class, logits / 200;  train T.       Cost: 1 training, 4 gradients.
    """
    return _once(plan, "grasp", GraSP(per_class, mode=mode), scope, "Wang, Zhang, Grosse (2020)")


# ---- in rounds -----------------------------------------------------------------------------------------------------


def _rounds(plan: Plan, name: str, move: Move, fit: Fit, rounds: int, source: str) -> Method:
    """The move `rounds` times, without training; then train."""
    return Method(name, (Stage((Phase(move, fit),), rounds), *finish(plan, 0)), source)


def snip_iterative(plan: Plan, rounds: int = 60, per_class: int = 10, scope: str = "global") -> Method:
    """Iterative SNIP: the same in many rounds, each scored anew on what the last one left.

    for r = 1..R:  S = the k_r largest |w g| of S, g at w_S, other samples each round;  train T.
    Cost: 1 training, R gradients (R = 60, k_r geometric).

    Backward elimination without refits, by the derivative.
    """
    keep = Keep(scoped(Geometric(plan.n, plan.k, rounds), scope), SNIP(per_class))
    source = "de Jorge, Sanyal, Behl, Torr, Rogez, Dokania (2021); Verdenius, Stol, Forre (2020)"
    return _rounds(plan, "snip-iterative", keep, Restrict(), rounds, source)


def force(plan: Plan, rounds: int = 60, per_class: int = 10, scope: str = "global") -> Method:
    """FORCE: iterative SNIP in which a weight may return, with the value it had.

    for r = 1..R:  S = the k_r largest |w g| of all, g at w_S;  w = w_S, train T.       Cost: 1 training, R gradients.

    The dense weights stay behind the mask, as in thresholding with feedback: here with no steps in between.
    """
    choose = Choose(scoped(Geometric(plan.n, plan.k, rounds), scope), SNIP(per_class))
    source = "de Jorge, Sanyal, Behl, Torr, Rogez, Dokania (2021)"
    return _rounds(plan, "force", choose, Feedback(0, 0.0), rounds, source)


def synflow(plan: Plan, rounds: int = 100) -> Method:
    """SynFlow: weights on strong paths, without data, in rounds so fine that no layer dies.

    for r = 1..R:  S = the k_r weights of S with the largest share in R(|w_S|) = 1' |W_L| ... |W_1| 1;  train T.
    Cost: 1 training, R = 100 gradients of a single sample (k_r geometric).

    A path from input to output survives, so a chain of layers loses none of them. Of two branches side by side one may
    go: on ResNet-18 the 1 x 1 shortcuts are the first to be empty, long before 99 %.
    """
    keep = Keep(scoped(Geometric(plan.n, plan.k, rounds), "global"), SynFlow())
    source = "Tanaka, Kunin, Yamins, Ganguli (2020), Algorithm 1"
    return _rounds(plan, "synflow", keep, Restrict(), rounds, source)


METHODS: dict[str, Entry] = {
    "dense": dense,
    "random": random,
    "smart-ratio": smart_ratio,
    "magnitude-at-init": magnitude,
    "snip": snip,
    "grasp": grasp,
    "snip-iterative": snip_iterative,
    "force": force,
    "synflow": synflow,
}
