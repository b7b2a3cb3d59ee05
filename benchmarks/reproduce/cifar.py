"""Targets on CIFAR-10 with the sources' full schedules, for a GPU; each has a budgeted version for two cores.

The margins are the sources' own spreads and what three seeds can resolve. Recipes are those of `nets.recipes`, which
say what of them was read and what recalled. Tanaka et al. draw convolutions by fan_out and the head uniformly: their
collapse of ResNet-18 by magnitude is the head's, whose weights have a largest size; where all are normal nothing dies.
"""

from __future__ import annotations

import itertools

from benchmarks.reproduce.claims import above, agree, collapses, near, not_below, survives
from benchmarks.reproduce.target import Arm, Target, published
from nets.recipes import RECIPES


def _retraining() -> Target:
    name, sparse = "resnet-20-retraining", {"79.0 %": 1 - 0.8**7, "89.3 %": 1 - 0.8**10}
    ways = {
        "imp to epoch 12": ("imp-rewind", ()),
        "imp to the start": ("imp", ()),
        "lr-rewinding": ("lr-rewinding", ()),
        "fine-tuning": ("fine-tuning", ()),
        "one-shot lr-rewinding": ("lr-rewinding", (("rounds", 1),)),
        "one-shot reinit": ("one-shot+reinit", ()),
    }
    arms = {"dense": Arm("dense")} | {
        f"{way}, {level}": Arm(method, sparsity, settings=settings)
        for level, sparsity in sparse.items()
        for way, (method, settings) in ways.items()
    }
    deep = "89.3 %"
    return Target(
        name,
        "ResNet-20: what to go back to after pruning, 182 epochs a training",
        "Renda, Frankle, Carbin (2020), raw results of three runs",
        "cifar10",
        "resnet-20",
        RECIPES["renda-resnet-20"].recipe,
        epochs=182,
        seeds=3,
        arms=arms,
        claims=(
            near("dense", published(name, "dense"), 0.3),
            near(f"imp to epoch 12, {deep}", published(name, f"imp to epoch 12, {deep}"), 0.4),
            near(f"lr-rewinding, {deep}", published(name, f"lr-rewinding, {deep}"), 0.4),
            near(f"one-shot reinit, {deep}", published(name, f"one-shot reinit, {deep}"), 0.6),
            agree(f"lr-rewinding, {deep}", f"imp to epoch 12, {deep}", 0.4),
            above(f"lr-rewinding, {deep}", f"fine-tuning, {deep}", 0.7),
            above(f"imp to epoch 12, {deep}", f"imp to the start, {deep}", 2.5),
            above(f"one-shot lr-rewinding, {deep}", f"one-shot reinit, {deep}", 1.2),
        ),
        cpu={
            "epochs": 6,
            "arms": {arm: made for arm, made in arms.items() if deep in arm or arm == "dense"},
            "claims": (
                above(f"lr-rewinding, {deep}", f"fine-tuning, {deep}"),
                above(f"imp to epoch 12, {deep}", f"imp to the start, {deep}"),
                above(f"one-shot lr-rewinding, {deep}", f"one-shot reinit, {deep}"),
            ),
        },
    )


def _at_initialisation() -> Target:
    name, levels = "vgg-16-at-init", (0.9, 0.9684, 0.99)
    order = ("synflow", "magnitude-at-init", "snip", "grasp", "random")
    arms = {f"{method}, {100 * level:.1f} %": Arm(method, level) for level in levels for method in order}
    ordered = tuple(above(f"{better}, 96.8 %", f"{worse}, 96.8 %") for better, worse in itertools.pairwise(order))
    levels_met = tuple(near(arm, published(name, arm), 1.0) for arm in arms if "random" not in arm)
    return Target(
        name,
        "VGG-16 pruned at initialisation, 160 epochs",
        "Tanaka, Kunin, Yamins, Ganguli (2020), raw results of figure 6",
        "cifar10",
        "vgg-16",
        RECIPES["synflow-vgg-16"].recipe,
        epochs=160,
        seeds=3,
        arms=arms,
        claims=(*ordered, *levels_met),
        init="fan-out",
        cpu={
            "epochs": 2,
            "arms": {arm: made for arm, made in arms.items() if "96.8" in arm},
            "claims": ordered,
        },
    )


COLLAPSE = Target(
    "resnet-18-collapse",
    "ResNet-18 by magnitude at initialisation: alive at 90 %, dead at 94.4 %; 160 epochs",
    "Tanaka, Kunin, Yamins, Ganguli (2020), raw results of figure 6",
    "cifar10",
    "resnet-18",
    RECIPES["synflow-resnet-18"].recipe,
    epochs=160,
    seeds=3,
    arms={
        f"{method}, {100 * level:.1f} %": Arm(method, level)
        for level in (0.9, 0.9438)
        for method in ("magnitude-at-init", "synflow", "snip", "random")
    },
    claims=(
        survives("magnitude-at-init, 90.0 %"),
        collapses("magnitude-at-init, 94.4 %"),
        survives("synflow, 94.4 %"),
        near("magnitude-at-init, 90.0 %", published("resnet-18-collapse", "magnitude-at-init, 90.0 %"), 0.5),
        near("synflow, 94.4 %", published("resnet-18-collapse", "synflow, 94.4 %"), 0.5),
    ),
    init="fan-out",
    cpu={
        "epochs": 0.01,
        "arms": {
            "magnitude-at-init, 90.0 %": Arm("magnitude-at-init", 0.9),
            "magnitude-at-init, 94.4 %": Arm("magnitude-at-init", 0.9438),
            "synflow, 94.4 %": Arm("synflow", 0.9438),
        },
    },
)

RIGL = Target(
    "wrn-22-2-rigl",
    "RigL against its static mask on WRN-22-2, 250 epochs",
    "Evci, in google-research/rigl issue 8",
    "cifar10",
    "wrn-22-2",
    RECIPES["rigl-wrn-22-2"].recipe,
    epochs=250,
    seeds=3,
    arms={
        f"{name}, {100 * level:.1f} %": Arm(method, level)
        for level in (0.9, 0.95)
        for name, method in {"rigl": "rigl", "static": "random", "gmp": "gmp"}.items()
    },
    claims=(
        above("rigl, 90.0 %", "static, 90.0 %", 0.7),
        above("rigl, 95.0 %", "static, 95.0 %", 1.4),
        near("rigl, 90.0 %", published("wrn-22-2-rigl", "rigl, 90.0 %"), 0.5),
        near("static, 90.0 %", published("wrn-22-2-rigl", "static, 90.0 %"), 0.5),
    ),
    prunable=RECIPES["rigl-wrn-22-2"].prunable,
    cpu={
        "epochs": 6,
        "claims": (above("rigl, 90.0 %", "static, 90.0 %"), above("rigl, 95.0 %", "static, 95.0 %")),
    },
)

ACDC_GMP = Target(
    "resnet-20-acdc",
    "AC/DC against gradual magnitude pruning on ResNet-20, 200 epochs",
    "Peste et al. (2021) have AC/DC at or above GMP on ImageNet; no CIFAR-10 number of theirs was found",
    "cifar10",
    "resnet-20",
    RECIPES["acdc-resnet-20"].recipe,
    epochs=200,
    seeds=3,
    arms={
        f"{method}, {100 * level:.0f} %": Arm(method, level) for level in (0.8, 0.9, 0.95) for method in ("acdc", "gmp")
    },
    claims=(
        not_below("acdc, 80 %", "gmp, 80 %", 0.3),
        not_below("acdc, 90 %", "gmp, 90 %", 0.3),
        not_below("acdc, 95 %", "gmp, 95 %", 0.3),
    ),
    cpu={"epochs": 8},
)

TARGETS = (_retraining(), _at_initialisation(), COLLAPSE, RIGL, ACDC_GMP)
