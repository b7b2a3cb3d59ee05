"""Recipes of papers, by name: how each of them trained, on what, and how it pruned.

>>> nets.prune("lenet-300-100", nets.data.load("mnist"), sparsity=0.96, recipe="lth-lenet-300-100")
>>> RECIPES["renda-resnet-20"].recipe.batch
128

A recipe brings its training, length, prunable weights, method and settings; whatever else a call says comes first. The
model and the data are the caller's (`python -m nets prune --recipe NAME` takes those of the recipe). "Read" in `source`
means that the numbers were seen in the paper's code or text; "recalled" that they were not, so compare with care.

"airbench" is for quick iteration and no protocol: the tables of `benchmarks compare` and `reproduce` refuse what is in
`FAST`. Of airbench94 (Jordan 2024, arXiv:2404.00498; read in the author's code) it has the network, batches of 1,024,
SGD with Nesterov momentum 0.85, the rate 1.5 for the mean loss (theirs is 11.5 for each 1,024 samples, divided by 1 +
1 / (1 - 0.85)), a fifth of it at the start, the peak at 23 %, 7 % at the end, decay 0.0153 / 11.5, label smoothing 0.2,
9.9 epochs, reduced precision and channels last. It has not: Lookahead; a rate 64 times as large for the shifts of batch
norm; alternating flips (here each is a coin); reflected borders and shifts of 2 (here zeros and 4); six views at
evaluation; a stem bias that stops training after 3 epochs. It has the whitened stem only where
`nets.models.airbench.whitened` was called. The author's 94.01 % in 3.83 s on an A100 is not claimed for it: it has not
been measured here.

What no recipe here changes: weight decay acts on every parameter that trains, batch norm and biases included. So it
does in most public codes (Renda et al. say that it helped); Evci et al. decay weights only. First weights are those of
`nets.models` (open_lth starts batch norm's weights from U[0, 1] instead of 1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nets.recipe import SGD, Adam, Constant, Cosine, Milestones, Recipe, Triangle, WarmUp
from nets.weights import ConvolutionsAndLinear, Rule

__all__ = ["FAST", "RECIPES", "Published"]

FAST = ("airbench",)  # names of recipes that change what is studied: never in a table beside a paper's


@dataclass(frozen=True)
class Published:
    """How a paper trained and pruned one network.

    epochs      length of one training
    sparsities  that the paper reports
    settings    of the method, where they are not its entry's defaults
    prunable    which weights count
    """

    source: str
    data: str
    model: str
    recipe: Recipe
    epochs: float
    method: str
    sparsities: tuple[float, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    prunable: Rule = ConvolutionsAndLinear()

    def __str__(self) -> str:
        return f"{self.model} on {self.data}, {self.epochs:g} epochs, {self.method}: {self.source}"


def _at(epochs: float, *milestones: float, factor: float = 0.1) -> Milestones:
    return Milestones(tuple(epoch / epochs for epoch in milestones), factor)


def _adam(rate: float) -> Recipe:
    return Recipe(rate, Constant(), Adam(), batch=60, name="lth-adam")


HEAD_DENSE = ConvolutionsAndLinear(exclude=("head.weight",))
RESNET = Recipe(0.1, _at(160, 80, 120), SGD(0.9, weight_decay=1e-4), batch=128, name="open-lth")
RENDA = Recipe(0.1, _at(182, 91, 136), SGD(0.9, weight_decay=2e-4), batch=128, name="renda")
SYNFLOW = Recipe(0.1, _at(160, 60, 120), SGD(0.9, weight_decay=1e-4), batch=128, name="synflow")
LTH = "Frankle, Carbin (2019); rate, batch, epochs and layer rates read in the authors' scripts"
OPEN_LTH = "open_lth's defaults, read in its code; it starts batch norm from U[0, 1]"
TANAKA = "Tanaka, Kunin, Yamins, Ganguli (2020)"
TWENTY = tuple(1 - 0.8**rounds for rounds in (7, 10, 13, 17))  # 79.0, 89.3, 94.5, 97.7 %

RECIPES: dict[str, Published] = {
    "adam": Published(
        "no paper's: the default here", "digits", "lenet-300-100",
        Recipe(1e-3, Cosine(), Adam(), batch=64, name="adam-cosine"), 20, "imp", (0.9,),
    ),
    "sgd": Published(
        "no paper's: momentum, decay 1e-4, a tenth of the rate at 1/2 and 3/4", "digits", "lenet-300-100",
        Recipe(0.1, Milestones(), SGD(0.9, weight_decay=1e-4), batch=128, name="sgd-milestones"), 20, "imp", (0.9,),
    ),
    "airbench": Published(
        "no paper's: parts of airbench94, Jordan (2024), read in the author's code; for quick iteration alone",
        "cifar10", "airbench-94",
        Recipe(
            1.5, Triangle(0.23, 0.2, 0.07), SGD(0.85, True, 0.0153 / 11.5), batch=1024, label_smoothing=0.2,
            precision="bfloat16", memory="channels_last", name="airbench",
        ),
        9.9, "imp", (0.9,),
    ),
    "lth-lenet-300-100": Published(
        LTH, "mnist", "lenet-300-100", _adam(1.2e-3), 55, "imp-layerwise", (0.789, 0.964)
    ),
    "lth-conv-2": Published(LTH, "cifar10", "conv-2", _adam(2e-4), 27, "imp-layerwise", (0.9,)),
    "lth-conv-4": Published(LTH, "cifar10", "conv-4", _adam(3e-4), 34, "imp-layerwise", (0.9,)),
    "lth-conv-6": Published(
        LTH, "cifar10", "conv-6", _adam(3e-4), 40, "imp-layerwise", (0.9,), {"convolution": 0.15}
    ),
    "open-lth-lenet-300-100": Published(
        OPEN_LTH, "mnist", "lenet-300-100", Recipe(0.1, Constant(), SGD(0.0, weight_decay=0.0), name="open-lth-lenet"),
        40, "imp", TWENTY, prunable=HEAD_DENSE,
    ),
    "open-lth-resnet-20": Published(OPEN_LTH, "cifar10", "resnet-20", RESNET, 160, "imp-rewind", TWENTY),
    "open-lth-vgg-16": Published(
        OPEN_LTH, "cifar10", "vgg-16", RESNET, 160, "imp-rewind", TWENTY, prunable=HEAD_DENSE
    ),
    "renda-resnet-20": Published(
        "Renda, Frankle, Carbin (2020); read in the authors' code (decay 2e-4, on batch norm too)",
        "cifar10", "resnet-20", RENDA, 182, "lr-rewinding", TWENTY,
    ),
    "renda-resnet-56": Published(
        "Renda, Frankle, Carbin (2020); read in the authors' code (decay 2e-4, on batch norm too)",
        "cifar10", "resnet-56", RENDA, 182, "lr-rewinding", TWENTY,
    ),
    "synflow-vgg-16": Published(
        f"{TANAKA}; read in the stored arguments of the authors' runs",
        "cifar10", "vgg-16", SYNFLOW, 160, "synflow", (0.9, 0.944, 0.968, 0.982, 0.99, 0.999),
    ),
    "synflow-resnet-18": Published(
        f"{TANAKA}; recalled", "cifar10", "resnet-18",
        Recipe(0.01, _at(160, 60, 120, factor=0.2), SGD(0.9, weight_decay=5e-4), batch=128, name="synflow-resnet"),
        160, "synflow", (0.9, 0.944, 0.968, 0.982, 0.99, 0.999),
    ),
    "rigl-wrn-22-2": Published(
        "Evci et al. (2020); read in the authors' code (theirs decays weights only; the first layer stays dense)",
        "cifar10", "wrn-22-2",
        Recipe(0.1, _at(97_656, 30_000, 60_000, 90_000, factor=0.2), SGD(0.9, True, 5e-4), batch=128, name="rigl-wrn"),
        250, "rigl", (0.5, 0.8, 0.9, 0.95), prunable=ConvolutionsAndLinear(exclude=("stem.weight",)),
    ),
    "granet-vgg-19": Published(
        "Liu et al. (2021); rate, decay and length read in the authors' code, milestones recalled",
        "cifar10", "vgg-19", Recipe(0.1, _at(160, 80, 120), SGD(0.9, weight_decay=5e-4), batch=128, name="granet"),
        160, "granet", (0.9, 0.95, 0.98),
    ),
    "acdc-resnet-20": Published(
        "Peste, Iofinova, Vladu, Alistarh (2021); read in the authors' configurations, the batch recalled",
        "cifar10", "resnet-20",
        Recipe(0.1, _at(200, 65, 125, 185), SGD(0.9, weight_decay=5e-4), batch=128, name="acdc"),
        200, "acdc", (0.5, 0.75, 0.9, 0.95),
    ),
    "dpf-resnet-20": Published(
        "Lin, Stich, Barba, Dmitriev, Jaggi (2020); recalled, but for the rate and length, read in another's code",
        "cifar10", "resnet-20",
        Recipe(0.2, Milestones((0.5, 0.75)), SGD(0.9, True, 1e-4), batch=128, name="dpf"),
        300, "dpf", (0.7, 0.8, 0.9, 0.95),
    ),
    "gsm-lenet-300-100": Published(
        "Ding et al. (2019); read in the authors' code, which then prunes for 280 epochs (here as many as it trains)",
        "mnist", "lenet-300-100",
        Recipe(3e-2, WarmUp(5 / 200, _at(200, 40, 80, 120, 160)), SGD(0.9, weight_decay=5e-4), batch=256, name="gsm"),
        200, "gsm", (1 - 1 / 60,),
    ),
    "early-bird-vgg-16": Published(
        "You et al. (2020); read in the authors' scripts, which are for CIFAR-100, the decay recalled",
        "cifar10", "vgg-16", Recipe(0.1, _at(160, 80, 120), SGD(0.9, weight_decay=1e-4), batch=256, name="early-bird"),
        160, "early-bird", (0.3, 0.5, 0.7),
    ),
}  # fmt: skip
