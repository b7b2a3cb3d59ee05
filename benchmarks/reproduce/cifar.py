"""Targets on CIFAR-10 with the sources' full schedules, for a GPU; each has a budgeted version for two cores.

The margins are the sources' own spreads and what three seeds can resolve. Recipes are those of `nets.recipes`, which
say what of them was read and what recalled. Tanaka et al. draw convolutions by fan_out and the head uniformly: their
collapse of ResNet-18 by magnitude is the head's, whose weights have a largest size; where all are normal nothing dies.
"""

from __future__ import annotations

import itertools
from typing import Any

from benchmarks.reproduce.claims import above, agree, collapses, near, not_below, survives
from benchmarks.reproduce.target import Arm, Target, published
from nets.recipe import SGD, Constant, Cosine, Milestones, Recipe
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

SMALL = {"model": "lenet-5", "width": 0.5}  # what two cores carry of a convolutional network


def _gems() -> Target:
    name = "resnet-20-gem-miner"
    by_sgd = Recipe(0.1, Cosine(), SGD(0.9, weight_decay=0.0), name="scores: sgd-cosine")
    ways = {"gem-miner": "gem-miner", "shuffled": "gem-miner+shuffle", "re-initialised": "gem-miner+reinit"}

    def arms(**settings: Any) -> dict[str, Arm]:
        dense, sparse = ({"penalty": penalty, **settings} for penalty in (3e-5, 1e-4))
        return {
            **{f"{way}, 96.3 %": Arm(how, 0.9628, settings=tuple(dense.items())) for way, how in ways.items()},
            "edge-popup, 96.3 %": Arm("edge-popup", 0.9628),
            "gem-miner, 98.6 %": Arm("gem-miner", 0.9856, settings=tuple(sparse.items())),
            "edge-popup, 98.6 %": Arm("edge-popup", 0.9856),
        }

    orders = (
        above("gem-miner, 96.3 %", "shuffled, 96.3 %"),
        above("gem-miner, 96.3 %", "re-initialised, 96.3 %"),
        above("gem-miner, 96.3 %", "edge-popup, 96.3 %"),
        above("gem-miner, 98.6 %", "edge-popup, 98.6 %"),
    )
    return Target(
        name,
        "ResNet-20 by Gem-Miner at 96.3 and 98.6 %, 150 epochs of scores and 150 of weights",
        "Sreenivasan et al. (2022), read in the text; the edge-popup of its figures has no number there",
        "cifar10",
        "resnet-20",
        Recipe(0.01, Milestones((80 / 150, 120 / 150)), SGD(0.9, weight_decay=0.0), batch=128, name="gem-miner"),
        epochs=150,
        seeds=3,
        arms=arms(scores=by_sgd),
        claims=(
            near("gem-miner, 96.3 %", published(name, "gem-miner, 96.3 %"), 1.0),
            near("gem-miner, 98.6 %", published(name, "gem-miner, 98.6 %"), 1.0),
            above("gem-miner, 96.3 %", "shuffled, 96.3 %", 2.0),
            above("gem-miner, 96.3 %", "re-initialised, 96.3 %", 2.0),
            *orders,
        ),
        init="signed-constant",
        protocol=(
            "As the authors' configurations: scores by SGD 0.1 with momentum and a cosine, frozen out every 5 epochs; "
            "the penalty on them 3e-5 at 96.28 % and 1e-4 at 98.56 %; then the weights at 0.01. Their batch norm has "
            "no scales and shifts; here those are frozen with the weights and train with them.",
            "For two cores: LeNet-5 of half the width in the place of ResNet-20, 0.75 epochs, scores by Adam 2e-3 and "
            "weights by SGD 0.02 (no batch norm): orders only.",
        ),
        cpu={
            **SMALL,
            "epochs": 0.75,
            "arms": arms(),
            "recipe": Recipe(0.02, Constant(), SGD(0.9, weight_decay=0.0), batch=128, name="sgd-momentum"),
            "claims": orders,
        },
    )


def _continuous() -> Target:
    name = "resnet-20-continuous"
    arms = {"dense": Arm("dense")} | {
        f"{way}, {density:.0%} kept": Arm(method, 1 - density)
        for density in (0.2, 0.25, 0.3)
        for way, method in {"continuous": "continuous-sparsification", "random": "random"}.items()
    }
    schedule, nesterov = Milestones((56 / 85, 71 / 85)), SGD(0.9, True, 1e-4)
    orders = (above("continuous, 25% kept", "dense"), above("continuous, 25% kept", "random, 25% kept"))
    return Target(
        name,
        "ResNet-20 by continuous sparsification at 20 to 30 % of the weights, 4 times 85 epochs",
        "Savarese, Silva, Maire (2020), in the authors' description of their code: 91.5-92.0 at 20-30 %, dense 90-91",
        "cifar10",
        "resnet-20",
        Recipe(0.1, schedule, nesterov, batch=128, name="continuous"),
        epochs=85,
        seeds=3,
        arms=arms,
        claims=(
            *(near(f"continuous, {kept} kept", published(name, f"continuous, {kept} kept"), 0.5)
              for kept in ("20%", "25%", "30%")),
            near("dense", published(name, "dense"), 0.75),
            *orders,
        ),
        protocol=(
            "Three rounds of 85 epochs with gates that harden to 200, penalty 1e-8, scores from 0; the ticket rewound "
            "to epoch 2 and trained. The authors keep every score above 0, which their first value decides; here the k "
            "largest stay. All prunable weights count (theirs: convolutions).",
            "For two cores: LeNet-5 of half the width, 1 epoch a round, SGD 0.02 (no batch norm): orders only.",
        ),
        cpu={
            **SMALL,
            "epochs": 1.0,
            "arms": {arm: made for arm, made in arms.items() if "25%" in arm or arm == "dense"},
            "recipe": Recipe(0.02, schedule, nesterov, batch=128, name="continuous, slower"),
            "claims": orders,
        },
    )  # fmt: skip


TARGETS = (
    _retraining(),
    _at_initialisation(),
    COLLAPSE,
    RIGL,
    ACDC_GMP,
    _gems(),
    _continuous(),
)
