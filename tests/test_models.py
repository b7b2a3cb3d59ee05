"""nets.models: sizes against the papers, work against published counts, weights as a function of the seed."""

from __future__ import annotations

import copy
import doctest
import importlib
import math
import pickle

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from nets import models
from sparsopt.errors import InvalidInput

LENETS, CIFAR = (1, 28, 28), (3, 32, 32)

# parameters with two or more dimensions, all parameters
SIZES = {
    "lenet-300-100": (266_200, 266_610),  # Frankle and Carbin 2019: 266K
    "lenet-5": (430_500, 431_080),  # Han et al. 2015: 431K
    "conv-2": (4_300_992, 4_301_642),  # Frankle and Carbin 2019: 4.3M
    "conv-4": (2_425_024, 2_425_930),  # 2.4M
    "conv-6": (2_261_184, 2_262_602),
    "vgg-11": (9_222_848, 9_228_362),
    "vgg-16": (14_715_584, 14_724_042),  # Li et al. 2017; Frankle et al. 2020: 14.7M
    "vgg-19": (20_024_000, 20_035_018),  # Frankle and Carbin 2019: 20.0M
    "resnet-20": (270_896, 272_474),  # He et al. 2016: 0.27M; Frankle et al. 2020: 274K
    "resnet-32": (464_432, 466_906),  # He et al. 2016: 0.46M
    "resnet-56": (851_504, 855_770),  # He et al. 2016: 0.85M
    "resnet-18": (11_164_352, 11_173_962),  # 11.17M
}

# He et al. 2016, Table 6, print 0.27, 0.46 and 0.85 million: their shortcuts have no parameters
OPTION_A = {"resnet-20": 269_722, "resnet-32": 464_154, "resnet-56": 853_018}


def count(model: nn.Module, weights_only: bool = False) -> int:
    return sum(p.numel() for p in model.parameters() if p.ndim > 1 or not weights_only)


@pytest.mark.parametrize("name", ["", ".blocks", ".lenet", ".conv", ".vgg", ".resnet"])
def test_examples(name):
    assert doctest.testmod(importlib.import_module(f"nets.models{name}")).failed == 0


def test_names_are_those_of_the_table():
    assert set(models.names()) == set(SIZES) and list(models.names()) == sorted(models.names())


@pytest.mark.parametrize("name", SIZES)
def test_sizes_of_the_papers(name):
    model = models.build(name)
    assert (count(model, weights_only=True), count(model)) == SIZES[name]
    assert f"{count(model):,}" in str(models.__doc__)


@pytest.mark.parametrize("name", OPTION_A)
def test_without_projections_the_sizes_are_those_of_he_et_al(name):
    model = models.build(name)
    projections = sum(p.numel() for key, p in model.named_parameters() if "shortcut" in key)
    assert count(model) - projections == OPTION_A[name]


def test_vgg_16_with_biases_is_the_size_others_print():
    model = models.build("vgg-16")
    biases = sum(layer.out_channels for layer in model.modules() if isinstance(layer, nn.Conv2d))
    assert count(model) + biases == 14_728_266  # open_lth, and most PyTorch codes for CIFAR


# floating-point operations of one image forward, two a multiplication: strides and poolings, which sizes do not show
FLOPS = {"resnet-20": 0.0816e9, "resnet-18": 1.111e9, "vgg-16": 0.626e9, "lenet-300-100": 2 * 266_200}


@pytest.mark.parametrize("name", FLOPS)
def test_operations(name):
    model = models.build(name).eval()
    inputs = LENETS if name.startswith("lenet") else CIFAR
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, *inputs))
    assert counter.get_total_flops() == pytest.approx(FLOPS[name], rel=2e-3)


@pytest.mark.parametrize("name", SIZES)
def test_forward_and_backward(name):
    inputs = LENETS if name.startswith("lenet") else CIFAR
    model = models.build(name, inputs, classes=7)
    x = torch.randn(4, *inputs, generator=torch.Generator().manual_seed(0))
    logits = model(x)
    assert logits.shape == (4, 7) and model.training
    nn.functional.cross_entropy(logits, torch.arange(4)).backward()
    for key, p in model.named_parameters():
        assert p.grad is not None and torch.isfinite(p.grad).all() and p.grad.any(), key
    assert model.get_submodule("head").weight.shape[0] == 7  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "name, inputs",
    [
        ("lenet-300-100", (1, 8, 8)),
        ("lenet-300-100", (5,)),
        ("lenet-5", (1, 8, 8)),
        ("lenet-5", (3, 32, 20)),
        ("conv-2", (1, 8, 8)),
        ("conv-6", (1, 8, 9)),
        ("vgg-11", (1, 28, 28)),
        ("vgg-19", (3, 16, 16)),
        ("resnet-20", (1, 8, 8)),
        ("resnet-18", (2, 5, 7)),
    ],
)
def test_models_adapt_to_their_inputs(name, inputs):
    assert models.build(name, inputs, classes=3)(torch.zeros(2, *inputs)).shape == (2, 3)


@pytest.mark.parametrize(
    "name, inputs, side",
    [("vgg-16", (1, 8, 8), 16), ("vgg-11", (3, 32, 15), 16), ("conv-6", (3, 7, 32), 8), ("lenet-5", (1, 3, 3), 4)],
)
def test_images_that_are_too_small(name, inputs, side):
    with pytest.raises(InvalidInput, match=f"{name} needs images .* of at least {side} x {side}"):
        models.build(name, inputs)


@pytest.mark.parametrize("arguments", [{"inputs": (3, 0, 32)}, {"inputs": ()}, {"classes": 0}, {"width": 0.0}])
def test_impossible_numbers(arguments):
    with pytest.raises(InvalidInput, match="must all be positive"):
        models.build("conv-2", **arguments)
    with pytest.raises(InvalidInput, match="needs images"):
        models.build("resnet-20", inputs=(12,))


@pytest.mark.parametrize("wrong, close", [("resnet20", "resnet-20"), ("VGG_16", "vgg-16"), ("lenet", "lenet-5")])
def test_unknown_names_get_the_near_ones(wrong, close):
    with pytest.raises(InvalidInput, match=f"did you mean .*{close}"):
        models.build(wrong)
    with pytest.raises(InvalidInput, match="known: conv-2"):
        models.build("transformer")


def flat(model: nn.Module) -> torch.Tensor:
    return torch.cat([value.double().flatten() for value in model.state_dict().values()])


@pytest.mark.parametrize("name", ["lenet-300-100", "lenet-5", "resnet-20"])
def test_weights_are_a_function_of_the_seed(name):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = flat(models.build(name, seed=3))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    assert torch.equal(flat(models.build(name, seed=3)), first)
    others = [flat(models.build(name, seed=seed)) for seed in (0, 4, 2**32 + 3)]
    assert all(not torch.equal(first, other) for other in others)


def test_first_weights():
    model = models.build("resnet-20", seed=1)
    model = nn.ModuleDict({"a": model, "b": models.build("lenet-5", seed=1)})
    for key, layer in model.named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            w = layer.weight.detach().double().flatten()
            fan_in = math.prod(layer.weight.shape[1:])
            z = w * math.sqrt(fan_in / 2)  # standard normal if He et al.'s rule was followed
            assert abs(z.mean()) < 5 / math.sqrt(len(z)), key
            assert abs((z**2).mean() - 1) < 5 * math.sqrt(2 / len(z)), key
            assert abs((z**4).mean() - 3) < 5 * math.sqrt(96 / len(z)), key
            assert layer.bias is None or not layer.bias.any(), key
        if isinstance(layer, nn.BatchNorm2d):
            assert (layer.weight == 1).all() and not layer.bias.any(), key
            assert not layer.running_mean.any() and (layer.running_var == 1).all(), key
            assert layer.num_batches_tracked == 0, key


def test_layers_are_drawn_independently():
    model = models.build("resnet-20", seed=0)
    a, b = (model.get_parameter(f"stage1.block{i}.conv1.weight").flatten().detach() for i in (1, 2))
    assert abs(torch.corrcoef(torch.stack([a, b]))[0, 1]) < 5 / math.sqrt(len(a))


@pytest.mark.parametrize("name", ["lenet-300-100", "lenet-5", "conv-4", "vgg-11", "resnet-32"])
def test_width_scales_every_hidden_layer(name):
    half, tiny = models.build(name, width=0.5), models.build(name, width=1e-6)
    whole = models.build(name)
    layers = [m for m in whole.modules() if isinstance(m, nn.Conv2d | nn.Linear)][:-1]
    narrow = [m for m in half.modules() if isinstance(m, nn.Conv2d | nn.Linear)][:-1]
    assert [2 * m.weight.shape[0] for m in narrow] == [m.weight.shape[0] for m in layers]
    assert {m.weight.shape[0] for m in tiny.modules() if isinstance(m, nn.Conv2d | nn.Linear)} == {1, 10}


@pytest.mark.parametrize("name", ["lenet-5", "resnet-20", "vgg-11"])
def test_copies_and_saved_weights_give_the_same_logits(name):
    model = models.build(name, seed=2)
    inputs = LENETS if name.startswith("lenet") else CIFAR
    x = torch.randn(4, *inputs, generator=torch.Generator().manual_seed(0))
    model(x)  # moves batch norm's statistics
    other = models.build(name, seed=9)
    other.load_state_dict(model.state_dict(), strict=True)
    for same in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), other):
        assert torch.equal(same.eval()(x), model.eval()(x))
