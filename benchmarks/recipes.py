"""How each model is trained in the comparisons: one setting per (data, model), with its source.

None was tuned here for or against a method: they are the settings of the papers and public codes named. Schedules are
in fractions of one training, whose default length is `epochs`.

>>> setting("mnist", "lenet-300-100").recipe.learning_rate
0.1
"""

from __future__ import annotations

from dataclasses import dataclass

from nets.recipe import SGD, Adam, Constant, Milestones, Recipe
from nets.recipes import RECIPES
from nets.weights import ConvolutionsAndLinear, Rule
from sparsopt.errors import InvalidInput


@dataclass(frozen=True)
class Setting:
    """epochs: of one training by default; prunable: which weights count; source: whose setting it is."""

    recipe: Recipe
    epochs: float
    source: str
    prunable: Rule = ConvolutionsAndLinear()


DIGITS = Setting(
    Recipe(0.1, Milestones((0.5, 0.75)), SGD(0.9, weight_decay=0.0), batch=60, name="sgd-momentum"),
    15,
    "LeNet-300-100's batch of 60 (Frankle and Carbin 2019) with SGD, momentum and milestones as for residual networks "
    "(He et al. 2015); 15 epochs, after which the dense network hardly improves",
)
LENET = Setting(
    Recipe(0.1, Constant(), SGD(0.0, weight_decay=0.0), batch=128, name="sgd"),
    40,
    "open_lth's default for LeNet-300-100 on MNIST: SGD 0.1, batch 128, 40 epochs",
)
CONV = Setting(
    Recipe(2e-4, Constant(), Adam(), batch=60, name="adam"),
    20,
    "Frankle and Carbin (2019), Conv-2: Adam 2e-4, batch 60, 20 epochs",
)
RESNET = Setting(
    Recipe(0.1, Milestones((0.5, 0.75)), SGD(0.9, weight_decay=1e-4), batch=128, name="sgd-momentum-decay"),
    160,
    "He et al. (2015) for CIFAR-10: SGD 0.1, momentum 0.9, decay 1e-4, batch 128; rate / 10 at 1/2 and 3/4",
)
VGG = Setting(
    RESNET.recipe,
    160,
    "open_lth's default for VGG on CIFAR-10: as for residual networks; the classifier stays dense",
    ConvolutionsAndLinear(exclude=("head.weight",)),
)

WRN = Setting(RECIPES["rigl-wrn-22-2"].recipe, 250, RECIPES["rigl-wrn-22-2"].source, RECIPES["rigl-wrn-22-2"].prunable)
TRANSFORMER = Setting(RECIPES["adam"].recipe, 20, "Adam with a cosine schedule, the default of nets.prune")

FAMILIES = {"lenet": LENET, "conv": CONV, "resnet": RESNET, "vgg": VGG, "wrn": WRN, "transformer": TRANSFORMER}
MODELS = {"digits": "lenet-300-100", "mnist": "lenet-300-100", "fashion": "lenet-300-100", "cifar10": "conv-2"}


def setting(data: str, model: str) -> Setting:
    """The setting of a model on a data set."""
    if data == "digits" and model.startswith("lenet"):
        return DIGITS
    family = model.split("-")[0]
    if family not in FAMILIES:
        raise InvalidInput(f"no recipe for model '{model}'; there are recipes for {', '.join(FAMILIES)} models")
    return FAMILIES[family]
