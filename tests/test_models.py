"""nets.models: sizes against the papers, work against published counts, weights as a function of the seed."""

from __future__ import annotations

import copy
import dataclasses
import math
import pickle

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from nets import models
from nets.models.airbench import whitened
from nets.models.building import shape_only
from nets.weights import ConvolutionsAndLinear, Weights
from sparsopt.errors import InvalidInput

LENETS, CIFAR = (1, 28, 28), (3, 32, 32)

# parameters with two or more dimensions, all parameters
SIZES = {
    "airbench-94": (1_970_464, 1_972_792),
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
    "transformer-small": (102_528, 104_394),
    "wrn-16-4": (2_745_264, 2_748_890),
    "wrn-22-2": (1_076_912, 1_079_642),
    "wrn-28-10": (36_461_232, 36_479_194),  # Zagoruyko and Komodakis 2016, Table 5: 36.5M
    "wrn-40-4": (8_938_416, 8_949_210),  # 8.9M
}
GREY = ("lenet", "transformer")  # families that are 1 x 28 x 28 by default

# He et al. 2016, Table 6, print 0.27, 0.46 and 0.85 million: their shortcuts have no parameters
OPTION_A = {"resnet-20": 269_722, "resnet-32": 464_154, "resnet-56": 853_018}


def count(model: nn.Module, weights_only: bool = False) -> int:
    return sum(p.numel() for p in model.parameters() if p.ndim > 1 or not weights_only)


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
    inputs = LENETS if name.startswith(GREY) else CIFAR
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, *inputs))
    assert counter.get_total_flops() == pytest.approx(FLOPS[name], rel=2e-3)


@pytest.mark.parametrize("name", [name for name in SIZES if name not in ("wrn-28-10", "vgg-19", "wrn-40-4")])
def test_forward_and_backward(name):
    inputs = LENETS if name.startswith(GREY) else CIFAR
    model = models.build(name, inputs, classes=7)
    x = torch.randn(4, *inputs, generator=torch.Generator().manual_seed(0))
    logits = model(x)
    assert logits.shape == (4, 7) and model.training
    nn.functional.cross_entropy(logits, torch.arange(4)).backward()
    for key, p in model.named_parameters():
        assert not p.requires_grad or (p.grad is not None and torch.isfinite(p.grad).all()), key
        assert not p.requires_grad or p.grad.any() or key.endswith("in_proj_bias"), key
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
        ("wrn-10-1", (2, 5, 7)),
        ("transformer-small", (2, 5, 7)),
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
    with pytest.raises(InvalidInput, match="known: airbench-94, conv-2"):
        models.build("perceiver")


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
    inputs = LENETS if name.startswith(GREY) else CIFAR
    x = torch.randn(4, *inputs, generator=torch.Generator().manual_seed(0))
    model(x)  # moves batch norm's statistics
    other = models.build(name, seed=9)
    other.load_state_dict(model.state_dict(), strict=True)
    for same in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), other):
        assert torch.equal(same.eval()(x), model.eval()(x))


# ---- wide residual networks ------------------------------------------------------------------------------------------


def test_wide_residual_networks_of_every_size():
    """Zagoruyko and Komodakis 2016, Table 5: WRN-16-8 has 11.0M, WRN-22-8 17.2M, WRN-40-2 2.2M."""
    for name, millions in {"wrn-16-8": 11.0, "wrn-22-8": 17.2, "wrn-40-2": 2.2, "wrn-40-1": 0.6}.items():
        assert round(sum(p.numel() for p in shape_only(name, CIFAR, 10, 1.0).parameters()) / 1e6, 1) == millions, name
    convolutions = [m for m in shape_only("wrn-28-2", CIFAR, 10, 1.0).modules() if isinstance(m, nn.Conv2d)]
    assert sum(m.kernel_size == (3, 3) for m in convolutions) + 3 == 28, "with three shortcuts or the head, 28 layers"
    for wrong in ("wrn-20-2", "wrn-4-2", "wrn-22-0"):
        with pytest.raises(InvalidInput, match=f"{wrong}: the depth must be 6 n . 4"):
            models.build(wrong)


def test_the_resnet_18_of_the_lottery_ticket_paper_is_another_network():
    """Frankle and Carbin 2019 and the code of continuous sparsification: 16-32-64 channels, three blocks a stage."""
    stages = [m for m in models.build("resnet-20").children() if isinstance(m, nn.Sequential)]
    assert [stage[-1].conv2.out_channels for stage in stages[1:]] == [16, 32, 64] and len(stages[1]) == 3
    assert count(models.build("resnet-18")) > 40 * count(models.build("resnet-20"))


# ---- first weights by choice, dropout --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lenet-5", "transformer-small"])
def test_signed_constants_have_the_signs_of_the_normal_draw(name):
    normal, signed = (models.build(name, seed=2, init=init) for init in ("kaiming-normal", "signed-constant"))
    for key, p in signed.named_parameters():
        if p.ndim > 1 and "vectors" not in key:
            drawn, size = normal.get_parameter(key), math.sqrt(2 / p[0].numel())
            assert torch.equal(p.sign(), drawn.sign()) and torch.allclose(p.abs(), torch.full_like(p, size)), key
    with pytest.raises(InvalidInput, match="unknown initialisation 'kaiming'; did you mean kaiming-normal"):
        models.build(name, init="kaiming")


@pytest.mark.parametrize("name, layers", [("lenet-300-100", 2), ("conv-4", 2), ("lenet-5", 1)])
def test_dropout_keeps_names_and_weights(name, layers):
    inputs = LENETS if name.startswith(GREY) else CIFAR
    plain, dropped = models.build(name, seed=1), models.build(name, seed=1, dropout=0.5)
    assert dropped.state_dict().keys() == plain.state_dict().keys()
    assert sum(isinstance(m, nn.Dropout) for m in dropped.modules()) == layers
    x = torch.randn(3, *inputs, generator=torch.Generator().manual_seed(0))
    assert torch.equal(dropped.eval()(x), plain.eval()(x))
    torch.manual_seed(0)
    assert not torch.equal(dropped.train()(x), plain.train()(x))
    with pytest.raises(InvalidInput, match=r"dropout=0\.5 needs hidden linear layers"):
        models.build("resnet-20", dropout=0.5)


# ---- narrower relatives ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lenet-300-100", "lenet-5", "conv-2", "resnet-20", "wrn-10-1", "transformer-small"])
@pytest.mark.parametrize("share", [0.5, 0.1, 0.01])
def test_the_narrower_relative_is_the_nearest(name, share):
    """Against widths on a fine grid."""
    family = models.Named(name)
    target = int(share * family.weights())
    found = family.narrower(target)
    grid = [dataclasses.replace(family, width=i / 64).weights() for i in range(1, 65)]
    assert abs(found.weights() - target) <= min(abs(n - target) for n in grid)
    model = found(seed=0)
    assert Weights(model).layout.n == found.weights() and model.training


def test_the_ends_of_a_family():
    family = models.Named("lenet-300-100", LENETS)
    assert family.narrower(1).weights() == 784 + 1 + 10 and family.narrower(10**9).weights() == 266_200
    assert family.narrower(266_200).weights() == 266_200
    without_head = ConvolutionsAndLinear(exclude=("head.weight",))
    assert family.weights(without_head) == 265_200 and family.narrower(785, without_head).weights(without_head) == 785
    assert eval(repr(family), {"Named": models.Named}) == family


# ---- airbench-94 ---------------------------------------------------------------------------------------------------


def test_its_operations_are_those_of_the_authors_runs():
    """0.36 PFLOP in 9.9 passes over 50,000 images, as the author's code says."""
    model = models.build("airbench-94").eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, *CIFAR))
    assert 3 * 9.9 * 50_000 * counter.get_total_flops() == pytest.approx(0.36e15, rel=0.03)


def test_a_whitened_stem_gives_patches_of_unit_moments():
    """Its first half: second moments over all places the identity, up to the shift; the second half its negative."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(300, 3, 32, 32, generator=generator).cumsum(3) * torch.tensor([3.0, 1.0, 0.2]).view(3, 1, 1)
    model = whitened(models.build("airbench-94"), images)
    stem = model.get_submodule("stem")
    with torch.no_grad():
        out = (stem(images) - stem.bias.view(-1, 1, 1)).transpose(0, 1).flatten(1).double()
    moments = out[:12] @ out[:12].T / out.shape[1]
    assert torch.allclose(moments, torch.eye(12, dtype=torch.float64), atol=0.03)  # the shift
    assert torch.allclose(out[12:], -out[:12], atol=1e-4)
    assert not stem.weight.requires_grad and "stem.weight" not in Weights(model).layout.names


def test_identity_convolutions_pass_their_channels_on():
    model = models.build("airbench-94", seed=3)
    x = torch.randn(2, 64, 5, 5)
    conv = model.get_submodule("group2.conv1")
    assert torch.equal(conv(x)[:, :64], x) and conv(x)[:, 64:].std() > 0.5
