"""The network methods, one short entry each, built from sparsopt's moves, schedules and catalogue.

An entry takes a `Plan` (which weights there are, how many to keep, how long one training is, and how one trains) and
returns a `Method`. Where the convex catalogue has the method, the entry calls it and passes `Train(...)` as the fit.

    >>> plan = Plan(Layout(("fc",), ((10, 784),)), k=784, steps=1000)
    >>> imp(plan).name
    'imp'

T below is `plan.steps`, the length of one training; every entry says how many trainings it costs.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass

from nets.controls import reinitialised
from nets.gates import StraightThrough
from nets.recipe import Recipe
from nets.training import Train
from sparsopt import catalogue as convex
from sparsopt.errors import InvalidInput
from sparsopt.fits import Clock, FreshOptimiser, Remember, Rewind
from sparsopt.judges import IfDecreasing, Judge
from sparsopt.method import Method, Phase, Stage
from sparsopt.moves import Choose, Everything, Gradient, Keep, Magnitude, Random, Score, Stay
from sparsopt.schedules import ERK, Cosine, Cubic, Geometric
from sparsopt.state import Layout

__all__ = ["METHODS", "Plan", "cost", "within"]

RATE = 0.2  # what iterative magnitude pruning removes a round (Frankle and Carbin 2019, most networks)


@dataclass(frozen=True)
class Plan:
    """What a method is asked to do: keep k weights of a layout, a training being `steps` long."""

    layout: Layout
    k: int
    steps: int
    recipe: Recipe = Recipe()

    @property
    def n(self) -> int:
        return self.layout.n

    @property
    def rounds(self) -> int:
        """Rounds of iterative pruning: the fewest that remove at most 20 % each."""
        return max(1, math.ceil(math.log(self.k / self.n) / math.log(1 - RATE) - 1e-9)) if self.k < self.n else 0

    def train(self, steps: int, **changes: object) -> Train:
        """`steps` steps of a training that is T long in all."""
        return Train(steps, self.recipe, total=max(self.steps, 1), **changes)  # type: ignore[arg-type]


def _finish(plan: Plan, done: int, **changes: object) -> tuple[Stage, ...]:
    """What remains of one training, on the support as it is."""
    left = plan.steps - done
    return (Stage((Phase(Stay(), plan.train(left, **changes)),)),) if left > 0 else ()


# ---- without pruning, and at initialisation ------------------------------------------------------------------------


def dense(plan: Plan) -> Method:
    """Train all weights: what the others are measured against (k is ignored).

    S = all;  train T.       Cost: 1 training.
    """
    return Method("dense", (Stage((Phase(Everything(), plan.train(plan.steps)),)),))


def random(plan: Plan) -> Method:
    """A random mask with Erdos-Renyi-kernel layer densities, fixed before training.

    S = random, ERK(k);  train T.       Cost: 1 training. The baseline that any choice of mask has to beat.
    """
    stage = Stage((Phase(Choose(ERK(plan.k), Random()), plan.train(plan.steps)),))
    return Method("random", (stage,), "Mocanu et al. (2018); Evci et al. (2020), static")


# ---- train, prune, retrain -----------------------------------------------------------------------------------------


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


# ---- during training -----------------------------------------------------------------------------------------------


def gmp(plan: Plan, rounds: int = 20, until: float = 0.75) -> Method:
    """Gradual magnitude pruning: k_r falls on a cubic during the first `until` of one training.

    train;  for r = 1..R:  S = the k_r largest |w| of S;  train T until / (R + 1);   train to T

    Backward elimination with a few steps in place of each refit. Cost: 1 training.
    """
    rounds = min(rounds, max(1, int(until * plan.steps) - 1))
    chunk = int(until * plan.steps) // (rounds + 1)
    main = convex.backward_elimination(Cubic(plan.n, plan.k, rounds), Magnitude(), plan.train(chunk))
    return Method("gmp", main.stages + _finish(plan, chunk * (rounds + 1)), "Zhu, Gupta (2017)")


def growth(plan: Plan, rounds: int = 10, until: float = 0.5, seed_share: float = 0.2) -> Method:
    """Forward greedy growth: from a small random seed, add the weights of largest gradient, train, and again.

    S = random, ERK(k / 5);  train;  for r = 1..R:  S += the m largest |gradient|, at 0;  train;   train to T

    Fully corrective greedy selection; an empty network has no gradient, hence the seed. Cost: 1 training.
    """
    first = max(1, round(seed_share * plan.k))
    rounds = min(rounds, max(1, int(until * plan.steps) - 1))
    m = max(1, math.ceil((plan.k - first) / rounds))
    chunk = int(until * plan.steps) // (math.ceil((plan.k - first) / m) + 1)
    start = Stage((Phase(Choose(ERK(first), Random()), plan.train(chunk)),))
    grow = convex.fully_corrective(plan.k - first, m, Gradient(), plan.train(chunk))
    done = chunk * (1 + math.ceil((plan.k - first) / m))
    return Method("growth", (start, *grow.stages, *_finish(plan, done)), f"{convex.SSZ}, Algorithm 2, on networks")


def _replacement(plan: Plan, name: str, into: Score, judge: Judge | None, source: str) -> Method:
    """Random ERK mask; every `chunk` steps of the first 75 % a cosine-annealed share of each layer is replaced."""
    chunk = max(1, min(100, plan.steps // 40))
    rounds = int(0.75 * plan.steps) // chunk
    counts = ERK(plan.k)
    start = Method("start", (Stage((Phase(Choose(counts, Random()), plan.train(chunk)),)),))
    swap = Cosine(counts, 0.3, max(rounds, 1))
    main = convex.replacement(plan.k, swap, rounds, start, Magnitude(), into, plan.train(chunk), judge)
    return Method(name, main.stages + _finish(plan, chunk * (rounds + 1)), source)


def rigl(plan: Plan) -> Method:
    """RigL: replacement by gradient, a layer's smallest weights for those of largest gradient.

    S = random, ERK(k);  every 100 steps (or T/40) of the first 75 %:  a_t = 0.3/2 (1 + cos(pi t)) of each layer:
        S -= a_t smallest |w|;  S += a_t largest |gradient| outside, at 0;   train to T

    Fully corrective selection with replacement, without its accept test. Cost: 1 training.
    """
    return _replacement(plan, "rigl", Gradient(), None, "Evci, Gale, Menick, Castro, Elsen (2020)")


def rigl_accept(plan: Plan) -> Method:
    """RigL with the accept test of Shalev-Shwartz et al.: a replacement that did not lower the loss is undone.

    As rigl, each round judged on 2,048 training samples; what was trained in a rejected round stays paid for.
    """
    return _replacement(
        plan, "rigl-accept", Gradient(), IfDecreasing(), f"Evci et al. (2020); {convex.SSZ}, Algorithm 3"
    )


def sparse_evolution(plan: Plan) -> Method:
    """SET: replacement at random. As rigl, but new weights are drawn uniformly. Cost: 1 training."""
    return _replacement(plan, "set", Random(1), None, "Mocanu et al. (2018), with RigL's schedule")


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
    return Method("acdc", (first, main, *_finish(plan, done)), "Peste, Iofinova, Vladu, Alistarh (2021)")


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
    finish = _finish(plan, period * rounds, through=StraightThrough())
    return Method("dpf", (feedback, *finish, close), "Lin, Stich, Barba, Dmitriev, Jaggi (2020)")


# ---- by name, and what they cost -----------------------------------------------------------------------------------

METHODS: dict[str, Callable[[Plan], Method]] = {
    "dense": dense,
    "random": random,
    "one-shot": one_shot,
    "imp": imp,
    "imp-rewind": imp_rewind,
    "imp-reinit": imp_reinit,
    "lr-rewinding": lr_rewinding,
    "fine-tuning": fine_tuning,
    "gmp": gmp,
    "growth": growth,
    "rigl": rigl,
    "rigl-accept": rigl_accept,
    "set": sparse_evolution,
    "acdc": acdc,
    "dpf": dpf,
}


def cost(method: Method) -> int:
    """Training steps that a method takes in all, if no judge ends it early."""
    return sum(
        stage.rounds * sum(phase.fit.steps for phase in stage.phases if isinstance(phase.fit, Train))
        for stage in method.stages
    )


def within(entry: Callable[[Plan], Method], plan: Plan, budget: int) -> Method:
    """The entry with the longest training whose total cost stays within `budget` steps: comparison at equal cost."""
    low, high = 0, budget
    while low < high:
        middle = (low + high + 1) // 2
        fits = cost(entry(dataclasses.replace(plan, steps=middle))) <= budget
        low, high = (middle, high) if fits else (low, middle - 1)
    if low == 0:
        name = getattr(entry, "__name__", repr(entry))
        raise InvalidInput(f"a budget of {budget} steps is too small for {name}, even with one step a training")
    return entry(dataclasses.replace(plan, steps=low))
