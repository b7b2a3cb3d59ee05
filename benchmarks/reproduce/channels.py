"""Whole channels: what pruning them is worth against the small network from scratch, and tickets drawn early.

Full schedules for a GPU; the budgeted versions train a narrow ResNet-20 for a fraction of an epoch, which can only say
whether the arms run and which is far ahead. `benchmarks compare` has the shares of weights, operations and time.
"""

from __future__ import annotations

import dataclasses

from benchmarks.reproduce.claims import near, not_below
from benchmarks.reproduce.target import Arm, Target, published
from nets.recipe import SGD, Milestones, Recipe
from nets.recipes import RECIPES
from nets.structured.rule import Channels

STAGES = ("stem.conv.weight", "stage2.block1.conv2.weight", "stage3.block1.conv2.weight")  # what shortcuts add
ROW_A = 1 - 735 / 832  # 10 % of the 27 first layers but four: 14, 28 and 57 of 16, 32 and 64 filters stay


def _first_layers(*dense: str) -> Channels:
    """The channels inside the blocks, as Li et al. prune residual networks, but for some blocks."""
    return Channels(exclude=(*STAGES, *(f"{block}.conv1.weight" for block in dense)))


def _scratch() -> Target:
    name, pruned = "resnet-56-scratch", "l1-filters"
    arms = {
        "dense": Arm("dense"),
        pruned: Arm(pruned, ROW_A),
        "scratch-E": Arm("scratch-E", ROW_A),
        "scratch-B": Arm("scratch-B", ROW_A),
    }
    orders = (not_below("scratch-B", pruned, 0.3), not_below("scratch-B", "scratch-E", 0.2))
    return Target(
        name,
        "ResNet-56-A: filters pruned and fine-tuned, or the same small network from scratch; 160 epochs",
        "Liu, Sun, Zhou, Huang, Darrell (2019), numbers as collected by shrinkbench",
        "cifar10",
        "resnet-56",
        Recipe(0.1, Milestones((0.5, 0.75)), SGD(0.9, weight_decay=1e-4), batch=64, name="rethinking"),
        epochs=160,
        seeds=5,
        arms=arms,
        claims=(
            near(pruned, published(name, pruned), 0.4),
            near("scratch-B", published(name, "scratch-B"), 0.4),
            *orders,
        ),
        protocol=(
            "Schedule and pruned layers read in the authors' code. Theirs fine-tune 40 epochs at a small rate, here "
            "the schedule is run through again in 40. They keep the best epoch, here the last counts.",
        ),
        prunable=_first_layers("stage1.block8", "stage2.block1", "stage3.block1", "stage3.block9"),
        cpu={
            "model": "resnet-20",
            "width": 0.25,
            "epochs": 0.3,
            "seeds": 3,
            "prunable": _first_layers(),
            "arms": {arm: dataclasses.replace(made, sparsity=made.sparsity and 0.5) for arm, made in arms.items()},
            "claims": orders,
        },
    )


EARLY_BIRD = Target(
    "vgg-16-early-bird",
    "Early-bird tickets of half of the channels against slimming after a whole training, VGG-16, 160 epochs",
    "You et al. (2020), abstract: tickets drawn early train to the accuracy of those drawn late; ratios and schedule "
    "read in the authors' scripts",
    "cifar10",
    "vgg-16",
    RECIPES["early-bird-vgg-16"].recipe,
    epochs=160,
    seeds=3,
    arms={
        "dense": Arm("dense"),
        "early-bird, 50 %": Arm("early-bird-channels", 0.5),
        "slimming, 50 %": Arm("network-slimming", 0.5),
        "early-bird from scratch, 50 %": Arm("early-bird-channels+scratch-E", 0.5),
    },
    claims=(
        not_below("early-bird, 50 %", "slimming, 50 %", 0.5),
        not_below("early-bird, 50 %", "dense", 1.0),
        not_below("early-bird, 50 %", "early-bird from scratch, 50 %", 0.3),
    ),
    prunable=Channels(scaled=True),
    cpu={"model": "resnet-20", "width": 0.25, "epochs": 0.6},
)

TARGETS = (_scratch(), EARLY_BIRD)
