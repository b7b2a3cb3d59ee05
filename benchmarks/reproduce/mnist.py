"""Targets on MNIST that two cores carry: real data, real protocols, trainings of a few epochs.

What the sources say here was read in their abstracts or code, not in tables of LeNet results, so the claims are about
orders and about layers that die. Trainings are shorter than the sources', which the titles say, and the first target
trains by SGD with momentum at batches of 128 (Frankle and Carbin: Adam 1.2e-3, batches of 60, 50,000 iterations), so
that phases with few weights can go to the sparse engine.
"""

from __future__ import annotations

from benchmarks.reproduce.claims import Claim, above, collapses, not_below, survives
from benchmarks.reproduce.target import Arm, Target
from nets.recipe import SGD, Constant, Milestones, Recipe

SLOW = Recipe(0.02, Constant(), SGD(0.9, weight_decay=0.0), batch=128, name="sgd-momentum")
FAST = Recipe(0.1, Constant(), SGD(0.9, weight_decay=0.0), batch=128, name="sgd-momentum, five times the rate")
PLAIN = Recipe(0.1, Milestones((0.6, 0.8)), SGD(0.9, weight_decay=5e-4), batch=128, name="sgd-momentum-decay")
ROUND = 0.8  # of the weights stay, a round


def left(rounds: int) -> float:
    """The sparsity after so many rounds of 20 %."""
    return 1 - ROUND**rounds


def _gap(ours: str, theirs: str) -> tuple[tuple[float, str], ...]:
    return (1.0, ours), (-1.0, theirs)


TICKETS = Target(
    "lenet-tickets",
    "Lottery tickets in LeNet-300-100 on MNIST, 3 epochs a training",
    "Frankle, Carbin (2019): subnetworks of 10-20 % and less train to the dense accuracy from their own weights, and "
    "not from others",
    "mnist",
    "lenet-300-100",
    SLOW,
    epochs=3,
    engine="sparse",
    arms={
        "dense": Arm("dense"),
        "imp, 21 %": Arm("imp", left(7)),
        "imp, 10.7 %": Arm("imp", left(10)),
        "imp, 3.5 %": Arm("imp", left(15)),
        "re-initialised, 21 %": Arm("imp-reinit", left(7)),
        "re-initialised, 10.7 %": Arm("imp-reinit", left(10)),
        "re-initialised, 3.5 %": Arm("imp-reinit", left(15)),
        "one-shot, 3.5 %": Arm("one-shot", left(15)),
        "imp, 3.5 %, 5 x rate": Arm("imp", left(15), FAST),
        "re-initialised, 3.5 %, 5 x rate": Arm("imp-reinit", left(15), FAST),
    },
    claims=(
        not_below("imp, 21 %", "dense", 0.3),
        not_below("imp, 10.7 %", "dense", 0.3),
        not_below("imp, 3.5 %", "dense", 0.3),
        above("imp, 10.7 %", "re-initialised, 10.7 %"),
        above("imp, 3.5 %", "re-initialised, 3.5 %"),
        Claim(
            "the ticket's lead over re-initialised grows with the sparsity (21 to 3.5 %)",
            (
                *_gap("imp, 3.5 %", "re-initialised, 3.5 %"),
                *_gap("re-initialised, 21 %", "imp, 21 %"),
            ),
            low=0.0,
        ),
        above("imp, 3.5 %", "one-shot, 3.5 %"),
        Claim(
            "the ticket's lead is smaller at five times the learning rate",
            (
                *_gap("imp, 3.5 %", "re-initialised, 3.5 %"),
                *_gap("re-initialised, 3.5 %, 5 x rate", "imp, 3.5 %, 5 x rate"),
            ),
            low=0.0,
        ),
    ),
)

GSM = Target(
    "lenet-gsm",
    "Global sparse momentum, LeNet-300-100 at 60x on MNIST, 15 epochs",
    "Ding et al. (2019): 60x without loss; their base network is trained first, ours from the start",
    "mnist",
    "lenet-300-100",
    PLAIN,
    epochs=15,
    arms={
        "dense": Arm("dense"),
        "gsm, 60x": Arm("gsm", 1 - 1 / 60),
        "random, 60x": Arm("random", 1 - 1 / 60),
        "gmp, 60x": Arm("gmp", 1 - 1 / 60),
    },
    claims=(
        not_below("gsm, 60x", "dense", 0.3),
        above("gsm, 60x", "random, 60x"),
        above("gsm, 60x", "gmp, 60x"),
    ),
)

COLLAPSE = Target(
    "lenet-collapse",
    "Layer collapse at extreme sparsity, LeNet-300-100 on MNIST, 3 epochs",
    "Tanaka et al. (2020): SynFlow needs no data and avoids layer collapse; magnitude at initialisation does not",
    "mnist",
    "lenet-300-100",
    PLAIN,
    epochs=3,
    arms={
        "synflow, 99 %": Arm("synflow", 0.99),
        "magnitude-at-init, 99 %": Arm("magnitude-at-init", 0.99),
        "synflow, 99.95 %": Arm("synflow", 0.9995),
        "magnitude-at-init, 99.95 %": Arm("magnitude-at-init", 0.9995),
        "snip, 99.95 %": Arm("snip", 0.9995),
        "random, 99.95 %": Arm("random", 0.9995),
    },
    claims=(
        survives("synflow, 99 %"),
        survives("synflow, 99.95 %"),
        collapses("magnitude-at-init, 99.95 %"),
        above("synflow, 99 %", "magnitude-at-init, 99 %"),
        above("synflow, 99.95 %", "random, 99.95 %"),
        above("synflow, 99.95 %", "snip, 99.95 %"),
    ),
)

SHUFFLED = Target(
    "lenet-shuffle",
    "Which masks matter weight by weight: layerwise shuffles, LeNet-300-100 on MNIST, 3 epochs a training",
    "Frankle et al. (2021), Su et al. (2020): masks chosen at initialisation may be shuffled within layers, those of "
    "magnitude after training may not",
    "mnist",
    "lenet-300-100",
    SLOW,
    epochs=3,
    engine="sparse",
    arms={
        "snip, 95 %": Arm("snip", 0.95),
        "snip shuffled, 95 %": Arm("snip+shuffle", 0.95),
        "synflow, 95 %": Arm("synflow", 0.95),
        "synflow shuffled, 95 %": Arm("synflow+shuffle", 0.95),
        "grasp, 95 %": Arm("grasp", 0.95),
        "grasp shuffled, 95 %": Arm("grasp+shuffle", 0.95),
        "imp, 95 %": Arm("imp", 0.95),
        "imp shuffled, 95 %": Arm("imp+shuffle", 0.95),
    },
    claims=(
        not_below("snip shuffled, 95 %", "snip, 95 %", 0.3),
        not_below("synflow shuffled, 95 %", "synflow, 95 %", 0.3),
        not_below("grasp shuffled, 95 %", "grasp, 95 %", 0.3),
        above("imp, 95 %", "imp shuffled, 95 %"),
    ),
)

TARGETS = (TICKETS, GSM, COLLAPSE, SHUFFLED)
