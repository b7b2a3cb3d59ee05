"""Diagnostics: effective weights against paths that are walked one by one, and dead layers that are named."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

import nets
from nets.diagnostics import collapses, effective_sparsity, reachable, warnings
from nets.recipe import Recipe
from nets.weights import Weights
from sparsopt.result import Row, Trace
from tests.conftest import scaled
from tests.networks import MODULES, blobs, module

Edge = tuple[Any, Any, tuple[str, int] | None]  # from unit, to unit, the weight it goes through (None: none)


def effective(edges: list[Edge], masks: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Brute force: every path from the unit "in" to the unit "out" through kept weights is walked to its end."""
    found = {name: torch.zeros_like(mask) for name, mask in masks.items()}
    after: dict[Any, list[tuple[Any, Any]]] = {}
    for a, b, weight in edges:
        if weight is None or masks[weight[0]].flatten()[weight[1]]:
            after.setdefault(a, []).append((b, weight))

    def walk(unit: Any, through: tuple[Any, ...]) -> None:
        if unit == "out":
            for name, i in through:
                found[name].view(-1)[i] = True
        for other, weight in after.get(unit, ()):
            walk(other, through if weight is None else (*through, weight))

    walk("in", ())
    return found


def linear(name: str, before: list[Any], after: list[Any]) -> Iterator[Edge]:
    for i, b in enumerate(after):
        for j, a in enumerate(before):
            yield a, b, (name, i * len(before) + j)


def convolution(name: str, layer: nn.Conv2d, before: Any, after: Any, side: int) -> Iterator[Edge]:
    """before, after: (channel, row, column) -> unit."""
    (stride, _), (pad, _), (kernel, _) = layer.stride, layer.padding, layer.kernel_size
    inputs, outputs = layer.in_channels // layer.groups, layer.out_channels // layer.groups
    size = (side + 2 * pad - kernel) // stride + 1
    taps = range(kernel)
    for o, i, r, c, y, x in itertools.product(
        range(layer.out_channels), range(inputs), taps, taps, range(size), range(size)
    ):
        row, column = y * stride + r - pad, x * stride + c - pad
        if 0 <= row < side and 0 <= column < side:
            a = before(o // outputs * inputs + i, row, column)
            yield a, after(o, y, x), (name, ((o * inputs + i) * kernel + r) * kernel + c)


def sparse_masks(model: nn.Module, density: float, seed: int) -> dict[str, torch.Tensor]:
    layout, g = Weights(model).layout, torch.Generator().manual_seed(seed)
    return {n: torch.rand(s, generator=g) < density for n, s in zip(layout.names, layout.shapes, strict=True)}


def assert_same(found: Any, expected: dict[str, torch.Tensor]) -> None:
    assert found is not None and found.keys() == expected.keys()
    for name, mask in expected.items():
        assert torch.equal(found[name], mask), name


densities, seeds = st.sampled_from([0.15, 0.3, 0.5, 0.9]), st.integers(0, 10**6)


class Shortcut(nn.Module):
    """A perceptron with an identity around its second layer, and sigmoids, which are not 0 at 0."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(3, 4), nn.Linear(4, 4), nn.Linear(4, 2)
        self.norm = nn.BatchNorm1d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.sigmoid(self.norm(self.a(x)))
        return self.c(h + torch.tanh(self.b(h)))


@given(densities, seeds)
@settings(max_examples=scaled(40))
def test_perceptron_with_a_shortcut(density: float, seed: int) -> None:
    model = Shortcut()
    masks = sparse_masks(model, density, seed)
    unit = {kind: [(kind, i) for i in range(n)] for kind, n in (("x", 3), ("h", 4), ("s", 4), ("y", 2))}
    edges = [("in", u, None) for u in unit["x"]] + [(u, "out", None) for u in unit["y"]]
    edges += [*linear("a.weight", unit["x"], unit["h"]), *linear("b.weight", unit["h"], unit["s"])]
    edges += [(h, s, None) for h, s in zip(unit["h"], unit["s"], strict=True)]
    edges += linear("c.weight", unit["s"], unit["y"])
    assert_same(reachable(model, masks, torch.randn(2, 3)), effective(edges, masks))


class Pooled(nn.Module):
    """Grouped and strided convolutions, max pooling, a 1 x 1 shortcut, a bias, batch norm: 4 x 4 to one place."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 2, 3, padding=1)
        self.norm = nn.BatchNorm2d(2)
        self.grouped = nn.Conv2d(2, 2, 2, stride=2, groups=2)
        self.shortcut = nn.Conv2d(2, 2, 1, stride=2, bias=False)
        self.head = nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = F.relu(self.norm(self.stem(x)))
        return self.head(F.max_pool2d(self.grouped(h).relu() + self.shortcut(h), 2).flatten(1))


@given(densities, seeds)
@settings(max_examples=scaled(20))
def test_convolutions_with_groups_strides_pooling_and_a_shortcut(density: float, seed: int) -> None:
    """A max pooling that looked at the largest only, or a cancelling pass, would miss paths."""
    model = Pooled()
    masks = sparse_masks(model, density, seed)
    x, h, s = (lambda *place, kind=kind: (kind, *place) for kind in "xhs")
    edges: list[Edge] = [("in", x(0, r, c), None) for r in range(4) for c in range(4)]
    edges += convolution("stem.weight", model.stem, x, h, 4)
    edges += convolution("grouped.weight", model.grouped, h, s, 4)
    edges += convolution("shortcut.weight", model.shortcut, h, s, 4)
    edges += [(s(k, r, c), ("p", k), None) for k in range(2) for r in range(2) for c in range(2)]
    edges += linear("head.weight", [("p", 0), ("p", 1)], [("y", 0), ("y", 1)])
    edges += [(("y", i), "out", None) for i in range(2)]
    assert_same(reachable(model, masks, torch.randn(2, 1, 4, 4)), effective(edges, masks))


def test_by_hand() -> None:
    """A unit that nothing enters still has its bias, and what leaves it is not effective."""
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
    nn.init.constant_(model[0].bias, 5.0)
    masks = {"0.weight": torch.tensor([[1, 0], [0, 0]]).bool(), "2.weight": torch.tensor([[1, 1]]).bool()}
    found = reachable(model, masks, torch.ones(1, 2))
    assert found is not None and found["2.weight"].tolist() == [[True, False]] and found["0.weight"].sum() == 1
    assert effective_sparsity(model, masks, torch.ones(1, 2)) == pytest.approx(1 - 2 / 6)


def test_nothing_is_lost_or_gained_in_deep_networks() -> None:
    """Sums of paths would be 10^200 or 0 here; a chain of single weights is a path all the same."""
    model = nn.Sequential(*(nn.Linear(64, 64, bias=False) for _ in range(150)))
    full = sparse_masks(model, 2.0, 0)
    assert effective_sparsity(model, full, torch.ones(1, 64)) == 0.0
    chain = {name: torch.zeros_like(mask) for name, mask in full.items()}
    for mask in chain.values():
        mask[3, 3] = True
    assert effective_sparsity(model, chain, torch.ones(1, 64)) == pytest.approx(1 - 1 / 64**2)
    chain["70.weight"][3, 3] = False
    assert effective_sparsity(model, chain, torch.ones(1, 64)) == 1.0


@pytest.mark.parametrize("density", [0.03, 0.1, 0.5])
def test_deep_and_sparse(density: float) -> None:
    """Units that the input reaches, and that reach the output, layer by layer in whole numbers."""
    model = nn.Sequential(*(nn.Linear(64, 64) for _ in range(150)))
    masks = sparse_masks(model, density, 3)
    ahead, behind = [torch.ones(64).bool()], [torch.ones(64).bool()]
    for mask in masks.values():
        ahead.append((mask & ahead[-1]).any(1))
    for mask in reversed(masks.values()):
        behind.append((mask & behind[-1][:, None]).any(0))
    behind.reverse()
    expected = {
        name: mask & ahead[i] & behind[i + 1][:, None] for i, (name, mask) in enumerate(masks.items())
    }  # fmt: skip
    assert_same(reachable(model, masks, torch.ones(1, 64)), expected)


@pytest.mark.parametrize("name", [name for name in MODULES if name != "recurrent"])
def test_all_weights_of_a_dense_network_are_effective(name: str) -> None:
    model = module(name)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    masks = sparse_masks(model, 2.0, 0)
    generator = torch.get_rng_state()
    assert effective_sparsity(model, masks, blobs().images[:2]) == 0.0
    assert torch.equal(generator, torch.get_rng_state()) and model.training
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("name", ["transformer-small", "vgg-11", "resnet-20", "wrn-10-1", "lenet-5"])
def test_models(name: str) -> None:
    model = nets.models.build(name)
    inputs = torch.randn(1, *((1, 28, 28) if name[0] in "lt" else (3, 32, 32)))
    assert effective_sparsity(model, sparse_masks(model, 2.0, 0), inputs) == 0.0
    masks = sparse_masks(model, 0.05, 0)
    nominal = 1 - sum(int(m.sum()) for m in masks.values()) / sum(m.numel() for m in masks.values())
    assert nominal <= effective_sparsity(model, masks, inputs) < 1


def test_effective_weights_are_those_that_can_move_an_output() -> None:
    """With random weights and linear units: a kept weight is effective iff the Jacobian depends on it."""
    model = nn.Sequential(*(nn.Linear(6, 6, bias=False) for _ in range(3)))
    masks = sparse_masks(model, 0.25, 4)
    found = reachable(model, masks, torch.ones(1, 6))
    assert found is not None
    w = [(model[i].weight * masks[f"{i}.weight"]).detach().double().requires_grad_() for i in range(3)]
    jacobian = (w[2] @ w[1] @ w[0]).flatten()
    slopes = [torch.autograd.grad(entry, w, retain_graph=True) for entry in jacobian]
    moves = [sum(g.abs() for g in of_one) for of_one in zip(*slopes, strict=True)]
    for i, g in enumerate(moves):
        assert torch.equal(found[f"{i}.weight"], (g > 0) & masks[f"{i}.weight"])
    assert 0 < sum(int(f.sum()) for f in found.values()) < sum(int(m.sum()) for m in masks.values())


def test_attention_needs_queries_and_keys_and_a_value_that_goes_on() -> None:
    model = module("attention")
    masks = sparse_masks(model, 2.0, 0)
    d = 6
    projections = masks["attention.in_proj_weight"]
    projections[d : 2 * d] = False  # no keys: every query gives the same
    found = reachable(model, masks, blobs().images[:1])
    assert found is not None and not found["attention.in_proj_weight"][:d].any()
    assert found["attention.in_proj_weight"][2 * d :].all() and found["attention.out_proj.weight"].all()
    projections[:], masks["attention.out_proj.weight"][:] = True, False
    found = reachable(model, masks, blobs().images[:1])
    assert found is not None and not found["attention.in_proj_weight"].any() and found["head.weight"].all()


def test_attention_weights_that_are_asked_for_and_masks() -> None:
    attention = nn.MultiheadAttention(4, 2, batch_first=True)
    causal = nn.Transformer.generate_square_subsequent_mask(3)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = attention

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.attention(x, x, x, attn_mask=causal)[0][:, 0]  # the first token sees itself only

    found = reachable(Model(), sparse_masks(Model(), 2.0, 0), torch.ones(1, 3, 4))
    assert found is not None and all(mask.all() for mask in found.values())


def test_where_it_is_not_known() -> None:
    """Recurrent layers, and modules that cannot take the pass: nan, never an exception."""

    class Stubborn(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if float(x.sum()) == 8:
                raise ValueError("not these")
            return self.layer(x)

    recurrent = module("recurrent")
    masks = {"head.weight": torch.ones(3, 4).bool()}
    assert reachable(recurrent, masks, blobs().images[:1]) is None
    assert math.isnan(effective_sparsity(Stubborn(), {"layer.weight": torch.ones(2, 4).bool()}, torch.zeros(2, 4)))
    outcome = nets.prune(recurrent, blobs(), "gmp", 0.5, epochs=1, prunable=nets.weights.Matrices())
    assert math.isnan(outcome.effective_sparsity) and "effective" not in str(outcome) and outcome.warnings == ()


# ---- dead layers -----------------------------------------------------------------------------------------------------


def test_when_a_layer_died() -> None:
    """From the last time it had a weight; a layer that was empty and has weights again is not dead."""
    masks = {"a": torch.ones(5).bool(), "b": torch.zeros(5).bool(), "c": torch.zeros(10).bool()}
    empty = ["", "b", "", "b", "a,b", "b,c", "b,c"]
    sizes = [20, 18, 16, 12, 10, 8, 5]
    rows = [
        Row(0, i, 0, k, "", 0.0, 0, 0, {"empty": e} if e else {})
        for i, (k, e) in enumerate(zip(sizes, empty, strict=True))
    ]
    assert collapses(masks, Trace(rows)) == {"b": pytest.approx(0.4), "c": pytest.approx(0.6)}
    assert collapses(masks, Trace()) == {"b": 0.75, "c": 0.75} and collapses({"a": masks["a"]}, Trace(rows)) == {}


def test_warnings() -> None:
    assert warnings({}, 0.9) == warnings({}, math.nan) == ()
    one, two = warnings({"conv3.weight": 0.944}, 1.0)
    assert one == (
        "layer collapse: no weight left in conv3.weight (since 94.40% sparsity); nothing passes through there"
    )
    assert two.startswith("no path is left")


def test_a_collapse_in_the_middle_of_a_run_is_dated(tmp_path: Any) -> None:
    """Mistake 13. Global magnitude on a network with one tiny layer, in rounds of 20 %."""
    model = module()
    with torch.no_grad():
        model.get_parameter("4.weight").mul_(1e-6)
    outcome = nets.prune(model, blobs(), "imp", 0.95, Recipe(0.0), epochs=1, out=tmp_path)
    first = outcome.collapses["4.weight"]
    assert outcome.collapsed == ("4.weight",) and 0.1 < first < 0.5 < outcome.sparsity
    when = next(row for row in outcome.trace if "empty" in row.measured)
    assert first == 1 - when.size / outcome.prunable and when.size < outcome.prunable - 64
    assert outcome.effective_sparsity == 1.0 and len(outcome.warnings) == 2
    text = str(outcome)
    assert f"(since {first:.2%} sparsity)" in text and text.count("\nwarning") == 2
    result = (tmp_path / "result.json").read_text()
    assert '"collapses"' in result and "layer collapse: no weight left in 4.weight" in result
    healthy = nets.prune(module(), blobs(), "random", 0.5, epochs=1)
    assert healthy.warnings == () and 0.5 <= healthy.effective_sparsity < 0.7 and "warning" not in str(healthy)
