"""Weights: what is prunable, and the way from a module to the flat vector and back."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import prune as torch_prune
from torch.nn.utils.parametrizations import weight_norm

import nets
from nets import models
from nets.weights import BatchNormScales, ConvolutionsAndLinear, Matrices, Weights
from sparsopt.errors import InvalidInput
from tests.networks import MODULES, Residual, Tied, blobs, module

NAMES = {
    "perceptron": ["1.weight", "4.weight", "6.weight"],
    "tied": ["first.weight", "again.weight", "head.weight"],
    "residual": ["stem.weight", "grouped.weight", "shortcut.weight", "head.weight"],
    "attention": ["attention.in_proj_weight", "attention.out_proj.weight", "head.weight"],
    "recurrent": ["lstm.weight_ih_l0", "lstm.weight_hh_l0", "head.weight"],
    "dropout": ["1.weight", "4.weight"],
}


@pytest.mark.parametrize("name", MODULES)
def test_what_is_prunable(name):
    model = module(name)
    weights = Weights(model, MODULES[name][1])
    assert weights.prunable == NAMES[name]
    assert weights.layout.n == sum(model.get_parameter(p).numel() for p in NAMES[name])
    assert sorted(weights.prunable + weights.other) == sorted(dict(model.named_parameters()))


@pytest.mark.parametrize("name, n", [("lenet-300-100", 266_200), ("conv-4", 2_425_024), ("resnet-20", 270_896)])
def test_the_denominator_of_the_papers(name, n):
    """Weights of convolutions and linear layers, no biases and no batch norm, 1 x 1 shortcuts included."""
    assert Weights(models.build(name)).layout.n == n


def test_exclude():
    model = Residual()
    assert Weights(model, ConvolutionsAndLinear(exclude=("head.weight",))).prunable == NAMES["residual"][:-1]
    assert Weights(module("recurrent"), Matrices(exclude=("lstm.weight_hh_l0",))).prunable[0] == "lstm.weight_ih_l0"
    assert len(Weights(module("recurrent"), Matrices(exclude=("lstm.weight_hh_l0",))).prunable) == 2


class Classifier(nn.Module):
    """Something with weights of its own, read by a linear head."""

    def __init__(self, body: nn.Module | None = None, own: tuple[int, ...] = (), head: int = 40) -> None:
        super().__init__()
        self.body, self.head = body or nn.Identity(), nn.Linear(head, 3)
        if own:
            self.own = nn.Parameter(torch.zeros(own))


@pytest.mark.parametrize(
    "model, said",
    [
        (Classifier(nn.LSTM(6, 20)), "body.weight_hh_l0, body.weight_ih_l0 hold 95% of the weights of Classifier and"),
        (Classifier(nn.GRU(6, 20, 3)), "body.weight_hh_l0, body.weight_ih_l1, body.weight_hh_l1 and 3 more hold"),
        (Classifier(nn.RNNCell(6, 20)), "body.weight_hh, body.weight_ih hold 81%"),
        (Classifier(nn.Embedding(40, 20)), "body.weight holds 87%"),
        (Classifier(nn.EmbeddingBag(40, 1)), "body.weight holds 25%"),
        (Classifier(nn.Embedding(39, 1)), ""),
        (Classifier(own=(6, 20)), "own holds 50%"),
        (Classifier(own=(500,)), ""),
        (Classifier(nn.MultiheadAttention(8, 2)), ""),
        (Classifier(nn.MultiheadAttention(8, 2, kdim=4, vdim=4)), ""),
        (Classifier(nn.Conv1d(4, 8, 3)), ""),
        (Classifier(nn.ConvTranspose2d(4, 8, 3)), ""),
        (Classifier(nn.Bilinear(4, 4, 8)), ""),
        (Classifier(nn.TransformerEncoderLayer(8, 2, 16)), ""),
        (Classifier(nn.LSTM(6, 20).requires_grad_(False)), ""),
    ],
)
def test_what_the_default_leaves_dense_is_named(model: Classifier, said: str) -> None:
    """A quarter of all matrices or more; vectors, frozen parameters and what is prunable say nothing."""
    found = Weights(model).overlooked(model)
    assert (said in found and "Matrices()" in found) if said else found == ""
    assert Weights(model, Matrices()).overlooked(model) == ""


def test_embeddings_that_the_head_shares_are_prunable() -> None:
    model = Classifier(nn.Embedding(3, 40))
    model.head.weight = model.body.weight  # type: ignore[assignment]
    assert Weights(model).prunable == ["body.weight"] and Weights(model).overlooked(model) == ""


@pytest.mark.parametrize("name", models.names())
def test_our_own_models_are_pruned_as_a_whole(name: str) -> None:
    model = models.build(name, (3, 32, 32), width=0.25) if name != "lenet-300-100" else models.build(name)
    assert Weights(model).overlooked(model) == ""


def test_a_run_says_what_it_leaves_dense_unless_it_was_asked_to() -> None:
    model: Any = module("recurrent")
    data, how = blobs(), {"method": "random", "sparsity": 0.5, "epochs": 0.3}
    with pytest.warns(UserWarning, match=r"lstm\.weight_ih_l0, lstm\.weight_hh_l0 hold 9\d% of the weights"):
        assert nets.prune(model, data, **how).prunable == model.head.weight.numel()
    nets.prune(model, data, **how, prunable=ConvolutionsAndLinear())  # a warning is an error here
    assert nets.prune(model, data, **how, prunable=Matrices()).prunable > 10 * model.head.weight.numel()


def test_scales_of_batch_norm_are_one_a_channel():
    """Not its shifts, and not the weights of other norms."""
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.LayerNorm(6), nn.Flatten(), nn.BatchNorm1d(3))
    weights = Weights(model, BatchNormScales())
    assert weights.prunable == ["1.weight", "4.weight"] and weights.layout.sizes == (4, 3)


def test_a_module_without_a_rest():
    model = nn.Linear(3, 2, bias=False).double()
    x, rest = Weights(model).flatten(model)
    assert len(x) == 6 and len(rest) == 0 and rest.dtype == torch.float64


def test_the_input_axis_of_each_block():
    """Where N:M patterns live: along the inputs of a unit."""
    assert Weights(Residual()).layout.axes == (1, 1, 1, -1)


@pytest.mark.parametrize("name", MODULES)
def test_there_and_back(name):
    source, target = module(name, 1), module(name, 2)
    for buffer in source.buffers():
        buffer += 3  # or both would have what a norm starts with
    weights = Weights(source, MODULES[name][1])
    x, rest = weights.flatten(source)
    assert len(x) == weights.layout.n and len(x) + len(rest) == sum(p.numel() for p in source.parameters())
    weights.write(target, x, rest, weights.constants(source))
    for (key, a), b in zip(source.state_dict().items(), target.state_dict().values(), strict=True):
        assert torch.equal(a, b), key
    x.zero_()
    assert any(p.any() for p in source.parameters()), "flatten copies"


@given(st.lists(st.booleans(), min_size=4, max_size=4), st.integers(0, 2**32))
def test_blocks_are_views_in_the_order_of_the_layout(frozen, seed):
    model = Tied()
    for parameter, freeze in zip(model.parameters(), frozen, strict=False):
        parameter.requires_grad_(not freeze)
    weights = Weights(model)
    x = torch.randn(weights.layout.n, generator=torch.Generator().manual_seed(seed))
    assert torch.equal(torch.cat([block.reshape(-1) for _, block in weights.blocks(x)]), x)
    for name, block in weights.blocks(x):
        assert block.shape == model.get_parameter(name).shape and block.untyped_storage().data_ptr() == x.data_ptr()
    kept = {name for name, p in model.named_parameters() if p.requires_grad}
    assert set(weights.prunable) | set(weights.other) == kept
    assert set(weights.constants(model)) == {name for name, _ in model.named_parameters()} - kept


def test_tied_weights_are_one_block_and_stay_tied():
    model = Tied()
    weights = Weights(model)
    x, rest = weights.flatten(model)
    weights.write(model, torch.arange(len(x), dtype=torch.float32), rest, {})
    assert model.other.weight is model.again.weight and weights.layout.n == 36 * 8 + 64 + 24
    assert torch.equal(model.other.weight.flatten(), torch.arange(36 * 8, 36 * 8 + 64, dtype=torch.float32))


def test_a_weight_that_is_tied_to_one_that_is_not_prunable_is_prunable():
    """Named after the place where it comes first."""
    model = nn.ModuleDict({"embedding": nn.Embedding(7, 4), "head": nn.Linear(4, 7, bias=False)})
    model["head"].weight = model["embedding"].weight
    assert Weights(model).prunable == ["embedding.weight"]


def test_densities():
    weights = Weights(module())
    support = torch.zeros(weights.layout.n, dtype=torch.bool)
    support[:72] = True
    assert weights.densities(support) == {"1.weight": 0.25, "4.weight": 0.0, "6.weight": 0.0}


# ---- refusals --------------------------------------------------------------------------------------------------------


def test_nothing_to_prune():
    with pytest.raises(
        InvalidInput, match=r"no parameter of Sequential is prunable .*\['0\.weight', '0\.bias'\].*Matrices"
    ):
        Weights(nn.Sequential(nn.BatchNorm1d(3)))
    with pytest.raises(InvalidInput, match=r"those that train are \[\]"):
        Weights(nn.Linear(3, 3).requires_grad_(False))


def test_several_types_of_number():
    with pytest.raises(InvalidInput, match=r"several types .* model.float"):
        Weights(nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3).double()))


def test_weights_that_are_computed_from_others():
    """Silently leaving them dense, or pruning the direction of a weight, would be a wrong sparsity."""
    model = nn.Sequential(nn.Linear(3, 3), weight_norm(nn.Linear(3, 3)))
    with pytest.raises(InvalidInput, match=r"1\.parametrizations\.weight\.original0 .*remove_parametrizations"):
        Weights(model)
    pieces = tuple(f"1.parametrizations.weight.original{i}" for i in (0, 1))
    assert Weights(copy.deepcopy(model), ConvolutionsAndLinear(exclude=pieces)).prunable == ["0.weight"]
    pruned = torch_prune.l1_unstructured(nn.Linear(3, 3), "weight", 2)
    with pytest.raises(InvalidInput, match=r"weight_orig .*prune.remove"):
        Weights(pruned)
    assert Weights(torch_prune.remove(pruned, "weight")).prunable == ["weight"]
