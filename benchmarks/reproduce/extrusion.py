"""Targets about extrusion, on MNIST: a penalty presses knowledge out of the weights that are going to be removed.

Both sources are about residual networks on CIFAR; claims here are about orders. Of UniLTH's source only abstract and
introduction were at hand: what they leave open is said at the entries of `nets.catalogue.regularised`.
"""

from __future__ import annotations

from benchmarks.reproduce.claims import above, not_below
from benchmarks.reproduce.target import Arm, Target
from nets.recipe import SGD, Milestones, Recipe

TRAINED = Recipe(0.05, Milestones((0.5, 0.75)), SGD(0.9, weight_decay=5e-4), batch=128, name="sgd-momentum-decay")
UNIFIED = '"A unified view of finding and transforming winning lottery tickets"'
LEVEL = 0.98

TRANSFORMED = Target(
    "lenet-unidlth",
    "A random subnetwork transformed, 2 % of LeNet-300-100 on MNIST, 3 epochs a training",
    f"Bai et al. (2022): extrusion makes a random subnetwork better than it would train by itself; {UNIFIED}: better "
    "still if the penalty comes late and in rounds (abstract)",
    "mnist",
    "lenet-300-100",
    TRAINED,
    epochs=3,
    engine="auto",
    arms={
        "dense": Arm("dense"),
        "unidlth": Arm("unidlth", LEVEL),
        "dlth": Arm("dlth", LEVEL),
        "the same mask": Arm("dlth", LEVEL, settings=(("share", 0.0),)),
        "dlth, equal cost": Arm("dlth", LEVEL, trainings=2.076),
        "the same mask, equal cost": Arm("dlth", LEVEL, trainings=2.076, settings=(("share", 0.0),)),
    },
    claims=(
        above("unidlth", "dlth"),
        above("dlth", "the same mask"),
        above("unidlth", "dlth, equal cost"),
        above("dlth, equal cost", "the same mask, equal cost"),
        above("unidlth", "the same mask, equal cost"),
    ),
    protocol=(
        "The same share of every layer is kept, at random. dlth: the penalty on the others grows to 1 in 5/9 of 0.576 "
        "trainings and stays; they are removed; a whole training. unidlth: at most half a training without penalty, "
        "until the loss on a held-out tenth stops falling; extrusion in 5 rounds, 0.576 trainings in all; a whole one.",
        "the same mask: dlth's support without extrusion. Equal cost: as many steps as UniDLTH's, in its longest form. "
        "SGD 0.05 (a tenth at 1/2 and 3/4), momentum 0.9, decay 5e-4, batches of 128.",
    ),
)

FOUND = Target(
    "lenet-unilth",
    "UniLTH beside iterative magnitude pruning, LeNet-300-100 on MNIST, 6 epochs in all for each",
    f"{UNIFIED}: above lottery tickets in accuracy and sparsity (abstract)",
    "mnist",
    "lenet-300-100",
    TRAINED,
    epochs=1.5,
    engine="auto",
    arms={
        f"{name}, {100 * (1 - level):.0f} %": Arm(method, level, trainings=4.0)
        for level in (0.95, 0.98)
        for name, method in {"unilth": "unilth", "imp": "imp", "lr-rewinding": "lr-rewinding"}.items()
    },
    claims=(
        above("unilth, 5 %", "imp, 5 %"),
        above("unilth, 2 %", "imp, 2 %"),
        not_below("unilth, 5 %", "lr-rewinding, 5 %", 0.3),
        not_below("unilth, 2 %", "lr-rewinding, 2 %", 0.3),
    ),
    protocol=(
        "Every run has the steps of 6 epochs. IMP divides them over 15 (5 %) or 19 (2 %) trainings, UniLTH has half a "
        "training at most before its penalty, 0.576 of extrusion in 5 rounds, and a whole one of 2.9 epochs.",
        "SGD 0.05 (a tenth at 1/2 and 3/4), momentum 0.9, decay 5e-4, batches of 128.",
    ),
)

TARGETS = (TRANSFORMED, FOUND)
