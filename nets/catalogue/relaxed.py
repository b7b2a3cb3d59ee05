"""Relaxations: weights and the scores that choose among them are trained together, then the k best stay.

How many weights a relaxation leaves is decided by a penalty or a first value, not by k. Here all of them end with the
k best scores, so that the size is exact, and say what follows: they differ from their papers in that last step.

    nets.prune(model, data, method="continuous-sparsification", sparsity=0.9)
"""

from __future__ import annotations

from nets.joint import BiLevel, Continuous, Deterministic, HardConcrete, Movement, SignalToNoise, Variational
from nets.plan import Entry, Plan
from nets.relaxations import Scores
from sparsopt.fits import Clock, FreshOptimiser, Remember, Restrict, Rewind
from sparsopt.method import Method, Phase, Stage
from sparsopt.moves import Choose, Everything, Keep, Stay
from sparsopt.schedules import Cubic, Uniform

__all__ = ["METHODS", "bip", "continuous_sparsification", "l0", "movement", "variational_dropout"]

ONE_IMAGE = 1 / 60_000  # penalties are stated for the sum over a data set, of MNIST's size: this is for the mean


def _ratio(plan: Plan, rate: float) -> float:
    """A rate of scores, in rates of the recipe."""
    return rate / plan.recipe.learning_rate if plan.recipe.learning_rate else 0.0


def continuous_sparsification(
    plan: Plan, start: float = 0.0, final: float = 200.0, strength: float = 1e-8, rate: float = 0.1, rounds: int = 3
) -> Method:
    """Continuous sparsification: gates sigmoid(beta s) harden while weights train; the ticket is rewound and trained.

    s = start;  3 times:  clock = 0;  train w and s for T through w sigmoid(beta s) / sigmoid(start), beta = 1..200
        s = min(200 s, start)
    S = the k largest s;  w as it was after 2/85 of the first round, clock = 0;  train w_S for T

    Rounds of 85 epochs, 200, the rewinding to epoch 2, start 0, strength and the rate 0.1 of s are the authors' code's;
    beta rises there once an epoch, here in each step. Their mask is s > 0, and `start` decides how many that are (-0.1
    sparser, 0.1 denser); their ticket also keeps the factor 1 / sigmoid(start), which a batch norm takes out.
    A homotopy for l0: graduated non-convexity. Cost: 4 trainings.
    """
    gate = Continuous(_ratio(plan, rate), plan.steps, start, final, strength)
    early = min(plan.steps, max(1, round(plan.steps * 2 / 85)))
    first = (
        Phase(Everything(), plan.train(early, through=gate)),
        Phase(Stay(), Remember("early")),
        Phase(Stay(), plan.train(plan.steps - early, through=gate)),
    )
    again = (Phase(Stay(), Clock(0)), Phase(Stay(), plan.train(plan.steps, through=gate)))
    ticket = (
        Phase(Keep(plan.k, Scores()), Rewind("early")),
        Phase(Stay(), Clock(0)),
        Phase(Stay(), plan.train(plan.steps)),
    )
    stages = (Stage(first), Stage(again, rounds=rounds - 1), Stage(ticket))
    return Method("continuous-sparsification", stages, "Savarese, Silva, Maire (2020)")


def movement(plan: Plan, period: int = 16, warm: float = 0.1, cool: float = 0.2, scope: str = "global") -> Method:
    """Movement pruning: of a trained network, the weights stay that training moves away from zero.

    train T;  clock = 0, s = 0;  T / 10 steps with all:  w <- w - rate g,  s <- s - rate g w
    every 16 steps:  S = the k_t largest s of all (k_t falls on a cubic);  16 times:
        g = grad f(w_S);  w <- w - rate g on S;  s <- s - rate g w everywhere;        at the end w = w_S

    The first tenth and the last fifth without change of k_t are the authors' command for SQuAD; they choose S in every
    step and in each matrix alike (scope "uniform"), and train s by Adam, where here it is the sum itself.
    Iterative hard thresholding with feedback, in the space of scores. Cost: 2 trainings.
    """
    T = plan.steps
    period = max(1, min(period, T // 10))
    rounds = (T - int(warm * T)) // period
    free = T - rounds * period
    total = Cubic(plan.n, plan.k, max(1, round((1 - warm - cool) / (1 - warm) * rounds)))
    counts, last = (Uniform(total), Uniform(plan.k)) if scope == "uniform" else (total, plan.k)
    gate = Movement()
    trained = (
        Phase(Everything(), plan.train(T)),
        Phase(Stay(), Clock(0)),
        Phase(Stay(), FreshOptimiser()),
        Phase(Stay(), plan.train(free, through=gate)),
    )
    choose = Stage((Phase(Choose(counts, Scores()), plan.train(period, through=gate)),), rounds=rounds)
    close = Stage((Phase(Choose(last, Scores()), Restrict()),))
    return Method("movement", (Stage(trained), choose, close), "Sanh, Wolf, Rush (2020)")


def bip(plan: Plan, rate: float = 0.1, step: float = 1e-4) -> Method:
    """BiP, bi-level pruning: the mask is found while the weights under it train, and foresees how they answer.

    train T;  clock = 0, s = w;  T times, M being the k largest |s| of all:
        upper level, one batch:       g = grad f(w_M);   s <- s - rate_s sign(s) (g w - step g^2 on M)
        lower level, another batch:   g = grad f(w_M);   w <- w - rate g on M  (and the recipe's decay)
    S = M,  w = w_S

    One shot to every k, nothing is trained afterwards. As in the authors' code the levels take turns, each on batches
    of its own; SGD with momentum 0.9 at 0.1 for s, step 1e-4 for the second-order term, 100 epochs at batches of 128
    for the search. Theirs divides k evenly over layers while its description is of one global choice, as here; it lets
    the rate of s fall at 1/2 and 3/4 and decays s by 1e-4 where here s has the recipe's schedule and no decay. What
    else differs is said at the gate `BiLevel`. Support step and fully corrective step, taken together. Cost: 2
    trainings, in the second of which a step takes two gradients.
    """
    gate = BiLevel(_ratio(plan, rate), plan.k, step)
    trained = (Phase(Everything(), plan.train(plan.steps)), Phase(Stay(), Clock(0)), Phase(Stay(), FreshOptimiser()))
    search = (
        Phase(Stay(), plan.train(plan.steps, through=gate)),
        Phase(Keep(plan.k, Scores(absolute=True)), Restrict()),
    )
    source = "Zhang, Yao, Ram, Zhao, Chen, Hong, Wang, Liu (2022)"
    return Method("bip", (Stage(trained), Stage(search)), source)


def l0(plan: Plan, strength: float = ONE_IMAGE, rate: float = 1e-2, last: float = 0.25) -> Method:
    """L0 regularisation: gates with hard concrete noise, whose expected number is penalised.

    T (1 - last) steps on w and s:  f(w z) + strength sum_j P(z_j > 0),  z ~ hard concrete(s)
    S = the k largest s;  w = w * (the gate without noise);  train w_S for T last

    Temperature 2/3, stretch to -0.1..1.1, half of the gates dropped at first, Adam for s, and strength 1 for a data set
    of 60,000 are the authors' code's (LeNet-5; Adam at 1e-3 for 120,000 steps, here 1e-2). Theirs has gates for units,
    no k, and no last part (last = 0); Gale, Elsen and Hooker (2019) found it to fail on ResNet-50. A homotopy for l0.
    Cost: 1 training.
    """
    ending = round(last * plan.steps)
    gate = HardConcrete(_ratio(plan, rate), strength)
    phases = (
        Phase(Everything(), plan.train(plan.steps - ending, through=gate)),
        Phase(Keep(plan.k, Scores()), Deterministic()),
        Phase(Stay(), plan.train(ending)),
    )
    return Method("l0", (Stage(phases),), "Louizos, Welling, Kingma (2018)")


def variational_dropout(plan: Plan, strength: float = ONE_IMAGE, rate: float = 1e-2, last: float = 0.25) -> Method:
    """Sparse variational dropout: each weight has a variance of its own; those that are mostly noise go.

    T (1 - last) steps on w and s:  f(w + exp(s / 2) e) + strength_t sum_j KL_j,  e ~ N(0, 1)
    S = the k largest w^2 / exp(s);  w = w_S;  train w_S for T last

    log alpha = s - log w^2 orders the weights as in the paper, where a threshold cuts them (3, recalled; Gale, Elsen
    and Hooker 2019: 0.5) and nothing follows (last = 0). KL counts once a data set, whose size is taken as 60,000.
    Cost: 1 training.
    """
    ending = round(last * plan.steps)
    gate = Variational(_ratio(plan, rate), plan.steps - ending, strength)
    phases = (
        Phase(Everything(), plan.train(plan.steps - ending, through=gate)),
        Phase(Keep(plan.k, SignalToNoise()), Restrict()),
        Phase(Stay(), plan.train(ending)),
    )
    return Method("variational-dropout", (Stage(phases),), "Molchanov, Ashukha, Vetrov (2017)")


METHODS: dict[str, Entry] = {
    "continuous-sparsification": continuous_sparsification,
    "movement": movement,
    "bip": bip,
    "l0": l0,
    "variational-dropout": variational_dropout,
}
